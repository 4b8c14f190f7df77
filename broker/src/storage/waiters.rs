//! Who waits for the log to be synced up to where.

use std::{collections::BTreeMap, fmt};

use crate::storage::{LogError, record::Lsn};

/// What is called once: with the error if the record is not on stable storage.
pub type Synced = Box<dyn FnOnce(Result<(), LogError>) + Send>;

/// Callbacks by what they wait for, in the order they came.
#[derive(Default)]
pub(super) struct Waiters {
    by_lsn: BTreeMap<(Lsn, u64), Synced>,
    count: u64,
    /// Why nobody needs to wait any more.
    pub(super) failure: Option<LogError>,
}

impl Waiters {
    pub(super) fn add(&mut self, lsn: Lsn, synced: Synced) {
        self.count += 1;
        self.by_lsn.insert((lsn, self.count), synced);
    }

    /// Those who wait for nothing above `lsn`.
    pub(super) fn take_up_to(&mut self, lsn: Lsn) -> Vec<Synced> {
        let later = self.by_lsn.split_off(&(lsn, u64::MAX));
        std::mem::replace(&mut self.by_lsn, later).into_values().collect()
    }

    /// Those who wait for what is not even appended.
    pub(super) fn take_above(&mut self, lsn: Lsn) -> Vec<Synced> {
        self.by_lsn.split_off(&(lsn, u64::MAX)).into_values().collect()
    }

    pub(super) fn take_all(&mut self) -> Vec<Synced> {
        std::mem::take(&mut self.by_lsn).into_values().collect()
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiters").field("waiting", &self.by_lsn.len()).finish_non_exhaustive()
    }
}
