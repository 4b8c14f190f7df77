//! Random operations on real queues over the real log, on a disk in memory, with orderly restarts and crashes among
//! them, against a reference of plain lists. Files of the log and the memory of queues are so small that messages go
//! out to the disk and come back all the time.
//!
//! After a crash the durable queues must hold what some prefix of the log's records comes to, not before the last
//! record that was reported as synced; everything else must be as in the reference, after each step.

mod exhaustive;
pub(super) mod frames;
mod operation;
mod recording_log;
mod reference;
mod rules;
mod setup;
mod world;

use std::{env, sync::Mutex};

use proptest::{prelude::*, test_runner::TestRunner};

use crate::{limits::QueueLimits, storage::sim_disk::Crash};
use operation::{Operation, Publication, ending, operation};
use world::{Counts, World};

/// Cases of the normal tests; a campaign sets the variable.
const CASES: u32 = 600;
const CASES_VARIABLE: &str = "LIEBRE_MODEL_CASES";

fn cases() -> u32 {
    env::var(CASES_VARIABLE).map_or(CASES, |cases| cases.parse().unwrap())
}

fn queue_limits() -> impl Strategy<Value = QueueLimits> {
    let memory_max = prop::sample::select(&[0, 2_000, 6_000][..]);
    let mark_ahead =
        prop::sample::select(&[(1, 1), (1, 4), (2, 2), (3, 3), (3, 6), (8, 8), (1_024, 8_192)][..]);
    (memory_max, 0..2_500_usize, 1..4_000_usize, mark_ahead).prop_map(
        |(memory_max, head_bytes, page_bytes, (mark_ahead, mark_ahead_max))| QueueLimits {
            memory_max,
            head_bytes,
            page_bytes,
            mark_ahead,
            mark_ahead_max,
        },
    )
}

fn run(limits: QueueLimits, operations: &[Operation], ending: Option<&Operation>) -> Counts {
    let mut world = World::new(limits);
    operations.iter().chain(ending).for_each(|operation| world.apply(operation));
    world.drain();
    world.note_counts();
    world.counts
}

/// To the queues that the bits of a number name.
fn publish(queues: u8, count: usize, is_persistent: bool) -> Operation {
    Operation::Publish(Publication { queues, count, body_size: 500, is_persistent })
}

#[test]
fn an_orderly_restart_does_not_forget_what_a_crash_did() {
    let crash = Operation::Crash { crash: Crash::Dropped, seed: 0, is_in_step: false };
    let operations = [
        publish(1, 2, true),
        Operation::Get { connection: 0, queue: 0, is_no_ack: false },
        Operation::Write,
        crash,
        Operation::Restart,
        publish(1, 2, true),
        Operation::Restart,
    ];
    run(QueueLimits::default(), &operations, None);
}

#[test]
fn transient_messages_leave_memory_in_durable_queues_too() {
    let limits = QueueLimits {
        memory_max: 2_000,
        head_bytes: 500,
        page_bytes: 1_000,
        mark_ahead: 4,
        mark_ahead_max: 4,
    };
    for before in [vec![], vec![publish(1, 1, true), Operation::Rest, Operation::Restart]] {
        let counts = run(limits, &[before, vec![publish(1, 10, false)]].concat(), None);
        assert!(counts.asides > 0);
    }
}

#[test]
fn queues_are_what_plain_lists_are_whatever_happens() {
    let config = ProptestConfig { cases: cases(), max_shrink_iters: 20_000, ..ProptestConfig::default() };
    let config = ProptestConfig { failure_persistence: None, ..config };
    let operations = prop_oneof![
        9 => prop::collection::vec(operation(), 1..80),
        1 => prop::collection::vec(operation(), 80..300),
    ];
    let total = Mutex::new((0, Vec::new()));
    let ran = TestRunner::new(config).run(&(queue_limits(), operations, ending()), |case| {
        let (limits, operations, ending) = case;
        let counts = run(limits, &operations, ending.as_ref());
        let mut total = total.lock().unwrap();
        total.0 += operations.len() + usize::from(ending.is_some());
        total.1.push(counts);
        Ok(())
    });
    if let Err(failure) = ran {
        panic!("{failure}");
    }
    let (operations, counts) = total.into_inner().unwrap();
    let sum = |of: fn(&Counts) -> usize| counts.iter().map(of).sum::<usize>();
    println!(
        "{} cases, {operations} operations, {} messages, {} deliveries, {} reads of pages, {} chunks put aside, \
         {} packed files, {} restarts, {} crashes",
        counts.len(),
        sum(|counts| counts.published),
        sum(|counts| counts.delivered),
        sum(|counts| counts.reads),
        sum(|counts| counts.asides),
        sum(|counts| counts.packed),
        sum(|counts| counts.restarts),
        sum(|counts| counts.crashes),
    );
}
