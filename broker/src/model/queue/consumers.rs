//! The consumers of a queue, and whose turn it is.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Lane;

/// A consumer's number, unique in the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerId(pub u64);

/// What a queue asks of a consumer before it hands it a message.
pub trait Credit {
    /// Reserves credit and room for one message of `size` bytes, header and all. A consumer that says no
    /// is not asked again until [`super::Queue::resume`].
    fn reserve(&self, size: usize) -> bool;

    /// The consumer's number.
    fn consumer_id(&self) -> ConsumerId;
}

/// A consumer as its queue sees it.
#[derive(Clone, Debug)]
pub struct Member<C> {
    id: ConsumerId,
    /// The caller's handle.
    pub consumer: C,
    /// Its messages are gone when written.
    pub is_no_ack: bool,
    /// It wants to be the only one.
    pub is_exclusive: bool,
    lane: usize,
}

/// Why a consumer can't join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumeError {
    /// An exclusive consumer is there, or this one wants to be exclusive and is not alone.
    InExclusiveUse,
}

impl<C: Credit> Member<C> {
    /// A consumer that is about to join.
    #[must_use]
    pub fn new(consumer: C, is_no_ack: bool, is_exclusive: bool) -> Self {
        Self { id: consumer.consumer_id(), consumer, is_no_ack, is_exclusive, lane: usize::MAX }
    }
}

/// The consumers of one queue. `active` is the round: its front is next. `parked` have said that they
/// have no credit.
#[derive(Debug)]
pub(super) struct Consumers<C> {
    active: VecDeque<Member<C>>,
    parked: HashMap<ConsumerId, Member<C>, FixedState>,
}

impl<C> Default for Consumers<C> {
    fn default() -> Self {
        Self { active: VecDeque::new(), parked: HashMap::with_hasher(FixedState::default()) }
    }
}

/// A consumer that took its turn.
pub(super) struct Turn<'a, C> {
    pub(super) is_no_ack: bool,
    member: &'a mut Member<C>,
}

impl<C: Clone + Credit> Consumers<C> {
    /// The next consumer that takes a message of this size; it moves to the end of the round.
    pub(super) fn take_turn(&mut self, size: usize) -> Option<Turn<'_, C>> {
        loop {
            if self.active.front()?.consumer.reserve(size) {
                break;
            }
            let parked = self.active.pop_front()?;
            self.parked.insert(parked.id, parked);
        }
        self.active.rotate_left(1);
        let member = self.active.back_mut()?;
        Some(Turn { is_no_ack: member.is_no_ack, member })
    }

    pub(super) fn check_join(&self, is_exclusive: bool) -> Result<(), ConsumeError> {
        let is_taken = self.iter().any(|member| member.is_exclusive);
        if is_taken || (is_exclusive && self.len() > 0) {
            return Err(ConsumeError::InExclusiveUse);
        }
        Ok(())
    }

    pub(super) fn join(&mut self, member: Member<C>) {
        self.active.push_back(member);
    }

    pub(super) fn leave(&mut self, id: ConsumerId) -> Option<C> {
        if let Some(index) = self.active.iter().position(|member| member.id == id) {
            return self.active.remove(index).map(|member| member.consumer);
        }
        self.parked.remove(&id).map(|member| member.consumer)
    }

    pub(super) fn leave_all(&mut self) -> Vec<C> {
        let mut parked: Vec<_> = self.parked.drain().map(|(_, member)| member).collect();
        parked.sort_unstable_by_key(|member| member.id);
        self.active.drain(..).chain(parked).map(|member| member.consumer).collect()
    }

    pub(super) fn resume(&mut self, id: ConsumerId) {
        self.active.extend(self.parked.remove(&id));
    }

    /// Whose turn it is, if anybody is in the round.
    pub(super) fn next(&self) -> Option<&C> {
        self.active.front().map(|member| &member.consumer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member<C>> {
        self.active.iter().chain(self.parked.values())
    }

    pub(super) fn len(&self) -> usize {
        self.active.len() + self.parked.len()
    }
}

impl<C: Clone + Credit> Turn<'_, C> {
    /// The consumer's lane in this dispatch; a new one if it has none yet. A member's `lane` may be left
    /// over from an earlier dispatch, hence the look whether it is really its own.
    pub(super) fn lane(self, lanes: &mut Vec<Lane<C>>) -> usize {
        let is_own =
            lanes.get(self.member.lane).is_some_and(|lane| lane.consumer.consumer_id() == self.member.id);
        if !is_own {
            self.member.lane = lanes.len();
            lanes.push(Lane { consumer: self.member.consumer.clone(), deliveries: Vec::new() });
        }
        self.member.lane
    }
}
