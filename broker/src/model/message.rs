//! Messages, and the arena they live in.

use bytes::{Bytes, BytesMut};

use super::{expiration::parse_expiration, timestamp::Timestamp};
use crate::wire::content::{CONTENT_HEADER_HEAD, ContentHeader, parse_content_header};

/// What was published; immutable. One allocation shared by all queues it went to, laid out as it goes
/// back on the wire:
///
/// ```text
/// | exchange shortstr | routing key shortstr | content header payload | body |
/// |<---------- route (u16 bytes) ----------->|<---- header (u32) ----->|
/// ```
///
/// The header payload is kept as it came: properties and headers are re-sent byte for byte.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Bytes,
    header_size: u32,
    route_size: u16,
    is_persistent: bool,
    has_expiration: bool,
    /// 0 when nobody needs it.
    arrived_at: Timestamp,
}

/// The parts of a message while it is being received, before its body is known.
#[derive(Clone, Copy, Debug)]
pub struct MessageHead<'a> {
    /// Exchange and routing key, two adjacent short strings.
    pub route: &'a [u8],
    /// The payload of the content header frame.
    pub header: &'a [u8],
    /// `delivery-mode` is 2.
    pub is_persistent: bool,
}

impl Message {
    /// A message in an allocation of its own, whose buffer begins with route and header.
    #[must_use]
    pub fn from_buffer(buffer: Bytes, head_sizes: (u16, u32), is_persistent: bool) -> Self {
        let (route_size, header_size) = head_sizes;
        // The high octet of the property flags, bit 8 of both.
        let flags = buffer.get(usize::from(route_size) + CONTENT_HEADER_HEAD);
        let has_expiration =
            header_size as usize > CONTENT_HEADER_HEAD && flags.is_some_and(|flags| flags & 1 != 0);
        Self {
            bytes: buffer,
            header_size,
            route_size,
            is_persistent,
            has_expiration,
            arrived_at: Timestamp(0),
        }
    }

    /// The same message, which came to its queues at this time: what its time to live is counted from.
    #[must_use]
    pub fn arriving_at(mut self, now: Timestamp) -> Self {
        self.set_arrival(now);
        self
    }

    /// Notes when it came to its queues.
    pub fn set_arrival(&mut self, now: Timestamp) {
        self.arrived_at = now;
    }

    /// When it came to its queues; none unless it was noted because the message may expire.
    #[must_use]
    pub fn arrived_at(&self) -> Option<Timestamp> {
        (self.arrived_at != Timestamp(0)).then_some(self.arrived_at)
    }

    /// Whether the publisher gave it a time to live (`expiration`).
    #[must_use]
    pub fn has_expiration(&self) -> bool {
        self.has_expiration
    }

    /// The time to live that the publisher gave it, milliseconds.
    #[must_use]
    pub fn expiration_millis(&self) -> Option<u64> {
        if !self.has_expiration {
            return None;
        }
        parse_expiration(self.content_header()?.properties.expiration?).ok()
    }

    /// Its properties; none if a damaged log gave back something else.
    #[must_use]
    pub fn content_header(&self) -> Option<ContentHeader<'_>> {
        parse_content_header(self.header()).ok()
    }

    /// Exchange and routing key as two adjacent short strings.
    #[must_use]
    pub fn route(&self) -> &[u8] {
        &self.bytes[..usize::from(self.route_size)]
    }

    /// The exchange it was published to.
    #[must_use]
    pub fn exchange(&self) -> &[u8] {
        let route = self.route();
        &route[1..=usize::from(route[0])]
    }

    /// The publisher's routing key.
    #[must_use]
    pub fn routing_key(&self) -> &[u8] {
        let route = self.route();
        &route[usize::from(route[0]) + 2..]
    }

    /// The payload of the content header frame: class, weight, body size, properties.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        let start = usize::from(self.route_size);
        &self.bytes[start..start + self.header_size as usize]
    }

    /// The application's bytes.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body_start()..]
    }

    /// The body as a slice that shares the message's memory.
    #[must_use]
    pub fn shared_body(&self) -> Bytes {
        self.bytes.slice(self.body_start()..)
    }

    /// Route, header and body, one after the other.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Length of everything: route, header and body, bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Length of the body, bytes.
    #[must_use]
    pub fn body_size(&self) -> usize {
        self.bytes.len() - self.body_start()
    }

    /// Whether the publisher asked for it to survive a restart (`delivery-mode` 2).
    #[must_use]
    pub fn is_persistent(&self) -> bool {
        self.is_persistent
    }

    fn body_start(&self) -> usize {
        usize::from(self.route_size) + self.header_size as usize
    }
}

/// Where messages are copied to, once: segments of 1 MiB shared by the messages in them. A segment is
/// freed (or used again) when its last message is gone.
#[derive(Debug, Default)]
pub struct Arena {
    segment: BytesMut,
}

/// Size of one arena segment, bytes.
pub const SEGMENT_SIZE: usize = 1 << 20;
/// A message above this gets an allocation of its own, so that it pins nothing else, bytes.
const SHARED_MAX: usize = SEGMENT_SIZE / 16;

impl Arena {
    /// Copies a message into the arena.
    pub fn message(&mut self, head: MessageHead<'_>, body: &[u8]) -> Message {
        let size = head.route.len() + head.header.len() + body.len();
        let bytes = if size > SHARED_MAX {
            let mut own = BytesMut::with_capacity(size);
            write_parts(&mut own, head, body);
            own.freeze()
        } else {
            self.make_room(size);
            write_parts(&mut self.segment, head, body);
            self.segment.split().freeze()
        };
        Message::from_buffer(bytes, head.sizes(), head.is_persistent)
    }

    fn make_room(&mut self, size: usize) {
        if self.segment.capacity() < size && !self.segment.try_reclaim(SEGMENT_SIZE) {
            self.segment = BytesMut::with_capacity(SEGMENT_SIZE);
        }
    }
}

impl MessageHead<'_> {
    /// Sizes of route and header. A route is two short strings (at most 512 bytes) and a header fits a
    /// frame, so neither conversion can lose anything.
    #[must_use]
    pub fn sizes(&self) -> (u16, u32) {
        (
            u16::try_from(self.route.len()).unwrap_or(u16::MAX),
            u32::try_from(self.header.len()).unwrap_or(u32::MAX),
        )
    }
}

fn write_parts(out: &mut BytesMut, head: MessageHead<'_>, body: &[u8]) {
    out.extend_from_slice(head.route);
    out.extend_from_slice(head.header);
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: MessageHead<'static> =
        MessageHead { route: b"\x01x\x03a.b", header: b"header", is_persistent: true };

    #[test]
    fn parts_come_back_as_they_went_in() {
        let mut arena = Arena::default();
        for body in [&b""[..], b"hello", &[7; SHARED_MAX + 1]] {
            let message = arena.message(HEAD, body);
            assert_eq!(message.exchange(), b"x");
            assert_eq!(message.routing_key(), b"a.b");
            assert_eq!(message.header(), b"header");
            assert_eq!(message.body(), body);
            assert_eq!(message.body_size(), body.len());
            assert_eq!(message.size(), HEAD.route.len() + HEAD.header.len() + body.len());
            assert!(message.is_persistent());
        }
    }

    #[test]
    fn small_messages_share_a_segment_and_a_free_segment_is_used_again() {
        let mut arena = Arena::default();
        let first = arena.message(HEAD, b"1");
        let start = first.bytes.as_ptr();
        let second = arena.message(HEAD, b"2");
        assert_eq!(second.bytes.as_ptr(), start.wrapping_add(first.bytes.len()));
        drop((first, second));
        for _ in 0..SEGMENT_SIZE / 1024 {
            arena.message(HEAD, &[0; 1024]);
        }
        assert!(arena.segment.capacity() <= SEGMENT_SIZE);
    }
}
