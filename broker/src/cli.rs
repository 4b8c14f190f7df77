//! The server's command line: an option for each key of the configuration.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, builder::PathBufValueParser};
use liebre::config::{Key, exact_keys};

const CONFIG: &str = "config";
const CHECK_CONFIG: &str = "check-config";

/// What the command line says.
#[derive(Debug)]
pub struct Arguments {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// Only say what would be in force.
    pub checks_config: bool,
    /// Keys with their values.
    pub options: Vec<(String, String)>,
}

impl Arguments {
    /// Reads the process's command line; help and errors end the process.
    pub fn parse() -> Self {
        Self::read(&command().get_matches_from(std::env::args_os()))
    }

    fn read(matches: &ArgMatches) -> Self {
        let of_key = |key: &'static Key| {
            let value = matches.get_one::<String>(key.name)?;
            Some((key.name.to_owned(), value.clone()))
        };
        Self {
            config: matches.get_one::<PathBuf>(CONFIG).cloned(),
            checks_config: matches.get_flag(CHECK_CONFIG),
            options: exact_keys().filter_map(of_key).collect(),
        }
    }
}

fn command() -> Command {
    let config = Arg::new(CONFIG).long(CONFIG).value_name("FILE").value_parser(PathBufValueParser::new()).help(
        "Read this file, in the syntax of rabbitmq.conf or in TOML [default: /etc/liebre or /etc/rabbitmq; variable \
         LIEBRE_CONFIG_FILE]",
    );
    let check = Arg::new(CHECK_CONFIG)
        .long(CHECK_CONFIG)
        .action(ArgAction::SetTrue)
        .help("Show what would be in force and where it comes from, and end");
    Command::new("liebre")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Liebre, a message broker for RabbitMQ clients (AMQP 0-9-1)")
        .after_help("Each option has a variable of the environment: LIEBRE_ and its name in capitals.")
        .args([config, check])
        .args(exact_keys().map(option))
}

/// Keys that are true or false need no value.
fn option(key: &'static Key) -> Arg {
    let default = if key.default.is_empty() { String::new() } else { format!(" [default: {}]", key.default) };
    let option = Arg::new(key.name)
        .long(key.option_name())
        .help(format!("{}{default}", key.about))
        .allow_hyphen_values(true)
        .num_args(1);
    match key.takes {
        "" => option
            .value_name("true|false")
            .num_args(0..=1)
            .require_equals(true)
            .allow_hyphen_values(false)
            .default_missing_value("true"),
        takes => option.value_name(takes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Vec<(String, String)> {
        Arguments::read(&command().try_get_matches_from([&["liebre"], words].concat()).unwrap()).options
    }

    #[test]
    fn the_options_are_sound() {
        command().debug_assert();
    }

    #[test]
    fn options_are_keys() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            options(&["--amqp-listen", "127.0.0.1:0", "--heartbeat=5", "--unsafe-no-fsync"]),
            [
                pair("listeners.tcp.default", "127.0.0.1:0"),
                pair("heartbeat", "5"),
                pair("unsafe_no_fsync", "true")
            ]
        );
        assert_eq!(options(&["--log-console=false"]), [pair("log.console", "false")]);
        assert_eq!(options(&[]), []);
    }
}
