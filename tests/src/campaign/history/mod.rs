//! The one checker of all campaigns: what clients did and saw goes in, broken promises come out.
//!
//! Pure: it knows no sockets and no clock. Clients tell it what they are about to do (`…Sent`, [`Event::Published`])
//! *before* they do it, and what they were told *after* they were; so the order of events never contradicts the order
//! of what happened. Whatever a crash leaves open, a publish without its confirm or an ack without a barrier, is
//! allowed either way, and is settled for good when every queue has been read to its end ([`Event::Drained`]).
//!
//! | invariant | promise | broken when |
//! |---|---|---|
//! | I1 | no loss | a confirmed message is neither in its queue nor acked nor purged |
//! | I2 | no invention | a delivery was never published, not there, or not with these bytes and properties |
//! | I3 | no resurrection | a delivery was acked before a barrier, purged, or of a transient message of an earlier life |
//! | I4 | honest `redelivered` | a second delivery says `redelivered=false`, or comes while the first is unsettled |
//! | I5 | order | a queue's single consumer sees a publisher's messages in another order |
//! | I6 | one verdict | a publish is acked or nacked twice or never, or a returned one is acked before its return |
//! | I7 | definitions | after a restart something declared is missing, or something deleted is there |
//! | I8 | liveness | after the fault is over the broker does not accept, confirm or deliver in time |
//! | I9 | resources | file descriptors, threads or memory stay taken after the clients have gone |
//! | I10 | transactions | a committed one is not whole, another one is there in part or before its commit |
//!
//! A message costs one byte a publisher and one byte for each queue it goes to.

use std::time::Duration;

mod checker;
mod consumer_channel;
mod entities;
mod liveness;
mod publisher;
mod stream;
mod transactions;
mod violations;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;

pub use checker::{History, Totals};
pub use liveness::Usage;
pub use violations::{Invariant, Violation};

/// A publisher: one channel whose messages all go to the same queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublisherIndex(pub u8);

/// A queue of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueIndex(pub u8);

/// One message of the campaign; numbers of a publisher begin at 0 and have no gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId {
    pub publisher: PublisherIndex,
    pub number: u32,
}

/// One channel of one consumer; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelIndex(pub u32);

/// The queues and publishers that a history is about.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub queues: Vec<QueuePlan>,
    pub publishers: Vec<PublisherPlan>,
}

/// What is promised about a queue.
#[derive(Debug, Clone)]
pub struct QueuePlan {
    pub name: &'static str,
    /// Persistent messages survive a crash.
    pub is_durable: bool,
}

/// What is promised about a publisher.
#[derive(Debug, Clone)]
pub struct PublisherPlan {
    pub name: &'static str,
    /// Where all its messages go. None: they are mandatory and come back.
    pub queues: Vec<QueueIndex>,
}

/// How strictly to judge.
#[derive(Debug, Clone, Copy)]
pub struct Judgement {
    /// How long anything may take after a fault.
    pub patience: Duration,
    /// A check of the checker: whatever was published counts as confirmed, so that every crash must show losses.
    pub count_unconfirmed: bool,
}

/// What happened. See the module's doc for when each is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The broker was started, or the disk has room again: from now on everything has to work in time.
    FaultOver,
    /// The broker has taken a connection.
    Accepted,
    /// Something did not answer in time.
    GaveUp { what: String },
    /// The broker's process is dead: acks from now on have not reached it.
    Killed,
    /// All clients of this life have told all they know; the next life may begin.
    LifeEnded,

    /// About to publish. In a transaction the message counts from its commit on.
    Published { message: MessageId, is_persistent: bool, in_transaction: bool },
    /// `basic.return`.
    Returned { message: MessageId },
    /// The publisher's `basic.ack` or `basic.nack`.
    Confirmed { message: MessageId, is_ack: bool },
    /// The publisher has waited until nothing of it was open any more.
    AllConfirmed { publisher: PublisherIndex },

    /// About to consume or get. `is_sole`: nobody else takes from the queue meanwhile.
    Opened { channel: ChannelIndex, queue: QueueIndex, is_sole: bool, is_no_ack: bool },
    /// A delivery has come. `is_intact`: body and properties are what was published.
    Delivered { channel: ChannelIndex, message: MessageId, is_redelivered: bool, is_intact: bool },
    /// A delivery has come that no publisher ever made.
    Foreign { channel: ChannelIndex },
    /// About to ack.
    AckSent { channel: ChannelIndex, message: MessageId },
    /// About to nack or reject with requeue.
    RequeueSent { channel: ChannelIndex, message: MessageId },
    /// `channel.close-ok`, `connection.close-ok` or `basic.cancel-ok` has come: the channel's acks are durable.
    Barrier { channel: ChannelIndex },
    /// About to close the channel: what it holds goes back.
    CloseSent { channel: ChannelIndex },

    /// About to purge.
    PurgeSent { queue: QueueIndex },
    /// `queue.purge-ok`.
    Purged { queue: QueueIndex },
    /// About to delete the queue with everything in it.
    DeleteSent { queue: QueueIndex },
    /// `queue.delete-ok`.
    Deleted { queue: QueueIndex },
    /// The queue's ready messages after a restart, before anybody has consumed or published.
    Counted { queue: QueueIndex, ready: u32 },
    /// Every queue has been read to its end, acked and barred, while nobody published.
    Drained,

    /// About to declare, bind, delete or unbind.
    EntitySent { entity: String, is_durable: bool },
    /// The same has been answered with its `-ok`.
    EntityDone { entity: String, is_there: bool },
    /// Everything that the broker shows, as entities of the same names.
    EntitiesSeen { entities: Vec<String> },
    /// The broker shows a binding whose queue or exchange it does not show.
    Dangling { entity: String },

    /// About to commit these publishes and acks, all of one channel.
    CommitSent { publishes: Vec<MessageId>, channel: ChannelIndex, acks: Vec<MessageId> },
    /// `tx.commit-ok` for the publisher's last commit.
    Committed { publisher: PublisherIndex },

    /// What the broker's process uses, before any client came and after all have gone.
    Used { before: Usage, after: Usage },
}
