//! Every short sequence of operations on one durable queue, each with every kind of end.

use std::env;

use super::{
    operation::{Operation, Publication, Settling},
    run,
};
use crate::{limits::QueueLimits, model::queue::Outcome, storage::sim_disk::Crash};

/// Operations of each sequence, at most, in the normal tests; a campaign sets the variable.
const DEPTH: usize = 3;
const DEPTH_VARIABLE: &str = "LIEBRE_MODEL_DEPTH";
/// Everything that can leave memory does.
const LIMITS: QueueLimits =
    QueueLimits { memory_max: 0, head_bytes: 0, page_bytes: 1, mark_ahead: 2, mark_ahead_max: 4 };

/// Two messages fill more than a file, so that one of them is in a complete one.
fn publication(count: usize, is_persistent: bool) -> Publication {
    Publication { queues: 1, count, body_size: 9_000, is_persistent }
}

fn alphabet() -> Vec<Operation> {
    let settle = |outcome| Settling { nth: 0, is_multiple: false, outcome };
    vec![
        Operation::Publish(publication(2, true)),
        Operation::Publish(publication(1, false)),
        Operation::Get { connection: 0, queue: 0, is_no_ack: false },
        Operation::Settle { connection: 0, settling: settle(Outcome::Requeue) },
        Operation::Commit {
            connection: 0,
            publications: vec![publication(1, true)],
            settlings: vec![settle(Outcome::Accept)],
        },
        Operation::Purge { queue: 0 },
        Operation::Write,
        Operation::Rest,
        Operation::Restart,
    ]
}

fn endings(seed: u64) -> [Operation; 3] {
    let crash = |crash, is_in_step| Operation::Crash { crash, seed, is_in_step };
    [crash(Crash::Dropped, false), crash(Crash::Kept, false), crash(Crash::Sectors, true)]
}

#[test]
fn no_short_sequence_ends_badly() {
    let depth = env::var(DEPTH_VARIABLE).map_or(DEPTH, |depth| depth.parse().unwrap());
    let alphabet = alphabet();
    let mut count = 0;
    for length in 1..=u32::try_from(depth).unwrap() {
        for number in 0..alphabet.len().pow(length) {
            let digits = (0..length).map(|digit| number / alphabet.len().pow(digit) % alphabet.len());
            let operations: Vec<Operation> = digits.map(|digit| alphabet[digit].clone()).collect();
            for ending in endings(number as u64) {
                run(LIMITS, &operations, Some(&ending));
                count += 1;
            }
        }
    }
    println!("{count} sequences of at most {depth} operations and an end");
}
