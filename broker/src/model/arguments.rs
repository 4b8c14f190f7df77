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
