//! The queues, exchanges and publishers of the load. Every name begins with `campaign.`, so that a campaign can share a
//! broker with others.
//!
//! | publisher | goes to | taken by |
//! |---|---|---|
//! | work | work | two consumers, acks in batches |
//! | mixed | work, get | those, and `basic.get` |
//! | fan-out | fan-a, fan-b, fan-memory | one consumer each: acks in batches, one by one |
//! | large (1 to 64 KiB) | requeue, hold | a consumer that gives back; nobody until the queues are drained |
//! | requeue | requeue | the same |
//! | no-ack | no-ack | a consumer without acks |
//! | purged | purged | purges |
//! | churn | churn | `basic.get`, and the queue's deletion |
//! | tx | tx-a, tx-b | its own transactions |
//! | wire | wire | one consumer |
//! | unroutable | nothing | comes back |
//! | probe | probe | the check after each start |

use super::{
    content::{Contents, Sizes},
    history::{Plan, PublisherIndex, PublisherPlan, QueueIndex, QueuePlan},
};

/// Queues by their place in [`QUEUES`].
pub mod queue {
    use super::QueueIndex;

    pub const WORK: QueueIndex = QueueIndex(0);
    pub const GET: QueueIndex = QueueIndex(1);
    pub const FAN_A: QueueIndex = QueueIndex(2);
    pub const FAN_B: QueueIndex = QueueIndex(3);
    pub const FAN_MEMORY: QueueIndex = QueueIndex(4);
    pub const REQUEUE: QueueIndex = QueueIndex(5);
    pub const HOLD: QueueIndex = QueueIndex(6);
    pub const NO_ACK: QueueIndex = QueueIndex(7);
    pub const PURGED: QueueIndex = QueueIndex(8);
    pub const CHURN: QueueIndex = QueueIndex(9);
    pub const TX_A: QueueIndex = QueueIndex(10);
    pub const TX_B: QueueIndex = QueueIndex(11);
    pub const WIRE: QueueIndex = QueueIndex(12);
    pub const PROBE: QueueIndex = QueueIndex(13);
}

/// Publishers by their place in [`PUBLISHERS`].
pub mod publisher {
    use super::PublisherIndex;

    pub const WORK: PublisherIndex = PublisherIndex(0);
    pub const MIXED: PublisherIndex = PublisherIndex(1);
    pub const FAN_OUT: PublisherIndex = PublisherIndex(2);
    pub const LARGE: PublisherIndex = PublisherIndex(3);
    pub const REQUEUE: PublisherIndex = PublisherIndex(4);
    pub const NO_ACK: PublisherIndex = PublisherIndex(5);
    pub const PURGED: PublisherIndex = PublisherIndex(6);
    pub const CHURN: PublisherIndex = PublisherIndex(7);
    pub const TX: PublisherIndex = PublisherIndex(8);
    pub const WIRE: PublisherIndex = PublisherIndex(9);
    pub const UNROUTABLE: PublisherIndex = PublisherIndex(10);
    pub const PROBE: PublisherIndex = PublisherIndex(11);
}

/// A queue of the load.
#[derive(Debug)]
pub struct QueueRole {
    pub name: &'static str,
    pub is_durable: bool,
}

/// A publisher of the load.
#[derive(Debug)]
pub struct PublisherRole {
    pub name: &'static str,
    pub exchange: &'static str,
    pub routing_key: &'static str,
    pub queues: &'static [QueueIndex],
    sizes: Sizes,
    transient_every: u64,
    is_plain: bool,
}

/// An exchange of the load: name, kind.
pub const EXCHANGES: [(&str, &str); 3] =
    [("campaign.topic", "topic"), ("campaign.fanout", "fanout"), ("campaign.tx", "fanout")];

/// Exchange, queue, binding key.
pub const BINDINGS: [(&str, QueueIndex, &str); 9] = [
    ("campaign.topic", queue::WORK, "mixed.#"),
    ("campaign.topic", queue::GET, "*.message"),
    ("campaign.fanout", queue::FAN_A, ""),
    ("campaign.fanout", queue::FAN_B, ""),
    ("campaign.fanout", queue::FAN_MEMORY, ""),
    ("campaign.topic", queue::REQUEUE, "large.body.#"),
    ("campaign.topic", queue::HOLD, "large.body"),
    ("campaign.tx", queue::TX_A, ""),
    ("campaign.tx", queue::TX_B, ""),
];

/// The queues, in the order of [`queue`].
pub const QUEUES: [QueueRole; 14] = [
    durable("campaign.work"),
    durable("campaign.get"),
    durable("campaign.fan-a"),
    durable("campaign.fan-b"),
    QueueRole { name: "campaign.fan-memory", is_durable: false },
    durable("campaign.requeue"),
    durable("campaign.hold"),
    durable("campaign.no-ack"),
    durable("campaign.purged"),
    durable("campaign.churn"),
    durable("campaign.tx-a"),
    durable("campaign.tx-b"),
    durable("campaign.wire"),
    durable("campaign.probe"),
];

/// The publishers, in the order of [`publisher`].
pub const PUBLISHERS: [PublisherRole; 12] = [
    straight("work", "campaign.work", &[queue::WORK]),
    PublisherRole {
        exchange: "campaign.topic",
        routing_key: "mixed.message",
        transient_every: 4,
        ..straight("mixed", "", &[queue::WORK, queue::GET])
    },
    PublisherRole {
        exchange: "campaign.fanout",
        transient_every: 8,
        ..straight("fan-out", "any", &[queue::FAN_A, queue::FAN_B, queue::FAN_MEMORY])
    },
    PublisherRole {
        exchange: "campaign.topic",
        routing_key: "large.body",
        sizes: Sizes::Large,
        ..straight("large", "", &[queue::REQUEUE, queue::HOLD])
    },
    straight("requeue", "campaign.requeue", &[queue::REQUEUE]),
    PublisherRole { transient_every: 8, ..straight("no-ack", "campaign.no-ack", &[queue::NO_ACK]) },
    straight("purged", "campaign.purged", &[queue::PURGED]),
    straight("churn", "campaign.churn", &[queue::CHURN]),
    PublisherRole { exchange: "campaign.tx", ..straight("tx", "", &[queue::TX_A, queue::TX_B]) },
    PublisherRole { is_plain: true, ..straight("wire", "campaign.wire", &[queue::WIRE]) },
    PublisherRole { is_plain: true, ..straight("unroutable", "campaign.nowhere", &[]) },
    straight("probe", "campaign.probe", &[queue::PROBE]),
];

/// What a history has to know of all that.
pub fn plan() -> Plan {
    let queues = QUEUES.iter().map(|role| QueuePlan { name: role.name, is_durable: role.is_durable });
    let publishers =
        PUBLISHERS.iter().map(|role| PublisherPlan { name: role.name, queues: role.queues.to_vec() });
    Plan { queues: queues.collect(), publishers: publishers.collect() }
}

/// The role of a publisher.
pub fn role(publisher: PublisherIndex) -> &'static PublisherRole {
    &PUBLISHERS[usize::from(publisher.0)]
}

/// The name of a queue.
pub fn name(queue: QueueIndex) -> &'static str {
    QUEUES[usize::from(queue.0)].name
}

/// All queues.
pub fn queues() -> impl Iterator<Item = QueueIndex> {
    (0..).take(QUEUES.len()).map(QueueIndex)
}

impl PublisherRole {
    /// What its messages look like.
    pub fn contents(&self, seed: u64) -> Contents {
        Contents { seed, sizes: self.sizes, transient_every: self.transient_every, is_plain: self.is_plain }
    }
}

const fn durable(name: &'static str) -> QueueRole {
    QueueRole { name, is_durable: true }
}

/// A publisher of small persistent messages over the default exchange.
const fn straight(
    name: &'static str,
    routing_key: &'static str,
    queues: &'static [QueueIndex],
) -> PublisherRole {
    PublisherRole {
        name,
        exchange: "",
        routing_key,
        queues,
        sizes: Sizes::Small,
        transient_every: 0,
        is_plain: false,
    }
}
