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
        if !shown.is_empty() && shown.iter().all(|octet| matches!(octet, b' '..=b'~')) {
            return write!(f, "<<\"{}\">>", shown.escape_ascii().to_string().replace("\\'", "'"));
        }
        f.write_str(&erlang_binary(shown))
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
