//! Transactions: each whole or not at all (I10).

use std::collections::HashMap;

use super::{ChannelIndex, MessageId, PublisherIndex, QueueIndex};

/// A commit on its way.
#[derive(Debug, Clone)]
pub(super) struct Commit {
    pub(super) publishes: Vec<MessageId>,
    pub(super) channel: ChannelIndex,
    pub(super) queue: QueueIndex,
    pub(super) acks: Vec<MessageId>,
}

/// A commit that was on its way when the broker died.
#[derive(Debug)]
pub(super) struct OpenCommit {
    pub(super) publishes: Vec<MessageId>,
    pub(super) acks: usize,
    /// Acked messages that have come back.
    pub(super) returned: usize,
}

/// All that are not known to be committed or not.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    sent: HashMap<PublisherIndex, Commit>,
    open: Vec<OpenCommit>,
    /// Acks of open commits that have not come back, and whose they are.
    open_acks: HashMap<(QueueIndex, MessageId), usize>,
}

impl Transactions {
    pub(super) fn send(&mut self, publisher: PublisherIndex, commit: Commit) {
        self.sent.insert(publisher, commit);
    }

    pub(super) fn finish(&mut self, publisher: PublisherIndex) -> Option<Commit> {
        self.sent.remove(&publisher)
    }

    /// The broker has died: commits without an answer are open. Their acks may come back.
    pub(super) fn end_life(&mut self) -> Vec<(QueueIndex, MessageId)> {
        let mut acks = Vec::new();
        for commit in std::mem::take(&mut self.sent).into_values() {
            for ack in &commit.acks {
                self.open_acks.insert((commit.queue, *ack), self.open.len());
                acks.push((commit.queue, *ack));
            }
            self.open.push(OpenCommit { publishes: commit.publishes, acks: commit.acks.len(), returned: 0 });
        }
        acks
    }

    /// A delivery: perhaps an ack of an open commit did not happen.
    pub(super) fn deliver(&mut self, queue: QueueIndex, message: MessageId) {
        if self.open_acks.is_empty() {
            return;
        }
        if let Some(index) = self.open_acks.remove(&(queue, message)) {
            self.open[index].returned += 1;
        }
    }

    /// All queues were read to their ends: what was open can be judged.
    pub(super) fn drain(&mut self) -> Vec<OpenCommit> {
        self.open_acks.clear();
        std::mem::take(&mut self.open)
    }
}
