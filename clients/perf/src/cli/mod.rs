//! The command line, parsed to values that cannot be wrong.

pub mod argv;
mod load;
pub mod values;

use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

pub use load::LoadArgs;

use crate::url::BrokerUrl;
use values::{parse_seconds, parse_target};

/// Loads an AMQP 0-9-1 broker, and measures what it does and what it costs.
///
/// Without a subcommand it publishes and consumes. Options have the names of RabbitMQ's PerfTest where it has them.
///
/// Exit code: 0 measured; 1 the broker cannot be reached, refused or closed; 2 wrong options;
/// 3 measured, but the messages did not get through.
#[derive(Debug, Parser)]
#[command(name = "liebre-perf", version, args_conflicts_with_subcommands = true, disable_help_flag = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: RunArgs,
    /// Print help
    #[arg(short = '?', long, global = true, action = ArgAction::Help)]
    help: Option<bool>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measures two brokers in turns (A B A B …) and compares the medians.
    Compare(CompareArgs),
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// A broker on the command line.
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// The broker: amqp://user:password@host:port/vhost
    #[arg(
        short = 'h',
        long = "uri",
        visible_alias = "url",
        env = "LIEBRE_PERF_URL",
        default_value = "amqp://guest:guest@127.0.0.1:5672/"
    )]
    pub url: BrokerUrl,
    /// Also measure the CPU time and memory of this process (the broker's; for RabbitMQ that of beam.smp)
    #[arg(long)]
    pub pid: Option<u32>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Seconds between two lines that say how it goes
    #[arg(short = 'i', long, value_name = "SECONDS", default_value = "1", value_parser = parse_seconds)]
    pub interval: Duration,
    /// What these lines begin with
    #[arg(short = 'd', long, default_value = "liebre-perf")]
    pub id: String,
    /// No such lines
    #[arg(long)]
    pub quiet: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    #[command(flatten)]
    pub pair: PairArgs,
    /// How often each broker is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    #[command(flatten)]
    pub load: LoadArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Two brokers on the command line.
#[derive(Debug, Args)]
pub struct PairArgs {
    /// The first broker and, after a comma, the process to measure
    #[arg(long, value_name = "URL[,PID]", value_parser = parse_target)]
    pub a: Target,
    /// The second broker, likewise
    #[arg(long, value_name = "URL[,PID]", value_parser = parse_target)]
    pub b: Target,
    /// The first broker's process
    #[arg(long, value_name = "PID")]
    pub a_pid: Option<u32>,
    /// The second broker's process
    #[arg(long, value_name = "PID")]
    pub b_pid: Option<u32>,
}

/// A broker and its process, if that is to be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub url: BrokerUrl,
    pub pid: Option<u32>,
}

impl TargetArgs {
    pub fn target(&self) -> Target {
        Target { url: self.url.clone(), pid: self.pid }
    }
}

impl PairArgs {
    pub fn targets(&self) -> [Target; 2] {
        let with_pid =
            |target: &Target, pid: Option<u32>| Target { pid: pid.or(target.pid), ..target.clone() };
        [with_pid(&self.a, self.a_pid), with_pid(&self.b, self.b_pid)]
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
