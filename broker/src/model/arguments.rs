//! The `x-…` arguments of a declare, bind or consume.

use amq_protocol::types::{AMQPValue, FieldTable};

/// An arguments table, kept and shown as the client sent it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arguments(FieldTable);

impl Arguments {
    /// The value under `key`.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&AMQPValue> {
        self.0.inner().get(key)
    }

    /// The string under `key`; none when absent, not a string or not UTF-8.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.value(key)? {
            AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
            AMQPValue::ShortString(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// The integer under `key`, whatever its width; none when absent or something else.
    #[must_use]
    pub fn integer(&self, key: &str) -> Option<i64> {
        self.value(key).and_then(integer)
    }

    /// The same with a string under `key`, if there is nothing yet.
    #[must_use]
    pub fn or_text(mut self, key: &str, text: &str) -> Self {
        if self.value(key).is_none() {
            self.0.insert(key.into(), AMQPValue::LongString(text.into()));
        }
        self
    }

    /// Keys and values, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &AMQPValue)> {
        self.0.inner().iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.inner().is_empty()
    }

    /// The table as it goes on the wire.
    #[must_use]
    pub fn as_table(&self) -> &FieldTable {
        &self.0
    }
}

impl From<FieldTable> for Arguments {
    fn from(table: FieldTable) -> Self {
        Self(table)
    }
}

/// The value of any integer type.
#[must_use]
pub fn integer(value: &AMQPValue) -> Option<i64> {
    Some(match value {
        AMQPValue::ShortShortInt(n) => i64::from(*n),
        AMQPValue::ShortShortUInt(n) => i64::from(*n),
        AMQPValue::ShortInt(n) => i64::from(*n),
        AMQPValue::ShortUInt(n) => i64::from(*n),
        AMQPValue::LongInt(n) => i64::from(*n),
        AMQPValue::LongUInt(n) => i64::from(*n),
        AMQPValue::LongLongInt(n) => *n,
        _ => return None,
    })
}

/// The name of a value's type in RabbitMQ's texts.
#[must_use]
pub fn type_name(value: &AMQPValue) -> &'static str {
    match value {
        AMQPValue::Boolean(_) => "bool",
        AMQPValue::ShortShortInt(_) => "byte",
        AMQPValue::ShortShortUInt(_) => "unsignedbyte",
        AMQPValue::ShortInt(_) => "short",
        AMQPValue::ShortUInt(_) => "unsignedshort",
        AMQPValue::LongInt(_) => "signedint",
        AMQPValue::LongUInt(_) => "unsignedint",
        AMQPValue::LongLongInt(_) => "long",
        AMQPValue::Float(_) => "float",
        AMQPValue::Double(_) => "double",
        AMQPValue::DecimalValue(_) => "decimal",
        AMQPValue::ShortString(_) | AMQPValue::LongString(_) => "longstr",
        AMQPValue::FieldArray(_) => "array",
        AMQPValue::Timestamp(_) => "timestamp",
        AMQPValue::FieldTable(_) => "table",
        AMQPValue::ByteArray(_) => "binary",
        AMQPValue::Void => "void",
    }
}

/// A value as RabbitMQ's texts show it: an Erlang term.
#[must_use]
pub fn erlang_term(value: &AMQPValue) -> String {
    match value {
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::ShortShortInt(value) => value.to_string(),
        AMQPValue::ShortShortUInt(value) => value.to_string(),
        AMQPValue::ShortInt(value) => value.to_string(),
        AMQPValue::ShortUInt(value) => value.to_string(),
        AMQPValue::LongInt(value) => value.to_string(),
        AMQPValue::LongUInt(value) => value.to_string(),
        AMQPValue::LongLongInt(value) => value.to_string(),
        AMQPValue::Float(value) => format!("{:?}", f64::from(*value)),
        AMQPValue::Double(value) => format!("{value:?}"),
        AMQPValue::DecimalValue(decimal) => format!("{{{},{}}}", decimal.scale, decimal.value),
        AMQPValue::ShortString(text) => erlang_binary(text.as_str().as_bytes()),
        AMQPValue::LongString(text) => erlang_binary(text.as_bytes()),
        AMQPValue::ByteArray(bytes) => erlang_binary(bytes.as_slice()),
        AMQPValue::Timestamp(value) => value.to_string(),
        AMQPValue::Void => "undefined".to_owned(),
        AMQPValue::FieldArray(array) => erlang_list(array.as_slice().iter().map(erlang_typed)),
        AMQPValue::FieldTable(table) => erlang_list(table.inner().iter().map(|(key, value)| {
            let key = erlang_binary(key.as_str().as_bytes());
            format!("{{{key},{},{}}}", type_name(value), erlang_term(value))
        })),
    }
}

fn erlang_typed(value: &AMQPValue) -> String {
    format!("{{{},{}}}", type_name(value), erlang_term(value))
}

fn erlang_list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// `<<"text">>`, or the bytes in decimal when they are not printable text.
fn erlang_binary(bytes: &[u8]) -> String {
    let is_printable = |c: char| !c.is_control() || "\n\r\t".contains(c);
    match std::str::from_utf8(bytes) {
        _ if bytes.is_empty() => "<<>>".to_owned(),
        Ok(text) if text.chars().all(is_printable) => format!("<<{text:?}>>"),
        _ => format!("<<{}>>", bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(",")),
    }
}
