//! What a channel has been sent and not yet settled, and its consumers.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    ages::Ages,
    queue::SharedQueue,
    reply_to::{ReplyAddress, ReplyConsumer},
    statistics::{ChannelStatistics, PublishCounts},
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
    /// The tags of those that a transaction holds.
    held: Vec<u64>,
    /// Where deliveries came from; slots of the ring and subscriptions point in here.
    sources: Vec<Option<Source>>,
    /// Which of them are none.
    free_sources: Vec<u32>,
    /// In order of their tags: most channels have one, and a table would be larger than that.
    consumers: Vec<Arc<Subscription>>,
    /// Which of them comes first in the next round.
    turn: usize,
    /// Beside `consumers`: it has no queue.
    reply_consumer: Option<ReplyConsumer>,
    /// `basic.qos` with `global`: shared by all consumers of the channel.
    prefetch: Arc<Prefetch>,
    ages: Ages,
    statistics: ChannelStatistics,
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

/// A delivery that was unsettled for too long.
#[derive(Clone, Debug)]
pub struct Overdue {
    /// Its tag.
    pub tag: u64,
    /// Where it came from.
    pub origin: Origin,
    /// How long it might have been out.
    pub timeout: Duration,
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
    /// How it ends when the transaction is committed: as good as settled for the peer, unless that is rolled
    /// back, and unsettled for the queue.
    held: Option<Outcome>,
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
    pub fn new(prefetch: Arc<Prefetch>, published: Arc<PublishCounts>) -> Self {
        Self {
            last_tag: 0,
            ring: VecDeque::new(),
            holes: 0,
            held: Vec::new(),
            sources: Vec::new(),
            free_sources: Vec::new(),
            consumers: Vec::new(),
            turn: 0,
            reply_consumer: None,
            prefetch,
            ages: Ages::default(),
            statistics: ChannelStatistics::new(published),
        }
    }

    /// The consumers.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Arc<Subscription>> {
        self.consumers.iter()
    }

    /// All consumers, each time with another one in front: who comes first may get all that they share.
    pub fn next_round(&mut self) -> Vec<Arc<Subscription>> {
        let mut round = self.consumers.clone();
        round.sort_unstable_by_key(|subscription| subscription.id);
        self.turn = (self.turn + 1).checked_rem(round.len()).unwrap_or(0);
        round.rotate_left(self.turn);
        round
    }

    /// How many consumers there are.
    #[must_use]
    pub fn consumer_count(&self) -> usize {
        self.consumers.len()
    }

    /// The consumer with this tag.
    #[must_use]
    pub fn subscription(&self, tag: &str) -> Option<&Arc<Subscription>> {
        self.place_of(tag).ok().map(|index| &self.consumers[index])
    }

    /// Whether a consumer of the channel has this tag.
    #[must_use]
    pub fn has_tag(&self, tag: &str) -> bool {
        self.place_of(tag).is_ok()
            || self.reply_consumer.as_ref().is_some_and(|consumer| &*consumer.tag == tag)
    }

    /// The consumer of replies.
    #[must_use]
    pub fn reply_consumer(&self) -> Option<&ReplyConsumer> {
        self.reply_consumer.as_ref()
    }

    /// Begins to take replies, or ends it.
    pub fn set_reply_consumer(&mut self, consumer: Option<ReplyConsumer>) {
        self.reply_consumer = consumer;
    }

    /// The tag of the consumer of replies, if it is the one that the address means.
    #[must_use]
    pub fn reply_tag(&self, address: &ReplyAddress) -> Option<&Name> {
        let consumer = self.reply_consumer.as_ref()?;
        (consumer.address == *address).then_some(&consumer.tag)
    }

    /// Deliveries not yet settled, nor held by a transaction.
    #[must_use]
    pub fn unsettled_count(&self) -> usize {
        self.ring.len() - self.holes - self.held.len()
    }

    /// Deliveries that a transaction holds.
    #[must_use]
    pub fn held_count(&self) -> usize {
        self.held.len()
    }

    /// The first delivery that has been out for longer than its queue allows, or than `otherwise` where the queue says
    /// nothing. Found at the second look after its time is up at the latest: what is delivered meanwhile costs nothing.
    pub fn overdue(&mut self, otherwise: Option<Duration>, now: Instant) -> Option<Overdue> {
        let overdue = if self.ages.is_empty() { None } else { self.first_overdue(otherwise, now) };
        let first_open = self.ring.iter().find(|slot| slot.is_open()).map(|slot| slot.tag);
        self.ages.note(first_open, self.last_tag, now);
        overdue
    }

    /// What it counted.
    #[must_use]
    pub fn statistics(&self) -> &ChannelStatistics {
        &self.statistics
    }

    /// The same, for a look.
    pub fn statistics_mut(&mut self) -> &mut ChannelStatistics {
        &mut self.statistics
    }

    /// A `basic.get` found nothing.
    pub fn count_get_empty(&mut self) {
        self.statistics.counts.get_empty += 1;
    }

    /// The channel-wide prefetch.
    #[must_use]
    pub fn prefetch(&self) -> &Arc<Prefetch> {
        &self.prefetch
    }

    /// Forgets a consumer; what it holds stays unsettled.
    pub fn remove(&mut self, tag: &str) -> Option<Arc<Subscription>> {
        let subscription = self.consumers.remove(self.place_of(tag).ok()?);
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
        let named = self.named(tag, multiple)?;
        self.settle_open(named, outcome, runs);
        Ok(())
    }

    /// Takes what is unsettled and not held, to be requeued (`basic.recover`).
    pub fn recover(&mut self, runs: &mut Vec<SettleRun>) {
        self.settle_open(0..self.ring.len(), Outcome::Requeue, runs);
    }

    /// Takes everything, also what is held, to be requeued: the channel ends.
    pub fn take_all(&mut self, runs: &mut Vec<SettleRun>) {
        self.roll_back();
        self.recover(runs);
    }

    /// Holds what [`ChannelDeliveries::settle`] would take until the transaction is committed or rolled back.
    pub fn hold(&mut self, tag: u64, multiple: bool, outcome: Outcome) -> Result<(), UnknownTag> {
        for index in self.named(tag, multiple)? {
            let slot = &mut self.ring[index];
            if slot.is_open() {
                slot.held = Some(outcome);
                self.held.push(slot.tag);
            }
        }
        Ok(())
    }

    /// Takes what is held, and adds it to `runs`.
    pub fn take_held(&mut self, runs: &mut Vec<SettleRun>) {
        let mut held = std::mem::take(&mut self.held);
        held.sort_unstable();
        for tag in held {
            if let Ok(index) = self.index_of(tag)
                && let Some(outcome) = self.ring[index].held.take()
            {
                self.settle_at(index, outcome, runs);
            }
        }
        self.trim();
    }

    /// What is held is unsettled again.
    pub fn roll_back(&mut self) {
        for tag in std::mem::take(&mut self.held) {
            if let Ok(index) = self.index_of(tag) {
                self.ring[index].held = None;
            }
        }
    }

    pub(super) fn add(&mut self, subscription: &Arc<Subscription>) {
        let origin = Origin::Consumer(Arc::clone(subscription));
        let source = self.add_source(Source { origin, unsettled: 0, is_cancelled: false });
        subscription.set_source(source);
        match self.place_of(&subscription.tag) {
            Ok(index) => self.consumers[index] = Arc::clone(subscription),
            Err(index) => {
                if self.consumers.is_empty() {
                    self.consumers.reserve_exact(1);
                }
                self.consumers.insert(index, Arc::clone(subscription));
            }
        }
    }

    /// Whether this very subscription is (still) a consumer here.
    pub(super) fn has(&self, subscription: &Subscription) -> bool {
        let source = self.sources.get(subscription.source() as usize);
        matches!(source, Some(Some(Source { origin: Origin::Consumer(own), is_cancelled: false, .. }))
            if own.id == subscription.id)
    }

    pub(super) fn count_delivered(&mut self, is_no_ack: bool, count: usize, redelivered: usize) {
        let counts = &mut self.statistics.counts;
        match is_no_ack {
            true => counts.deliver_no_ack += count as u64,
            false => counts.deliver += count as u64,
        }
        counts.redeliver += redelivered as u64;
    }

    pub(super) fn count_got(&mut self, is_no_ack: bool, is_redelivered: bool) {
        let counts = &mut self.statistics.counts;
        match is_no_ack {
            true => counts.get_no_ack += 1,
            false => counts.get += 1,
        }
        counts.redeliver += u64::from(is_redelivered);
    }

    /// The tag of a delivery to a consumer, which is unsettled from now on if it is to be acked.
    pub(super) fn next_tag(&mut self, to: &Subscription, position: Position) -> u64 {
        self.last_tag += 1;
        if !to.is_no_ack {
            self.add_slot(to.source(), position);
        }
        self.last_tag
    }

    /// The tag of a `basic.get` delivery.
    pub(super) fn next_get_tag(&mut self, unsettled: Option<Unsettled>) -> u64 {
        self.last_tag += 1;
        if let Some(Unsettled { queue, position }) = unsettled {
            let source = self.get_source(queue);
            self.add_slot(source, position);
        }
        self.last_tag
    }

    /// The consumer and the tag of a reply, which nobody acks.
    pub(super) fn next_reply_tag(&mut self, address: &ReplyAddress) -> Option<(Name, u64)> {
        let consumer = self.reply_tag(address)?.clone();
        self.last_tag += 1;
        Some((consumer, self.last_tag))
    }

    /// Where the consumer with this tag is, or would be.
    fn place_of(&self, tag: &str) -> Result<usize, usize> {
        self.consumers.binary_search_by(|consumer| (*consumer.tag).cmp(tag))
    }

    fn first_overdue(&self, otherwise: Option<Duration>, now: Instant) -> Option<Overdue> {
        let limit = |source: &Option<Source>| {
            let timeout = source.as_ref()?.origin.queue().consumer_timeout().or(otherwise)?;
            Some((timeout, self.ages.last_older_than(timeout, now)))
        };
        let limits: Vec<_> = self.sources.iter().map(limit).collect();
        let last = limits.iter().flatten().map(|(_, last)| *last).max()?;
        let old = self.ring.iter().take_while(|slot| slot.tag <= last);
        old.filter(|slot| slot.is_open()).find_map(|slot| {
            let index = slot.source as usize;
            let (timeout, last) = (*limits.get(index)?)?;
            let origin = self.sources.get(index)?.as_ref()?.origin.clone();
            (slot.tag <= last).then_some(Overdue { tag: slot.tag, origin, timeout })
        })
    }

    fn add_slot(&mut self, source: u32, position: Position) {
        if let Some(Some(source)) = self.sources.get_mut(source as usize) {
            source.unsettled += 1;
        }
        self.ring.push_back(Slot { tag: self.last_tag, position, source, held: None });
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
        // Most channels have one consumer.
        if self.sources.is_empty() {
            self.sources.reserve_exact(1);
        }
        self.sources.push(Some(source));
        u32::try_from(self.sources.len() - 1).unwrap_or(HOLE)
    }

    fn source_of(&self, subscription: &Subscription) -> Option<usize> {
        self.has(subscription).then_some(subscription.source() as usize)
    }

    /// The slots that an ack, nack or reject means.
    fn named(&self, tag: u64, multiple: bool) -> Result<Range<usize>, UnknownTag> {
        if multiple && tag == 0 {
            return Ok(0..self.ring.len());
        }
        let index = self.index_of(tag)?;
        if !self.ring[index].is_open() {
            return Err(UnknownTag);
        }
        Ok(if multiple { 0..index + 1 } else { index..index + 1 })
    }

    fn index_of(&self, tag: u64) -> Result<usize, UnknownTag> {
        // Where it is when there are no gaps: tags of messages that are not acked, and holes squeezed out, leave some.
        let first = self.ring.front().ok_or(UnknownTag)?.tag;
        let guess = usize::try_from(tag.wrapping_sub(first)).unwrap_or(usize::MAX);
        if self.ring.get(guess).is_some_and(|slot| slot.tag == tag) {
            return Ok(guess);
        }
        self.ring.binary_search_by_key(&tag, |slot| slot.tag).map_err(|_| UnknownTag)
    }

    /// Settles those of the slots that are neither settled nor held.
    fn settle_open(&mut self, indexes: Range<usize>, outcome: Outcome, runs: &mut Vec<SettleRun>) {
        for index in indexes {
            if self.ring[index].is_open() {
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
        self.statistics.counts.ack += u64::from(outcome == Outcome::Accept);
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

impl Slot {
    /// Neither settled nor held.
    fn is_open(&self) -> bool {
        self.source != HOLE && self.held.is_none()
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

    /// The consumer that may be asked again at once. None if its channel's consumers share a prefetch: then all of
    /// them are resumed, in turn.
    #[must_use]
    pub fn freed_consumer(&self) -> Option<ConsumerId> {
        let consumer = self.consumer()?;
        (consumer.channel_prefetch.limit() == 0).then_some(consumer.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{arguments::Arguments, queue::QueueOptions, queue_id::QueueId},
        storage::queue_log::MemoryLog,
        vhost::upkeep::Surroundings,
    };

    #[test]
    fn gets_on_one_queue_share_a_source_that_goes_with_the_last_of_them() {
        let name = Name::literal("q");
        let options = QueueOptions::parse(&name, false, false, false, Arguments::default()).unwrap();
        let surroundings = Surroundings::of_log(Arc::new(MemoryLog));
        let queue = SharedQueue::new(QueueId(1), name, options, None, surroundings);
        let mut deliveries = ChannelDeliveries::new(Arc::default(), Arc::default());
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
