//! Reading the command line: options may stand before or after the command, short flags may be joined (`-qs`), values
//! follow after a space or `=`, `--` ends the options.
//!
//! The reading never fails: what is wrong is kept in [`Arguments::invalid`], so that it can be told together with the
//! usage of the command that was meant.

use std::collections::BTreeMap;

use crate::format::Formatter;

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing; `--no-…` takes it back.
    Nothing,
    /// A word.
    Word,
    /// A whole number.
    Number,
    /// A whole number, perhaps below zero.
    Integer,
}

/// An option that a command, or every command, knows.
#[derive(Clone, Copy, Debug)]
pub struct Switch {
    /// The name after `--`.
    pub long: &'static str,
    /// The letter after `-`.
    pub short: Option<char>,
    /// Its value.
    pub takes: Takes,
}

impl Switch {
    /// An option without a value.
    pub const fn flag(long: &'static str) -> Self {
        Self { long, short: None, takes: Takes::Nothing }
    }

    /// An option with a word.
    pub const fn word(long: &'static str) -> Self {
        Self { long, short: None, takes: Takes::Word }
    }

    /// An option with a whole number.
    pub const fn number(long: &'static str) -> Self {
        Self { long, short: None, takes: Takes::Number }
    }

    /// An option with a whole number that may be below zero.
    pub const fn integer(long: &'static str) -> Self {
        Self { long, short: None, takes: Takes::Integer }
    }

    /// The same option, also as a letter.
    pub const fn or(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }
}

/// The options that every command accepts.
pub const GLOBAL_SWITCHES: &[Switch] = &[
    Switch::word("node").or('n'),
    Switch::flag("quiet").or('q'),
    Switch::flag("silent").or('s'),
    Switch::number("timeout").or('t'),
    Switch::flag("longnames").or('l'),
    Switch::word("vhost").or('p'),
    Switch::word("formatter"),
    Switch::flag("no-table-headers"),
    Switch::flag("table-headers"),
    Switch::flag("print-stacktrace"),
    Switch::word("script-name"),
    Switch::flag("dry-run"),
    Switch::flag("help").or('?'),
    Switch::flag("version"),
    Switch::word("erlang-cookie"),
    Switch::word("data-dir"),
    Switch::word("host"),
    Switch::number("port"),
    Switch::word("username"),
    Switch::word("password"),
];

/// A command line, taken apart.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// The command and its arguments, in order.
    pub positional: Vec<String>,
    /// Options that are not known, or whose value is missing or not acceptable, with that value.
    pub invalid: Vec<(String, String)>,
    /// `--` was there: what follows it are arguments, whatever they look like.
    pub ended: bool,
    values: BTreeMap<&'static str, String>,
}

impl Arguments {
    /// Takes the words of a command line apart.
    pub fn read(words: &[String], switches: &[Switch]) -> Self {
        let mut arguments = Self::default();
        let mut words = words.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            let mut next = || words.next_if(|next| !looks_like_option(next));
            if word == "--" {
                arguments.ended = true;
                arguments.positional.extend(words.by_ref().map(String::from));
            } else if let Some(long) = word.strip_prefix("--") {
                arguments.read_long(long, switches, &mut next);
            } else if looks_like_option(word) {
                arguments.read_short(word, switches, &mut next);
            } else {
                arguments.positional.push(word.to_string());
            }
        }
        arguments
    }

    /// Was the flag given?
    pub fn has(&self, long: &str) -> bool {
        self.values.get(long).is_some_and(|value| value != "false")
    }

    /// Do they name the broker by its host or port, so that it is not looked for by its control socket?
    pub fn names_host(&self) -> bool {
        self.word("host").is_some() || self.word("port").is_some()
    }

    /// The word given with an option.
    pub fn word(&self, long: &str) -> Option<&str> {
        self.values.get(long).map(String::as_str)
    }

    /// The number given with an option.
    pub fn number(&self, long: &str) -> Option<u64> {
        self.word(long).and_then(|value| value.parse().ok())
    }

    /// The number, perhaps below zero, given with an option.
    pub fn integer(&self, long: &str) -> Option<i64> {
        self.word(long).and_then(|value| value.parse().ok())
    }

    /// The vhost to work in.
    pub fn vhost(&self) -> &str {
        self.word("vhost").unwrap_or("/")
    }

    /// The formatter asked for.
    pub fn formatter(&self) -> Option<Formatter> {
        self.word("formatter").and_then(Formatter::parse)
    }

    fn read_long<'a>(
        &mut self,
        long: &'a str,
        switches: &[Switch],
        next: &mut impl FnMut() -> Option<&'a str>,
    ) {
        let (name, joined) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        if let Some(switch) = switches.iter().find(|switch| switch.long == name) {
            return self.take(*switch, format!("--{name}"), joined, next);
        }
        let negated = name.strip_prefix("no-").and_then(|name| switches.iter().find(|s| s.long == name));
        match negated {
            Some(switch) if switch.takes == Takes::Nothing && joined.is_none() => {
                self.values.insert(switch.long, "false".into());
            }
            _ => self.invalid.push((format!("--{name}"), String::new())),
        }
    }

    fn read_short<'a>(
        &mut self,
        word: &'a str,
        switches: &[Switch],
        next: &mut impl FnMut() -> Option<&'a str>,
    ) {
        let letters = &word[1..];
        for (at, letter) in letters.char_indices() {
            let Some(switch) = switches.iter().find(|switch| switch.short == Some(letter)) else {
                return self.invalid.push((word.to_string(), String::new()));
            };
            let rest = &letters[at + letter.len_utf8()..];
            if switch.takes == Takes::Nothing {
                self.values.insert(switch.long, "true".into());
                continue;
            }
            let joined = (!rest.is_empty()).then(|| rest.strip_prefix('=').unwrap_or(rest));
            return self.take(*switch, format!("-{letter}"), joined, next);
        }
    }

    fn take<'a>(
        &mut self,
        switch: Switch,
        written: String,
        joined: Option<&'a str>,
        next: &mut impl FnMut() -> Option<&'a str>,
    ) {
        let value = match switch.takes {
            Takes::Nothing => joined.or(Some("true")),
            Takes::Word | Takes::Number | Takes::Integer => joined.or_else(next),
        };
        match value {
            Some(value) if is_acceptable(switch, value) => {
                self.values.insert(switch.long, value.to_string());
            }
            refused => self.invalid.push((written, refused.unwrap_or_default().to_string())),
        }
    }
}

/// `-` alone and negative numbers are arguments, not options.
fn looks_like_option(word: &str) -> bool {
    word.len() > 1
        && word.starts_with('-')
        && !word[1..].chars().all(|letter| letter.is_ascii_digit() || letter == '.')
}

fn is_acceptable(switch: Switch, value: &str) -> bool {
    match (switch.takes, switch.long) {
        (Takes::Nothing, _) => matches!(value, "true" | "false"),
        (Takes::Number, _) => value.parse::<u64>().is_ok(),
        (Takes::Integer, _) => value.parse::<i64>().is_ok(),
        (Takes::Word, "formatter") => Formatter::parse(value).is_some(),
        (Takes::Word, _) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Arguments {
        let words: Vec<String> = line.split(' ').map(String::from).collect();
        let switches = [GLOBAL_SWITCHES, &[Switch::flag("if-empty").or('e'), Switch::word("unit")]].concat();
        Arguments::read(&words, &switches)
    }

    #[test]
    fn options_stand_before_and_after_the_command() {
        let arguments = read("-p v1 list_queues -qs --formatter=json name --timeout 5 messages");
        assert_eq!(arguments.positional, ["list_queues", "name", "messages"]);
        assert_eq!(arguments.vhost(), "v1");
        assert!(arguments.has("quiet") && arguments.has("silent") && !arguments.has("help"));
        assert_eq!(arguments.number("timeout"), Some(5));
        assert_eq!(arguments.formatter(), Some(Formatter::Json));
        assert!(arguments.invalid.is_empty());
    }

    #[test]
    fn what_is_wrong_is_kept_with_its_value() {
        let cases: [(&str, &[(&str, &str)]); 9] = [
            ("c --bogus", &[("--bogus", "")]),
            ("c a --bogus 1 --foo=2", &[("--bogus", ""), ("--foo", "")]),
            ("c -t abc", &[("-t", "abc")]),
            ("c -p", &[("-p", "")]),
            ("c --vhost", &[("--vhost", "")]),
            ("c -x", &[("-x", "")]),
            ("c --if-empty=xyz", &[("--if-empty", "xyz")]),
            ("c --formatter bogus", &[("--formatter", "bogus")]),
            ("c -n --quiet", &[("-n", "")]),
        ];
        for (line, expected) in cases {
            let invalid = read(line).invalid;
            let invalid: Vec<_> =
                invalid.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(invalid, expected, "{line}");
        }
    }

    #[test]
    fn negation_numbers_and_the_end_of_options() {
        let arguments = read("c --no-if-empty -1 - -- -q --bogus");
        assert!(!arguments.has("if-empty") && !arguments.has("quiet"));
        assert_eq!(arguments.positional, ["c", "-1", "-", "-q", "--bogus"]);
        assert_eq!(read("c -pv2 -e").vhost(), "v2");
    }
}
