//! What a peer is told: whole frames of known methods, contents in one piece, and nothing after the end.

use std::collections::BTreeMap;

use amq_protocol::protocol::{AMQPClass, channel, connection};
use liebre::{
    limits::FRAME_MAX,
    wire::{
        content::parse_content_header,
        frame::{Frame, FrameKind, PROTOCOL_HEADER, parse_frame},
        method::{Method, parse_method},
    },
};

/// The reply code that no input may lead to.
const INTERNAL_ERROR: u16 = 541;

/// What a peer has heard so far.
#[derive(Default)]
pub struct Listener {
    /// By channel: a message that has begun.
    arriving: BTreeMap<u16, Arriving>,
    /// By channel: the last delivery tag.
    last_tags: BTreeMap<u16, u64>,
    bodies: Vec<Vec<u8>>,
    /// The connection's end was said, by whichever side.
    is_closing: bool,
    is_closed: bool,
}

#[derive(Default)]
struct Arriving {
    body: Vec<u8>,
    /// Unknown before the header.
    size: Option<u64>,
}

impl Listener {
    /// Takes what was sent since.
    pub fn hear(&mut self, mut bytes: &[u8]) {
        if bytes == PROTOCOL_HEADER {
            assert!(!self.is_closed, "something follows the end");
            self.is_closed = true;
            return;
        }
        while !bytes.is_empty() {
            assert!(!self.is_closed, "something follows the end");
            let (frame, size) = parse_frame(bytes, FRAME_MAX).expect("a frame").expect("a whole one");
            self.hear_frame(&frame);
            bytes = &bytes[size..];
        }
    }

    /// The bodies of all messages.
    pub fn bodies(&self) -> &[Vec<u8>] {
        &self.bodies
    }

    fn hear_frame(&mut self, frame: &Frame<'_>) {
        let number = frame.channel.0;
        match frame.kind {
            FrameKind::Heartbeat => {}
            _ if self.is_closing && number != 0 => panic!("a channel goes on after the connection's end"),
            FrameKind::Method => {
                assert!(!self.arriving.contains_key(&number), "a method within a content");
                if let Some(delivery_tag) = begun_content(frame.payload) {
                    return self.begin(number, delivery_tag);
                }
                let (_, method) = parse_method(frame.payload).expect("a known method");
                self.hear_method(number, method);
            }
            FrameKind::Header => {
                let arriving = self.arriving.get_mut(&number).expect("a header follows a method");
                assert_eq!(arriving.size, None, "two headers");
                let header = parse_content_header(frame.payload).expect("a content header");
                arriving.size = Some(header.body_size);
                self.finish(number);
            }
            FrameKind::Body => {
                let arriving = self.arriving.get_mut(&number).expect("a body follows a header");
                assert!(arriving.size.is_some(), "a body before its header");
                assert!(!frame.payload.is_empty(), "a body frame for nothing");
                arriving.body.extend_from_slice(frame.payload);
                self.finish(number);
            }
        }
    }

    /// A content may be whole.
    fn finish(&mut self, number: u16) {
        let arriving = &self.arriving[&number];
        let (size, came) = (arriving.size.unwrap_or_default(), arriving.body.len() as u64);
        assert!(came <= size, "more body than was announced");
        if came == size
            && let Some(arrived) = self.arriving.remove(&number)
        {
            self.bodies.push(arrived.body);
        }
    }

    fn hear_method(&mut self, number: u16, method: Method<'_>) {
        let class = match method {
            Method::Cold(class) => *class,
            Method::Ack { delivery_tag, .. } | Method::Nack { delivery_tag, .. } => {
                return assert!(delivery_tag > 0, "a confirm of nothing");
            }
            method => panic!("no server says {method:?}"),
        };
        assert_eq!(number == 0, matches!(class, AMQPClass::Connection(_)), "{class:?} on channel {number}");
        match class {
            AMQPClass::Connection(connection::AMQPMethod::Close(close)) => {
                assert_ne!(close.reply_code, INTERNAL_ERROR, "{close:?}");
                assert!(!self.is_closing, "closed twice");
                self.is_closing = true;
            }
            AMQPClass::Connection(connection::AMQPMethod::CloseOk(_)) => self.is_closed = true,
            AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
                assert_ne!(close.reply_code, INTERNAL_ERROR, "{close:?}");
            }
            AMQPClass::Channel(channel::AMQPMethod::OpenOk(_)) => {
                self.last_tags.insert(number, 0);
            }
            _ => {}
        }
    }

    fn begin(&mut self, number: u16, delivery_tag: Option<u64>) {
        self.arriving.insert(number, Arriving::default());
        if let Some(tag) = delivery_tag {
            let last = self.last_tags.get_mut(&number).expect("a delivery on an open channel");
            assert_eq!(tag, *last + 1, "delivery tags count");
            *last = tag;
        }
    }
}

/// The delivery tag of a method that begins a content; none inside for one that has none. By hand, since the publisher's
/// routing key comes back as it was, and that need not be UTF-8.
fn begun_content(payload: &[u8]) -> Option<Option<u64>> {
    let tag = |rest: &[u8]| Some(rest.first_chunk().map(|tag| u64::from_be_bytes(*tag)));
    match payload {
        [0, 60, 0, 50, ..] => Some(None),
        [0, 60, 0, 60, size, rest @ ..] => tag(rest.get(usize::from(*size)..)?),
        [0, 60, 0, 71, rest @ ..] => tag(rest),
        _ => None,
    }
}
