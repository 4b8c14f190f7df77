//! What a channel has been sent and not yet settled, and its consumers.

use std::{collections::VecDeque, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::{
    queue::SharedQueue,
    subscription::{Prefetch, Subscription},
};
use crate::model::{
    name::Name,
    queue::{ConsumerId, Outcome, Position},
};

/// The deliveries of one channel (part of its connection's outbox, under its lock).
#[derive(Debug)]
pub struct ChannelDeliveries {
    last_tag: u64,
    /// In order of tags. A settled one stays as a hole until those before it are settled.
    ring: VecDeque<Slot>,
    holes: usize,
    /// Where deliveries came from; slots of the ring and subscriptions point in here.
    sources: Vec<Option<Source>>,
    /// Which of them are none.
    free_sources: Vec<u32>,
    consumers: HashMap<Name, Arc<Subscription>, FixedState>,
    /// `basic.qos` with `global`: shared by all consumers of the channel.
    prefetch: Arc<Prefetch>,
}

/// Where a delivery came from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A consumer.
    Consumer(Arc<Subscription>),
    /// A `basic.get` on this queue.
    Get(Arc<SharedQueue>),
}

/// An unsettled message of a `basic.get`.
#[derive(Debug)]
pub struct Unsettled {
    /// Its queue.
    pub queue: Arc<SharedQueue>,
    /// Its place there.
    pub position: Position,
}

/// Deliveries with one origin that end in one way.
#[derive(Debug)]
pub struct SettleRun {
    /// Where they came from.
    pub origin: Origin,
    /// How they end.
    pub outcome: Outcome,
    /// Which.
    pub positions: Vec<Position>,
}

/// No such delivery is unsettled on the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownTag;

#[derive(Debug)]
struct Source {
    origin: Origin,
    unsettled: usize,
    /// Nothing more comes from it: it goes when all is settled.
    is_cancelled: bool,
}

#[derive(Debug)]
struct Slot {
    tag: u64,
    position: Position,
    /// Index into `sources`; `HOLE` when settled.
    source: u32,
}

const HOLE: u32 = u32::MAX;
/// Holes are squeezed out when there are more of them than unsettled deliveries, and at least so many.
const HOLES_MIN: usize = 1_024;

impl Origin {
    /// The queue.
    #[must_use]
    pub fn queue(&self) -> &Arc<SharedQueue> {
        match self {
            Self::Consumer(subscription) => &subscription.queue,
            Self::Get(queue) => queue,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Consumer(one), Self::Consumer(other)) => one.id == other.id,
            (Self::Get(one), Self::Get(other)) => one.id == other.id,
            _ => false,
        }
    }
}

impl ChannelDeliveries {
    /// A new channel's.
    #[must_use]
    pub fn new(prefetch: Arc<Prefetch>) -> Self {
        Self {
            last_tag: 0,
            ring: VecDeque::new(),
            holes: 0,
            sources: Vec::new(),
            free_sources: Vec::new(),
            consumers: HashMap::with_hasher(FixedState::default()),
            prefetch,
        }
    }

    /// The consumers.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Arc<Subscription>> {
        self.consumers.values()
    }

    /// How many consumers there are.
    #[must_use]
    pub fn consumer_count(&self) -> usize {
        self.consumers.len()
    }

    /// The consumer with this tag.
    #[must_use]
    pub fn subscription(&self, tag: &str) -> Option<&Arc<Subscription>> {
        self.consumers.get(tag)
    }

    /// Deliveries not yet settled.
    #[must_use]
    pub fn unsettled_count(&self) -> usize {
        self.ring.len() - self.holes
    }

    /// The channel-wide prefetch.
    #[must_use]
    pub fn prefetch(&self) -> &Arc<Prefetch> {
        &self.prefetch
    }

    /// Forgets a consumer; what it holds stays unsettled.
    pub fn remove(&mut self, tag: &str) -> Option<Arc<Subscription>> {
        let subscription = self.consumers.remove(tag)?;
        let index = self.source_of(&subscription)?;
        if let Some(source) = &mut self.sources[index] {
            source.is_cancelled = true;
        }
        self.drop_if_idle(index);
        Some(subscription)
    }

    /// Takes the delivery with this tag, or with `multiple` all up to it (0: all), and adds them to
    /// `runs` (AMQP 0-9-1 `basic.ack`).
    pub fn settle(
        &mut self,
        tag: u64,
        multiple: bool,
        outcome: Outcome,
        runs: &mut Vec<SettleRun>,
    ) -> Result<(), UnknownTag> {
        if multiple && tag == 0 {
            self.settle_first(self.ring.len(), outcome, runs);
            return Ok(());
        }
        let index = self.ring.binary_search_by_key(&tag, |slot| slot.tag).map_err(|_| UnknownTag)?;
        if self.ring[index].source == HOLE {
            return Err(UnknownTag);
        }
        if multiple {
            self.settle_first(index + 1, outcome, runs);
        } else {
            self.settle_at(index, outcome, runs);
            self.trim();
        }
        Ok(())
    }

    /// Takes everything unsettled, to be requeued.
    pub fn take_all(&mut self, runs: &mut Vec<SettleRun>) {
        self.settle_first(self.ring.len(), Outcome::Requeue, runs);
    }

    pub(super) fn add(&mut self, subscription: &Arc<Subscription>) {
        let origin = Origin::Consumer(Arc::clone(subscription));
        let source = self.add_source(Source { origin, unsettled: 0, is_cancelled: false });
        subscription.set_source(source);
        self.consumers.insert(subscription.tag.clone(), Arc::clone(subscription));
    }

    /// Whether this very subscription is (still) a consumer here.
    pub(super) fn has(&self, subscription: &Subscription) -> bool {
        let source = self.sources.get(subscription.source() as usize);
        matches!(source, Some(Some(Source { origin: Origin::Consumer(own), is_cancelled: false, .. }))
            if own.id == subscription.id)
    }

    /// The tag of a delivery to a consumer, which is unsettled from now on if it is to be acked.
    pub(super) fn next_tag(&mut self, to: &Subscription, position: Position) -> u64 {
        self.last_tag += 1;
        if !to.is_no_ack {
            self.hold(to.source(), position);
        }
        self.last_tag
    }

    /// The tag of a `basic.get` delivery.
    pub(super) fn next_get_tag(&mut self, unsettled: Option<Unsettled>) -> u64 {
        self.last_tag += 1;
        if let Some(Unsettled { queue, position }) = unsettled {
            let source = self.get_source(queue);
            self.hold(source, position);
        }
        self.last_tag
    }

    fn hold(&mut self, source: u32, position: Position) {
        if let Some(Some(source)) = self.sources.get_mut(source as usize) {
            source.unsettled += 1;
        }
        self.ring.push_back(Slot { tag: self.last_tag, position, source });
    }

    /// The source of all gets on a queue; it goes with the last of them that is unsettled.
    fn get_source(&mut self, queue: Arc<SharedQueue>) -> u32 {
        let origin = Origin::Get(queue);
        let is_own = |source: &Option<Source>| source.as_ref().is_some_and(|own| own.origin.is_same(&origin));
        match self.sources.iter().position(is_own) {
            Some(index) => u32::try_from(index).unwrap_or(HOLE),
            None => self.add_source(Source { origin, unsettled: 0, is_cancelled: true }),
        }
    }

    fn add_source(&mut self, source: Source) -> u32 {
        if let Some(free) = self.free_sources.pop() {
            self.sources[free as usize] = Some(source);
            return free;
        }
        self.sources.push(Some(source));
        u32::try_from(self.sources.len() - 1).unwrap_or(HOLE)
    }

    fn source_of(&self, subscription: &Subscription) -> Option<usize> {
        self.has(subscription).then_some(subscription.source() as usize)
    }

    /// Settles the first `count` slots.
    fn settle_first(&mut self, count: usize, outcome: Outcome, runs: &mut Vec<SettleRun>) {
        for index in 0..count {
            if self.ring[index].source != HOLE {
                self.settle_at(index, outcome, runs);
            }
        }
        self.trim();
    }

    fn settle_at(&mut self, index: usize, outcome: Outcome, runs: &mut Vec<SettleRun>) {
        let slot = &mut self.ring[index];
        let (source_index, position) = (slot.source as usize, slot.position);
        slot.source = HOLE;
        self.holes += 1;
        let Some(Some(source)) = self.sources.get_mut(source_index) else { return };
        source.unsettled -= 1;
        match runs.last_mut() {
            Some(run) if run.outcome == outcome && run.origin.is_same(&source.origin) => {
                run.positions.push(position);
            }
            _ => {
                runs.push(SettleRun { origin: source.origin.clone(), outcome, positions: vec![position] });
            }
        }
        self.drop_if_idle(source_index);
    }

    fn drop_if_idle(&mut self, index: usize) {
        if let Some(Some(Source { unsettled: 0, is_cancelled: true, .. })) = self.sources.get(index) {
            self.sources[index] = None;
            self.free_sources.extend(u32::try_from(index));
        }
    }

    /// Drops holes from the front, and all of them when they are too many.
    fn trim(&mut self) {
        while self.ring.front().is_some_and(|slot| slot.source == HOLE) {
            self.ring.pop_front();
            self.holes -= 1;
        }
        if self.holes > HOLES_MIN.max(self.ring.len() / 2) {
            self.ring.retain(|slot| slot.source != HOLE);
            self.holes = 0;
        }
    }
}

impl SettleRun {
    /// The consumer that gets credit back, if a consumer it was.
    #[must_use]
    pub fn consumer(&self) -> Option<&Arc<Subscription>> {
        match &self.origin {
            Origin::Consumer(subscription) => Some(subscription),
            Origin::Get(_) => None,
        }
    }

    /// The consumer's number.
    #[must_use]
    pub fn consumer_id(&self) -> Option<ConsumerId> {
        self.consumer().map(|subscription| subscription.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{arguments::Arguments, queue::QueueOptions, queue_id::QueueId},
        storage::queue_log::MemoryLog,
    };

    #[test]
    fn gets_on_one_queue_share_a_source_that_goes_with_the_last_of_them() {
        let name = Name::literal("q");
        let options = QueueOptions::parse(&name, false, false, false, Arguments::default()).unwrap();
        let queue = Arc::new(SharedQueue::new(QueueId(1), name, options, None, Arc::new(MemoryLog)));
        let mut deliveries = ChannelDeliveries::new(Arc::default());
        for position in 0..100 {
            let unsettled = Unsettled { queue: Arc::clone(&queue), position: Position(position) };
            deliveries.next_get_tag(Some(unsettled));
        }
        assert_eq!(deliveries.sources.len(), 1);
        let mut runs = Vec::new();
        deliveries.settle(100, true, Outcome::Accept, &mut runs).unwrap();
        assert_eq!((runs.len(), runs[0].positions.len()), (1, 100));
        assert!(deliveries.sources[0].is_none());
    }
}
