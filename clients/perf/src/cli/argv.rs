//! Spellings of RabbitMQ's PerfTest that the parser of options does not know: short options of several letters
//! (`-qp`), long ones behind a single dash (`-pmessages`), and `-h`, which there names the broker.

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

/// The words of a command line, in the spelling that the parser knows.
pub fn rewrite(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut words: Vec<String> = words.into_iter().map(|word| rewritten(&word).unwrap_or(word)).collect();
    // Who asks for help with nothing behind it gets help.
    if words.last().is_some_and(|word| word == "-h") {
        words.pop();
        words.push("--help".to_owned());
    }
    words
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
    fn the_last_h_asks_for_help() {
        assert_eq!(rewritten("liebre-perf -h"), "liebre-perf --help");
        assert_eq!(rewritten("liebre-perf churn -h"), "liebre-perf churn --help");
        assert_eq!(rewritten("liebre-perf -h amqp://mq"), "liebre-perf -h amqp://mq");
    }
}
