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
        let has = |bit: u16| flags & (1 << bit) != 0;
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
