//! Files of the same keys in TOML: tables stand for the dots in keys, arrays for keys that end in a number.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::entry::{Entry, FileError};

/// The entries of a file.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, FileError> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        FileError {
            line,
            reason: format!("{}{}", error.message().replace('\n', ", "), advice(error.message())),
        }
    })?;
    let mut entries = Vec::new();
    flatten("", table.get_ref(), text, &mut entries)?;
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

/// What to do about it, where TOML's own word does not tell.
fn advice(message: &str) -> &'static str {
    if !message.contains("duplicate key") && !message.contains("extend value") {
        return "";
    }
    " (a key that has a value and further parts is put in quotes, above all tables: \"log.console\" = false)"
}

fn flatten(prefix: &str, table: &DeTable<'_>, text: &str, entries: &mut Vec<Entry>) -> Result<(), FileError> {
    for (key, value) in table {
        add(format!("{prefix}{}", key.get_ref()), value, text, entries)?;
    }
    Ok(())
}

fn add(
    key: String,
    value: &Spanned<DeValue<'_>>,
    text: &str,
    entries: &mut Vec<Entry>,
) -> Result<(), FileError> {
    let line = line_of(text, value.span().start);
    let value = match value.get_ref() {
        DeValue::String(value) => value.to_string(),
        DeValue::Integer(value) => value.to_string(),
        DeValue::Float(value) => value.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Table(table) => return flatten(&format!("{key}."), table, text, entries),
        DeValue::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                add(format!("{key}.{}", index + 1), value, text, entries)?;
            }
            return Ok(());
        }
        DeValue::Datetime(_) => {
            return Err(FileError { line, reason: format!("{key}: there is no key that takes a time") });
        }
    };
    entries.push(Entry { key, value, line });
    Ok(())
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_arrays_are_dots_and_numbers() {
        let text = "heartbeat = 30\n\n[management.tcp]\nport = 15673\n[vm_memory_high_watermark]\nrelative = 0.5\n\
                    [listeners]\ntcp = [5672, '127.0.0.1:5673']\n[loopback_users]\nguest = false\n";
        let entries = parse(text).unwrap();
        let found: Vec<_> =
            entries.iter().map(|Entry { key, value, line }| (key.as_str(), value.as_str(), *line)).collect();
        assert_eq!(
            found,
            [
                ("heartbeat", "30", 1),
                ("management.tcp.port", "15673", 4),
                ("vm_memory_high_watermark.relative", "0.5", 6),
                ("listeners.tcp.1", "5672", 8),
                ("listeners.tcp.2", "127.0.0.1:5673", 8),
                ("loopback_users.guest", "false", 10),
            ]
        );
    }

    #[test]
    fn a_key_may_have_a_value_and_parts() {
        for text in [
            "[log]\nconsole = false\n[log.console]\nlevel = 'info'\n",
            "log.console = false\nlog.console.level = 'info'\n",
        ] {
            let reason = parse(text).unwrap_err().reason;
            assert!(reason.contains("\"log.console\" = false"), "{reason}");
        }
        let entries = parse("\"log.console\" = false\n[log.console]\nlevel = 'info'\n").unwrap();
        let keys: Vec<_> = entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["log.console", "log.console.level"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line) in
            [("a = 1\nb = \n", 2), ("a = 1\na = 2\n", 2), ("\n\na = 1979-05-27", 3), ("[a\n", 1), ("a", 1)]
        {
            let error = parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {}", error.reason);
        }
    }
}
