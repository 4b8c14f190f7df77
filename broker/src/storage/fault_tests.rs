//! A disk that refuses, at every change of the workloads of `crash_tests`: once, for a while, for good.

use std::sync::{Arc, Mutex};

use crate::storage::{
    LogError,
    crash_tests::{Run, model_of, open},
    crash_workloads::{Action, pack_and_recycle, publish_and_settle, requeue_and_deliver, transactions},
    log::Log,
    record::Lsn,
    sim_disk::{Crash, Fault, Seeded, SimDisk},
};

type Results = Arc<Mutex<Vec<(Lsn, Result<(), LogError>)>>>;

fn wait_for(log: &Log, lsn: Lsn, results: &Results) {
    let results = Arc::clone(results);
    log.when_synced(lsn, Box::new(move |result| results.lock().unwrap().push((lsn, result))));
}

/// One failure at each change of the disk, for a while or for good; then a restart.
fn check_faults(actions: &[Action], fault: Fault, count: usize) {
    let mut clean = Run::new(SimDisk::default());
    actions.iter().for_each(|action| clean.act(action));
    for first in 0..clean.disk.op_count() {
        let context = format!("{fault:?} at {first}, {count} times");
        let disk = SimDisk::default();
        disk.fail(first, count, fault);
        let Ok(_) = open(&disk) else {
            disk.heal();
            open(&disk).unwrap();
            continue;
        };
        let disk = SimDisk::default();
        disk.fail(first, count, fault);
        let mut run = Run::new(disk);
        let results = Results::default();
        for action in actions {
            run.act(action);
            let appended = Lsn(*run.models.keys().next_back().unwrap());
            wait_for(&run.log, appended, &results);
        }
        run.disk.heal();
        (0..3).for_each(|_| run.act(&Action::Write));
        let synced = run.log.synced_up_to();
        let results = results.lock().unwrap().clone();
        assert_eq!(results.len(), actions.len(), "{context}: everybody is told once");
        for (lsn, result) in results {
            assert!(result.is_err() || lsn <= synced, "{context}: {lsn:?} was not synced");
        }
        if fault != Fault::Broken {
            assert_eq!(run.log.failure(), None, "{context}: passes by itself");
            let (log, _, recovered) = open(&run.disk).unwrap();
            assert_eq!(model_of(&log, &recovered), run.model, "{context}");
        }
        for crash in Crash::ALL {
            let crashed = run.disk.state().crash(crash, &mut Seeded::new(first as u64));
            let (log, _, recovered) = open(&SimDisk::with(crashed)).unwrap();
            run.check((&log, &recovered), synced, &format!("{context}, {crash:?}"));
        }
    }
}

#[test]
fn broken_disk_at_every_change() {
    for actions in [publish_and_settle(), requeue_and_deliver(), pack_and_recycle(), transactions()] {
        check_faults(&actions, Fault::Broken, 1);
        check_faults(&actions, Fault::Broken, usize::MAX / 2);
    }
}

#[test]
fn short_write_at_every_change() {
    for actions in [publish_and_settle(), pack_and_recycle()] {
        check_faults(&actions, Fault::ShortWrite, 1);
    }
}

#[test]
fn full_disk_at_every_change() {
    for actions in [publish_and_settle(), requeue_and_deliver(), pack_and_recycle(), transactions()] {
        check_faults(&actions, Fault::Full, 1);
        check_faults(&actions, Fault::Full, 7);
        check_faults(&actions, Fault::Full, usize::MAX / 2);
    }
}
