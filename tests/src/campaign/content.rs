//! What a message looks like: all of it follows from its id and the campaign's seed, so that no delivery needs to be
//! compared with something kept.
//!
//! ```text
//! body   0      4           5        9
//!        | LBR1 | publisher | number | filler to the message's size |
//! ```

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};

use super::{
    history::{MessageId, PublisherIndex},
    random::Random,
};

/// What every body begins with.
const MARK: [u8; 4] = *b"LBR1";

/// Bytes before the filler.
const HEAD_BYTES: usize = 9;

/// How large a publisher's messages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizes {
    /// Up to 200 bytes, some up to 4 KiB.
    Small,
    /// 1 to 64 KiB.
    Large,
}

/// The contents of a publisher's messages.
#[derive(Debug, Clone, Copy)]
pub struct Contents {
    pub seed: u64,
    pub sizes: Sizes,
    /// One in so many is transient; 0 for none.
    pub transient_every: u64,
    /// No properties but the delivery mode.
    pub is_plain: bool,
}

/// Body and properties of one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    pub body: Vec<u8>,
    pub properties: BasicProperties,
    pub is_persistent: bool,
}

impl Contents {
    /// The content of a message.
    pub fn of(&self, message: MessageId) -> Content {
        let part = u64::from(message.publisher.0) << 32 | u64::from(message.number);
        let mut random = Random::new(self.seed, part);
        let is_persistent = self.transient_every == 0 || !random.bits().is_multiple_of(self.transient_every);
        let properties = if self.is_plain {
            BasicProperties::default().with_delivery_mode(if is_persistent { 2 } else { 1 })
        } else {
            properties(&mut random, message, is_persistent)
        };
        let size = size(&mut random, self.sizes);
        Content { body: body(&mut random, message, size), properties, is_persistent }
    }
}

/// The message that a body says it is of.
pub fn message_of(body: &[u8]) -> Option<MessageId> {
    let (head, _) = body.split_at_checked(HEAD_BYTES)?;
    let number = head.strip_prefix(&MARK)?;
    let (publisher, number) = number.split_first()?;
    let number = u32::from_be_bytes(number.try_into().ok()?);
    Some(MessageId { publisher: PublisherIndex(*publisher), number })
}

fn size(random: &mut Random, sizes: Sizes) -> usize {
    let bytes = match (sizes, random.between(0, 15)) {
        (Sizes::Small, 0) => random.between(200, 4_096),
        (Sizes::Small, _) => random.between(0, 200),
        (Sizes::Large, _) => random.between(1 << 10, 64 << 10),
    };
    HEAD_BYTES + usize::try_from(bytes).expect("fits a body")
}

fn body(random: &mut Random, message: MessageId, size: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(size + 8);
    body.extend(MARK);
    body.push(message.publisher.0);
    body.extend(message.number.to_be_bytes());
    while body.len() < size {
        body.extend(random.bits().to_le_bytes());
    }
    body.truncate(size);
    body
}

fn properties(random: &mut Random, message: MessageId, is_persistent: bool) -> BasicProperties {
    let mut properties = BasicProperties::default();
    // Without the property a message is transient, too.
    if is_persistent {
        properties = properties.with_delivery_mode(2);
    } else if random.chance(50) {
        properties = properties.with_delivery_mode(1);
    }
    if random.chance(10) {
        properties = properties
            .with_message_id(format!("{}-{}", message.publisher.0, message.number).into())
            .with_content_type("application/octet-stream".into())
            .with_timestamp(random.bits() >> 32);
    }
    if random.chance(5) {
        let mut headers = FieldTable::default();
        headers.insert("number".into(), AMQPValue::LongUInt(message.number));
        headers
            .insert("text".into(), AMQPValue::LongString("x".repeat(message.number as usize % 300).into()));
        headers.insert("flag".into(), AMQPValue::Boolean(random.chance(50)));
        properties = properties.with_headers(headers).with_correlation_id("c".into()).with_type("k".into());
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Contents = Contents { seed: 1, sizes: Sizes::Small, transient_every: 3, is_plain: false };

    fn id(number: u32) -> MessageId {
        MessageId { publisher: PublisherIndex(7), number }
    }

    #[test]
    fn a_message_says_who_it_is() {
        assert_eq!(message_of(&SMALL.of(id(70_000)).body), Some(id(70_000)));
        assert_eq!(message_of(b"LBR1\x01\0\0"), None);
        assert_eq!(message_of(b"XBR1\x01\0\0\0\0"), None);
    }

    #[test]
    fn contents_come_again_and_differ() {
        assert_eq!(SMALL.of(id(5)), SMALL.of(id(5)));
        assert_ne!(SMALL.of(id(5)).body, Contents { seed: 2, ..SMALL }.of(id(5)).body);
        let contents: Vec<Content> = (0..200).map(|number| SMALL.of(id(number))).collect();
        assert!(contents.iter().any(|content| content.is_persistent));
        assert!(contents.iter().any(|content| !content.is_persistent));
        assert!(contents.iter().any(|content| content.properties.headers().is_some()));
        assert!(contents.iter().any(|content| content.body.len() == HEAD_BYTES + 1));
    }
}
