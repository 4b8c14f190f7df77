//! Frames on the wire, and the buffer that finds them in what was read.

use std::error::Error;
use std::fmt;
use std::io::{self, Read};

/// Octets of a frame around its payload: type, channel, size, end.
pub const FRAME_OVERHEAD: usize = 8;
/// The largest frame this tool offers and accepts; a body longer than this travels in several frames.
pub const FRAME_MAX: u32 = 131_072;
/// A read asks for up to this much. Twice the largest frame, so that a partial one never fills the buffer.
const READ_BYTES_MAX: usize = 2 * (FRAME_MAX as usize + FRAME_OVERHEAD);
/// What the first read asks for. Thousands of idle connections have to fit into memory.
const READ_BYTES_FIRST: usize = 1_024;
const GROWTH: usize = 4;
const FRAME_END: u8 = 0xCE;
const HEADER_BYTES: usize = 7;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A method with its arguments.
    Method = 1,
    /// The size and properties of a content.
    Header = 2,
    /// A part of a content's body.
    Body = 3,
    /// A sign of life.
    Heartbeat = 8,
}

/// One frame, borrowed from the inbox it was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the payload is.
    pub kind: FrameKind,
    /// The channel it belongs to; 0 is the connection.
    pub channel: u16,
    /// The octets between the frame's header and its end.
    pub payload: &'a [u8],
}

/// The peer sent something that is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// No frame has this type.
    UnknownKind(u8),
    /// Larger than `FRAME_MAX`.
    TooLarge(u32),
    /// The octet after the payload is not 0xCE.
    BadEnd(u8),
}

/// What was read and not yet looked at.
#[derive(Debug)]
pub struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    /// An empty inbox with little room; it grows up to two of the largest frames.
    pub fn new() -> Self {
        Self { buffer: vec![0; READ_BYTES_FIRST], start: 0, end: 0 }
    }

    /// Reads once. Call it only when `next_frame` said that no whole frame is left.
    pub fn fill(&mut self, source: &mut impl Read) -> io::Result<usize> {
        let had_no_room = self.is_full();
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if had_no_room && self.buffer.len() < READ_BYTES_MAX {
            self.buffer.resize((self.buffer.len() * GROWTH).min(READ_BYTES_MAX), 0);
        }
        let count = source.read(&mut self.buffer[self.end..])?;
        self.end += count;
        Ok(count)
    }

    /// Whether the last read took all it had room for, so that the source may have more.
    pub fn is_full(&self) -> bool {
        self.end == self.buffer.len()
    }

    /// Takes the next whole frame, if there is one.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let unread = &self.buffer[self.start..self.end];
        let Some(header) = unread.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let [kind, channel_high, channel_low, size @ ..] = *header;
        let kind = FrameKind::parse(kind)?;
        let size = u32::from_be_bytes(size);
        if size > FRAME_MAX {
            return Err(FrameError::TooLarge(size));
        }
        let payload_end = HEADER_BYTES + size as usize;
        let Some(&frame_end) = unread.get(payload_end) else { return Ok(None) };
        if frame_end != FRAME_END {
            return Err(FrameError::BadEnd(frame_end));
        }
        self.start += payload_end + 1;
        let channel = u16::from_be_bytes([channel_high, channel_low]);
        Ok(Some(Frame { kind, channel, payload: &unread[HEADER_BYTES..payload_end] }))
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

/// Appends a frame whose payload `write_payload` appends.
pub fn write_frame(
    out: &mut Vec<u8>,
    kind: FrameKind,
    channel: u16,
    write_payload: impl FnOnce(&mut Vec<u8>),
) {
    out.push(kind as u8);
    out.extend_from_slice(&channel.to_be_bytes());
    write_sized(out, write_payload);
    out.push(FRAME_END);
}

/// Appends a 32-bit length and then what `write_content` appends.
pub fn write_sized(out: &mut Vec<u8>, write_content: impl FnOnce(&mut Vec<u8>)) {
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    write_content(out);
    let length = u32::try_from(out.len() - length_at - 4).unwrap_or(u32::MAX);
    out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
}

impl FrameKind {
    fn parse(octet: u8) -> Result<Self, FrameError> {
        match octet {
            1 => Ok(Self::Method),
            2 => Ok(Self::Header),
            3 => Ok(Self::Body),
            8 => Ok(Self::Heartbeat),
            other => Err(FrameError::UnknownKind(other)),
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind(kind) => write!(f, "frame of unknown type {kind}: is this an AMQP 0-9-1 port?"),
            Self::TooLarge(size) => write!(f, "frame of {size} bytes, more than the {FRAME_MAX} agreed on"),
            Self::BadEnd(octet) => write!(f, "frame ends with {octet:#04x} instead of 0xce"),
        }
    }
}

impl Error for FrameError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_frame(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_frame(&mut out, FrameKind::Body, 1, |out| out.extend_from_slice(payload));
        out
    }

    /// Hands out its bytes in pieces of `step`.
    struct Trickle<'a> {
        bytes: &'a [u8],
        step: usize,
    }

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.step.min(self.bytes.len()).min(buffer.len());
            let (now, later) = self.bytes.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.bytes = later;
            Ok(count)
        }
    }

    #[test]
    fn frames_survive_any_cut() {
        let bodies: Vec<Vec<u8>> = (0..40_usize).map(|n| vec![n as u8; n * 7]).collect();
        let bytes: Vec<u8> = bodies.iter().flat_map(|body| body_frame(body)).collect();
        for step in [1, 2, 7, 8, 9, 100, 1_000, 100_000] {
            let mut source = Trickle { bytes: &bytes, step };
            let mut inbox = Inbox::new();
            let mut seen = Vec::new();
            while inbox.fill(&mut source).unwrap() > 0 {
                while let Some(frame) = inbox.next_frame().unwrap() {
                    assert_eq!((frame.kind, frame.channel), (FrameKind::Body, 1));
                    seen.push(frame.payload.to_vec());
                }
            }
            assert_eq!(seen, bodies, "in steps of {step}");
        }
    }

    #[test]
    fn the_largest_frame_fits_after_a_partial_one() {
        let large = vec![7; FRAME_MAX as usize];
        let bytes = [body_frame(&large), body_frame(&large), body_frame(&large)].concat();
        let mut source = bytes.as_slice();
        let mut inbox = Inbox::new();
        let mut count = 0;
        while inbox.fill(&mut source).unwrap() > 0 {
            while let Some(frame) = inbox.next_frame().unwrap() {
                assert_eq!(frame.payload, large);
                count += 1;
            }
        }
        assert_eq!(count, 3);
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        let parse = |bytes: &[u8]| {
            let mut inbox = Inbox::new();
            inbox.fill(&mut &*bytes).unwrap();
            inbox.next_frame().map(|frame| frame.is_some())
        };
        assert_eq!(parse(b"AMQP\0\0\x09\x01"), Err(FrameError::UnknownKind(b'A')));
        assert_eq!(parse(&[3, 0, 1, 0xFF, 0, 0, 0]), Err(FrameError::TooLarge(0xFF00_0000)));
        assert_eq!(parse(&[8, 0, 0, 0, 0, 0, 0, 0]), Err(FrameError::BadEnd(0)));
        assert_eq!(parse(&[8, 0, 0, 0, 0, 0, 0]), Ok(false));
    }
}
