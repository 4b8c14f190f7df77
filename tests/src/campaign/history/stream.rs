//! One publisher's messages in one queue: a byte a message.

use std::ops::Range;

use super::publisher::Publisher;

/// Bits of a message's byte.
pub(super) mod bit {
    /// Was delivered at least once.
    pub(in super::super) const SEEN: u8 = 1;
    /// A channel holds it unsettled.
    pub(in super::super) const HELD: u8 = 2;
    /// Was acked in this life; no barrier yet.
    pub(in super::super) const ACKED: u8 = 4;
    /// Was acked in an earlier life without a barrier: may come back.
    pub(in super::super) const ACKED_BEFORE: u8 = 8;
    /// Must not come back: acked before a barrier, or not there when the queue was read to its end.
    pub(in super::super) const FINAL: u8 = 16;
    /// May be missing: a purge, a deletion, or a delivery that needed no ack may have taken it.
    pub(in super::super) const EXCUSED: u8 = 32;
}

/// The messages, by number.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) is_durable: bool,
    marks: Vec<u8>,
    /// Everything below is final: nothing to look at.
    floor: u32,
    /// A purge or deletion took everything below, in this life.
    purged_below: u32,
    /// A purge or deletion took everything below, for good.
    gone_below: u32,
    /// One more than the highest number ever delivered.
    seen_below: u32,
    /// What may have been on its way to a consumer that needs not ack when the broker died: a run from its begin on.
    in_transit: Option<Range<u32>>,
}

impl Stream {
    pub(super) fn new(is_durable: bool) -> Stream {
        Stream {
            is_durable,
            marks: Vec::new(),
            floor: 0,
            purged_below: 0,
            gone_below: 0,
            seen_below: 0,
            in_transit: None,
        }
    }

    pub(super) fn has(&self, number: u32, bits: u8) -> bool {
        self.marks.get(number as usize).is_some_and(|marks| marks & bits != 0)
    }

    pub(super) fn set(&mut self, number: u32, bits: u8) {
        let index = number as usize;
        if self.marks.len() <= index {
            self.marks.resize(index + 1, 0);
        }
        self.marks[index] |= bits;
    }

    pub(super) fn clear(&mut self, number: u32, bits: u8) {
        if let Some(marks) = self.marks.get_mut(number as usize) {
            *marks &= !bits;
        }
    }

    /// Whether a purge or deletion has taken the message.
    pub(super) fn is_purged(&self, number: u32) -> bool {
        number < self.purged_below
    }

    /// Whether a message with a higher number has come before.
    pub(super) fn is_late(&self, number: u32) -> bool {
        number < self.seen_below
    }

    /// Notes a delivery.
    pub(super) fn deliver(&mut self, number: u32, is_no_ack: bool) {
        if let Some(in_transit) = self.in_transit.take() {
            // What was on its way is a run: from the first that comes again, everything has to come.
            self.excuse(in_transit.start..in_transit.end.min(number));
        }
        // It is there, so no earlier ack or purge took it.
        self.clear(number, bit::ACKED_BEFORE | bit::EXCUSED);
        self.set(number, bit::SEEN | if is_no_ack { bit::ACKED } else { bit::HELD });
        self.seen_below = self.seen_below.max(number + 1);
    }

    /// An ack at the end of a life, without a barrier.
    pub(super) fn leave_acked(&mut self, number: u32) {
        self.clear(number, bit::ACKED);
        self.set(number, bit::ACKED_BEFORE);
    }

    /// A barrier after the ack.
    pub(super) fn finish_acked(&mut self, number: u32) {
        self.clear(number, bit::ACKED);
        self.set(number, bit::FINAL);
    }

    /// The message must be in the queue.
    pub(super) fn must_have(&self, publisher: &Publisher, number: u32) -> bool {
        let gone = bit::ACKED | bit::ACKED_BEFORE | bit::FINAL | bit::EXCUSED;
        publisher.is_acked(number)
            && publisher.outlives(number, self.is_durable)
            && !self.is_purged(number)
            && !self.has(number, gone)
    }

    /// The message may be in the queue.
    pub(super) fn may_have(&self, publisher: &Publisher, number: u32) -> bool {
        publisher.outlives(number, self.is_durable)
            && !self.is_purged(number)
            && !self.has(number, bit::ACKED | bit::FINAL)
            && !publisher.is_uncommitted(number)
    }

    /// How many messages must be, and how many may be in the queue.
    pub(super) fn bounds(&mut self, publisher: &Publisher) -> (u32, u32) {
        self.raise_floor(publisher);
        let (mut least, mut most) = (0, 0);
        for number in self.floor..publisher.len() {
            let is_in_transit =
                self.in_transit.as_ref().is_some_and(|in_transit| in_transit.contains(&number));
            least += u32::from(!is_in_transit && self.must_have(publisher, number));
            most += u32::from(self.may_have(publisher, number));
        }
        (least, most)
    }

    /// The queue was read to its end: what should have been there and was not. What was not there must stay away.
    pub(super) fn drain(&mut self, publisher: &Publisher) -> Vec<u32> {
        if let Some(in_transit) = self.in_transit.take() {
            self.excuse(in_transit);
        }
        let mut lost = Vec::new();
        for number in self.floor..publisher.len() {
            if self.must_have(publisher, number) {
                lost.push(number);
            }
            if !self.has(number, bit::ACKED) {
                self.set(number, bit::FINAL);
            }
        }
        self.raise_floor(publisher);
        lost
    }

    /// The numbers whose messages are surely in the queue or were: confirmed without a gap.
    pub(super) fn confirmed_below(&self, publisher: &Publisher) -> u32 {
        let begin = self.floor.max(self.purged_below);
        (begin..publisher.len()).find(|number| !publisher.is_acked(*number)).unwrap_or(publisher.len())
    }

    /// A purge that is through: `below` it took everything, up to `end` it may have.
    pub(super) fn purge(&mut self, below: u32, end: u32) {
        self.purged_below = self.purged_below.max(below);
        self.excuse_purged(end);
    }

    /// A purge that may or may not have happened.
    pub(super) fn excuse_purged(&mut self, end: u32) {
        self.excuse(self.floor..end);
    }

    /// The last purge outlives crashes.
    pub(super) fn finish_purge(&mut self) {
        self.gone_below = self.purged_below;
    }

    /// The broker has died. `was_no_ack`: a consumer that needs not ack took from the queue.
    pub(super) fn end_life(&mut self, len: u32, was_no_ack: bool) {
        self.purged_below = self.gone_below;
        if was_no_ack {
            let begin = self.in_transit.as_ref().map_or(self.seen_below, |in_transit| in_transit.start);
            self.in_transit = Some(begin..len);
        }
    }

    fn excuse(&mut self, numbers: Range<u32>) {
        for number in numbers {
            self.set(number, bit::EXCUSED);
        }
    }

    fn raise_floor(&mut self, publisher: &Publisher) {
        let is_final = |number: u32| {
            self.has(number, bit::FINAL)
                || number < self.gone_below
                || !publisher.outlives(number, self.is_durable)
        };
        self.floor = (self.floor..publisher.len()).find(|n| !is_final(*n)).unwrap_or(publisher.len());
    }
}
