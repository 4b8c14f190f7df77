//! Publishes, encoded once and written many at a time.

use super::frame::{FRAME_OVERHEAD, FrameKind, write_frame};
use super::method::{MethodId, method, write_short_string};

/// A write is about this large, or one message if that is larger.
const WRITE_BYTES: usize = 64 * 1024;
/// Octets at the front of a body that hold the time of publishing, big-endian nanoseconds.
pub const STAMP_BYTES: usize = 8;
/// The class of contents.
const BASIC_CLASS: u16 = 60;

/// As many equal messages as one write takes, ready to be sent.
///
/// ```text
/// | method | header | body (stamp …) | method | header | body (stamp …) | …
/// |<----------- stride ------------->|
/// ```
#[derive(Debug)]
pub struct PublishBatch {
    bytes: Vec<u8>,
    stride: usize,
    /// Where in a message its stamp is, unless the body is too short for one.
    stamp_at: Option<usize>,
}

impl PublishBatch {
    /// Messages of `body_size` octets to `queue` by way of the default exchange.
    pub fn new(channel: u16, queue: &str, body_size: usize, is_persistent: bool, frame_max: u32) -> Self {
        let mut message = method(channel, MethodId::BASIC_PUBLISH, |out| {
            out.extend_from_slice(&[0, 0]);
            write_short_string(out, "");
            write_short_string(out, queue);
            out.push(0);
        });
        write_frame(&mut message, FrameKind::Header, channel, |out| {
            write_header(out, body_size, is_persistent)
        });
        let stamp_at = (body_size >= STAMP_BYTES).then_some(message.len() + FRAME_OVERHEAD - 1);
        let body = vec![b'.'; body_size];
        for part in body.chunks(frame_max as usize - FRAME_OVERHEAD) {
            write_frame(&mut message, FrameKind::Body, channel, |out| out.extend_from_slice(part));
        }
        let count = (WRITE_BYTES / message.len()).max(1);
        Self { bytes: message.repeat(count), stride: message.len(), stamp_at }
    }

    /// How many messages one write takes at most.
    pub fn messages_max(&self) -> usize {
        self.bytes.len() / self.stride
    }

    /// The bytes of `count` messages, the n-th of them stamped with `stamp(n)`.
    pub fn stamped(&mut self, count: usize, stamp: impl Fn(usize) -> u64) -> &[u8] {
        let bytes = &mut self.bytes[..count * self.stride];
        if let Some(at) = self.stamp_at {
            for (n, message) in bytes.chunks_exact_mut(self.stride).enumerate() {
                message[at..at + STAMP_BYTES].copy_from_slice(&stamp(n).to_be_bytes());
            }
        }
        bytes
    }
}

/// Only the delivery mode is set, and only for persistent messages.
fn write_header(out: &mut Vec<u8>, body_size: usize, is_persistent: bool) {
    const DELIVERY_MODE_FLAG: u16 = 1 << 12;
    out.extend_from_slice(&BASIC_CLASS.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&(body_size as u64).to_be_bytes());
    if is_persistent {
        out.extend_from_slice(&DELIVERY_MODE_FLAG.to_be_bytes());
        out.push(2);
    } else {
        out.extend_from_slice(&[0, 0]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{FRAME_MAX, Inbox};
    use super::super::method::parse_method;
    use super::*;

    /// What a broker would see: (routing key, declared size, property octets, body) of each message.
    fn scan(bytes: &[u8]) -> Vec<(String, u64, Vec<u8>, Vec<u8>)> {
        let mut inbox = Inbox::new();
        let mut source = bytes;
        let mut messages: Vec<(String, u64, Vec<u8>, Vec<u8>)> = Vec::new();
        while inbox.fill(&mut source).unwrap() > 0 {
            while let Some(frame) = inbox.next_frame().unwrap() {
                match frame.kind {
                    FrameKind::Method => {
                        let (id, mut arguments) = parse_method(frame.payload).unwrap();
                        assert_eq!((id, arguments.u16()), (MethodId::BASIC_PUBLISH, Some(0)));
                        assert_eq!(arguments.short_string(), Some(""));
                        messages.push((arguments.short_string().unwrap().to_owned(), 0, vec![], vec![]));
                    }
                    FrameKind::Header => {
                        let message = messages.last_mut().unwrap();
                        message.1 = u64::from_be_bytes(*frame.payload[4..].first_chunk().unwrap());
                        message.2 = frame.payload[12..].to_vec();
                    }
                    FrameKind::Body => messages.last_mut().unwrap().3.extend_from_slice(frame.payload),
                    FrameKind::Heartbeat => panic!("a heartbeat among publishes"),
                }
            }
        }
        messages
    }

    #[test]
    fn a_batch_is_many_stamped_messages() {
        let mut batch = PublishBatch::new(1, "orders", 16, false, FRAME_MAX);
        assert!(batch.messages_max() > 500);
        let messages = scan(batch.stamped(300, |n| n as u64 + 1_000));
        assert_eq!(messages.len(), 300);
        for (n, (key, size, properties, body)) in messages.iter().enumerate() {
            assert_eq!((key.as_str(), *size, properties.as_slice()), ("orders", 16, &[0, 0][..]));
            assert_eq!(body[..8], (n as u64 + 1_000).to_be_bytes());
            assert_eq!(body[8..], [b'.'; 8]);
        }
    }

    #[test]
    fn a_long_body_travels_in_several_frames() {
        let mut batch = PublishBatch::new(1, "orders", 10_000, true, 4_096);
        let count = batch.messages_max();
        let messages = scan(batch.stamped(count, |_| 5));
        assert_eq!((messages.len(), messages[0].1, messages[0].3.len()), (6, 10_000, 10_000));
        assert_eq!(messages[0].2, [0x10, 0, 2]);
    }

    #[test]
    fn short_and_empty_bodies_have_no_stamp() {
        for size in [0, 7] {
            let mut batch = PublishBatch::new(1, "q", size, false, FRAME_MAX);
            assert_eq!(scan(batch.stamped(2, |_| 5))[1].3, vec![b'.'; size]);
        }
    }
}
