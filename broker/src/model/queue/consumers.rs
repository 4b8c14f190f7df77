//! The consumers of a queue, and whose turn it is.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Lanes;

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
    /// Others get nothing while one with a higher number has credit (`x-priority`).
    priority: i64,
    lane: usize,
}

/// Why a consumer can't join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumeError {
    /// An exclusive consumer is there, or this one wants to be exclusive and is not alone, or only one is active
    /// anyway.
    InExclusiveUse,
}

impl<C: Credit> Member<C> {
    /// A consumer that is about to join.
    #[must_use]
    pub fn new(consumer: C, is_no_ack: bool, is_exclusive: bool) -> Self {
        let id = consumer.consumer_id();
        Self { id, consumer, is_no_ack, is_exclusive, priority: 0, lane: usize::MAX }
    }

    /// The same with a priority other than 0.
    #[must_use]
    pub fn with_priority(mut self, priority: i64) -> Self {
        self.priority = priority;
        self
    }
}

/// The consumers of one queue. `parked` have said that they have no credit.
#[derive(Debug)]
pub(super) struct Consumers<C> {
    /// By priority, the highest first: mostly one, for mostly no consumer has a priority.
    rounds: Vec<Round<C>>,
    parked: HashMap<ConsumerId, Member<C>, FixedState>,
    /// If only one consumer is active at a time.
    single: Option<Single<C>>,
}

/// Consumers of one priority: the front is next.
#[derive(Debug)]
struct Round<C> {
    priority: i64,
    members: VecDeque<Member<C>>,
    /// Those that are parked, too.
    count: usize,
}

/// The one that is active, and who takes over (`x-single-active-consumer`).
#[derive(Debug)]
struct Single<C> {
    active: Option<ConsumerId>,
    /// In the order in which they came.
    waiting: VecDeque<Member<C>>,
}

impl<C> Default for Consumers<C> {
    fn default() -> Self {
        Self { rounds: Vec::new(), parked: HashMap::with_hasher(FixedState::default()), single: None }
    }
}

/// A consumer that took its turn.
pub(super) struct Turn<'a, C> {
    pub(super) is_no_ack: bool,
    member: &'a mut Member<C>,
}

impl<C: Clone + Credit> Consumers<C> {
    pub(super) fn single_active() -> Self {
        Self { single: Some(Single { active: None, waiting: VecDeque::new() }), ..Self::default() }
    }

    /// The next consumer that takes a message of this size; it moves to the end of its round.
    pub(super) fn take_turn(&mut self, size: usize) -> Option<Turn<'_, C>> {
        let mut index = 0;
        loop {
            let members = &mut self.rounds.get_mut(index)?.members;
            match members.front() {
                None => index += 1,
                Some(front) if front.consumer.reserve(size) => break,
                Some(_) => {
                    let parked = members.pop_front()?;
                    self.parked.insert(parked.id, parked);
                }
            }
        }
        let members = &mut self.rounds.get_mut(index)?.members;
        if members.len() > 1 {
            members.rotate_left(1);
        }
        let member = members.back_mut()?;
        Some(Turn { is_no_ack: member.is_no_ack, member })
    }

    pub(super) fn check_join(&self, is_exclusive: bool) -> Result<(), ConsumeError> {
        let is_taken = self.iter().any(|member| member.is_exclusive);
        if is_taken || (is_exclusive && (self.len() > 0 || self.single.is_some())) {
            return Err(ConsumeError::InExclusiveUse);
        }
        Ok(())
    }

    pub(super) fn join(&mut self, member: Member<C>) {
        match &mut self.single {
            Some(Single { active: Some(_), waiting }) => waiting.push_back(member),
            Some(single) => {
                single.active = Some(member.id);
                self.enter(member);
            }
            None => self.enter(member),
        }
    }

    pub(super) fn leave(&mut self, id: ConsumerId) -> Option<C> {
        let left = self.remove(id);
        if let Some(single) = &mut self.single
            && single.active == Some(id)
        {
            let next = single.take_next();
            single.active = next.as_ref().map(|member| member.id);
            next.into_iter().for_each(|member| self.enter(member));
        }
        left
    }

    pub(super) fn leave_all(&mut self) -> Vec<C> {
        let mut parked: Vec<_> = self.parked.drain().map(|(_, member)| member).collect();
        parked.sort_unstable_by_key(|member| member.id);
        let active = self.rounds.drain(..).flat_map(|round| round.members);
        let waiting = self.single.take().into_iter().flat_map(|single| single.waiting);
        active.chain(parked).chain(waiting).map(|member| member.consumer).collect()
    }

    pub(super) fn resume(&mut self, id: ConsumerId) {
        if let Some(member) = self.parked.remove(&id) {
            self.activate(member);
        }
    }

    /// Whose turn it is, if anybody is in a round.
    pub(super) fn next(&self) -> Option<&C> {
        self.rounds.iter().find_map(|round| round.members.front()).map(|member| &member.consumer)
    }

    /// Whether it gets messages, rather than wait until another one goes.
    pub(super) fn is_active(&self, id: ConsumerId) -> bool {
        self.single.as_ref().is_none_or(|single| single.active == Some(id))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member<C>> {
        let active = self.rounds.iter().flat_map(|round| &round.members);
        let waiting = self.single.iter().flat_map(|single| &single.waiting);
        active.chain(self.parked.values()).chain(waiting)
    }

    pub(super) fn len(&self) -> usize {
        let active: usize = self.rounds.iter().map(|round| round.members.len()).sum();
        active + self.parked.len() + self.single.as_ref().map_or(0, |single| single.waiting.len())
    }

    /// Takes part in the rounds from now on.
    fn enter(&mut self, member: Member<C>) {
        let at = self.round_of(member.priority);
        if self.rounds.get(at).is_none_or(|round| round.priority != member.priority) {
            let round = Round { priority: member.priority, members: VecDeque::new(), count: 0 };
            self.rounds.insert(at, round);
        }
        self.rounds[at].count += 1;
        self.rounds[at].members.push_back(member);
    }

    /// To the end of its round, which is there as long as anybody takes part in it.
    fn activate(&mut self, member: Member<C>) {
        let at = self.round_of(member.priority);
        if let Some(round) = self.rounds.get_mut(at) {
            round.members.push_back(member);
        }
    }

    /// Where the round of a priority is, or would be.
    fn round_of(&self, priority: i64) -> usize {
        self.rounds.partition_point(|round| round.priority > priority)
    }

    fn remove(&mut self, id: ConsumerId) -> Option<C> {
        if let Some(single) = &mut self.single
            && let Some(index) = single.waiting.iter().position(|member| member.id == id)
        {
            return single.waiting.remove(index).map(|member| member.consumer);
        }
        let removed = match self.parked.remove(&id) {
            Some(parked) => parked,
            None => self.rounds.iter_mut().find_map(|round| {
                let index = round.members.iter().position(|member| member.id == id)?;
                round.members.remove(index)
            })?,
        };
        let at = self.round_of(removed.priority);
        self.rounds[at].count -= 1;
        if self.rounds[at].count == 0 {
            self.rounds.remove(at);
        }
        Some(removed.consumer)
    }
}

impl<C> Single<C> {
    /// Of those with the highest priority the one that came first.
    fn take_next(&mut self) -> Option<Member<C>> {
        let highest = self.waiting.iter().map(|member| member.priority).max()?;
        let index = self.waiting.iter().position(|member| member.priority == highest)?;
        self.waiting.remove(index)
    }
}

impl<C: Clone + Credit> Turn<'_, C> {
    /// The consumer's lane in this dispatch; a new one if it has none yet. A member's `lane` may be left
    /// over from an earlier dispatch, hence the look whether it is really its own.
    pub(super) fn lane(self, lanes: &mut Lanes<C>) -> usize {
        let is_own =
            lanes.get(self.member.lane).is_some_and(|lane| lane.consumer.consumer_id() == self.member.id);
        if !is_own {
            self.member.lane = lanes.open(self.member.consumer.clone());
        }
        self.member.lane
    }
}
