//! What waits for the definitions' next commit: change sets, and the wish for more queue ids.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::storage::{Completion, StoreError, definitions_file::Write};

/// Queue ids are reserved in blocks of this size, the next one when half of it is left.
pub(super) const ID_BLOCK: u64 = 16_384;

/// Filled by any task, emptied by the writer. Its lock is held for moments, never during a commit.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
    /// Tells the writer that there is something to do.
    work: Condvar,
    /// Tells who waits for a queue id that the writer tried to reserve a block.
    ids_settled: Condvar,
}

/// One change set and who waits for it.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) writes: Vec<Write>,
    pub(super) done: Completion,
}

/// What there is for the writer.
#[derive(Debug)]
pub(super) enum Work {
    Commit(Batch),
    /// Nothing came for a while.
    Quiet,
    /// Nothing will come any more.
    Closed,
}

/// What goes into one commit.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) submissions: Vec<Submission>,
    /// The queue ids' new mark, if more are wanted.
    pub(super) ids_end: Option<u64>,
}

#[derive(Debug)]
struct State {
    submissions: Vec<Submission>,
    ids: IdBlock,
    is_closed: bool,
    /// The failure after which nothing is stored any more.
    failure: Option<StoreError>,
}

/// Queue ids that the file already counts as used.
#[derive(Debug)]
struct IdBlock {
    next: u64,
    end: u64,
    /// The writer is to reserve another block.
    is_wanted: bool,
    /// Why it could not, the last time.
    failure: Option<StoreError>,
}

impl Inbox {
    /// An empty inbox; the ids from `next_id` to below `ids_end` are reserved.
    pub(super) fn new(next_id: u64, ids_end: u64) -> Self {
        let ids = IdBlock { next: next_id, end: ids_end, is_wanted: next_id == ids_end, failure: None };
        let state = State { submissions: Vec::new(), ids, is_closed: false, failure: None };
        Self { state: Mutex::new(state), work: Condvar::new(), ids_settled: Condvar::new() }
    }

    /// Leaves the change set for the next commit, or tells who waits for it why that can't be.
    pub(super) fn submit(&self, submission: Submission) {
        let mut state = lock(&self.state);
        let Some(refusal) = state.refusal() else {
            state.submissions.push(submission);
            return self.work.notify_one();
        };
        drop(state);
        submission.done.complete(Err(refusal));
    }

    /// A queue id of the reserved block. Waits for the next block only when there is none left.
    pub(super) fn next_queue_id(&self) -> Result<u64, StoreError> {
        let mut state = lock(&self.state);
        while state.ids.is_used_up() {
            state = self.wait_for_ids(state)?;
        }
        let id = state.ids.next;
        state.ids.next += 1;
        if state.ids.end - state.ids.next <= ID_BLOCK / 2 && state.refusal().is_none() {
            self.want_ids(&mut state);
        }
        Ok(id)
    }

    /// Whether there is an id that nobody has to wait for.
    #[cfg(test)]
    pub(super) fn has_ids(&self) -> bool {
        !lock(&self.state).ids.is_used_up()
    }

    /// Takes nothing new; what is in it is still committed.
    pub(super) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.work.notify_one();
    }

    /// Takes nothing new because of `failure`.
    pub(super) fn fail(&self, failure: StoreError) {
        lock(&self.state).failure = Some(failure);
    }

    /// The failure after which nothing is stored any more.
    pub(super) fn failure(&self) -> Option<StoreError> {
        lock(&self.state).failure.clone()
    }

    /// Waits for something to do, for so long at most.
    pub(super) fn next(&self, patience: Option<Duration>) -> Work {
        let guard = lock(&self.state);
        let is_idle = |state: &mut State| state.is_idle();
        let mut state = match patience {
            Some(patience) => {
                let waited = self.work.wait_timeout_while(guard, patience, is_idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.work.wait_while(guard, is_idle).unwrap_or_else(PoisonError::into_inner),
        };
        if state.is_idle() {
            return Work::Quiet;
        }
        if state.submissions.is_empty() && state.is_closed {
            return Work::Closed;
        }
        let ids_end = state.ids.is_wanted.then(|| state.ids.end.saturating_add(ID_BLOCK));
        Work::Commit(Batch { submissions: std::mem::take(&mut state.submissions), ids_end })
    }

    /// Opens a reserved block for use. After an error nobody asks again until the next id is wanted, so that
    /// a full disk does not keep the writer busy.
    pub(super) fn settle_ids(&self, ids_end: u64, result: &Result<(), StoreError>) {
        let mut state = lock(&self.state);
        state.ids.is_wanted = false;
        state.ids.failure = result.clone().err();
        if result.is_ok() {
            state.ids.end = ids_end;
        }
        self.ids_settled.notify_all();
    }

    /// Closed for good: the writer is gone, so whoever waits is told.
    pub(super) fn abandon(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        state.ids.is_wanted = false;
        let left = std::mem::take(&mut state.submissions);
        drop(state);
        self.ids_settled.notify_all();
        drop(left);
    }

    fn want_ids(&self, state: &mut State) {
        if !state.ids.is_wanted {
            state.ids.is_wanted = true;
            self.work.notify_one();
        }
    }

    /// Until the writer has tried once to reserve a block.
    fn wait_for_ids<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>, StoreError> {
        if let Some(refusal) = state.refusal() {
            return Err(refusal);
        }
        self.want_ids(&mut state);
        let is_unsettled = |state: &mut State| state.ids.is_wanted && state.ids.is_used_up();
        let state = self.ids_settled.wait_while(state, is_unsettled).unwrap_or_else(PoisonError::into_inner);
        match &state.ids.failure {
            Some(failure) if state.ids.is_used_up() => Err(failure.clone()),
            _ => Ok(state),
        }
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.submissions.is_empty() && !self.ids.is_wanted && !self.is_closed
    }

    fn refusal(&self) -> Option<StoreError> {
        self.failure.clone().or_else(|| self.is_closed.then_some(StoreError::Closed))
    }
}

impl IdBlock {
    fn is_used_up(&self) -> bool {
        self.next == self.end
    }
}

/// No state is half changed when a lock is released, so a panic elsewhere does not spoil it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
