//! One consumer's channel: what it holds, and which of its acks no barrier covers yet.

use std::collections::{HashMap, HashSet};

use super::{MessageId, PublisherIndex, QueueIndex};

/// A channel that takes from one queue.
#[derive(Debug)]
pub(super) struct ConsumerChannel {
    pub(super) queue: QueueIndex,
    pub(super) is_sole: bool,
    pub(super) is_no_ack: bool,
    pub(super) held: HashSet<MessageId>,
    pub(super) acked: Vec<MessageId>,
    /// Gave these back itself: they come out of order.
    requeued: HashSet<MessageId>,
    /// The last number that came in order, of each publisher.
    last: HashMap<PublisherIndex, u32>,
}

impl ConsumerChannel {
    pub(super) fn new(queue: QueueIndex, is_sole: bool, is_no_ack: bool) -> ConsumerChannel {
        ConsumerChannel {
            queue,
            is_sole,
            is_no_ack,
            held: HashSet::new(),
            acked: Vec::new(),
            requeued: HashSet::new(),
            last: HashMap::new(),
        }
    }

    /// Notes a delivery. False if it comes after a later one of the same publisher.
    pub(super) fn deliver(&mut self, message: MessageId) -> bool {
        if self.is_no_ack {
            self.acked.push(message);
        } else {
            self.held.insert(message);
        }
        if !self.is_sole || self.requeued.contains(&message) {
            return true;
        }
        let before = self.last.insert(message.publisher, message.number);
        before.is_none_or(|before| before < message.number)
    }

    /// False if the channel does not hold the message.
    pub(super) fn ack(&mut self, message: MessageId) -> bool {
        let was_held = self.held.remove(&message);
        self.acked.push(message);
        was_held
    }

    /// False if the channel does not hold the message.
    pub(super) fn requeue(&mut self, message: MessageId) -> bool {
        self.requeued.insert(message);
        self.held.remove(&message)
    }
}
