//! Files in the syntax of `rabbitmq.conf`: `key = value`, one a line (<https://www.rabbitmq.com/docs/configure>).
//!
//! ```text
//! # a comment
//! heartbeat = 30            # another one
//! default_pass = 'a # b'    # in single quotes everything stands for itself
//! default_user = $(NAME)    # a variable of the environment
//! ```

use super::entry::{Entry, FileError};

/// What keeps a secret in a file of RabbitMQ's, and nobody else can read.
const ENCRYPTED: &str = "encrypted:";

/// The entries of a file, in its order, and the lines that are none. `variable` gives the environment's values.
pub(super) fn parse(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> (Vec<Entry>, Vec<FileError>) {
    let (mut entries, mut errors) = (Vec::new(), Vec::new());
    for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        match entry(line, index + 1, variable) {
            Ok(entry) => entries.extend(entry),
            Err(reason) => errors.push(FileError { line: index + 1, reason }),
        }
    }
    (entries, errors)
}

/// None of a blank line.
fn entry(
    text: &str,
    line: usize,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Entry>, String> {
    let Some((key, value, is_quoted)) = split(text)? else { return Ok(None) };
    let value = if is_quoted { value } else { interpolate(&value, variable)? };
    if value.starts_with(ENCRYPTED) {
        return Err(format!("{key}: encrypted values can't be read here; use $(VARIABLE)"));
    }
    Ok(Some(Entry { key, value, line }))
}

/// Key and value of a line, and whether the value stands in quotes; none of a blank one.
fn split(line: &str) -> Result<Option<(String, String, bool)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (key, value) = line.split_once('=').ok_or("there is no '=' between key and value")?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() {
        return Err("there is no key before '='");
    }
    if key.contains(char::is_whitespace) {
        return Err("a key has no spaces");
    }
    let quoted = value.strip_prefix('\'');
    let value = match quoted {
        Some(quoted) => {
            let (value, rest) = quoted.split_once('\'').ok_or("the quote (') is not closed")?;
            let rest = rest.trim_start();
            if !rest.is_empty() && !rest.starts_with('#') {
                return Err("something follows the closing quote (')");
            }
            value
        }
        None => value.split('#').next().unwrap_or_default().trim_end(),
    };
    if value.is_empty() {
        return Err("there is no value behind '='");
    }
    Ok(Some((key.to_owned(), value.to_owned(), quoted.is_some())))
}

/// Puts the environment's values in the places of `$(NAME)`.
fn interpolate(value: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut whole = String::new();
    let mut rest = value;
    while let Some((before, from)) = rest.split_once("$(") {
        let (name, after) = from.split_once(')').ok_or_else(|| format!("'$(' is not closed in {value}"))?;
        let found = variable(name).ok_or_else(|| format!("the variable {name} is not set"))?;
        whole.push_str(before);
        whole.push_str(&found);
        rest = after;
    }
    whole.push_str(rest);
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(String, String, usize)>, FileError> {
        let variable = |name: &str| (name == "PORT").then(|| "5673".to_owned());
        let (entries, errors) = parse(text, &variable);
        if let Some(error) = errors.into_iter().next() {
            return Err(error);
        }
        Ok(entries.into_iter().map(|entry| (entry.key, entry.value, entry.line)).collect())
    }

    fn entry(key: &str, value: &str, line: usize) -> (String, String, usize) {
        (key.to_owned(), value.to_owned(), line)
    }

    #[test]
    fn keys_and_values_stand_on_lines_of_their_own() {
        let text = "\u{feff}# comment\r\n\r\n  heartbeat=30\r\nlog.file = a b.log   # why\n\tx = a=b\n";
        assert_eq!(
            parsed(text),
            Ok(vec![entry("heartbeat", "30", 3), entry("log.file", "a b.log", 4), entry("x", "a=b", 5)])
        );
        assert_eq!(parsed(""), Ok(vec![]));
    }

    #[test]
    fn quotes_keep_what_is_in_them() {
        assert_eq!(parsed("default_pass = 'a # b'  # c"), Ok(vec![entry("default_pass", "a # b", 1)]));
        assert_eq!(parsed("default_pass = 'a$(PORT)'"), Ok(vec![entry("default_pass", "a$(PORT)", 1)]));
        assert_eq!(parsed("default_pass = it's"), Ok(vec![entry("default_pass", "it's", 1)]));
    }

    #[test]
    fn the_environment_is_asked_for_variables() {
        assert_eq!(parsed("a = 1$(PORT)-$(PORT)"), Ok(vec![entry("a", "15673-5673", 1)]));
        assert_eq!(parsed("a = $PORT (x)"), Ok(vec![entry("a", "$PORT (x)", 1)]));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, reason) in [
            ("heartbeat 30", 1, "there is no '=' between key and value"),
            ("\n= 5", 2, "there is no key before '='"),
            ("a b = 5", 1, "a key has no spaces"),
            ("a =", 1, "there is no value behind '='"),
            ("a = # b", 1, "there is no value behind '='"),
            ("a = 1\n\na = 'x", 3, "the quote (') is not closed"),
            ("a = 'x' y", 1, "something follows the closing quote (')"),
            ("a = $(PORT", 1, "'$(' is not closed in $(PORT"),
            ("a = $(NOBODY)", 1, "the variable NOBODY is not set"),
            ("a = encrypted:abc=", 1, "a: encrypted values can't be read here; use $(VARIABLE)"),
        ] {
            assert_eq!(parsed(text), Err(FileError { line, reason: reason.to_owned() }), "{text}");
        }
        let (entries, errors) = parse("a\nb = 1\n= 2\n", &|_| None);
        let lines: Vec<usize> = errors.iter().map(|error| error.line).collect();
        assert_eq!((entries.len(), lines), (1, vec![1, 3]));
    }
}
