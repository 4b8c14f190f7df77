//! What is done to the queues.

use proptest::prelude::*;

use crate::{model::queue::Outcome, storage::sim_disk::Crash};

/// Connections, each with a channel.
pub(super) const CONNECTIONS: usize = 2;
/// Queues; the last one is not durable.
pub(super) const QUEUES: usize = 3;

/// One thing that is done. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Publish(Publication),
    Get {
        connection: usize,
        queue: usize,
        is_no_ack: bool,
    },
    /// Nothing if the connection consumes from the queue already.
    Consume {
        connection: usize,
        queue: usize,
        prefetch_count: u16,
        is_no_ack: bool,
    },
    Cancel {
        connection: usize,
        queue: usize,
    },
    Settle {
        connection: usize,
        settling: Settling,
    },
    Commit {
        connection: usize,
        publications: Vec<Publication>,
        settlings: Vec<Settling>,
    },
    /// The peer is gone, and something may be published before its queues know.
    Disconnect {
        connection: usize,
        meanwhile: Option<Publication>,
    },
    Purge {
        queue: usize,
    },
    /// Another one of the same name takes its place.
    Delete {
        queue: usize,
    },
    /// One step of the log's writer.
    Step,
    /// Until it has nothing to write.
    Write,
    /// Until all is done that can wait.
    Rest,
    /// The broker stops in an orderly way and starts again.
    Restart,
    Crash {
        crash: Crash,
        seed: u64,
        /// While the writer is at work.
        is_in_step: bool,
    },
}

/// Messages to some queues.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    /// A bit for each.
    pub(super) queues: u8,
    pub(super) count: usize,
    pub(super) body_size: usize,
    pub(super) is_persistent: bool,
}

/// An ack, nack or reject.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settling {
    pub(super) nth: usize,
    pub(super) is_multiple: bool,
    pub(super) outcome: Outcome,
}

/// Any operation, the usual ones more often.
pub(super) fn operation() -> impl Strategy<Value = Operation> {
    let (connection, queue) = (0..CONNECTIONS, 0..QUEUES);
    prop_oneof![
        12 => publication().prop_map(Operation::Publish),
        4 => (connection.clone(), queue.clone(), any::<bool>())
            .prop_map(|(connection, queue, is_no_ack)| Operation::Get { connection, queue, is_no_ack }),
        4 => (connection.clone(), queue.clone(), 0..5_u16, prop::bool::weighted(0.2)).prop_map(
            |(connection, queue, prefetch_count, is_no_ack)| Operation::Consume {
                connection,
                queue,
                prefetch_count,
                is_no_ack
            }
        ),
        2 => (connection.clone(), queue.clone())
            .prop_map(|(connection, queue)| Operation::Cancel { connection, queue }),
        7 => (connection.clone(), settling())
            .prop_map(|(connection, settling)| Operation::Settle { connection, settling }),
        3 => (
            connection.clone(),
            prop::collection::vec(publication(), 0..3),
            prop::collection::vec(settling(), 0..3)
        )
            .prop_map(|(connection, publications, settlings)| Operation::Commit {
                connection,
                publications,
                settlings
            }),
        1 => (connection, prop::option::of(publication()))
            .prop_map(|(connection, meanwhile)| Operation::Disconnect { connection, meanwhile }),
        1 => queue.clone().prop_map(|queue| Operation::Purge { queue }),
        1 => queue.prop_map(|queue| Operation::Delete { queue }),
        5 => Just(Operation::Step),
        4 => Just(Operation::Write),
        2 => Just(Operation::Rest),
        1 => Just(Operation::Restart),
        2 => crash(),
    ]
}

/// How a case ends before all that is left is looked at.
pub(super) fn ending() -> impl Strategy<Value = Option<Operation>> {
    prop::option::of(prop_oneof![Just(Operation::Restart), crash()])
}

fn publication() -> impl Strategy<Value = Publication> {
    let body_size = prop_oneof![4 => 8..100_usize, 6 => 100..3_000_usize, 1 => 10_000..24_000_usize];
    (1..1_u8 << QUEUES, 1..6_usize, body_size, prop::bool::weighted(0.7)).prop_map(
        |(queues, count, body_size, is_persistent)| Publication { queues, count, body_size, is_persistent },
    )
}

fn settling() -> impl Strategy<Value = Settling> {
    let outcome =
        prop_oneof![3 => Just(Outcome::Accept), 3 => Just(Outcome::Requeue), 1 => Just(Outcome::Discard)];
    (0..1_000_usize, any::<bool>(), outcome).prop_map(|(nth, is_multiple, outcome)| Settling {
        nth,
        is_multiple,
        outcome,
    })
}

fn crash() -> impl Strategy<Value = Operation> {
    (prop::sample::select(&Crash::ALL[..]), any::<u64>(), any::<bool>())
        .prop_map(|(crash, seed, is_in_step)| Operation::Crash { crash, seed, is_in_step })
}
