//! Bytes on their way to a socket.

use std::{
    io::IoSlice,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use crate::{
    model::message::Message,
    wire::{
        encode::{body_piece_max, write_body, write_body_frame_head, write_header},
        frame::{ChannelNumber, FRAME_END},
    },
};

/// Frames to send. Small bodies are copied among the frames; large ones are sent from where they are.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    /// Large bodies (or parts of them), each with the place in `bytes` where it belongs.
    bodies: Vec<(usize, Bytes)>,
    bodies_size: usize,
    sent: usize,
    cost: usize,
    reply_size: usize,
}

/// A body of this size is worth a slice of its own in a vectored write, bytes.
const LARGE_BODY: usize = 16 << 10;
/// Slices of one vectored write.
const SLICES_MAX: usize = 64;
/// An empty buffer gives its memory back above this, bytes.
const KEPT_CAPACITY: usize = 64 << 10;
/// So many deliveries at once are worth a large buffer.
const MANY: usize = 32;
/// Large buffers for whoever has many deliveries next: one that grows from nothing copies all it has again and again.
static SPARES: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
/// So many of them are kept.
const SPARES_MAX: usize = 4;
/// None of them is larger, bytes.
const SPARE_CAPACITY_MAX: usize = 4 << 20;

impl Buffer {
    /// Nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes in it, sent ones too.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len() + self.bodies_size
    }

    /// What it counts for in its outbox's room.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// Bytes of replies in it, as opposed to deliveries.
    pub(super) fn reply_size(&self) -> usize {
        self.reply_size
    }

    pub(super) fn add_cost(&mut self, cost: usize) {
        self.cost += cost;
    }

    /// So many deliveries will be written.
    pub(super) fn expect(&mut self, deliveries: usize) {
        if deliveries < MANY || self.bytes.capacity() > KEPT_CAPACITY {
            return;
        }
        if let Some(mut spare) = spares().pop() {
            spare.extend_from_slice(&self.bytes);
            self.bytes = spare;
        }
    }

    /// Where frames are written to.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Writes frames that answer something; says how many bytes.
    pub(super) fn write_reply(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let before = self.bytes.len();
        write(&mut self.bytes);
        let size = self.bytes.len() - before;
        self.cost += size;
        self.reply_size += size;
        size
    }

    /// Writes a method with content that answers something; says how many bytes that is.
    pub(super) fn write_reply_content(
        &mut self,
        channel: ChannelNumber,
        message: &Message,
        frame_max: u32,
        method: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let before = self.size();
        method(&mut self.bytes);
        self.write_content(channel, message, frame_max);
        let size = self.size() - before;
        self.cost += size;
        self.reply_size += size;
        size
    }

    /// Writes header and body frames.
    pub(super) fn write_content(&mut self, channel: ChannelNumber, message: &Message, frame_max: u32) {
        write_header(&mut self.bytes, channel, message.header());
        if message.body_size() < LARGE_BODY {
            write_body(&mut self.bytes, channel, message.body(), frame_max);
            return;
        }
        let body = message.shared_body();
        let piece_max = body_piece_max(frame_max);
        for start in (0..body.len()).step_by(piece_max) {
            let part = body.slice(start..body.len().min(start + piece_max));
            write_body_frame_head(&mut self.bytes, channel, u32::try_from(part.len()).unwrap_or(u32::MAX));
            self.bodies_size += part.len();
            self.bodies.push((self.bytes.len(), part));
            self.bytes.push(FRAME_END);
        }
    }

    /// The next slices to send.
    #[must_use]
    pub fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(SLICES_MAX.min(1 + 2 * self.bodies.len()));
        let mut skip = self.sent;
        let mut start = 0;
        for (end, body) in &self.bodies {
            push(&mut slices, &self.bytes[start..*end], &mut skip);
            push(&mut slices, body, &mut skip);
            start = *end;
            if slices.len() >= SLICES_MAX - 1 {
                return slices;
            }
        }
        push(&mut slices, &self.bytes[start..], &mut skip);
        slices
    }

    /// So many bytes were sent. True when that was all: the buffer is empty then.
    pub fn advance(&mut self, count: usize) -> bool {
        self.sent += count;
        if self.sent < self.size() {
            return false;
        }
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_CAPACITY {
            leave(mem::take(&mut self.bytes));
        }
        self.bodies.clear();
        (self.bodies_size, self.sent, self.cost, self.reply_size) = (0, 0, 0, 0);
        true
    }

    /// Gives all memory back.
    pub fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

fn spares() -> MutexGuard<'static, Vec<Vec<u8>>> {
    SPARES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leaves an empty buffer to others.
fn leave(bytes: Vec<u8>) {
    let mut spares = spares();
    if spares.len() < SPARES_MAX && bytes.capacity() <= SPARE_CAPACITY_MAX {
        spares.push(bytes);
    }
}

fn push<'a>(slices: &mut Vec<IoSlice<'a>>, part: &'a [u8], skip: &mut usize) {
    let skipped = part.len().min(*skip);
    *skip -= skipped;
    if skipped < part.len() {
        slices.push(IoSlice::new(&part[skipped..]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::message::{Arena, MessageHead};

    #[test]
    fn slices_follow_the_order_of_writing_across_any_partial_send() {
        let head = MessageHead { route: b"\0\x01q", header: b"hhhh", is_persistent: false };
        let mut buffer = Buffer::default();
        for size in [0, 5, LARGE_BODY, 3 * LARGE_BODY + 1, 7] {
            let message = Arena::default().message(head, &vec![size as u8; size]);
            buffer.write_content(ChannelNumber(1), &message, 20_000);
        }
        let whole: Vec<u8> = buffer.slices().iter().flat_map(|slice| slice.to_vec()).collect();
        assert_eq!(whole.len(), buffer.size());
        let mut seen = Vec::new();
        loop {
            let part: Vec<u8> = buffer.slices().iter().flat_map(|slice| slice.to_vec()).take(977).collect();
            seen.extend_from_slice(&part);
            if buffer.advance(part.len()) {
                break;
            }
        }
        assert_eq!(seen, whole);
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_was_written_before_many_deliveries_stays_in_front_of_them() {
        leave(Vec::with_capacity(SPARE_CAPACITY_MAX));
        leave(Vec::with_capacity(SPARE_CAPACITY_MAX + 1));
        assert!(spares().iter().all(|spare| spare.is_empty() && spare.capacity() <= SPARE_CAPACITY_MAX));
        let mut buffer = Buffer::default();
        buffer.bytes().extend_from_slice(b"before");
        buffer.expect(MANY);
        buffer.bytes().extend_from_slice(b" after");
        assert_eq!(buffer.bytes, b"before after");
        buffer.advance(buffer.size());
        assert!(buffer.bytes.capacity() <= KEPT_CAPACITY);
    }
}
