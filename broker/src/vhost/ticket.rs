//! Waiting for a change of definitions to be durable.

use tokio::sync::oneshot;

use crate::{
    model::definition::Change,
    storage::{Completion, LogError, MetadataStore, StoreError, queue_log::QueueLog, record::Lsn},
};

/// A change on its way to stable storage. The answer to whoever asked for it waits for this.
#[derive(Debug)]
pub struct Ticket(oneshot::Receiver<Result<(), StoreError>>);

impl Ticket {
    /// Hands the changes to the store; `stored` runs when they are durable, before anybody who waits is told,
    /// and even if that is after they were told that the disk is full. None when there is nothing to store.
    ///
    /// Called with the lock held under which the changes were made, so that the store sees changes in the
    /// order in which they happened.
    pub(super) fn submit(
        store: &dyn MetadataStore,
        changes: Vec<Change>,
        stored: impl FnOnce() + Send + 'static,
    ) -> Option<Self> {
        if changes.is_empty() {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let done = Completion::new(move |result| {
            // Nobody waits any more when the connection ended meanwhile.
            let _ = sender.send(result);
        });
        store.submit(changes, done.when_stored(stored));
        Some(Self(receiver))
    }

    /// For what can't be durable any more.
    #[must_use]
    pub fn failed(error: LogError) -> Self {
        let (sender, receiver) = oneshot::channel();
        let _ = sender.send(Err(StoreError::Log(error)));
        Self(receiver)
    }

    /// Waits for the log; none when it is synced that far.
    pub fn synced(log: &dyn QueueLog, lsn: Lsn) -> Option<Self> {
        if lsn <= log.synced_up_to() {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let synced = move |result: Result<(), LogError>| {
            let _ = sender.send(result.map_err(StoreError::Log));
        };
        log.when_synced(lsn, Box::new(synced));
        Some(Self(receiver))
    }

    /// Until the change is durable.
    pub async fn durable(self) -> Result<(), StoreError> {
        self.0.await.unwrap_or(Err(StoreError::Closed))
    }
}
