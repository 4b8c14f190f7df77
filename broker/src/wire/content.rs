//! Content headers: what follows a method that carries a message (AMQP 0-9-1 section 4.2.6.1).
//!
//! ```text
//! 0       2        4            12
//! +-------+--------+------------+------------+
//! | class | weight | body size  | properties |
//! +-------+--------+------------+------------+
//! ```

use std::fmt;

use crate::wire::{
    cursor::Cursor,
    frame::Octets,
    properties::{Properties, PropertiesError},
};

/// Bytes of a content header before its properties.
pub const CONTENT_HEADER_HEAD: usize = 12;

/// A content header, still where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    /// The class of the method it follows.
    pub class: u16,
    /// Bytes of body to come.
    pub body_size: u64,
    /// The message's properties.
    pub properties: Properties<'a>,
    /// The whole payload, to be sent on unchanged.
    pub payload: &'a [u8],
}

/// Why a header frame's payload is no content header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentError {
    /// Shorter than any header: `FRAME_ERROR` (501), class and method 0.
    Truncated(Octets),
    /// A weight other than 0: `UNEXPECTED_FRAME` (505) of the method it follows; the class it names.
    BadWeight(u16),
    /// The properties are none: see [`PropertiesError`].
    BadProperties(PropertiesError),
}

/// The content header that a header frame's payload is.
pub fn parse_content_header(payload: &[u8]) -> Result<ContentHeader<'_>, ContentError> {
    let mut cursor = Cursor::new(payload);
    let head = (cursor.short(), cursor.short(), cursor.long_long());
    let (Some(class), Some(weight), Some(body_size)) = head else {
        return Err(ContentError::Truncated(Octets::of(payload)));
    };
    if weight != 0 {
        return Err(ContentError::BadWeight(class));
    }
    let properties = Properties::parse(cursor.rest()).map_err(ContentError::BadProperties)?;
    Ok(ContentHeader { class, body_size, properties, payload })
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(octets) => write!(f, "type 2, {octets}: unknown_frame"),
            Self::BadWeight(class) => {
                write!(f, "expected content header for class {class}, got non content header frame instead")
            }
            Self::BadProperties(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ContentError {}
