//! `name=value` on the command line, as an AMQP field: headers of messages, arguments of queues.

use lapin::types::{AMQPValue, FieldTable, ShortString};

/// One field.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    pub name: ShortString,
    pub value: AMQPValue,
}

/// Parses `name=value`. Whole numbers and `true`/`false` are sent as such, everything else as text; quotes around the
/// value make text of it in any case.
pub fn parse(text: &str) -> Result<Pair, String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() {
        return Err("the name before = is missing".to_owned());
    }
    let name = short(name)?;
    Ok(Pair { name, value: typed(value) })
}

/// Text that AMQP sends with its length in one byte.
pub fn short(text: &str) -> Result<ShortString, String> {
    ShortString::try_new(text).map_err(|_| format!("longer than 255 bytes ({})", text.len()))
}

/// A field table; a name given twice has its last value.
pub fn table(pairs: &[Pair]) -> FieldTable {
    let mut table = FieldTable::default();
    for pair in pairs {
        table.insert(pair.name.clone(), pair.value.clone());
    }
    table
}

fn typed(value: &str) -> AMQPValue {
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    if let Some(text) = quoted {
        return AMQPValue::LongString(text.into());
    }
    match (value, value.parse::<i64>()) {
        ("true", _) => AMQPValue::Boolean(true),
        ("false", _) => AMQPValue::Boolean(false),
        // Not 007 and not +7: those are names of something.
        (_, Ok(number)) if number.to_string() == value => AMQPValue::LongLongInt(number),
        _ => AMQPValue::LongString(value.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> AMQPValue {
        parse(text).unwrap().value
    }

    fn text(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    #[test]
    fn values_have_the_type_that_they_look_like() {
        assert_eq!(value("x-max-length=1000"), AMQPValue::LongLongInt(1000));
        assert_eq!(value("n=-5"), AMQPValue::LongLongInt(-5));
        assert_eq!(value("durable=true"), AMQPValue::Boolean(true));
        assert_eq!(value("x-overflow=reject-publish"), text("reject-publish"));
        assert_eq!(value("a=b=c"), text("b=c"));
        assert_eq!(value("empty="), text(""));
        for name in ["007", "+7", "1e3", "99999999999999999999"] {
            assert_eq!(value(&format!("id={name}")), text(name));
        }
    }

    #[test]
    fn quotes_make_text() {
        assert_eq!(value("id=\"42\""), text("42"));
        assert_eq!(value("id=\"true\""), text("true"));
        assert_eq!(value("id=\""), text("\""));
    }

    #[test]
    fn a_pair_has_a_short_name() {
        assert!(parse("name").is_err());
        assert!(parse("=value").is_err());
        assert!(parse(&format!("{}=1", "n".repeat(256))).is_err());
        assert_eq!(parse(&format!("{}=1", "ñ".repeat(127))).map(|pair| pair.name.as_str().len()), Ok(254));
    }

    #[test]
    fn the_last_of_two_values_counts() {
        let pairs = [parse("a=1").unwrap(), parse("b=x").unwrap(), parse("a=2").unwrap()];
        let table = table(&pairs);
        assert_eq!(table.inner().len(), 2);
        assert_eq!(table.inner().get("a"), Some(&AMQPValue::LongLongInt(2)));
    }
}
