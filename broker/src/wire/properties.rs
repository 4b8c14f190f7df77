//! The 14 properties of a message (AMQP 0-9-1 section 4.2.6.1), read in place.
//!
//! ```text
//! flags (2)  then, for each flag set, from bit 15 down:
//! 15 content-type  14 content-encoding  13 headers  12 delivery-mode  11 priority  10 correlation-id
//!  9 reply-to  8 expiration  7 message-id  6 timestamp  5 type  4 user-id  3 app-id  2 cluster-id
//!  1 not in use  0 more flags follow (no class has that many)
//! ```

use std::fmt;

use crate::wire::{
    cursor::Cursor,
    encode::put_short_string,
    table::{RawTable, TableError},
};

/// A message's properties. Texts are bytes as sent, by convention UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    /// MIME type of the body.
    pub content_type: Option<&'a [u8]>,
    /// MIME encoding of the body.
    pub content_encoding: Option<&'a [u8]>,
    /// The application's headers, and the broker's `x-…`.
    pub headers: Option<RawTable<'a>>,
    /// 2 is persistent, anything else transient.
    pub delivery_mode: Option<u8>,
    /// For queues with priorities.
    pub priority: Option<u8>,
    /// Names the request a reply is for.
    pub correlation_id: Option<&'a [u8]>,
    /// Where replies should go.
    pub reply_to: Option<&'a [u8]>,
    /// Milliseconds to live, as decimal digits.
    pub expiration: Option<&'a [u8]>,
    /// The application's name for the message.
    pub message_id: Option<&'a [u8]>,
    /// When the application made it, seconds since 1970.
    pub timestamp: Option<u64>,
    /// The application's kind of message (`type` in AMQP).
    pub kind: Option<&'a [u8]>,
    /// The publisher's user; checked.
    pub user_id: Option<&'a [u8]>,
    /// The publishing application.
    pub app_id: Option<&'a [u8]>,
    /// Deprecated (`reserved` in AMQP 0-9-1), kept as sent.
    pub cluster_id: Option<&'a [u8]>,
}

/// Why bytes are no properties. RabbitMQ decodes properties late and ends the connection with
/// `INTERNAL_ERROR` (541) for each of these; what the peer did wrong is a `SYNTAX_ERROR` (502).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertiesError {
    /// Fewer bytes than the flags promise.
    Truncated,
    /// More bytes than the flags promise.
    TrailingBytes,
    /// A flag no property of class basic has (bits 0 and 1); the flags.
    UnknownFlags(u16),
    /// The headers are no field table.
    BadHeaders(TableError),
}

impl<'a> Properties<'a> {
    /// The properties in `bytes`: what follows the body size in a content header.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PropertiesError> {
        let mut cursor = Cursor::new(bytes);
        let flags = cursor.short().ok_or(PropertiesError::Truncated)?;
        if flags & UNKNOWN_FLAGS != 0 {
            return Err(PropertiesError::UnknownFlags(flags));
        }
        let has = |bit: u16| flags & (1_u16 << bit) != 0;
        let properties = Self {
            content_type: read_if(has(15), || cursor.short_string())?,
            content_encoding: read_if(has(14), || cursor.short_string())?,
            headers: if has(13) { Some(read_headers(&mut cursor)?) } else { None },
            delivery_mode: read_if(has(12), || cursor.octet())?,
            priority: read_if(has(11), || cursor.octet())?,
            correlation_id: read_if(has(10), || cursor.short_string())?,
            reply_to: read_if(has(9), || cursor.short_string())?,
            expiration: read_if(has(8), || cursor.short_string())?,
            message_id: read_if(has(7), || cursor.short_string())?,
            timestamp: read_if(has(6), || cursor.long_long())?,
            kind: read_if(has(5), || cursor.short_string())?,
            user_id: read_if(has(4), || cursor.short_string())?,
            app_id: read_if(has(3), || cursor.short_string())?,
            cluster_id: read_if(has(2), || cursor.short_string())?,
        };
        if cursor.is_empty() { Ok(properties) } else { Err(PropertiesError::TrailingBytes) }
    }

    /// Appends the properties as [`Properties::parse`] takes them. Texts end at 255 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flags_at = out.len();
        out.extend_from_slice(&[0, 0]);
        let mut flags = 0_u16;
        let mut put = |bit: u16, value: Option<Value<'_>>| {
            if let Some(value) = value {
                flags |= 1 << bit;
                value.encode(out);
            }
        };
        put(15, self.content_type.map(Value::Text));
        put(14, self.content_encoding.map(Value::Text));
        put(13, self.headers.map(Value::Headers));
        put(12, self.delivery_mode.map(Value::Octet));
        put(11, self.priority.map(Value::Octet));
        put(10, self.correlation_id.map(Value::Text));
        put(9, self.reply_to.map(Value::Text));
        put(8, self.expiration.map(Value::Text));
        put(7, self.message_id.map(Value::Text));
        put(6, self.timestamp.map(Value::Timestamp));
        put(5, self.kind.map(Value::Text));
        put(4, self.user_id.map(Value::Text));
        put(3, self.app_id.map(Value::Text));
        put(2, self.cluster_id.map(Value::Text));
        out[flags_at..flags_at + 2].copy_from_slice(&flags.to_be_bytes());
    }
}

impl fmt::Display for PropertiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("content header ends within its properties"),
            Self::TrailingBytes => f.write_str("content header goes on after its properties"),
            Self::UnknownFlags(flags) => write!(f, "unknown property flags {flags:#06x}"),
            Self::BadHeaders(error) => write!(f, "headers: {error}"),
        }
    }
}

impl std::error::Error for PropertiesError {}

/// A property on its way out.
enum Value<'a> {
    Octet(u8),
    Timestamp(u64),
    Text(&'a [u8]),
    Headers(RawTable<'a>),
}

impl Value<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Octet(octet) => out.push(*octet),
            Self::Timestamp(seconds) => out.extend_from_slice(&seconds.to_be_bytes()),
            Self::Text(text) => put_short_string(out, text),
            Self::Headers(headers) => {
                out.extend_from_slice(&(headers.entries().len() as u32).to_be_bytes());
                out.extend_from_slice(headers.entries());
            }
        }
    }
}

const UNKNOWN_FLAGS: u16 = 0b11;

#[inline]
fn read_if<T>(is_set: bool, read: impl FnOnce() -> Option<T>) -> Result<Option<T>, PropertiesError> {
    if !is_set {
        return Ok(None);
    }
    read().map(Some).ok_or(PropertiesError::Truncated)
}

fn read_headers<'a>(cursor: &mut Cursor<'a>) -> Result<RawTable<'a>, PropertiesError> {
    let (headers, rest) = RawTable::parse(cursor.rest()).map_err(PropertiesError::BadHeaders)?;
    *cursor = Cursor::new(rest);
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use amq_protocol::{
        protocol::BasicProperties,
        types::{AMQPValue, FieldTable},
    };
    use proptest::prelude::*;

    use super::*;
    use crate::wire::encode::encode_content_header;

    fn encoded(properties: &BasicProperties) -> Vec<u8> {
        encode_content_header(0, properties).split_off(12)
    }

    /// Property, its flag's bit, its value as `amq-protocol` encodes it, and as we read it.
    #[test]
    fn every_flag_is_the_property_the_specification_says() {
        let none = BasicProperties::default;
        let mut headers = FieldTable::default();
        headers.insert("key".into(), AMQPValue::LongLongInt(5));
        let headers_bytes = b"\x03keyl\0\0\0\0\0\0\0\x05";
        let text = Some(&b"text"[..]);
        let empty = Properties::default();
        let table = RawTable::parse_entries(headers_bytes).unwrap();
        for (bit, sent, read) in [
            (15, none().with_content_type("text".into()), Properties { content_type: text, ..empty }),
            (14, none().with_content_encoding("text".into()), Properties { content_encoding: text, ..empty }),
            (13, none().with_headers(headers), Properties { headers: Some(table), ..empty }),
            (12, none().with_delivery_mode(2), Properties { delivery_mode: Some(2), ..empty }),
            (11, none().with_priority(9), Properties { priority: Some(9), ..empty }),
            (10, none().with_correlation_id("text".into()), Properties { correlation_id: text, ..empty }),
            (9, none().with_reply_to("text".into()), Properties { reply_to: text, ..empty }),
            (8, none().with_expiration("text".into()), Properties { expiration: text, ..empty }),
            (7, none().with_message_id("text".into()), Properties { message_id: text, ..empty }),
            (6, none().with_timestamp(77), Properties { timestamp: Some(77), ..empty }),
            (5, none().with_type("text".into()), Properties { kind: text, ..empty }),
            (4, none().with_user_id("text".into()), Properties { user_id: text, ..empty }),
            (3, none().with_app_id("text".into()), Properties { app_id: text, ..empty }),
            (2, none().with_cluster_id("text".into()), Properties { cluster_id: text, ..empty }),
            (16, none(), empty),
        ] {
            let bytes = encoded(&sent);
            let flags = u32::from(u16::from_be_bytes([bytes[0], bytes[1]]));
            assert_eq!(flags, (1 << bit) & 0xFFFF, "bit {bit}");
            assert_eq!(Properties::parse(&bytes), Ok(read), "bit {bit}");
            let mut again = Vec::new();
            read.encode(&mut again);
            assert_eq!(again, bytes, "bit {bit}");
        }
    }

    #[test]
    fn flags_that_no_property_has_are_refused() {
        assert_eq!(Properties::parse(&[0, 1]), Err(PropertiesError::UnknownFlags(1)));
        assert_eq!(Properties::parse(&[0, 1, 0, 0]), Err(PropertiesError::UnknownFlags(1)));
        assert_eq!(Properties::parse(&[0, 2]), Err(PropertiesError::UnknownFlags(2)));
    }

    #[test]
    fn bytes_and_flags_must_agree() {
        assert_eq!(Properties::parse(&[]), Err(PropertiesError::Truncated));
        assert_eq!(Properties::parse(&[0]), Err(PropertiesError::Truncated));
        assert_eq!(Properties::parse(b"\x80\0\x09abc"), Err(PropertiesError::Truncated));
        assert_eq!(Properties::parse(b"\0\0zz"), Err(PropertiesError::TrailingBytes));
        assert_eq!(
            Properties::parse(b"\x20\0\0\0\0\x03\x01kZ"),
            Err(PropertiesError::BadHeaders(TableError::UnknownTag(b'Z')))
        );
        assert_eq!(
            Properties::parse(b"\x20\0\0\0\0\x32ab"),
            Err(PropertiesError::BadHeaders(TableError::Truncated))
        );
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_back_unchanged(bytes: Vec<u8>) {
            if let Ok(properties) = Properties::parse(&bytes) {
                let mut again = Vec::new();
                properties.encode(&mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
