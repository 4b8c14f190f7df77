//! Field tables and message properties, written from what stands on a command line.

use super::frame::write_sized;
use super::method::write_short_string;

/// A value of a field table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    Bool(bool),
    Integer(i64),
    Text(String),
}

/// The entries of a field table, in the order they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldTable(Vec<(String, FieldValue)>);

/// What of a content header comes after the body size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    /// As encoded, at the place of `KINDS`.
    values: [Option<Vec<u8>>; KINDS.len()],
    headers: FieldTable,
}

/// The properties in the order of their flags: the highest bit is the first. The names are those of RabbitMQ's Java client.
const KINDS: [(&str, Kind); 13] = [
    ("contentType", Kind::Text),
    ("contentEncoding", Kind::Text),
    ("headers", Kind::Headers),
    ("deliveryMode", Kind::Octet),
    ("priority", Kind::Octet),
    ("correlationId", Kind::Text),
    ("replyTo", Kind::Text),
    ("expiration", Kind::Text),
    ("messageId", Kind::Text),
    ("timestamp", Kind::Time),
    ("type", Kind::Text),
    ("userId", Kind::Text),
    ("appId", Kind::Text),
];
const HEADERS_INDEX: usize = 2;
const NAME_BYTES_MAX: usize = 255;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Octet,
    /// Seconds since 1970.
    Time,
    Headers,
}

impl FieldTable {
    /// `name=value,name=value`: whole numbers, `true` and `false` are what they look like, all else is text.
    pub fn parse(pairs: &str) -> Result<Self, String> {
        let mut table = Self::default();
        for pair in pairs.split(',') {
            let (name, value) = split_pair(pair)?;
            table.insert(name, value)?;
        }
        Ok(table)
    }

    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), String> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(format!("the name {name:?} is empty or longer than {NAME_BYTES_MAX} bytes"));
        }
        let value = match value {
            "true" => FieldValue::Bool(true),
            "false" => FieldValue::Bool(false),
            _ => value.parse().map_or_else(|_| FieldValue::Text(value.to_owned()), FieldValue::Integer),
        };
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value));
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends the table with its length.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_sized(out, |out| {
            for (name, value) in &self.0 {
                write_short_string(out, name);
                match value {
                    FieldValue::Bool(value) => out.extend_from_slice(&[b't', u8::from(*value)]),
                    FieldValue::Integer(value) => {
                        out.push(b'l');
                        out.extend_from_slice(&value.to_be_bytes());
                    }
                    FieldValue::Text(text) => {
                        out.push(b'S');
                        write_sized(out, |out| out.extend_from_slice(text.as_bytes()));
                    }
                }
            }
        });
    }
}

impl Properties {
    /// None at all.
    pub const fn none() -> Self {
        Self { values: [const { None }; KINDS.len()], headers: FieldTable(Vec::new()) }
    }

    /// `name=value,name=value`: names that are no property become headers.
    pub fn set_all(&mut self, pairs: &str) -> Result<(), String> {
        pairs.split(',').try_for_each(|pair| {
            let (name, value) = split_pair(pair)?;
            self.set(name, value)
        })
    }

    /// Sets a property, or a header if no property has this name.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let Some(index) = KINDS.iter().position(|(known, kind)| *known == name && *kind != Kind::Headers)
        else {
            return self.headers.insert(name, value);
        };
        let number = |max: u64| -> Result<u64, String> {
            let number = value.parse().ok().filter(|number| *number <= max);
            number.ok_or_else(|| format!("{name}={value}: expected a number up to {max}"))
        };
        let mut encoded = Vec::new();
        match KINDS[index].1 {
            Kind::Octet => encoded.push(number(255)? as u8),
            Kind::Time => encoded.extend_from_slice(&number(u64::MAX)?.to_be_bytes()),
            Kind::Text | Kind::Headers if value.len() > NAME_BYTES_MAX => {
                return Err(format!("{name} is longer than {NAME_BYTES_MAX} bytes"));
            }
            Kind::Text | Kind::Headers => write_short_string(&mut encoded, value),
        }
        self.values[index] = Some(encoded);
        Ok(())
    }

    /// Whether the delivery mode says that the message is to survive a restart.
    pub fn is_persistent(&self) -> bool {
        self.values[3].as_deref() == Some(&[2])
    }

    /// Appends flags and values.
    pub fn write(&self, out: &mut Vec<u8>) {
        let has = |index: usize| match index {
            HEADERS_INDEX => !self.headers.is_empty(),
            _ => self.values[index].is_some(),
        };
        let flags =
            (0..KINDS.len()).filter(|&index| has(index)).fold(0, |flags, index| flags | 0x8000_u16 >> index);
        out.extend_from_slice(&flags.to_be_bytes());
        for (index, value) in self.values.iter().enumerate() {
            if index == HEADERS_INDEX && !self.headers.is_empty() {
                self.headers.write(out);
            }
            out.extend_from_slice(value.as_deref().unwrap_or_default());
        }
    }
}

fn split_pair(pair: &str) -> Result<(&str, &str), String> {
    pair.split_once('=').ok_or_else(|| format!("{pair:?} is not NAME=VALUE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn values_are_what_they_look_like() {
        let table = FieldTable::parse("x-max-length=10,lazy=true,x-queue-type=quorum").unwrap();
        let expected =
            b"\0\0\0\x35\x0cx-max-lengthl\0\0\0\0\0\0\0\x0a\x04lazyt\x01\x0cx-queue-typeS\0\0\0\x06quorum";
        assert_eq!(bytes(|out| table.write(out)), expected);
        assert_eq!(FieldTable::parse("a=1,a=2"), FieldTable::parse("a=2"));
    }

    #[test]
    fn properties_stand_in_the_order_of_their_flags() {
        let mut properties = Properties::none();
        assert_eq!(bytes(|out| properties.write(out)), [0, 0]);
        properties.set_all("priority=5,contentType=a/b,deliveryMode=2").unwrap();
        assert_eq!(bytes(|out| properties.write(out)), b"\x98\0\x03a/b\x02\x05");
        assert!(properties.is_persistent());
        properties.set("shop", "7").unwrap();
        let with_headers = bytes(|out| properties.write(out));
        assert_eq!(with_headers, b"\xB8\0\x03a/b\0\0\0\x0e\x04shopl\0\0\0\0\0\0\0\x07\x02\x05");
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let mut properties = Properties::none();
        for pairs in ["priority=256", "priority=high", "timestamp=-1", "novalue", "=1", ""] {
            assert!(properties.set_all(pairs).is_err(), "{pairs}");
        }
        assert!(properties.set("type", &"x".repeat(256)).is_err());
        assert!(FieldTable::parse("a").is_err());
    }
}
