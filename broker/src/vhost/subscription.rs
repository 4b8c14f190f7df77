//! A consumer: the join of a queue, a channel and their credit.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
};

use super::{outbox::Outbox, queue::SharedQueue};
use crate::{
    limits::OUTBOX_BYTES_MAX,
    model::{
        arguments::Arguments,
        name::Name,
        queue::{ConsumerId, Credit},
    },
    wire::frame::ChannelNumber,
};

/// A consumer of a queue on a channel. Shared by its queue and its connection's outbox.
#[derive(Debug)]
pub struct Subscription {
    /// Unique in the broker.
    pub id: ConsumerId,
    /// Its channel.
    pub channel: ChannelNumber,
    /// Its tag there.
    pub tag: Name,
    /// Its queue.
    pub queue: Arc<SharedQueue>,
    /// Where its deliveries go.
    pub outbox: Arc<Outbox>,
    /// Its messages are gone when written.
    pub is_no_ack: bool,
    /// It wants its queue for itself.
    pub is_exclusive: bool,
    /// Whether its client wants `basic.cancel` when the queue goes.
    pub is_cancel_notified: bool,
    /// As given to `basic.consume`.
    pub arguments: Arguments,
    /// Its own prefetch.
    pub prefetch: Prefetch,
    /// The channel's, shared with the channel's other consumers.
    pub channel_prefetch: Arc<Prefetch>,
    /// The channel's number for it.
    source: AtomicU32,
    /// It is on its outbox's list of those to resume (changed under the outbox's lock).
    is_waiting: AtomicBool,
}

/// How many unsettled deliveries there may be, and how many there are.
#[derive(Debug, Default)]
pub struct Prefetch {
    /// 0: no limit.
    limit: AtomicU32,
    used: AtomicU32,
}

/// What a consumer is made of.
#[derive(Debug)]
pub struct SubscriptionParts {
    /// Unique in the broker.
    pub id: ConsumerId,
    /// Its channel.
    pub channel: ChannelNumber,
    /// Its tag there.
    pub tag: Name,
    /// Its queue.
    pub queue: Arc<SharedQueue>,
    /// Where its deliveries go.
    pub outbox: Arc<Outbox>,
    /// Its messages are gone when written.
    pub is_no_ack: bool,
    /// It wants its queue for itself.
    pub is_exclusive: bool,
    /// Whether its client wants `basic.cancel` when the queue goes.
    pub is_cancel_notified: bool,
    /// As given to `basic.consume`.
    pub arguments: Arguments,
    /// `prefetch_count` at the time.
    pub prefetch_count: u16,
    /// The channel's.
    pub channel_prefetch: Arc<Prefetch>,
}

impl From<SubscriptionParts> for Subscription {
    fn from(parts: SubscriptionParts) -> Self {
        Self {
            id: parts.id,
            channel: parts.channel,
            tag: parts.tag,
            queue: parts.queue,
            outbox: parts.outbox,
            is_no_ack: parts.is_no_ack,
            is_exclusive: parts.is_exclusive,
            is_cancel_notified: parts.is_cancel_notified,
            arguments: parts.arguments,
            prefetch: Prefetch::new(parts.prefetch_count),
            channel_prefetch: parts.channel_prefetch,
            source: AtomicU32::new(u32::MAX),
            is_waiting: AtomicBool::new(false),
        }
    }
}

impl Subscription {
    /// Others get nothing while one with a higher number takes messages (`x-priority`).
    #[must_use]
    pub fn priority(&self) -> i64 {
        self.arguments.integer("x-priority").unwrap_or(0)
    }

    /// Whether it would take a message.
    pub(super) fn has_credit(&self) -> bool {
        let has_prefetch = self.is_no_ack || self.prefetch.is_free() && self.channel_prefetch.is_free();
        has_prefetch && self.outbox.unsent_bytes() < OUTBOX_BYTES_MAX
    }

    pub(super) fn source(&self) -> u32 {
        self.source.load(Relaxed)
    }

    pub(super) fn set_source(&self, source: u32) {
        self.source.store(source, Relaxed);
    }

    /// Says whether it was waiting before.
    pub(super) fn set_waiting(&self, is_waiting: bool) -> bool {
        self.is_waiting.swap(is_waiting, Relaxed)
    }

    /// So many of its deliveries are settled, or did not happen.
    pub(super) fn give_back(&self, count: usize) {
        if !self.is_no_ack {
            self.prefetch.give(count);
            self.channel_prefetch.give(count);
        }
    }
}

impl Credit for Arc<Subscription> {
    /// The channel's credit comes last: it is never given back, so no consumer of another queue is turned
    /// away by a credit that nobody uses, and that nobody would tell it of.
    fn reserve(&self, size: usize) -> bool {
        if self.is_no_ack {
            return self.outbox.reserve_or_wait(self, size);
        }
        if !self.prefetch.take() {
            return false;
        }
        let has_room = self.outbox.reserve_or_wait(self, size);
        if has_room && self.channel_prefetch.take() {
            return true;
        }
        if has_room {
            self.outbox.release(size);
        }
        self.prefetch.give(1);
        false
    }

    fn consumer_id(&self) -> ConsumerId {
        self.id
    }
}

impl Prefetch {
    /// So many may be unsettled; 0: no limit.
    #[must_use]
    pub fn new(limit: u16) -> Self {
        Self { limit: AtomicU32::new(u32::from(limit)), used: AtomicU32::new(0) }
    }

    /// The limit; 0: none.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    /// Changes the limit for what comes.
    pub fn set_limit(&self, limit: u16) {
        self.limit.store(u32::from(limit), Relaxed);
    }

    fn is_free(&self) -> bool {
        let limit = self.limit();
        limit == 0 || self.used.load(Relaxed) < limit
    }

    fn take(&self) -> bool {
        let limit = self.limit();
        // Not add-then-take-back: a passing overshoot would turn away a consumer that nobody resumes.
        self.used
            .fetch_update(Relaxed, Relaxed, |used| (limit == 0 || used < limit).then_some(used + 1))
            .is_ok()
    }

    fn give(&self, count: usize) {
        self.used.fetch_sub(u32::try_from(count).unwrap_or(u32::MAX), Relaxed);
    }
}
