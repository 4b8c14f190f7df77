//! Transactions: each whole or not at all (I10).

use std::collections::HashMap;

use super::{ChannelIndex, MessageId, Plan, PublisherIndex, QueueIndex};

/// A commit on its way.
#[derive(Debug, Clone)]
pub(super) struct Commit {
    pub(super) publishes: Vec<MessageId>,
    pub(super) channel: ChannelIndex,
    pub(super) queue: QueueIndex,
    pub(super) acks: Vec<MessageId>,
}

/// A commit that was on its way when the broker died, and what was seen of it since. What was seen before does not
/// count: as with a single publish, consumers may get what is not on disk yet.
#[derive(Debug)]
pub(super) struct OpenCommit {
    pub(super) first: MessageId,
    /// Publishes that are there, in each of their queues.
    pub(super) present: usize,
    /// Publishes that have not come, and were not taken off their queues either.
    pub(super) missing: usize,
    pub(super) acks: usize,
    /// Acked messages that have come back.
    pub(super) returned: usize,
}

/// All that are not known to be committed or not.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    sent: HashMap<PublisherIndex, Commit>,
    /// Answered, but too late to be believed: the broker was about to be killed.
    unanswered: Vec<Commit>,
    open: Vec<OpenCommit>,
    /// Publishes and acks of open commits that have not come since, and whose they are.
    publishes: HashMap<(QueueIndex, MessageId), usize>,
    acks: HashMap<(QueueIndex, MessageId), usize>,
}

impl Transactions {
    pub(super) fn send(&mut self, publisher: PublisherIndex, commit: Commit) {
        // Who sends another has seen the answer to the one before.
        self.unanswered.extend(self.sent.insert(publisher, commit));
    }

    pub(super) fn finish(&mut self, publisher: PublisherIndex) -> Option<Commit> {
        self.sent.remove(&publisher)
    }

    /// The broker has died: commits without an answer are open. Their acks may come back.
    pub(super) fn end_life(&mut self, plan: &Plan) -> Vec<(QueueIndex, MessageId)> {
        let mut acks = Vec::new();
        let sent = std::mem::take(&mut self.sent).into_values();
        for commit in std::mem::take(&mut self.unanswered).into_iter().chain(sent) {
            let Some(first) = commit.publishes.first().copied() else { continue };
            let index = self.open.len();
            for message in &commit.publishes {
                for queue in &plan.publishers[usize::from(message.publisher.0)].queues {
                    self.publishes.insert((*queue, *message), index);
                }
            }
            for message in &commit.acks {
                self.acks.insert((commit.queue, *message), index);
                acks.push((commit.queue, *message));
            }
            let acks = commit.acks.len();
            self.open.push(OpenCommit { first, present: 0, missing: 0, acks, returned: 0 });
        }
        acks
    }

    /// A delivery: perhaps it says what became of an open commit.
    pub(super) fn deliver(&mut self, queue: QueueIndex, message: MessageId) {
        if self.open.is_empty() {
            return;
        }
        if let Some(index) = self.publishes.remove(&(queue, message)) {
            self.open[index].present += 1;
        }
        if let Some(index) = self.acks.remove(&(queue, message)) {
            self.open[index].returned += 1;
        }
    }

    /// All queues were read to their ends: what was open can be judged. `was_taken` says whether an earlier ack may
    /// have taken a message off its queue.
    pub(super) fn drain(&mut self, was_taken: impl Fn(QueueIndex, MessageId) -> bool) -> Vec<OpenCommit> {
        for ((queue, message), index) in self.publishes.drain() {
            if !was_taken(queue, message) {
                self.open[index].missing += 1;
            }
        }
        self.acks.clear();
        std::mem::take(&mut self.open)
    }
}

impl OpenCommit {
    /// All of it happened, or nothing.
    pub(super) fn is_atomic(&self) -> bool {
        let is_whole = self.missing == 0 && self.returned == 0;
        let is_nothing = self.present == 0 && self.returned == self.acks;
        is_whole || is_nothing
    }
}
