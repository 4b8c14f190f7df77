//! Frames: what a connection's bytes consist of (AMQP 0-9-1 section 4.2.3).
//!
//! ```text
//! 0      1         3             7                  size+7
//! +------+---------+-------------+------------------+-----+
//! | type | channel |    size     |  payload (size)  | CE  |
//! +------+---------+-------------+------------------+-----+
//! ```

use std::fmt;

use crate::limits::FRAME_GRACE;

pub use crate::wire::protocol_header::{
    HeaderCheck, HeaderRefusal, PROTOCOL_HEADER, ProtocolHeader, parse_protocol_header,
};

/// Bytes of a frame around its payload: type, channel, size, end octet.
pub const FRAME_OVERHEAD: usize = 8;
/// Bytes of a frame before its payload.
pub const FRAME_HEAD: usize = 7;
/// The octet that ends every frame.
pub const FRAME_END: u8 = 0xCE;
/// Largest frame payload when `frame_max` is 0 (no limit agreed on), bytes: no peer may make us gather more.
pub const FRAME_PAYLOAD_CAP: u32 = 1 << 24;

/// A channel's number inside its connection; 0 is the connection itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelNumber(pub u16);

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// A method with its arguments.
    Method,
    /// A content header.
    Header,
    /// A piece of a body.
    Body,
    /// Nothing: the peer is alive.
    Heartbeat,
}

/// One frame, its payload still where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the payload is.
    pub kind: FrameKind,
    /// The channel it belongs to.
    pub channel: ChannelNumber,
    /// The bytes between head and end octet.
    pub payload: &'a [u8],
}

/// Why bytes are no frame. Displayed as RabbitMQ words it after `FRAME_ERROR - ` (501, class and method 0);
/// only [`FrameError::HeartbeatOnChannel`] is `UNEXPECTED_FRAME` (505).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The announced payload is larger than agreed.
    TooLarge {
        /// The frame's type octet.
        kind: u8,
        /// The announced payload, bytes.
        size: u32,
        /// The largest payload agreed on, bytes.
        size_max: u32,
    },
    /// No such frame type, or a payload that cannot be of its type.
    UnknownKind {
        /// The frame's type octet.
        kind: u8,
        /// How the payload begins.
        octets: Octets,
    },
    /// Another octet stands where the frame end should.
    BadEnd {
        /// The frame's type octet.
        kind: u8,
        /// How the payload begins.
        octets: Octets,
        /// The octet found.
        end: u8,
    },
    /// A heartbeat belongs to channel 0.
    HeartbeatOnChannel(ChannelNumber),
}

/// The first bytes of a payload, for error texts. Displayed as an Erlang binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Octets {
    first: [u8; Octets::SHOWN_MAX],
    shown: u8,
    is_all: bool,
}

/// The first frame of `input` and the bytes it takes, or none when more bytes are needed.
///
/// A frame's size is checked against `frame_max` as soon as it is known, so that nobody gathers bytes for a
/// frame that will be refused. As in RabbitMQ a payload may fill `frame_max` alone: the 8 bytes around it
/// don't count. `frame_max` 0 stands for [`FRAME_PAYLOAD_CAP`].
#[inline]
pub fn parse_frame(input: &[u8], frame_max: u32) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some((head, rest)) = input.split_first_chunk::<FRAME_HEAD>() else { return Ok(None) };
    let [kind, c0, c1, s0, s1, s2, s3] = *head;
    let size = u32::from_be_bytes([s0, s1, s2, s3]);
    let size_max = payload_max(frame_max);
    if size > size_max.saturating_add(FRAME_GRACE) {
        return Err(FrameError::TooLarge { kind, size, size_max });
    }
    let Some((payload, rest)) = rest.split_at_checked(size as usize) else { return Ok(None) };
    let Some(&end) = rest.first() else { return Ok(None) };
    if end != FRAME_END {
        return Err(FrameError::BadEnd { kind, octets: Octets::of(payload), end });
    }
    let channel = ChannelNumber(u16::from_be_bytes([c0, c1]));
    let frame = Frame { kind: frame_kind(kind, channel, payload)?, channel, payload };
    Ok(Some((frame, payload.len() + FRAME_OVERHEAD)))
}

impl FrameKind {
    /// The type octet.
    #[must_use]
    pub const fn octet(self) -> u8 {
        match self {
            Self::Method => 1,
            Self::Header => 2,
            Self::Body => 3,
            Self::Heartbeat => 8,
        }
    }
}

impl Octets {
    const SHOWN_MAX: usize = 16;

    /// Of `payload`.
    #[must_use]
    pub fn of(payload: &[u8]) -> Self {
        let shown = payload.len().min(Self::SHOWN_MAX);
        let mut first = [0; Self::SHOWN_MAX];
        first[..shown].copy_from_slice(&payload[..shown]);
        Self { first, shown: shown as u8, is_all: shown == payload.len() }
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.first[..usize::from(self.shown)];
        f.write_str(if self.is_all { "all octets = " } else { "first 16 octets = " })?;
        match shown.is_empty() || !shown.iter().all(|&octet| is_printable(octet)) {
            true => f.write_str(&erlang_binary(shown)),
            false => {
                write!(f, "<<\"{}\">>", shown.iter().map(|&octet| erlang_text(octet)).collect::<String>())
            }
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { kind, size, size_max } => {
                write!(f, "type {kind}, all octets = <<>>: {{frame_too_large,{size},{size_max}}}")
            }
            Self::UnknownKind { kind, octets } => write!(f, "type {kind}, {octets}: unknown_frame"),
            Self::BadEnd { kind, octets, end } => {
                write!(f, "type {kind}, {octets}: {{invalid_frame_end_marker,{end}}}")
            }
            Self::HeartbeatOnChannel(_) => f.write_str("type 8, all octets = <<>>"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Bytes as Erlang prints a binary: `<<0,20,1>>`.
pub(crate) fn erlang_binary(bytes: &[u8]) -> String {
    let octets: Vec<String> = bytes.iter().map(u8::to_string).collect();
    format!("<<{}>>", octets.join(","))
}

/// Whether Erlang shows a binary with this octet as text (Latin-1).
fn is_printable(octet: u8) -> bool {
    matches!(octet, 8..=13 | 27 | 32..=126 | 160..)
}

fn erlang_text(octet: u8) -> String {
    match octet {
        8 => "\\b".into(),
        b'\t' => "\\t".into(),
        b'\n' => "\\n".into(),
        11 => "\\v".into(),
        12 => "\\f".into(),
        b'\r' => "\\r".into(),
        27 => "\\e".into(),
        b'"' => "\\\"".into(),
        b'\\' => "\\\\".into(),
        _ => char::from(octet).into(),
    }
}

fn payload_max(frame_max: u32) -> u32 {
    match frame_max {
        0 => FRAME_PAYLOAD_CAP,
        _ => frame_max.saturating_sub(FRAME_OVERHEAD as u32),
    }
}

fn frame_kind(kind: u8, channel: ChannelNumber, payload: &[u8]) -> Result<FrameKind, FrameError> {
    match kind {
        1 => Ok(FrameKind::Method),
        2 => Ok(FrameKind::Header),
        3 => Ok(FrameKind::Body),
        8 if payload.is_empty() && channel.0 == 0 => Ok(FrameKind::Heartbeat),
        8 if payload.is_empty() => Err(FrameError::HeartbeatOnChannel(channel)),
        _ => Err(FrameError::UnknownKind { kind, octets: Octets::of(payload) }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::encode::{write_body, write_header, write_heartbeat, write_publish};

    fn frame(kind: u8, channel: u8, payload: &[u8], end: u8) -> Vec<u8> {
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind, 0, channel][..], &size, payload, &[end]].concat()
    }

    fn refusal(input: &[u8], frame_max: u32) -> String {
        parse_frame(input, frame_max).unwrap_err().to_string()
    }

    #[test]
    fn a_frame_is_taken_once_it_is_whole() {
        let bytes = frame(3, 7, b"body", FRAME_END);
        for cut in 0..bytes.len() {
            assert_eq!(parse_frame(&bytes[..cut], 4_096), Ok(None), "{cut} bytes");
        }
        let expected = Frame { kind: FrameKind::Body, channel: ChannelNumber(7), payload: b"body" };
        assert_eq!(parse_frame(&[&bytes[..], b"rest"].concat(), 4_096), Ok(Some((expected, bytes.len()))));
    }

    #[test]
    fn size_is_refused_before_the_payload_arrives() {
        let head = |size: u32| [&[3, 0, 1][..], &size.to_be_bytes()].concat();
        assert_eq!(parse_frame(&head(4_096), 4_096), Ok(None));
        assert_eq!(refusal(&head(4_097), 4_096), "type 3, all octets = <<>>: {frame_too_large,4097,4088}");
        assert_eq!(parse_frame(&head(FRAME_PAYLOAD_CAP), 0), Ok(None));
        assert!(parse_frame(&head(FRAME_PAYLOAD_CAP + 9), 0).is_err());
        assert!(parse_frame(&head(u32::MAX), u32::MAX).is_ok_and(|frame| frame.is_none()));
        assert!(parse_frame(&head(u32::MAX), 1).is_err());
    }

    /// Every text below was sent by RabbitMQ 3.10 for the same bytes.
    #[test]
    fn refusals_are_worded_as_rabbitmq_words_them() {
        for (bytes, text) in [
            (frame(7, 0, b"abc", 0xCE), r#"type 7, all octets = <<"abc">>: unknown_frame"#),
            (frame(4, 0, b"", 0xCE), "type 4, all octets = <<>>: unknown_frame"),
            (frame(7, 0, b"ab\0", 0xCE), "type 7, all octets = <<97,98,0>>: unknown_frame"),
            (frame(7, 0, b"ab\n\\\"'", 0xCE), r#"type 7, all octets = <<"ab\n\\\"'">>: unknown_frame"#),
            (
                frame(7, 0, b"abcdefghijklmnopqrstuvwxyz", 0xCE),
                r#"type 7, first 16 octets = <<"abcdefghijklmnop">>: unknown_frame"#,
            ),
            (
                frame(1, 1, &[0, 20, 0, 20, 1], 0xCD),
                "type 1, all octets = <<0,20,0,20,1>>: {invalid_frame_end_marker,205}",
            ),
            (frame(8, 0, b"xyz", 0xCE), r#"type 8, all octets = <<"xyz">>: unknown_frame"#),
            (frame(8, 1, b"", 0xCE), "type 8, all octets = <<>>"),
        ] {
            assert_eq!(refusal(&bytes, 131_072), text);
        }
    }

    /// All frames of `chunks`, read as a connection reads: what is left waits for more.
    fn gather(chunks: impl Iterator<Item = Vec<u8>>) -> Vec<(FrameKind, ChannelNumber, Vec<u8>)> {
        let (mut pending, mut frames) = (Vec::new(), Vec::new());
        for chunk in chunks {
            pending.extend(chunk);
            while let Some((frame, size)) = parse_frame(&pending, 4_096).unwrap() {
                frames.push((frame.kind, frame.channel, frame.payload.to_vec()));
                pending.drain(..size);
            }
        }
        assert_eq!(pending, b"");
        frames
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(input: Vec<u8>, frame_max: u32) {
            if let Ok(Some((frame, size))) = parse_frame(&input, frame_max) {
                prop_assert_eq!(size, frame.payload.len() + FRAME_OVERHEAD);
                prop_assert!(size <= input.len());
            }
        }

        #[test]
        fn any_chunking_gives_the_same_frames(
            body in proptest::collection::vec(any::<u8>(), 0..10_000),
            channel: u16,
            chunk_size in 1_usize..5_000,
        ) {
            let channel = ChannelNumber(channel);
            let mut stream = Vec::new();
            write_publish(&mut stream, channel, "amq.direct", "key", true, false);
            write_header(&mut stream, channel, b"header");
            write_body(&mut stream, channel, &body, 4_096);
            write_heartbeat(&mut stream);
            let whole = gather(std::iter::once(stream.clone()));
            prop_assert_eq!(whole.len(), 3 + body.len().div_ceil(4_088));
            prop_assert_eq!(gather(stream.chunks(chunk_size).map(<[u8]>::to_vec)), whole);
        }
    }
}
