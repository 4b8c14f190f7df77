//! A message while it arrives: method, header, body frames (AMQP 0-9-1 section 2.3.5.2).
//!
//! ```text
//!  Idle ── publish ──> Header ── header, body size 0 ──────────────> message
//!                        └────── header ──> Body ── the last frame ──> message
//! ```

use bytes::BytesMut;

use super::{
    demands::{Demands, Publisher, is_remarkable, rewrite_header},
    exception::{Exception, ReplyCode},
};
use crate::{
    limits::BODY_SIZE_CEILING,
    model::message::{Arena, Message, MessageHead},
    wire::{
        content::{ContentHeader, parse_content_header},
        method::Publish,
    },
};

/// The content of a channel, as far as it has come. Its buffer is used again for every message.
#[derive(Debug, Default)]
pub struct Content {
    stage: Stage,
    /// Route, then header payload.
    head: Vec<u8>,
    route_size: usize,
    is_persistent: bool,
    is_mandatory: bool,
    demands: Option<Box<Demands>>,
    /// The body of a message in more than one frame, behind a copy of `head`.
    long: BytesMut,
    body_size: usize,
    received: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    Header,
    Body,
}

/// A frame that came out of turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfTurn {
    /// A method instead of a content header.
    NoHeader,
    /// A method or header instead of a content body.
    NoBody,
    /// A header or body instead of a method.
    NoMethod,
}

/// A buffer for a long body starts with at most this and grows as the body arrives: a peer can't make us
/// reserve what it only announces, bytes.
const FIRST_CAPACITY: usize = 256 << 10;

/// The only class with content.
const BASIC_CLASS: u16 = 60;

/// What a header or body frame led to.
#[derive(Debug)]
pub enum Arrived {
    /// More frames are to come.
    Partly,
    /// All of it.
    Whole(Message),
}

impl Content {
    /// What has to come before the next method.
    #[must_use]
    pub fn missing(&self) -> Option<OutOfTurn> {
        match self.stage {
            Stage::Idle => None,
            Stage::Header => Some(OutOfTurn::NoHeader),
            Stage::Body => Some(OutOfTurn::NoBody),
        }
    }

    /// Whether the message that arrived is to be returned when no queue takes it.
    #[must_use]
    pub fn is_mandatory(&self) -> bool {
        self.is_mandatory
    }

    /// What the message that arrived wants; it is asked once.
    pub fn take_demands(&mut self) -> Option<Box<Demands>> {
        self.demands.take()
    }

    /// `basic.publish` came.
    pub fn start(&mut self, publish: &Publish<'_>) {
        self.head.clear();
        self.head.extend_from_slice(publish.route);
        self.route_size = publish.route.len();
        self.is_mandatory = publish.mandatory;
        self.demands = None;
        self.stage = Stage::Header;
    }

    /// A header frame came.
    pub fn header(
        &mut self,
        payload: &[u8],
        publisher: Publisher<'_>,
        arena: &mut Arena,
    ) -> Result<Arrived, Exception> {
        if self.stage != Stage::Header {
            return Err(self.missing().unwrap_or(OutOfTurn::NoMethod).into());
        }
        let header = parse_content_header(payload).map_err(|error| Exception::of_content(&error))?;
        if header.class != BASIC_CLASS {
            let text =
                format!("expected content header for class 60, got one for class {} instead", header.class);
            return Err(Exception::new(ReplyCode::UnexpectedFrame, text));
        }
        self.body_size = checked_size(&header, publisher.message_size_max)?;
        self.is_persistent = header.properties.delivery_mode == Some(2);
        if !self.is_taken_over(&header, publisher) {
            self.head.extend_from_slice(payload);
        }
        self.received = 0;
        if self.body_size == 0 {
            return Ok(Arrived::Whole(self.finish(&[], arena)));
        }
        self.stage = Stage::Body;
        Ok(Arrived::Partly)
    }

    /// A body frame came.
    pub fn body(&mut self, payload: &[u8], arena: &mut Arena) -> Result<Arrived, Exception> {
        if self.stage != Stage::Body {
            return Err(self.missing().unwrap_or(OutOfTurn::NoMethod).into());
        }
        if self.received == 0 && payload.len() == self.body_size {
            return Ok(Arrived::Whole(self.finish(payload, arena)));
        }
        if payload.len() > self.body_size - self.received {
            return Err(OutOfTurn::NoBody.into());
        }
        if self.received == 0 && self.long.is_empty() {
            let capacity = self.head.len() + self.body_size;
            self.long = BytesMut::with_capacity(capacity.min(FIRST_CAPACITY));
            self.long.extend_from_slice(&self.head);
        }
        self.long.extend_from_slice(payload);
        self.received += payload.len();
        if self.received < self.body_size {
            return Ok(Arrived::Partly);
        }
        self.stage = Stage::Idle;
        let buffer = std::mem::take(&mut self.long).freeze();
        Ok(Arrived::Whole(Message::from_buffer(buffer, self.head_parts().sizes(), self.is_persistent)))
    }

    /// Notes what the message wants. True if the header was written anew.
    fn is_taken_over(&mut self, header: &ContentHeader<'_>, publisher: Publisher<'_>) -> bool {
        if !is_remarkable(&header.properties) {
            return false;
        }
        self.demands = Demands::of(&header.properties, publisher);
        rewrite_header(&mut self.head, header.body_size, &header.properties, publisher)
    }

    fn finish(&mut self, body: &[u8], arena: &mut Arena) -> Message {
        self.stage = Stage::Idle;
        arena.message(self.head_parts(), body)
    }

    fn head_parts(&self) -> MessageHead<'_> {
        let (route, header) = self.head.split_at(self.route_size);
        MessageHead { route, header, is_persistent: self.is_persistent }
    }
}

/// The body's size, if we take messages of that size.
fn checked_size(header: &ContentHeader<'_>, max: u64) -> Result<usize, Exception> {
    let size = header.body_size;
    if size > BODY_SIZE_CEILING {
        let text = format!("content body size {size} exceeds maximum allowed size");
        return Err(Exception::new(ReplyCode::FrameError, text));
    }
    if size > max {
        let text = format!("message size {size} is larger than configured max size {max}");
        return Err(Exception::new(ReplyCode::PreconditionFailed, text));
    }
    usize::try_from(size).map_err(|_| Exception::new(ReplyCode::FrameError, "content body size"))
}

impl From<OutOfTurn> for Exception {
    fn from(out_of_turn: OutOfTurn) -> Self {
        let text = match out_of_turn {
            OutOfTurn::NoHeader => {
                "expected content header for class 60, got non content header frame instead"
            }
            OutOfTurn::NoBody => "expected content body, got non content body frame instead",
            OutOfTurn::NoMethod => "expected method frame, got non method frame instead",
        };
        Self::new(ReplyCode::UnexpectedFrame, text)
    }
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::BasicProperties;

    use super::*;
    use crate::limits::MESSAGE_SIZE_MAX;
    use crate::wire::encode::{encode_content_header, encode_route};

    const ANYBODY: Publisher<'static> =
        Publisher { user: "guest", reply_name: None, message_size_max: MESSAGE_SIZE_MAX };

    fn started() -> Content {
        let route = encode_route("", "q");
        let mut content = Content::default();
        let publish =
            Publish { exchange: "", routing_key: b"q", route: &route, mandatory: true, immediate: false };
        content.start(&publish);
        content
    }

    fn header(size: u64) -> Vec<u8> {
        encode_content_header(size, &BasicProperties::default().with_delivery_mode(2))
    }

    fn whole(arrived: Result<Arrived, Exception>) -> Message {
        match arrived.unwrap() {
            Arrived::Whole(message) => message,
            Arrived::Partly => panic!("not yet whole"),
        }
    }

    #[test]
    fn any_split_of_the_body_gives_the_same_message() {
        let body: Vec<u8> = (0..=255).collect();
        for pieces in [1, 2, 3, 256] {
            let mut arena = Arena::default();
            let mut content = started();
            assert!(matches!(content.header(&header(256), ANYBODY, &mut arena), Ok(Arrived::Partly)));
            let mut last = None;
            for piece in body.chunks(body.len().div_ceil(pieces)) {
                last = Some(content.body(piece, &mut arena));
            }
            let message = whole(last.unwrap());
            assert_eq!((message.body(), message.routing_key()), (&body[..], &b"q"[..]));
            assert!(message.is_persistent() && content.missing().is_none() && content.is_mandatory());
        }
    }

    #[test]
    fn an_empty_body_needs_no_body_frame() {
        assert_eq!(whole(started().header(&header(0), ANYBODY, &mut Arena::default())).body_size(), 0);
    }

    #[test]
    fn frames_out_of_turn() {
        let arena = &mut Arena::default();
        let text = |arrived: Result<Arrived, Exception>| arrived.unwrap_err().to_string();
        assert_eq!(
            text(started().body(b"x", arena)),
            "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"
        );
        assert_eq!(
            text(Content::default().header(&header(1), ANYBODY, arena)),
            "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
        );
        let mut content = started();
        content.header(&header(3), ANYBODY, arena).unwrap();
        assert_eq!(
            text(content.header(&header(3), ANYBODY, arena)),
            "UNEXPECTED_FRAME - expected content body, got non content body frame instead"
        );
        assert_eq!(
            text(content.body(b"four", arena)),
            "UNEXPECTED_FRAME - expected content body, got non content body frame instead"
        );
    }

    #[test]
    fn sizes_are_checked_at_the_header() {
        let arena = &mut Arena::default();
        let text =
            |size| started().header(&header(size), ANYBODY, &mut Arena::default()).unwrap_err().to_string();
        assert_eq!(
            text(MESSAGE_SIZE_MAX + 1),
            "PRECONDITION_FAILED - message size 134217729 is larger than configured max size 134217728"
        );
        assert!(text(u64::MAX).starts_with("FRAME_ERROR - content body size"));
        let mut content = started();
        content.header(&header(MESSAGE_SIZE_MAX), ANYBODY, arena).unwrap();
        assert_eq!(content.long.capacity(), 0, "nothing is reserved for what is only announced");
    }
}
