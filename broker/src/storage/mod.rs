//! What outlives the process: the data directory, the definitions and the messages in it.
//!
//! Blocking, and without threads of its own: [`Writer::run`] is a loop that the server layer puts on a
//! thread. Only the two traits' words leave this module; file and engine types stay inside. Files are
//! touched by `disk` and `data_dir` alone.

mod aside;
mod beginning;
mod chain;
mod checkpoint;
mod codec;
#[cfg(test)]
mod codec_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod crash_workloads;
#[cfg(test)]
mod damage_tests;
pub mod data_dir;
pub mod definitions;
mod definitions_copy;
#[cfg(test)]
mod definitions_crash_tests;
#[cfg(test)]
mod definitions_damage_tests;
mod definitions_file;
mod definitions_recovery;
#[cfg(test)]
mod definitions_tests;
pub mod disk;
mod error;
#[cfg(test)]
mod fault_tests;
mod file_index;
#[cfg(test)]
mod full_disk_tests;
mod inbox;
mod live;
pub mod log;
mod log_error;
mod log_file;
pub mod log_statistics;
mod log_writer;
mod packer;
mod pending;
pub mod position_ranges;
pub mod queue_log;
mod read_back;
mod reader;
pub mod record;
mod record_head;
mod recovery;
mod salvage;
#[cfg(test)]
pub(crate) mod sim_disk;
mod spares;
mod waiters;
mod watched_file;

pub use data_dir::{DataDir, MESSAGES};
pub use definitions::{RedbStore, Writer};
pub use error::StoreError;
pub use log_error::LogError;

use std::fmt;

use crate::model::definition::{Change, Definition};

/// Where definitions become durable.
pub trait MetadataStore: fmt::Debug + Send + Sync {
    /// Everything that is stored: vhosts first, then users, permissions, exchanges, queues, bindings.
    fn load(&self) -> Result<Loaded, StoreError>;

    /// Stores `changes` as one atomic step and tells `done` when they are on stable storage.
    ///
    /// Returns at once. Change sets are applied in the order of these calls; `done` is called exactly once,
    /// on the writer's thread (or on this one, when the store has closed or failed), and must be quick.
    ///
    /// After an error the changes are not stored, except that one of a failing disk may turn out to be after
    /// a restart. When it was a full disk they are stored before the next ones, so that these never stand on
    /// what is not there: whoever is told that a change is durable knows that all before it are. What follows
    /// from them ([`Completion::when_stored`]) is done when they are.
    fn submit(&self, changes: Vec<Change>, done: Completion);

    /// A queue id that was never given before, also not before a restart.
    ///
    /// Waits for the disk only when a whole block of ids was used up during one commit.
    fn next_queue_id(&self) -> Result<u64, StoreError>;

    /// Takes nothing new. What was submitted is still stored; then [`Writer::run`] returns.
    fn close(&self);
}

/// What [`MetadataStore::load`] found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// What could be read.
    pub definitions: Vec<Definition>,
    /// What was there but is damaged, one sentence each for the log.
    pub lost: Vec<String>,
}

/// Who waits for a change set, and what follows from it. Called exactly once: if nobody gets to, dropping it
/// reports [`StoreError::Closed`].
#[derive(Default)]
pub struct Completion {
    done: Option<Done>,
    stored: Option<Stored>,
}

type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What is done once a change set is on stable storage.
pub type Stored = Box<dyn FnOnce() + Send>;

impl Completion {
    /// Calls `done` with the result.
    pub fn new(done: impl FnOnce(Result<(), StoreError>) + Send + 'static) -> Self {
        Self { done: Some(Box::new(done)), stored: None }
    }

    /// For changes that nobody waits for.
    #[must_use]
    pub fn ignored() -> Self {
        Self::default()
    }

    /// Calls `stored`, too, before anybody who waits is told: when the changes are on stable storage, even if that
    /// is after an error was reported.
    #[must_use]
    pub fn when_stored(self, stored: impl FnOnce() + Send + 'static) -> Self {
        let mut own = self;
        own.stored = Some(Box::new(stored));
        own
    }

    /// Reports the result. After an error, gives what is to be called if the changes are stored after all.
    pub fn complete(mut self, result: Result<(), StoreError>) -> Option<Stored> {
        let mut stored = self.stored.take();
        if result.is_ok()
            && let Some(stored) = stored.take()
        {
            stored();
        }
        if let Some(done) = self.done.take() {
            done(result);
        }
        stored
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(StoreError::Closed));
        }
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").finish_non_exhaustive()
    }
}
