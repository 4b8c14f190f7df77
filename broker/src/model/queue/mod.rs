//! A queue as a pure state machine.
//!
//! It learns of messages through [`Queue::on_appended`], decides in [`Queue::dispatch`] who gets the next
//! ones, and takes them back or forgets them in [`Queue::settle`]. It does nothing itself: the caller
//! carries the decisions out.
//!
//! ```text
//!  on_appended ──> ready ── dispatch, get ──> unsettled ── Accept, Discard ──> gone
//!                  │ ^                            │ │
//!                  │ └────────── Requeue ─────────┘ │   (to the place its position gives it)
//!                  └── trim ──> leaving <── settle ─┘   (expired, too many; refused, delivered too often)
//! ```
//!
//! Of many ready messages only the next and the newest are in memory: the caller takes out what is
//! [`Queue::pageable`] and brings it back when it is [`Queue::wanted`].

mod consumers;
mod lanes;
mod leaving;
mod options;
mod ready;
mod rules;

pub use consumers::{ConsumeError, ConsumerId, Credit, Member};
pub use lanes::{Lane, Lanes};
pub use leaving::Departure;
pub use options::{
    EquivalenceError, Inequivalent, QUEUE_TYPE, QueueOptions, QueueOptionsError, QueueType, locked_text,
};
pub use rules::{Overflow, QueueRules, check_consumer};

use std::sync::Arc;

use consumers::Consumers;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use leaving::Leaving;
use ready::Ready;

use crate::model::{dead_letter::Reason, message::Message, timestamp::Timestamp};

/// A message's place in its queue's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(pub u64);

/// A message as a queue holds it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place.
    pub position: Position,
    /// What was published.
    pub message: Message,
    /// How often it was handed out before.
    pub delivery_count: u32,
}

/// One handing-over of a message.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Where it stands in the queue.
    pub position: Position,
    /// What to hand over.
    pub message: Message,
    /// How often it was handed over before.
    pub delivery_count: u32,
}

/// A delivery that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The log may hold the message.
    pub is_persistent: bool,
    /// Its body.
    pub body_size: u64,
    /// It is neither gone nor back: it waits to be sent on or dropped.
    pub is_leaving: bool,
}

/// How a delivery ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The consumer is done with it (`basic.ack`).
    Accept,
    /// Back to its old place (`basic.nack`/`reject` with requeue, or its channel died).
    Requeue,
    /// The consumer refused it for good (`basic.nack`/`reject` without requeue).
    Discard,
}

/// Numbers of a queue that tools show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Messages waiting.
    pub ready: usize,
    /// Messages delivered and not yet settled.
    pub unsettled: usize,
    /// Bodies of the waiting ones, bytes.
    pub ready_bytes: u64,
    /// Bodies of the unsettled ones, bytes.
    pub unsettled_bytes: u64,
    /// Consumers.
    pub consumers: usize,
}

/// A queue. `C` is the caller's handle of a consumer.
///
/// Invariant: every message is in exactly one of `ready`, `unsettled` and `leaving`.
#[derive(Debug)]
pub struct Queue<C> {
    ready: Ready,
    unsettled: HashMap<Position, Entry, FixedState>,
    unsettled_bytes: u64,
    consumers: Consumers<C>,
    next_position: u64,
    /// Messages below may have been handed out by an earlier process.
    flagged_below: Position,
    /// Persistent messages from here on may not be handed out for the first time.
    cleared_below: Position,
    rules: Arc<QueueRules>,
    /// Messages that may expire are there, or were.
    is_timed: bool,
    leaving: Leaving,
}

impl Delivery {
    /// Whether it was handed over before.
    #[must_use]
    pub fn is_redelivered(&self) -> bool {
        self.delivery_count > 0
    }
}

impl Entry {
    fn is_cleared(&self, cleared_below: Position) -> bool {
        self.position < cleared_below || self.delivery_count > 0 || !self.message.is_persistent()
    }
}

impl From<Entry> for Delivery {
    fn from(Entry { position, message, delivery_count }: Entry) -> Self {
        Self { position, message, delivery_count }
    }
}

impl<C: Clone + Credit> Default for Queue<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Clone + Credit> Queue<C> {
    /// An empty queue without rules.
    #[must_use]
    pub fn new() -> Self {
        Self::with_rules(QueueRules::default().shared())
    }

    /// An empty queue.
    #[must_use]
    pub fn with_rules(rules: impl Into<Arc<QueueRules>>) -> Self {
        let rules = rules.into();
        Self {
            ready: Ready::new(rules.max_priority),
            unsettled: HashMap::with_hasher(FixedState::default()),
            unsettled_bytes: 0,
            consumers: match rules.is_single_active {
                true => Consumers::single_active(),
                false => Consumers::default(),
            },
            next_position: 0,
            flagged_below: Position(0),
            cleared_below: Position(u64::MAX),
            is_timed: rules.message_ttl.is_some(),
            leaving: Leaving::default(),
            rules,
        }
    }

    /// What its arguments, and policies, make it do.
    #[must_use]
    pub fn rules(&self) -> &QueueRules {
        &self.rules
    }

    /// Other rules from now on, but for priorities and the single active consumer. What waits to be sent on is sent to
    /// where it goes now, or dropped.
    pub fn set_rules(&mut self, rules: Arc<QueueRules>) {
        debug_assert_eq!(rules.max_priority, self.rules.max_priority);
        debug_assert_eq!(rules.is_single_active, self.rules.is_single_active);
        self.is_timed |= rules.message_ttl.is_some();
        self.rules = rules;
    }

    /// The position that the next appended message gets.
    #[must_use]
    pub fn next_position(&self) -> Position {
        Position(self.next_position)
    }

    /// The log has taken a message for this queue: it is ready.
    pub fn on_appended(&mut self, position: Position, message: Message) {
        debug_assert!(position.0 >= self.next_position, "positions grow");
        self.next_position = position.0 + 1;
        self.is_timed |= message.arrived_at().is_some();
        self.ready.push_back(Entry { position, message, delivery_count: 0 });
    }

    /// Where the first message stands, or will stand, that was never handed out.
    #[must_use]
    pub fn first_new(&self) -> Position {
        self.ready.first_new().unwrap_or(Position(self.next_position))
    }

    /// Persistent messages below may be handed out for the first time. All, until this is said.
    pub fn set_cleared_below(&mut self, position: Position) {
        self.cleared_below = position;
    }

    /// Whether the next message may not be handed out yet.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.ready.next().is_some_and(|next| !next.is_cleared(self.cleared_below))
    }

    /// Messages below may have been handed out by an earlier process.
    #[must_use]
    pub fn flagged_below(&self) -> Position {
        self.flagged_below
    }

    /// Hands out up to `limit` ready messages, one by one to the next consumer in turn that has credit,
    /// and adds a lane for each consumer that got any. Those whose time was over before `now` leave instead. Says
    /// whether it stopped at the limit with more to hand out.
    pub fn dispatch(&mut self, limit: usize, now: Timestamp, lanes: &mut Lanes<C>) -> bool {
        let mut count = 0;
        while count < limit {
            let Some(next) = self.ready.next() else { return false };
            if self.is_timed && self.deadline(next).is_some_and(|deadline| deadline < now) {
                if !self.take_out_next(Reason::Expired) {
                    return false;
                }
                continue;
            }
            if !next.is_cleared(self.cleared_below) {
                return false;
            }
            let Some(member) = self.consumers.take_turn(next.message.size()) else { return false };
            let Some(entry) = self.ready.pop_front() else { return false };
            let delivery = if member.is_no_ack {
                Delivery::from(entry)
            } else {
                hold(&mut self.unsettled, &mut self.unsettled_bytes, entry)
            };
            let lane = member.lane(lanes);
            lanes.add(lane, delivery);
            count += 1;
        }
        !self.ready.is_empty()
    }

    /// Of the deliveries of one dispatch the one with the lowest rank was handed out first.
    #[must_use]
    pub fn rank(&self, delivery: &Delivery) -> impl Ord + use<C> {
        self.ready.rank(delivery)
    }

    /// Takes the head out for a `basic.get`, unless it is held.
    pub fn get(&mut self, is_no_ack: bool) -> Option<Delivery> {
        if self.is_held() {
            return None;
        }
        let entry = self.ready.pop_front()?;
        if is_no_ack {
            return Some(Delivery::from(entry));
        }
        Some(hold(&mut self.unsettled, &mut self.unsettled_bytes, entry))
    }

    /// The message that is unsettled at this position.
    pub fn unsettled(&self, position: Position) -> Option<Settled> {
        let entry = self.unsettled.get(&position)?;
        let message = &entry.message;
        let (is_persistent, body_size) = (message.is_persistent(), message.body_size() as u64);
        Some(Settled { is_persistent, body_size, is_leaving: false })
    }

    /// Ends a delivery. None when the position is not unsettled here.
    pub fn settle(&mut self, position: Position, outcome: Outcome) -> Option<Settled> {
        let departure = match outcome {
            Outcome::Accept => None,
            Outcome::Requeue | Outcome::Discard => self.departure(position, outcome),
        };
        let entry = self.unsettled.remove(&position)?;
        let body_size = entry.message.body_size() as u64;
        let is_persistent = entry.message.is_persistent();
        self.unsettled_bytes -= body_size;
        if let Some(reason) = departure {
            let message = self.rules.without_count(entry.message);
            self.leaving.push(Departure { position: Some(position), message, reason });
        } else if outcome == Outcome::Requeue {
            self.ready.put_back(self.rules.with_count(entry));
        }
        Some(Settled { is_persistent, body_size, is_leaving: departure.is_some() })
    }

    /// What an earlier process left: messages that are paged, all below `paged_to`, and where new ones go. Those below
    /// `flagged_below` may have been handed out.
    pub fn restore(&mut self, paged_to: Position, (count, bytes): (usize, u64), flagged_below: Position) {
        self.flagged_below = flagged_below;
        self.next_position = self.next_position.max(paged_to.0);
        self.ready.restore_paged(paged_to, count, bytes);
    }

    /// A message that an earlier process left and that is in memory: behind all others.
    pub fn restore_newest(&mut self, entry: Entry) {
        self.next_position = self.next_position.max(entry.position.0 + 1);
        self.is_timed |= entry.message.arrived_at().is_some();
        self.ready.push_back(self.rules.with_count(flag(entry, self.flagged_below)));
    }

    /// Positions that were given before are not given again.
    pub fn restore_next_position(&mut self, next: Position) {
        self.next_position = self.next_position.max(next.0);
    }

    /// What the ready messages take in memory that may be paged out, bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.ready.memory_bytes()
    }

    /// Ready messages that need not stay in memory, in order: none of the next ones up to `head_bytes`, none from
    /// `below` on.
    pub fn pageable(&self, below: Position, head_bytes: usize) -> impl Iterator<Item = &Entry> {
        self.ready.pageable(below, head_bytes)
    }

    /// Drops from memory what is pageable.
    pub fn page_out(&mut self, below: Position, head_bytes: usize) {
        self.ready.page_out(below, head_bytes);
    }

    /// The next message is not in memory: it is the first that the queue has from one position to before another.
    #[must_use]
    pub fn wanted(&self) -> Option<(Position, Position)> {
        self.ready.wanted()
    }

    /// Whether a consumer may take the next message, as far as is known.
    #[must_use]
    pub fn has_taker(&self) -> bool {
        self.taker().is_some()
    }

    /// The consumer whose turn is next, as far as is known.
    #[must_use]
    pub fn taker(&self) -> Option<&C> {
        self.consumers.next()
    }

    /// Brings back the next of what is paged: everything up to before `next`.
    pub fn page_in(&mut self, entries: Vec<Entry>, next: Position) {
        let flagged_below = self.flagged_below;
        let rules = &self.rules;
        let entries = entries.into_iter().map(|entry| rules.with_count(flag(entry, flagged_below)));
        self.ready.page_in(entries, next);
    }

    /// The persistent messages that are not ready, handed out or leaving, and the size of their bodies.
    pub fn unsettled_persistent(&self) -> impl Iterator<Item = (Position, u64)> {
        let unsettled = self.unsettled.values().map(|entry| (entry.position, &entry.message));
        let leaving =
            self.leaving.iter().filter_map(|own| own.position.map(|position| (position, &own.message)));
        let persistent = unsettled.chain(leaving).filter(|(_, message)| message.is_persistent());
        persistent.map(|(position, message)| (position, message.body_size() as u64))
    }

    /// Takes back a delivery that never reached its consumer: as if it had not been handed out.
    pub fn take_back(&mut self, delivery: Delivery) {
        let Delivery { position, message, delivery_count } = delivery;
        if self.unsettled.remove(&position).is_some() {
            self.unsettled_bytes -= message.body_size() as u64;
        }
        self.ready.put_back(self.rules.with_count(Entry { position, message, delivery_count }));
    }

    /// Drops all ready messages (`queue.purge`); says how many.
    pub fn purge(&mut self) -> usize {
        self.ready.clear()
    }

    /// Whether a consumer may join: `basic.consume` with `exclusive` needs to be alone.
    pub fn check_consume(&self, is_exclusive: bool) -> Result<(), ConsumeError> {
        self.consumers.check_join(is_exclusive)
    }

    /// Adds a consumer at the end of the round.
    pub fn add_consumer(&mut self, member: Member<C>) {
        self.consumers.join(member);
    }

    /// Removes a consumer; its unsettled messages stay unsettled.
    pub fn remove_consumer(&mut self, id: ConsumerId) -> Option<C> {
        self.consumers.leave(id)
    }

    /// Removes all consumers, as a deleted queue does.
    pub fn remove_consumers(&mut self) -> Vec<C> {
        self.consumers.leave_all()
    }

    /// Whether a consumer gets messages, rather than wait until the active one goes.
    #[must_use]
    pub fn is_active(&self, id: ConsumerId) -> bool {
        self.consumers.is_active(id)
    }

    /// A consumer may have credit again: it takes part in the next dispatch.
    pub fn resume(&mut self, id: ConsumerId) {
        self.consumers.resume(id);
    }

    /// The consumers, in no particular order.
    pub fn consumers(&self) -> impl Iterator<Item = &Member<C>> {
        self.consumers.iter()
    }

    /// The numbers that tools show.
    #[must_use]
    pub fn counts(&self) -> QueueCounts {
        QueueCounts {
            ready: self.ready.len(),
            unsettled: self.unsettled.len(),
            ready_bytes: self.ready.bytes(),
            unsettled_bytes: self.unsettled_bytes,
            consumers: self.consumers.len(),
        }
    }

    /// How many waiting messages are not in memory, and their bodies together, bytes.
    #[must_use]
    pub fn paged(&self) -> (usize, u64) {
        self.ready.paged()
    }

    /// The next message, if it is in memory.
    #[must_use]
    pub fn head(&self) -> Option<&Message> {
        self.ready.next().map(|next| &next.message)
    }

    /// What it takes of memory, bytes: bodies, and a fixed size for each message in memory and each consumer.
    #[must_use]
    pub fn memory_used(&self) -> usize {
        let (paged, paged_bytes) = self.paged();
        let messages = self.ready.len().saturating_sub(paged) + self.unsettled.len();
        let bodies = self.ready.bytes().saturating_sub(paged_bytes) + self.unsettled_bytes;
        let fixed = messages * size_of::<Entry>() + self.consumers.len() * size_of::<Member<C>>();
        fixed + usize::try_from(bodies).unwrap_or(usize::MAX)
    }

    /// Messages waiting.
    #[must_use]
    pub fn ready_count(&self) -> usize {
        self.ready.len()
    }

    /// Consumers, with credit or without.
    #[must_use]
    pub fn consumer_count(&self) -> usize {
        self.consumers.len()
    }
}

/// A message that may have been handed out counts as handed out.
fn flag(mut entry: Entry, flagged_below: Position) -> Entry {
    if entry.position < flagged_below {
        entry.delivery_count = entry.delivery_count.max(1);
    }
    entry
}

/// Moves an entry to the unsettled ones.
fn hold(
    unsettled: &mut HashMap<Position, Entry, FixedState>,
    unsettled_bytes: &mut u64,
    mut entry: Entry,
) -> Delivery {
    let delivery = Delivery::from(entry.clone());
    entry.delivery_count += 1;
    *unsettled_bytes += entry.message.body_size() as u64;
    unsettled.insert(entry.position, entry);
    delivery
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod tests;
