//! Messages that leave a queue though nobody acked them: expired, refused, too many, or delivered too often.
//!
//! They are taken out here and wait, neither ready nor unsettled, until the caller has sent them on or dropped them:
//! that may take the locks of other queues, so it is a later step. While too many wait nothing more is taken out, but
//! for what consumers refuse.

use std::collections::VecDeque;

use super::{Credit, Entry, Outcome, Overflow, Position, Queue};
use crate::model::{dead_letter::Reason, message::Message, timestamp::Timestamp};

/// A message that leaves.
#[derive(Clone, Debug)]
pub struct Departure {
    /// Its place; none if it was never in the queue.
    pub position: Option<Position>,
    /// What was published.
    pub message: Message,
    /// Why it leaves.
    pub reason: Reason,
}

/// Those that wait to be sent on or dropped, in the order in which they left.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    waiting: VecDeque<Departure>,
    bytes: usize,
    /// How many there were before those that wait.
    gone: u64,
}

/// So many wait at most, and bodies of so many bytes.
const COUNT_MAX: usize = 1_024;
const BYTES_MAX: usize = 1 << 20;

impl Leaving {
    pub(super) fn push(&mut self, departure: Departure) {
        self.bytes += departure.message.size();
        self.waiting.push_back(departure);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Departure> {
        self.waiting.iter()
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= COUNT_MAX || self.bytes >= BYTES_MAX
    }
}

impl<C: Clone + Credit> Queue<C> {
    /// Whether messages may expire, or be too many: [`Queue::trim`] is to be called.
    #[must_use]
    pub fn needs_trim(&self) -> bool {
        self.is_timed || self.rules.has_length_limit()
    }

    /// Whether a message may expire: the time matters.
    #[must_use]
    pub fn is_timed(&self) -> bool {
        self.is_timed
    }

    /// An earlier process left messages that may expire.
    pub fn set_timed(&mut self) {
        self.is_timed = true;
    }

    /// Takes out the next messages while their time is over, or while there are too many. Says whether it stopped for
    /// those that wait to be sent on.
    pub fn trim(&mut self, now: Timestamp) -> bool {
        loop {
            let Some(next) = self.ready.next() else { return false };
            let reason = if self.is_timed && self.deadline(next).is_some_and(|deadline| deadline <= now) {
                Reason::Expired
            } else if self.rules.overflow == Overflow::DropHead && self.is_too_long() {
                Reason::MaxLength
            } else {
                return false;
            };
            if !self.take_out_next(reason) {
                return true;
            }
        }
    }

    /// Whether the next message is not in memory and may have to leave.
    #[must_use]
    pub fn needs_next(&self) -> bool {
        let is_too_long = self.rules.overflow == Overflow::DropHead && self.is_too_long();
        self.ready.wanted().is_some() && (self.is_timed || is_too_long)
    }

    /// When the next message expires, if it is in memory.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.ready.next().filter(|_| self.is_timed).and_then(|next| self.deadline(next))
    }

    /// Whether a new message would make the queue longer than it may be, and gives way to those that wait, when so many
    /// others with bodies of so many bytes will have been added.
    #[must_use]
    pub fn refuses(&self, message: &Message, (count, bytes): (u64, u64)) -> bool {
        if !self.rules.may_refuse() {
            return false;
        }
        let count = self.ready.len() as u64 + count + 1;
        let bytes = self.ready.bytes() + bytes + message.body_size() as u64;
        self.rules.is_exceeded_by(count, bytes)
    }

    /// A new message was refused: it is dead-lettered if the queue does that.
    pub fn on_refused(&mut self, message: &Message) {
        if self.rules.overflow == Overflow::RejectPublishDeadLetter && self.rules.dead_letters.is_some() {
            let (position, reason) = (None, Reason::MaxLength);
            self.leaving.push(Departure { position, message: message.clone(), reason });
        }
    }

    /// Why a message leaves that would be unsettled no more. None: it is gone, or back.
    #[must_use]
    pub fn departure(&self, position: Position, outcome: Outcome) -> Option<Reason> {
        match outcome {
            Outcome::Accept => None,
            Outcome::Discard => self.rules.dead_letters.as_ref().map(|_| Reason::Rejected),
            Outcome::Requeue => {
                let limit = self.rules.delivery_limit?;
                let entry = self.unsettled.get(&position)?;
                (entry.delivery_count > limit).then_some(Reason::DeliveryLimit)
            }
        }
    }

    /// Whether messages wait to be sent on or dropped.
    #[must_use]
    pub fn has_leaving(&self) -> bool {
        !self.leaving.waiting.is_empty()
    }

    /// How many messages wait to be sent on or dropped.
    #[must_use]
    pub fn leaving_count(&self) -> usize {
        self.leaving.waiting.len()
    }

    /// The first of those that wait, and how many there were before: a number that tells whether they are still the
    /// first later.
    pub fn leaving(&self) -> (u64, impl Iterator<Item = &Departure>) {
        (self.leaving.gone, self.leaving.iter())
    }

    /// Forgets the first of those that wait: they have gone.
    pub fn forget_leaving(&mut self, count: usize) {
        for departure in self.leaving.waiting.drain(..count) {
            self.leaving.bytes -= departure.message.size();
            self.leaving.gone += 1;
        }
    }

    /// Takes out the next message; false if too many wait already.
    pub(super) fn take_out_next(&mut self, reason: Reason) -> bool {
        if self.leaving.is_full() {
            return false;
        }
        if let Some(Entry { position, message, .. }) = self.ready.pop_front() {
            self.leaving.push(Departure { position: Some(position), message, reason });
        }
        true
    }

    /// When a message expires: the shorter of its own time to live and the queue's, from when it came.
    pub(super) fn deadline(&self, entry: &Entry) -> Option<Timestamp> {
        let arrived_at = entry.message.arrived_at()?;
        let own = entry.message.expiration_millis();
        let millis = match (own, self.rules.message_ttl) {
            (Some(own), Some(ttl)) => own.min(ttl),
            (own, ttl) => own.or(ttl)?,
        };
        Some(arrived_at.plus_millis(millis))
    }

    fn is_too_long(&self) -> bool {
        self.rules.is_exceeded_by(self.ready.len() as u64, self.ready.bytes())
    }
}
