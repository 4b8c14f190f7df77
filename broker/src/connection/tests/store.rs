//! A metadata store without a disk.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    model::definition::Change,
    storage::{Completion, Loaded, MetadataStore, StoreError},
};

/// A store in memory that stores at once, or on command.
#[derive(Debug, Default)]
pub(super) struct FakeStore {
    pub(super) state: Mutex<StoreState>,
    last_queue_id: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct StoreState {
    pub(super) is_holding: bool,
    pub(super) waiting: Vec<Completion>,
    /// What was submitted, for people.
    pub(super) changes: Vec<String>,
}

impl MetadataStore for FakeStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        Ok(Loaded::default())
    }

    fn submit(&self, changes: Vec<Change>, done: Completion) {
        let mut state = self.state.lock().unwrap();
        state.changes.extend(changes.iter().map(|change| match change {
            Change::Put(definition) => format!("put {}", definition.key()),
            Change::Delete(key) => format!("delete {key}"),
        }));
        if state.is_holding {
            state.waiting.push(done);
        } else {
            done.complete(Ok(()));
        }
    }

    fn next_queue_id(&self) -> Result<u64, StoreError> {
        Ok(self.last_queue_id.fetch_add(1, Relaxed) + 1)
    }

    fn close(&self) {}
}
