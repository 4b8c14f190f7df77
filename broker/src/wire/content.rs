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

/// Appends a content header of class basic: for a message whose properties the broker changed.
pub fn encode_header(out: &mut Vec<u8>, body_size: u64, properties: &Properties<'_>) {
    out.extend_from_slice(&CONTENT_HEADER_START);
    out.extend_from_slice(&body_size.to_be_bytes());
    properties.encode(out);
}

/// Class basic, weight 0.
pub(crate) const CONTENT_HEADER_START: [u8; 4] = [0, 60, 0, 0];

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

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::BasicProperties;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::encode::encode_content_header;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let properties =
            BasicProperties::default().with_delivery_mode(2).with_reply_to("amq.rabbitmq.reply-to".into());
        let payload = encode_content_header(1 << 40, &properties);
        let header = parse_content_header(&payload).unwrap();
        assert_eq!((header.class, header.body_size, header.payload), (60, 1 << 40, &payload[..]));
        assert_eq!(header.properties.delivery_mode, Some(2));
        assert_eq!(header.properties.reply_to, Some(&b"amq.rabbitmq.reply-to"[..]));
        let mut again = Vec::new();
        encode_header(&mut again, header.body_size, &header.properties);
        assert_eq!(again, payload);
    }

    #[test]
    fn refusals_are_worded_as_rabbitmq_words_them() {
        let refusal = |payload: &[u8]| parse_content_header(payload).unwrap_err().to_string();
        assert_eq!(refusal(&[0, 60, 0, 0]), "type 2, all octets = <<0,60,0,0>>: unknown_frame");
        assert_eq!(
            refusal(&[0, 60, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            "expected content header for class 60, got non content header frame instead"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(mut payload: Vec<u8>, is_weightless: bool) {
            if let (true, Some(head)) = (is_weightless, payload.get_mut(..4)) {
                head.copy_from_slice(&[0, 60, 0, 0]);
            }
            let _ = parse_content_header(&payload);
        }
    }
}
