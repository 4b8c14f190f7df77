//! What the tests of crashes and failures do to the log.

use crate::storage::sim_disk::Seeded;

/// What a workload does: one record, or a turn of the writer.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Publish {
        queues: Vec<u64>,
        size: usize,
    },
    /// Settles the nth of the queue's live messages.
    Settle {
        queue: u64,
        nth: Vec<usize>,
    },
    Requeue {
        queue: u64,
        nth: Vec<usize>,
    },
    Delivered {
        queue: u64,
        up_to: u64,
    },
    Purge {
        queue: u64,
        kept: Vec<usize>,
    },
    Delete {
        queue: u64,
    },
    /// One record of several parts.
    Transaction(Vec<Action>),
    /// Until the writer has nothing to do.
    Write,
    /// One step of the writer.
    Step,
    /// What the writer does when nobody asks for anything: until all is done.
    Rest,
    /// The process ends and another begins; in an orderly way or not.
    Restart {
        is_orderly: bool,
    },
}

pub(super) fn publish_and_settle() -> Vec<Action> {
    let mut actions = Vec::new();
    for turn in 0..10 {
        actions.extend([publish(&[1], 40), publish(&[1], 700 * (turn % 3)), Action::Step]);
        actions.push(Action::Settle { queue: 1, nth: vec![0, turn % 3] });
        if turn % 4 == 0 {
            actions.push(Action::Rest);
        }
    }
    actions.push(Action::Write);
    actions
}

pub(super) fn fan_out() -> Vec<Action> {
    let mut actions = Vec::new();
    for turn in 0..8 {
        actions.extend([publish(&[1, 2, 3], 900), publish(&[2, 4], 3), Action::Step]);
        let queue = 1 + turn % 4;
        actions.extend([Action::Settle { queue, nth: vec![0, 1] }, publish(&[4], 2_000), Action::Step]);
    }
    actions
}

pub(super) fn requeue_and_deliver() -> Vec<Action> {
    let mut actions = vec![Action::Delivered { queue: 1, up_to: 4 }];
    for turn in 0..10 {
        actions.extend([publish(&[1], 100), publish(&[1, 2], 10), Action::Step]);
        actions.push(Action::Requeue { queue: 1, nth: vec![0, turn] });
        actions.push(Action::Delivered { queue: 1 + turn as u64 % 2, up_to: turn as u64 * 3 });
        if turn % 3 == 2 {
            actions.extend([Action::Settle { queue: 1, nth: vec![0] }, Action::Step]);
        }
    }
    actions.push(Action::Write);
    actions
}

pub(super) fn purge_and_delete() -> Vec<Action> {
    let mut actions = Vec::new();
    for turn in 0..8_u64 {
        actions.extend([
            publish(&[1, 2], 300),
            publish(&[1], 20),
            publish(&[2, 3 + turn / 4 + u64::from(turn % 4 == 3)], 600),
            Action::Step,
        ]);
        actions.push(match turn % 4 {
            0 => Action::Purge { queue: 1, kept: vec![] },
            1 => Action::Purge { queue: 2, kept: vec![0, 2] },
            2 => Action::Delete { queue: 3 + turn / 4 },
            _ => Action::Purge { queue: 2, kept: vec![1] },
        });
        actions.push(Action::Step);
    }
    actions
}

/// More than the budget goes through; one message stays and has to move, one queue keeps only its marks.
pub(super) fn pack_and_recycle() -> Vec<Action> {
    let mut actions = vec![
        Action::Delivered { queue: 8, up_to: 5 },
        publish(&[8, 9], 30),
        Action::Settle { queue: 8, nth: vec![0] },
        Action::Requeue { queue: 9, nth: vec![0] },
        Action::Write,
    ];
    for turn in 0..16 {
        actions.extend([publish(&[1], 4_000), publish(&[1, 2], 3_000), Action::Step]);
        actions.push(Action::Settle { queue: 2, nth: vec![0] });
        actions.push(Action::Settle { queue: 1, nth: vec![0, 1, 2] });
        actions.push(if turn % 5 == 4 { Action::Write } else { Action::Step });
    }
    actions.extend([publish(&[1], 20_000), Action::Write, Action::Settle { queue: 1, nth: vec![0] }]);
    actions.push(Action::Write);
    actions
}

/// Parts of every kind for several queues, over file ends; the parts of one transaction settle what others
/// published, and those that stay have to move.
pub(super) fn transactions() -> Vec<Action> {
    let settle = |queue, nth: &[usize]| Action::Settle { queue, nth: nth.to_vec() };
    let requeue = |queue, nth: &[usize]| Action::Requeue { queue, nth: nth.to_vec() };
    let mut actions = vec![
        Action::Transaction(vec![publish(&[9], 30), publish(&[8, 9], 50), publish(&[8], 0)]),
        Action::Transaction(vec![requeue(9, &[1]), settle(8, &[0])]),
        Action::Write,
    ];
    for turn in 0..12 {
        actions.push(Action::Transaction(vec![
            publish(&[1], 900),
            publish(&[2, 1], 3_000),
            publish(&[3], 0),
        ]));
        actions.push(Action::Step);
        actions.push(Action::Transaction(vec![
            settle(1, &[0, 1]),
            publish(&[2], 200 * turn),
            requeue(3, &[turn % 3]),
            settle(2, &[0, 2]),
        ]));
        actions.push(publish(&[1, 3], 40));
        actions.push(if turn % 4 == 3 { Action::Write } else { Action::Step });
    }
    actions.push(Action::Transaction(vec![publish(&[1], 9_000), publish(&[1], 9_000), settle(1, &[0])]));
    actions.push(Action::Write);
    actions.push(Action::Transaction(vec![settle(1, &[0, 1, 2, 3]), requeue(2, &[1])]));
    actions.extend([Action::Step, settle(3, &[0, 1]), Action::Write]);
    actions
}

/// Anything, in any order, over restarts.
pub(super) fn random_actions(seeded: &mut Seeded) -> Vec<Action> {
    let mut actions = Vec::new();
    // A queue's id is never used again after it was deleted.
    let mut ids = [1, 2, 3, 4];
    for _ in 0..20 + seeded.below(30) {
        let index = seeded.below(4);
        let queue = ids[index];
        let nth: Vec<usize> = (0..seeded.below(4)).map(|_| seeded.below(5)).collect();
        let size = [0, 30, 500, 3_000, 9_000, 20_000][seeded.below(6).min(seeded.below(7))];
        let fan: Vec<u64> = ids.into_iter().filter(|_| seeded.below(3) == 0).collect();
        actions.push(match seeded.below(25) {
            0..=5 => publish(&[queue], size),
            6..=7 => publish(&fan, size),
            8..=12 => Action::Settle { queue, nth },
            13 => Action::Requeue { queue, nth },
            14 => Action::Delivered { queue, up_to: seeded.below(20) as u64 },
            15 => Action::Purge { queue, kept: nth },
            16 => {
                ids[index] += 10;
                Action::Delete { queue }
            }
            17 => Action::Rest,
            18 => Action::Restart { is_orderly: seeded.coin() },
            19 => Action::Write,
            20 => Action::Transaction(vec![
                publish(&fan, size),
                Action::Settle { queue, nth },
                publish(&[queue], 30),
                Action::Requeue { queue: ids[seeded.below(4)], nth: vec![4, 5] },
            ]),
            _ => Action::Step,
        });
    }
    actions
}

/// The second and third process find what the first left.
pub(super) fn restart_and_go_on() -> Vec<Action> {
    let mut actions = Vec::new();
    for turn in 0..8 {
        actions.extend([publish(&[1, 2], 400), Action::Step, publish(&[1], 2_500)]);
        actions.push(Action::Settle { queue: 1, nth: vec![turn % 2] });
        actions.extend([Action::Step, publish(&[3], 10), Action::Restart { is_orderly: turn % 3 == 0 }]);
    }
    actions.push(Action::Write);
    actions
}

fn publish(queues: &[u64], size: usize) -> Action {
    Action::Publish { queues: queues.to_vec(), size }
}
