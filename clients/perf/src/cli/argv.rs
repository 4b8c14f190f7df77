//! Spellings of RabbitMQ's PerfTest that the parser of options does not know: short options of several letters
//! (`-qp`), long ones behind a single dash (`-pmessages`), and `-h`, which there names the broker. And options that
//! stand before a subcommand although they are its own.

use clap::CommandFactory;

use super::Cli;

/// PerfTest's short options of more than one letter.
const SHORT: [(&str, &str); 11] = [
    ("-ad", "--auto-delete"),
    ("-ca", "--consumer-args"),
    ("-mp", "--message-properties"),
    ("-qa", "--queue-args"),
    ("-qp", "--queue-pattern"),
    ("-qpf", "--queue-pattern-from"),
    ("-qpt", "--queue-pattern-to"),
    ("-qq", "--quorum-queue"),
    ("-sb", "--skip-binding-queues"),
    ("-vr", "--variable-rate"),
    ("-vs", "--variable-size"),
];
/// Long options that its users write behind a single dash.
const LONG: [&str; 12] = [
    "autoack",
    "cmessages",
    "confirm",
    "consumers",
    "flag",
    "pmessages",
    "predeclared",
    "producers",
    "qos",
    "queue",
    "rate",
    "size",
];
/// Options that nearly every subcommand has, and who has not read about them writes first: those with a value, and the
/// one without.
const SHARED: [&str; 4] = ["-h", "--uri", "--url", "--pid"];
const SHARED_FLAG: &str = "--json";

/// The words of a command line, in the spelling and the order that the parser knows.
pub fn rewrite(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut words: Vec<String> = words.into_iter().map(|word| rewritten(&word).unwrap_or(word)).collect();
    // Who asks for help with nothing behind it gets help.
    if words.last().is_some_and(|word| word == "-h") {
        words.pop();
        words.push("--help".to_owned());
    }
    let shared_count = shared_count(words.get(1..).unwrap_or_default());
    if let Some(words) = words.get_mut(1..shared_count + 2)
        && words.last().is_some_and(|word| is_subcommand(word))
    {
        words.rotate_right(1);
    }
    words
}

/// How many of the first words are shared options and their values.
fn shared_count(words: &[String]) -> usize {
    let mut rest = words.iter();
    while let Some(word) = rest.as_slice().first() {
        let width = match word.as_str() {
            SHARED_FLAG => 1,
            name if SHARED.contains(&name) => 2,
            name if SHARED.iter().any(|shared| is_with_value(name, shared)) => 1,
            _ => break,
        };
        rest.nth(width - 1);
    }
    words.len() - rest.len()
}

/// Whether this word is the option and its value: `--uri=amqp://mq` or `-hamqp://mq`.
fn is_with_value(word: &str, option: &str) -> bool {
    let is_long = option.starts_with("--");
    word.strip_prefix(option).is_some_and(|value| !is_long || value.starts_with('='))
}

fn is_subcommand(word: &str) -> bool {
    Cli::command().get_subcommands().any(|subcommand| subcommand.get_name() == word)
}

fn rewritten(word: &str) -> Option<String> {
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    let long = SHORT.iter().find(|(short, _)| *short == name).map(|(_, long)| (*long).to_owned());
    let long = long.or_else(|| {
        let bare = name.strip_prefix('-').filter(|bare| LONG.contains(bare))?;
        Some(format!("--{bare}"))
    })?;
    Some(value.map_or(long.clone(), |value| format!("{long}={value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(line: &str) -> String {
        rewrite(line.split(' ').map(str::to_owned)).join(" ")
    }

    #[test]
    fn several_letters_behind_one_dash_are_long_options() {
        let line = rewritten("liebre-perf -qp perf-%d -qpf 1 -qpt=10 -pmessages 5 -q 5 -x 2 -y0");
        let expected = "liebre-perf --queue-pattern perf-%d --queue-pattern-from 1 --queue-pattern-to=10 --pmessages 5 -q 5 -x 2 -y0";
        assert_eq!(line, expected);
    }

    #[test]
    fn shared_options_move_behind_the_subcommand() {
        let line = rewritten("liebre-perf --uri amqp://mq --pid=7 --json churn queues -z 1");
        assert_eq!(line, "liebre-perf churn --uri amqp://mq --pid=7 --json queues -z 1");
        assert_eq!(rewritten("liebre-perf -hamqp://mq idle"), "liebre-perf idle -hamqp://mq");
        for line in [
            "liebre-perf --uri churn",
            "liebre-perf --json -s 16",
            "liebre-perf -s 16 churn",
            "liebre-perf --uri",
            "liebre-perf --pid 7",
            "liebre-perf",
        ] {
            assert_eq!(rewritten(line), line);
        }
    }

    #[test]
    fn the_last_h_asks_for_help() {
        assert_eq!(rewritten("liebre-perf -h"), "liebre-perf --help");
        assert_eq!(rewritten("liebre-perf churn -h"), "liebre-perf churn --help");
        assert_eq!(rewritten("liebre-perf -h amqp://mq"), "liebre-perf -h amqp://mq");
    }
}
