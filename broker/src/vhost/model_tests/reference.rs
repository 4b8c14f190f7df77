//! What queues and connections must come to: plain lists, and no disk.

use std::collections::{BTreeMap, BTreeSet};

use super::recording_log::Durable;
use crate::model::{
    queue::{Outcome, Position, QueueCounts},
    queue_id::QueueId,
};

/// Everything that is to be seen.
#[derive(Debug, Default)]
pub(super) struct Reference {
    pub(super) queues: BTreeMap<QueueId, ReferenceQueue>,
    pub(super) connections: Vec<ReferenceConnection>,
    /// Every message that anybody ever got.
    pub(super) handed_out: BTreeSet<(QueueId, u64)>,
    /// Every message that may have been on its way to a consumer that died.
    lost: BTreeSet<(QueueId, u64)>,
}

#[derive(Debug, Default)]
pub(super) struct ReferenceQueue {
    pub(super) is_durable: bool,
    /// By position.
    pub(super) messages: Vec<ReferenceMessage>,
    pub(super) next_position: u64,
    /// Messages that were flagged since the last crash though nobody had got them.
    pub(super) needless_flags: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ReferenceMessage {
    pub(super) position: Position,
    pub(super) number: u64,
    pub(super) body_size: usize,
    pub(super) is_persistent: bool,
    pub(super) flag: Flag,
    pub(super) is_ready: bool,
}

/// Whether the next delivery says that it is not the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    No,
    Yes,
    /// A crash left no proof that it is.
    Perhaps,
    /// A consumer that died while it was handed out may have had it.
    Either,
}

#[derive(Debug, Default)]
pub(super) struct ReferenceConnection {
    pub(super) last_tag: u64,
    pub(super) unsettled: BTreeMap<u64, ReferenceDelivery>,
    pub(super) consumers: BTreeMap<QueueId, ReferenceConsumer>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ReferenceDelivery {
    pub(super) queue: QueueId,
    pub(super) position: Position,
    pub(super) consumer: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ReferenceConsumer {
    pub(super) id: u64,
    pub(super) prefetch_count: u16,
    pub(super) is_no_ack: bool,
}

impl Reference {
    pub(super) fn publish(&mut self, queues: &[QueueId], message: (u64, usize), is_persistent: bool) {
        let (number, body_size) = message;
        for id in queues {
            let queue = self.queues.get_mut(id).unwrap();
            let position = Position(queue.next_position);
            queue.next_position += 1;
            let (flag, is_ready) = (Flag::No, true);
            let message = ReferenceMessage { position, number, body_size, is_persistent, flag, is_ready };
            queue.messages.push(message);
        }
    }

    /// Ends what is unsettled at a place. A queue that was deleted knows nothing of it.
    pub(super) fn settle(&mut self, queue: QueueId, position: Position, outcome: Outcome) {
        let Some(queue) = self.queues.get_mut(&queue) else { return };
        let at = queue.messages.iter().position(|message| message.position == position).unwrap();
        assert!(!queue.messages[at].is_ready, "{position:?} is settled though it was not handed out");
        if outcome == Outcome::Requeue {
            (queue.messages[at].is_ready, queue.messages[at].flag) = (true, Flag::Yes);
        } else {
            queue.messages.remove(at);
        }
    }

    /// What a crash may not take.
    pub(super) fn durable(&self) -> Durable {
        let durable = self.queues.iter().filter(|(_, queue)| queue.is_durable);
        let messages = durable.flat_map(|(id, queue)| queue.messages.iter().map(move |own| (*id, own)));
        let persistent = messages.filter(|(_, message)| message.is_persistent);
        persistent.map(|(id, message)| ((id, message.position), message.number)).collect()
    }

    /// The broker stopped; this is left. `body_size` knows the size of any message ever published.
    pub(super) fn restart(&mut self, durable: &Durable, is_clean: bool, body_size: impl Fn(u64) -> usize) {
        for connection in &mut self.connections {
            *connection = ReferenceConnection::default();
        }
        for (id, queue) in &mut self.queues {
            let before = std::mem::take(&mut queue.messages);
            if !is_clean {
                queue.needless_flags = 0;
            }
            let own = durable.range((*id, Position(0))..=(*id, Position(u64::MAX)));
            let left = own.map(|(&(_, position), &number)| {
                let known = before.iter().find(|message| message.position == position);
                let flag = match is_clean {
                    true => known.unwrap().flag,
                    false if self.handed_out.contains(&(*id, number)) => Flag::Yes,
                    false if self.lost.contains(&(*id, number)) => Flag::Either,
                    false => Flag::Perhaps,
                };
                ReferenceMessage {
                    position,
                    number,
                    body_size: body_size(number),
                    is_persistent: true,
                    flag,
                    is_ready: true,
                }
            });
            queue.messages = left.collect();
        }
    }

    pub(super) fn counts(&self, id: QueueId) -> QueueCounts {
        let messages = &self.queues[&id].messages;
        let (ready, unsettled): (Vec<_>, Vec<_>) = messages.iter().partition(|message| message.is_ready);
        let bytes = |of: &[ReferenceMessage]| of.iter().map(|message| message.body_size as u64).sum::<u64>();
        QueueCounts {
            ready: ready.len(),
            unsettled: unsettled.len(),
            ready_bytes: bytes(&ready),
            unsettled_bytes: bytes(&unsettled),
            consumers: self.consumers(id).count(),
        }
    }

    /// A consumer of the queue died: messages may have been on their way to it.
    pub(super) fn lose_consumer(&mut self, id: QueueId) {
        let messages = self.queues.get_mut(&id).into_iter().flat_map(|queue| &mut queue.messages);
        for message in messages.filter(|message| message.is_ready && message.flag == Flag::No) {
            message.flag = Flag::Either;
            self.lost.insert((id, message.number));
        }
    }

    /// Whether the next message of a queue may have to wait for a mark in the log.
    pub(super) fn may_be_held(&self, id: QueueId) -> bool {
        let queue = &self.queues[&id];
        let next = queue.messages.iter().find(|message| message.is_ready);
        next.is_some_and(|next| queue.is_durable && next.is_persistent && next.flag != Flag::Yes)
    }

    /// The consumers of a queue and how much each has that is not settled.
    pub(super) fn consumers(&self, id: QueueId) -> impl Iterator<Item = (&ReferenceConsumer, usize)> {
        self.connections.iter().filter_map(move |connection| {
            let consumer = connection.consumers.get(&id)?;
            let unsettled = connection.unsettled.values();
            Some((consumer, unsettled.filter(|delivery| delivery.consumer == Some(consumer.id)).count()))
        })
    }
}
