//! A log without a disk, for answers that wait for it.

use std::sync::{Arc, Mutex};

use super::bench::{Step, meanwhile};
use crate::{
    model::{message::Message, queue_id::QueueId},
    storage::{
        LogError,
        log::Synced,
        queue_log::{LogTarget, LogTransaction, MemoryLog, QueueLog, QueueRecord},
        record::Lsn,
    },
};

/// A log in memory that syncs on command, and remembers its transactions.
#[derive(Debug, Default)]
pub(super) struct FakeLog(Mutex<State>);

#[derive(Default)]
struct State {
    appended: u64,
    synced: u64,
    waiting: Vec<(Lsn, Synced)>,
    /// Nothing is taken, for this reason.
    refusal: Option<LogError>,
    /// Transactions, for people.
    lines: Vec<String>,
}

impl FakeLog {
    /// Everything appended is synced.
    pub(super) fn catches_up(self: &Arc<Self>) -> Step {
        let log = Arc::clone(self);
        meanwhile("the log catches up", move |_| {
            log.update(|state| state.synced = state.appended);
            log.tell(&Ok(()));
        })
    }

    /// Whoever waits is told that the disk is full.
    pub(super) fn finds_the_disk_full(self: &Arc<Self>) -> Step {
        let log = Arc::clone(self);
        meanwhile("the disk is full", move |_| log.tell(&Err(full())))
    }

    /// Nothing is taken any more.
    pub(super) fn refuses(self: &Arc<Self>) -> Step {
        let log = Arc::clone(self);
        meanwhile("the log refuses", move |_| log.update(|state| state.refusal = Some(LogError::Closed)))
    }

    /// The transactions so far.
    pub(super) fn transactions(&self) -> String {
        self.update(|state| state.lines.concat())
    }

    fn tell(&self, result: &Result<(), LogError>) {
        let waiting = self.update(|state| std::mem::take(&mut state.waiting));
        waiting.into_iter().for_each(|(_, synced)| synced(result.clone()));
    }

    fn append(&self) -> Result<Option<Lsn>, LogError> {
        self.update(|state| match &state.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => {
                state.appended += 1;
                Ok(Some(Lsn(state.appended)))
            }
        })
    }

    fn update<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.0.lock().unwrap())
    }
}

impl QueueLog for FakeLog {
    fn append(&self, targets: &mut [&mut dyn LogTarget], message: Message) -> Result<Option<Lsn>, LogError> {
        let lsn = FakeLog::append(self)?;
        MemoryLog.append(targets, message)?;
        Ok(lsn)
    }

    fn append_transaction(
        &self,
        targets: &mut [&mut dyn LogTarget],
        transaction: LogTransaction<'_>,
    ) -> Result<Option<Lsn>, LogError> {
        let lsn = FakeLog::append(self)?;
        let mut line = String::from("transaction\n");
        for run in &transaction.runs {
            let queues = run.targets.iter().map(|index| targets[*index].queue_id().0).collect::<Vec<u64>>();
            line += &format!("  {} to queues {queues:?}\n", run.messages.len());
        }
        for (queue, record) in &transaction.records {
            line += &format!("  {record:?} of queue {}\n", queue.0);
        }
        self.update(|state| state.lines.push(line));
        MemoryLog.append_transaction(targets, transaction)?;
        Ok(lsn)
    }

    fn record(&self, _queue: QueueId, _record: QueueRecord<'_>) -> Option<Lsn> {
        FakeLog::append(self).ok().flatten()
    }

    fn synced_up_to(&self) -> Lsn {
        self.update(|state| Lsn(state.synced))
    }

    fn when_synced(&self, lsn: Lsn, synced: Synced) {
        self.update(|state| state.waiting.push((lsn, synced)));
    }

    fn is_over_limit(&self) -> bool {
        false
    }

    fn failure(&self) -> Option<LogError> {
        None
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("lines", &self.lines).finish_non_exhaustive()
    }
}

fn full() -> LogError {
    LogError::Io {
        action: "write",
        file: "00000001.log".to_owned(),
        is_passing: true,
        reason: "no space left on device".to_owned(),
    }
}
