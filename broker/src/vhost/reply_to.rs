//! Direct reply-to (<https://www.rabbitmq.com/docs/direct-reply-to>): names that stand for a channel's consumer of
//! replies instead of a queue.
//!
//! ```text
//! amq.rabbitmq.reply-to. + base64url( connection (8) | channel (2) | key (16) )
//! ```
//!
//! A name says where its consumer is, so that there is no list of them to keep, to lock and to clean. The key is
//! random and kept by the channel: nobody can guess it, and no later consumer of the channel gets what was meant
//! for another.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::queue::ConnectionId;
use crate::{model::name::Name, wire::frame::ChannelNumber};

/// What a client consumes from and names in `reply-to`; every name of a reply consumer begins with it.
pub const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// Where replies go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplyAddress {
    /// The connection that consumes them.
    pub connection: ConnectionId,
    /// Its channel.
    pub channel: ChannelNumber,
    key: [u8; KEY_SIZE],
}

/// A channel's consumer of replies.
#[derive(Clone, Debug)]
pub struct ReplyConsumer {
    /// Its tag on the channel.
    pub tag: Name,
    /// What its name says.
    pub address: ReplyAddress,
}

const PREFIX: &str = "amq.rabbitmq.reply-to.";
const KEY_SIZE: usize = 16;
const ADDRESS_SIZE: usize = 8 + 2 + KEY_SIZE;

impl ReplyAddress {
    /// One that nobody can guess.
    #[must_use]
    pub fn new(connection: ConnectionId, channel: ChannelNumber) -> Self {
        Self { connection, channel, key: rand::random() }
    }

    /// What the name of a reply consumer says; none for every other name. Whether the consumer is there is for its
    /// connection's outbox to say.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        let encoded = name.strip_prefix(PREFIX.as_bytes())?;
        // The estimate of the decoded size is up to two bytes more than that.
        let mut bytes = [0; ADDRESS_SIZE + 2];
        let size = URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes).ok()?;
        let (connection, rest) = bytes.get(..size)?.split_first_chunk()?;
        let (channel, key) = rest.split_first_chunk()?;
        Some(Self {
            connection: ConnectionId(u64::from_be_bytes(*connection)),
            channel: ChannelNumber(u16::from_be_bytes(*channel)),
            key: key.try_into().ok()?,
        })
    }

    /// The name that messages have in `reply-to`.
    #[must_use]
    pub fn name(&self) -> Name {
        let mut bytes = Vec::with_capacity(ADDRESS_SIZE);
        bytes.extend_from_slice(&self.connection.0.to_be_bytes());
        bytes.extend_from_slice(&self.channel.0.to_be_bytes());
        bytes.extend_from_slice(&self.key);
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        Name::parse(&text).unwrap_or_else(|_| Name::literal(PREFIX))
    }
}

/// Whether only direct reply-to may use this queue name.
#[must_use]
pub fn is_for_replies(queue: &str) -> bool {
    queue.starts_with(REPLY_TO)
}

/// Whether this is the name of a reply consumer, there or not.
#[must_use]
pub fn is_reply_name(name: &[u8]) -> bool {
    name.starts_with(PREFIX.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_says_where_its_consumer_is() {
        for (connection, channel) in [(0, 1), (1, 2_047), (u64::MAX, u16::MAX)] {
            let address = ReplyAddress::new(ConnectionId(connection), ChannelNumber(channel));
            let name = address.name();
            assert!(is_for_replies(&name) && is_reply_name(name.as_bytes()));
            assert_eq!(ReplyAddress::parse(name.as_bytes()), Some(address));
        }
        let (one, other) = (ReplyAddress::new(ConnectionId(1), ChannelNumber(1)), ConnectionId(1));
        assert_ne!(one, ReplyAddress::new(other, ChannelNumber(1)));
    }

    #[test]
    fn other_names_say_nothing() {
        let name = ReplyAddress::new(ConnectionId(1), ChannelNumber(1)).name();
        let (shorter, longer) = (&name[..name.len() - 1], format!("{}A", &*name));
        for other in [REPLY_TO, PREFIX, "q", "", "amq.rabbitmq.reply-to.abc", shorter, &longer] {
            assert_eq!(ReplyAddress::parse(other.as_bytes()), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(bytes: Vec<u8>) {
            let _ = ReplyAddress::parse(&[PREFIX.as_bytes(), &bytes].concat());
        }
    }
}
