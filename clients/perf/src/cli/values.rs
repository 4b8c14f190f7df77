//! Values of options: from text to what cannot be wrong.

use std::time::Duration;

use crate::cli::Target;
use crate::codec::table::FieldTable;
use crate::schedule::Step;
use crate::url::BrokerUrl;

/// The largest body that can be published.
pub const BODY_SIZE_MAX: u32 = 128 * 1024 * 1024;
/// What is not nothing.
const SECONDS_MIN: f64 = 0.001;
const SECONDS_MAX: f64 = 1e6;
const RATE_MAX: f64 = 1e9;
const NAME_BYTES_MAX: usize = 255;

pub fn parse_target(text: &str) -> Result<Target, String> {
    let parse = |url: &str| url.parse::<BrokerUrl>().map_err(|error| error.to_string());
    match text.rsplit_once(',') {
        Some((url, pid)) => Ok(Target {
            url: parse(url)?,
            pid: Some(pid.parse().map_err(|_| format!("{pid:?} is not a process id"))?),
        }),
        None => Ok(Target { url: parse(text)?, pid: None }),
    }
}

pub fn parse_name(name: &str) -> Result<String, String> {
    match name.len() {
        // The broker would choose a name, but each connection another.
        0 => Err("a name is needed here".to_owned()),
        1..=NAME_BYTES_MAX => Ok(name.to_owned()),
        _ => Err("a name has at most 255 bytes".to_owned()),
    }
}

/// A routing key, unlike a name, may be empty.
pub fn parse_key(key: &str) -> Result<String, String> {
    if key.is_empty() { Ok(String::new()) } else { parse_name(key) }
}

pub fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.001..=RATE_MAX).contains(&rate) { Ok(rate) } else { Err("not between 0.001 and 1e9".to_owned()) }
}

/// A wait, perhaps none.
pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    parse_duration(text, 0.0)
}

/// A time in which something is to happen.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    parse_duration(text, SECONDS_MIN)
}

fn parse_duration(text: &str, min: f64) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match (min..=SECONDS_MAX).contains(&seconds) {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err(format!("not between {min} and {SECONDS_MAX} seconds")),
    }
}

/// `RATE:SECONDS`; a rate of 0 is a pause.
pub fn parse_rate_step(text: &str) -> Result<Step, String> {
    parse_step(text, RATE_MAX)
}

/// `SIZE:SECONDS`, in bytes.
pub fn parse_size_step(text: &str) -> Result<Step, String> {
    parse_step(text, f64::from(BODY_SIZE_MAX))
}

fn parse_step(text: &str, max: f64) -> Result<Step, String> {
    let (value, seconds) = text.split_once(':').ok_or("expected VALUE:SECONDS")?;
    let number = |text: &str| text.parse::<f64>().map_err(|_| format!("{text:?} is not a number"));
    let (value, seconds) = (number(value)?, number(seconds)?);
    if !(0.0..=max).contains(&value) {
        return Err(format!("{value} is not between 0 and {max}"));
    }
    if !(SECONDS_MIN..=SECONDS_MAX).contains(&seconds) {
        return Err(format!("{seconds} seconds are not between {SECONDS_MIN} and {SECONDS_MAX}"));
    }
    Ok(Step { value, seconds })
}

pub fn parse_table(pairs: &str) -> Result<FieldTable, String> {
    FieldTable::parse(pairs)
}

/// Queue names with `%d`, or `%03d` and the like, replaced by each number from `from` to `to`.
pub fn names_of_pattern(pattern: &str, from: u32, to: u32) -> Result<Vec<String>, String> {
    let place = pattern.find('%').ok_or_else(|| format!("the pattern {pattern:?} has no %d in it"))?;
    let (before, after) = (&pattern[..place], &pattern[place + 1..]);
    let d = after.find('d').ok_or_else(|| format!("the pattern {pattern:?} has no %d in it"))?;
    let (width, after) = (&after[..d], &after[d + 1..]);
    let is_zero_filled = width.starts_with('0');
    let width: usize = match width {
        "" => 0,
        digits => digits.parse().ok().filter(|width| *width <= 20).ok_or_else(|| {
            format!("the pattern {pattern:?} has %{width}d, which is neither %d nor, for example, %03d")
        })?,
    };
    if after.contains('%') {
        return Err(format!("the pattern {pattern:?} has more than one %"));
    }
    if from > to {
        return Err(format!("the pattern's numbers go from {from} down to {to}"));
    }
    let numbered = |number: u32| match is_zero_filled {
        true => format!("{before}{number:0width$}{after}"),
        false => format!("{before}{number:width$}{after}"),
    };
    (from..=to).map(|number| parse_name(&numbered(number))).collect()
}

/// The words of a command: separated by blanks, except in quotes.
pub fn split_command(command: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(open) = quote {
        return Err(format!("the command has a {open} without an end"));
    }
    words.extend(word);
    if words.is_empty() { Err("the command is empty".to_owned()) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_may_name_its_process() {
        let url: BrokerUrl = "amqp://mq/".parse().unwrap();
        assert_eq!(parse_target("amqp://mq/,77"), Ok(Target { url: url.clone(), pid: Some(77) }));
        assert_eq!(parse_target("amqp://mq/"), Ok(Target { url, pid: None }));
        assert!(parse_target("amqp://mq/,x").is_err());
    }

    #[test]
    fn patterns_count() {
        assert_eq!(names_of_pattern("q-%d.x", 9, 10), Ok(vec!["q-9.x".to_owned(), "q-10.x".to_owned()]));
        assert_eq!(names_of_pattern("%03d", 7, 7), Ok(vec!["007".to_owned()]));
        for (pattern, from, to) in [("q", 1, 2), ("%s", 1, 2), ("%d-%d", 1, 2), ("%d", 2, 1), ("%-3d", 1, 2)]
        {
            assert!(names_of_pattern(pattern, from, to).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_wait_may_be_none_and_a_span_may_not() {
        assert_eq!(parse_seconds("0"), Ok(Duration::ZERO));
        assert_eq!(parse_span("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_span("0"), Err("not between 0.001 and 1000000 seconds".to_owned()));
        assert!(parse_seconds("-1").is_err() && parse_seconds("nan").is_err() && parse_span("1e9").is_err());
    }

    #[test]
    fn steps_have_a_value_and_a_time() {
        assert_eq!(parse_rate_step("100:2.5"), Ok(Step { value: 100.0, seconds: 2.5 }));
        for text in ["100", "100:0", "-1:1", "x:1", "1:nan", "1:"] {
            assert!(parse_rate_step(text).is_err(), "{text}");
        }
    }

    #[test]
    fn commands_are_words() {
        let words = |command: &str| split_command(command).map(|words| words.join("|"));
        assert_eq!(
            words("liebre  --data-dir '/a b' --name \"it's\""),
            Ok("liebre|--data-dir|/a b|--name|it's".to_owned())
        );
        assert_eq!(words("a ''"), Ok("a|".to_owned()));
        assert!(words(" ").is_err() && words("a 'b").is_err());
    }
}
