//! Store and log in memory, which answer at once or when they are told to.

use std::{
    fmt, mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use liebre::{
    model::{definition::Change, message::Message, queue_id::QueueId},
    storage::{
        Completion, Loaded, LogError, MetadataStore, StoreError,
        log::Synced,
        queue_log::{LogTarget, LogTransaction, QueueLog, QueueRecord},
        record::Lsn,
    },
};

/// Records that may wait for a sync before publishers have to.
const UNSYNCED_MAX: u64 = 8;

/// Definitions that nobody will ask for again.
#[derive(Default)]
pub struct MemoryStore {
    last_queue_id: AtomicU64,
    /// Who waits, while it holds.
    held: Mutex<Option<Vec<Completion>>>,
}

/// Messages that nobody will ask for again.
#[derive(Default)]
pub struct MemoryLog(Mutex<LogState>);

#[derive(Default)]
struct LogState {
    is_holding: bool,
    appended: u64,
    synced: u64,
    waiting: Vec<Synced>,
}

impl MemoryStore {
    /// From now on nothing becomes durable before it [catches up](Self::catch_up).
    pub fn hold(&self) {
        self.lock().get_or_insert_default();
    }

    /// What waited is durable, or not; what comes is at once.
    pub fn catch_up(&self, result: Result<(), StoreError>) {
        let waiting = self.lock().take().unwrap_or_default();
        for done in waiting {
            // What is not durable now never is.
            drop(done.complete(result.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Completion>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MetadataStore for MemoryStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        Ok(Loaded::default())
    }

    fn submit(&self, _changes: Vec<Change>, done: Completion) {
        match &mut *self.lock() {
            Some(waiting) => waiting.push(done),
            None => drop(done.complete(Ok(()))),
        }
    }

    fn next_queue_id(&self) -> Result<u64, StoreError> {
        Ok(self.last_queue_id.fetch_add(1, Relaxed) + 1)
    }

    fn close(&self) {}
}

impl MemoryLog {
    /// From now on nothing is synced before it [catches up](Self::catch_up).
    pub fn hold(&self) {
        self.lock().is_holding = true;
    }

    /// What was appended is synced, or not yet; what comes is synced at once.
    pub fn catch_up(&self, result: Result<(), LogError>) {
        let waiting = {
            let mut state = self.lock();
            if result.is_ok() {
                state.is_holding = false;
                state.synced = state.appended;
            }
            mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(|synced| synced(result.clone()));
    }

    fn next(&self) -> Lsn {
        let mut state = self.lock();
        state.appended += 1;
        if !state.is_holding {
            state.synced = state.appended;
        }
        Lsn(state.appended)
    }

    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueLog for MemoryLog {
    fn append(&self, targets: &mut [&mut dyn LogTarget], message: Message) -> Result<Option<Lsn>, LogError> {
        let is_kept = message.is_persistent() && targets.iter().any(|target| target.is_durable());
        let lsn = is_kept.then(|| self.next());
        for target in targets {
            target.on_appended(target.next_position(), message.clone());
        }
        Ok(lsn)
    }

    fn append_transaction(
        &self,
        targets: &mut [&mut dyn LogTarget],
        transaction: LogTransaction<'_>,
    ) -> Result<Option<Lsn>, LogError> {
        for run in transaction.runs {
            for (message, &index) in
                run.messages.iter().flat_map(|it| run.targets.iter().map(move |to| (it, to)))
            {
                let target = &mut targets[index];
                target.on_appended(target.next_position(), message.clone());
            }
        }
        Ok(Some(self.next()))
    }

    fn record(&self, _queue: QueueId, _record: QueueRecord<'_>) -> Option<Lsn> {
        Some(self.next())
    }

    fn synced_up_to(&self) -> Lsn {
        Lsn(self.lock().synced)
    }

    fn when_synced(&self, lsn: Lsn, synced: Synced) {
        let mut state = self.lock();
        if lsn.0 <= state.synced {
            drop(state);
            synced(Ok(()));
        } else {
            state.waiting.push(synced);
        }
    }

    fn is_over_limit(&self) -> bool {
        let state = self.lock();
        state.appended - state.synced > UNSYNCED_MAX
    }

    fn failure(&self) -> Option<LogError> {
        None
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryStore")
    }
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryLog")
    }
}
