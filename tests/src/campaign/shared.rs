//! What all clients of a campaign share: the history, the numbers, and the word to stop.

use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use lapin::message::Delivery;
use tokio::sync::watch;

use super::{
    content::{Content, message_of},
    history::{ChannelIndex, Event, History, Judgement, MessageId, PublisherIndex, QueueIndex},
    workload,
};
use crate::wait::pause;

/// Messages a queue may hold before its publishers wait.
const CROWD: i64 = 20_000;

/// Between two looks at a crowded queue.
const CROWD_PAUSE: Duration = Duration::from_millis(2);

/// Shared by all clients.
#[derive(Debug)]
pub struct Shared {
    pub seed: u64,
    begin: Instant,
    history: Mutex<History>,
    numbers: Vec<AtomicU32>,
    next_channel: AtomicU32,
    /// About how many messages are in each queue.
    crowds: Vec<AtomicI64>,
    stop: watch::Sender<bool>,
    is_killed: AtomicBool,
    has_transactions: AtomicBool,
}

impl Shared {
    pub fn new(seed: u64, judgement: Judgement) -> Shared {
        Shared {
            seed,
            begin: Instant::now(),
            history: Mutex::new(History::new(workload::plan(), judgement)),
            numbers: workload::PUBLISHERS.iter().map(|_| AtomicU32::new(0)).collect(),
            next_channel: AtomicU32::new(0),
            crowds: workload::QUEUES.iter().map(|_| AtomicI64::new(0)).collect(),
            stop: watch::Sender::new(false),
            is_killed: AtomicBool::new(false),
            has_transactions: AtomicBool::new(true),
        }
    }

    /// Tells the history.
    pub fn observe(&self, event: Event) {
        let now = self.begin.elapsed();
        self.history().observe(now, event);
    }

    /// Tells what an answer of the broker means. Once the broker was killed a client library may take the end of its
    /// connection for an answer: then nothing is told, and what was asked for stays open.
    pub fn answered(&self, event: Event) {
        if !self.is_killed() {
            self.observe(event);
        }
    }

    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The publisher's next message, which is told as published: the caller has to publish it now.
    pub fn publish(&self, publisher: PublisherIndex) -> (MessageId, Content) {
        self.publish_as(publisher, false)
    }

    /// [`Shared::publish`] in a transaction.
    pub fn publish_in_transaction(&self, publisher: PublisherIndex) -> (MessageId, Content) {
        self.publish_as(publisher, true)
    }

    fn publish_as(&self, publisher: PublisherIndex, in_transaction: bool) -> (MessageId, Content) {
        let number = self.numbers[usize::from(publisher.0)].fetch_add(1, Relaxed);
        let message = MessageId { publisher, number };
        let content = self.content(message);
        let is_persistent = content.is_persistent;
        self.observe(Event::Published { message, is_persistent, in_transaction });
        for queue in workload::role(publisher).queues {
            self.crowds[usize::from(queue.0)].fetch_add(1, Relaxed);
        }
        (message, content)
    }

    /// Takes a delivery's measure and tells it; its id, if it is one of ours.
    pub fn deliver(&self, channel: ChannelIndex, delivery: &Delivery) -> Option<MessageId> {
        let known = message_of(&delivery.data)
            .filter(|message| usize::from(message.publisher.0) < workload::PUBLISHERS.len());
        let Some(message) = known else {
            self.observe(Event::Foreign { channel });
            return None;
        };
        let content = self.content(message);
        let is_intact = content.body == delivery.data && content.properties == delivery.properties;
        let is_redelivered = delivery.redelivered;
        self.observe(Event::Delivered { channel, message, is_redelivered, is_intact });
        Some(message)
    }

    /// Tells that a channel takes from a queue.
    pub fn open(&self, queue: QueueIndex, is_sole: bool, is_no_ack: bool) -> ChannelIndex {
        let channel = ChannelIndex(self.next_channel.fetch_add(1, Relaxed));
        self.observe(Event::Opened { channel, queue, is_sole, is_no_ack });
        channel
    }

    /// A queue has lost so many messages.
    pub fn thin(&self, queue: QueueIndex, messages: i64) {
        self.crowds[usize::from(queue.0)].fetch_sub(messages, Relaxed);
    }

    /// A queue has so many messages.
    pub fn set_crowd(&self, queue: QueueIndex, messages: u32) {
        self.crowds[usize::from(queue.0)].store(messages.into(), Relaxed);
    }

    /// Waits, a little, if one of the publisher's queues is full.
    pub async fn wait_in_crowd(&self, publisher: PublisherIndex) -> bool {
        let is_crowded = workload::role(publisher)
            .queues
            .iter()
            .any(|queue| self.crowds[usize::from(queue.0)].load(Relaxed) > CROWD);
        if is_crowded {
            pause(CROWD_PAUSE).await;
        }
        is_crowded
    }

    /// Lets a new life of the broker begin.
    pub fn begin_life(&self) {
        self.is_killed.store(false, Relaxed);
        self.stop.send_replace(false);
    }

    /// The broker is about to be killed: from now on its clients may fail.
    pub fn expect_failures(&self) {
        self.is_killed.store(true, Relaxed);
    }

    /// Whether the broker was killed.
    pub fn is_killed(&self) -> bool {
        self.is_killed.load(Relaxed)
    }

    /// Tells all clients to come to an end.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Returns when clients shall come to an end.
    pub async fn stopping(&self) {
        // The sender is part of `self`, so there is an answer.
        self.stop.subscribe().wait_for(|stop| *stop).await.ok();
    }

    /// Whether the broker has transactions, as far as known.
    pub fn has_transactions(&self) -> bool {
        self.has_transactions.load(Relaxed)
    }

    /// The broker refused a transaction.
    pub fn forgo_transactions(&self) {
        self.has_transactions.store(false, Relaxed);
    }

    fn content(&self, message: MessageId) -> Content {
        workload::role(message.publisher).contents(self.seed).of(message)
    }
}
