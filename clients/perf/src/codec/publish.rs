//! Publishes, encoded once and written many at a time.

use super::frame::{FRAME_OVERHEAD, FrameKind, write_frame};
use super::method::{MethodId, method, write_short_string};
use super::table::Properties;

/// Octets at the front of a body that hold the time of publishing, big-endian nanoseconds.
pub const STAMP_BYTES: usize = 8;
/// The length of a random routing key: 64 bits in hexadecimal digits.
pub const RANDOM_KEY_BYTES: usize = 16;
/// The class of contents.
const BASIC_CLASS: u16 = 60;

/// What all messages of a channel have in common.
#[derive(Debug, Clone, Copy)]
pub struct Publish<'a> {
    pub channel: u16,
    pub exchange: &'a str,
    pub routing_key: RoutingKey<'a>,
    pub is_mandatory: bool,
    pub properties: &'a Properties,
    pub frame_max: u32,
}

/// Where messages are addressed to.
#[derive(Debug, Clone, Copy)]
pub enum RoutingKey<'a> {
    Fixed(&'a str),
    /// Another for each message.
    Random,
}

/// What is in the bodies.
#[derive(Debug, Clone, Copy)]
pub enum Bodies<'a> {
    /// So many octets, of which the first are the stamp.
    Sized(usize),
    /// These in turn, as they are.
    Given(&'a [Vec<u8>]),
}

/// As many messages as one write takes, ready to be sent.
///
/// ```text
/// | method (… random key …) | header | body (stamp …) | method | header | body (stamp …) | …
/// ```
#[derive(Debug)]
pub struct PublishBatch {
    bytes: Vec<u8>,
    messages: Vec<Place>,
    /// The message to be sent next.
    next: usize,
    /// What random keys are made of.
    key_seed: u64,
}

/// Where a message of the batch ends, and where in the batch its changing parts are.
#[derive(Debug, Clone, Copy)]
struct Place {
    end: usize,
    stamp_at: Option<usize>,
    key_at: Option<usize>,
}

impl PublishBatch {
    /// Messages for writes of about `write_bytes`; at least one, and each of the given bodies.
    pub fn new(publish: Publish<'_>, bodies: Bodies<'_>, write_bytes: usize) -> Self {
        let mut batch =
            Self { bytes: Vec::new(), messages: Vec::new(), next: 0, key_seed: u64::from(publish.channel) };
        let sized;
        let (bodies, has_stamp) = match bodies {
            Bodies::Given(bodies) => (bodies, false),
            Bodies::Sized(size) => {
                sized = [vec![b'.'; size]];
                (&sized[..], size >= STAMP_BYTES)
            }
        };
        loop {
            for body in bodies {
                batch.append(publish, body, has_stamp);
            }
            let bytes_each = batch.bytes.len() / batch.messages.len().max(1);
            if bodies.is_empty() || batch.bytes.len() + bytes_each * bodies.len() > write_bytes {
                return batch;
            }
        }
    }

    /// Random keys begin elsewhere with another `seed`.
    pub fn with_key_seed(self, seed: u64) -> Self {
        Self { key_seed: seed, ..self }
    }

    /// How many messages the next write takes at most.
    pub fn messages_max(&self) -> usize {
        self.messages.len() - self.next
    }

    /// The bytes of the next `count` messages, which are at most `messages_max`, the n-th of them stamped with `stamp(n)`.
    pub fn stamped(&mut self, count: usize, stamp: impl Fn(usize) -> u64) -> &[u8] {
        let first = self.next;
        let start = first.checked_sub(1).map_or(0, |before| self.messages[before].end);
        let messages = &self.messages[first..first + count];
        for (n, place) in messages.iter().enumerate() {
            if let Some(at) = place.stamp_at {
                self.bytes[at..at + STAMP_BYTES].copy_from_slice(&stamp(n).to_be_bytes());
            }
            if let Some(at) = place.key_at {
                self.key_seed = self.key_seed.wrapping_add(1);
                write_key(&mut self.bytes[at..at + RANDOM_KEY_BYTES], self.key_seed);
            }
        }
        let end = messages.last().map_or(start, |place| place.end);
        self.next = if first + count == self.messages.len() { 0 } else { first + count };
        &self.bytes[start..end]
    }

    fn append(&mut self, publish: Publish<'_>, body: &[u8], has_stamp: bool) {
        let start = self.bytes.len();
        let placeholder = "0".repeat(RANDOM_KEY_BYTES);
        let routing_key = match publish.routing_key {
            RoutingKey::Fixed(key) => key,
            RoutingKey::Random => &placeholder,
        };
        self.bytes.extend(method(publish.channel, MethodId::BASIC_PUBLISH, |out| {
            out.extend_from_slice(&[0, 0]);
            write_short_string(out, publish.exchange);
            write_short_string(out, routing_key);
            // bits: mandatory, immediate
            out.push(u8::from(publish.is_mandatory));
        }));
        // frame header, class, method, ticket, exchange, length of the key
        let key_at = start + FRAME_OVERHEAD - 1 + 4 + 2 + 1 + publish.exchange.len() + 1;
        write_frame(&mut self.bytes, FrameKind::Header, publish.channel, |out| {
            out.extend_from_slice(&BASIC_CLASS.to_be_bytes());
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(&(body.len() as u64).to_be_bytes());
            publish.properties.write(out);
        });
        let stamp_at = has_stamp.then_some(self.bytes.len() + FRAME_OVERHEAD - 1);
        for part in body.chunks(publish.frame_max as usize - FRAME_OVERHEAD) {
            write_frame(&mut self.bytes, FrameKind::Body, publish.channel, |out| out.extend_from_slice(part));
        }
        let key_at = matches!(publish.routing_key, RoutingKey::Random).then_some(key_at);
        self.messages.push(Place { end: self.bytes.len(), stamp_at, key_at });
    }
}

/// The number's bits well stirred (the finishing step of splitmix64), in hexadecimal digits.
fn write_key(out: &mut [u8], number: u64) {
    let mut mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    for (n, octet) in out.iter_mut().enumerate() {
        *octet = b"0123456789abcdef"[(mixed >> (4 * n)) as usize & 0xF];
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{FRAME_MAX, Inbox};
    use super::super::method::parse_method;
    use super::*;

    const WRITE_BYTES: usize = 64 * 1024;
    static NONE: Properties = Properties::none();

    fn publish(routing_key: RoutingKey<'static>, frame_max: u32) -> Publish<'static> {
        Publish { channel: 1, exchange: "", routing_key, is_mandatory: false, properties: &NONE, frame_max }
    }

    fn to_orders() -> Publish<'static> {
        publish(RoutingKey::Fixed("orders"), FRAME_MAX)
    }

    /// What a broker would see of a message.
    struct Seen {
        routing_key: String,
        size: u64,
        properties: Vec<u8>,
        body: Vec<u8>,
    }

    fn scan(bytes: &[u8]) -> Vec<Seen> {
        let mut inbox = Inbox::new();
        let mut source = bytes;
        let mut messages: Vec<Seen> = Vec::new();
        while inbox.fill(&mut source).unwrap() > 0 {
            while let Some(frame) = inbox.next_frame().unwrap() {
                match frame.kind {
                    FrameKind::Method => {
                        let (id, mut arguments) = parse_method(frame.payload).unwrap();
                        assert_eq!((id, arguments.u16()), (MethodId::BASIC_PUBLISH, Some(0)));
                        assert_eq!(arguments.short_string(), Some(""));
                        let routing_key = arguments.short_string().unwrap().to_owned();
                        messages.push(Seen { routing_key, size: 0, properties: vec![], body: vec![] });
                    }
                    FrameKind::Header => {
                        let message = messages.last_mut().unwrap();
                        message.size = u64::from_be_bytes(*frame.payload[4..].first_chunk().unwrap());
                        message.properties = frame.payload[12..].to_vec();
                    }
                    FrameKind::Body => messages.last_mut().unwrap().body.extend_from_slice(frame.payload),
                    FrameKind::Heartbeat => panic!("a heartbeat among publishes"),
                }
            }
        }
        messages
    }

    #[test]
    fn a_batch_is_many_stamped_messages() {
        let mut batch = PublishBatch::new(to_orders(), Bodies::Sized(16), WRITE_BYTES);
        assert!(batch.messages_max() > 500);
        let messages = scan(batch.stamped(300, |n| n as u64 + 1_000));
        assert_eq!(messages.len(), 300);
        for (n, seen) in messages.iter().enumerate() {
            assert_eq!(
                (seen.routing_key.as_str(), seen.size, &seen.properties[..]),
                ("orders", 16, &[0, 0][..])
            );
            assert_eq!(seen.body[..8], (n as u64 + 1_000).to_be_bytes());
            assert_eq!(seen.body[8..], [b'.'; 8]);
        }
    }

    #[test]
    fn a_long_body_travels_in_several_frames() {
        let publish = publish(RoutingKey::Fixed("orders"), 4_096);
        let mut batch = PublishBatch::new(publish, Bodies::Sized(10_000), WRITE_BYTES);
        let count = batch.messages_max();
        let messages = scan(batch.stamped(count, |_| 5));
        assert_eq!((messages.len(), messages[0].size, messages[0].body.len()), (6, 10_000, 10_000));
        assert_eq!(PublishBatch::new(publish, Bodies::Sized(10_000), 10).messages_max(), 1);
    }

    #[test]
    fn short_and_given_bodies_have_no_stamp() {
        for size in [0, 7] {
            let mut batch = PublishBatch::new(to_orders(), Bodies::Sized(size), WRITE_BYTES);
            assert_eq!(scan(batch.stamped(2, |_| 5))[1].body, vec![b'.'; size]);
        }
        let bodies = [b"first message".to_vec(), b"second".to_vec(), vec![]];
        let mut batch = PublishBatch::new(to_orders(), Bodies::Given(&bodies), 0);
        let mut seen = Vec::new();
        for count in [1, 2, 2] {
            seen.extend(scan(batch.stamped(count, |_| 5)).into_iter().map(|seen| seen.body));
        }
        assert_eq!(seen, [&bodies[..], &bodies[..2]].concat());
    }

    #[test]
    fn random_keys_differ() {
        let mut batch =
            PublishBatch::new(publish(RoutingKey::Random, FRAME_MAX), Bodies::Sized(16), WRITE_BYTES);
        let count = batch.messages_max();
        let mut keys: Vec<String> =
            scan(batch.stamped(count, |_| 5)).into_iter().map(|seen| seen.routing_key).collect();
        keys.extend(scan(batch.stamped(count, |_| 5)).into_iter().map(|seen| seen.routing_key));
        assert!(keys.iter().all(|key| key.len() == RANDOM_KEY_BYTES));
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 2 * count);
    }
}
