//! Which definitions of a vhost may differ from what is on stable storage.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::model::definition::{Change, DefinitionKey};

/// The definitions whose latest change is on its way to stable storage, or failed to get there. Whoever
/// declares, binds or deletes one of them again has it stored again, so that every -ok means durable; with
/// that it leaves the list.
///
/// Its lock is taken for a look-up or a note only: no other lock is taken under it.
#[derive(Debug, Default)]
pub(super) struct Unstored {
    state: Mutex<State>,
    /// How many there are, so that the usual path, which finds none, takes no lock. It grows under the lock
    /// of the topology that the change is made under: who sees the change sees that it is not stored.
    count: AtomicUsize,
}

/// A change set's number: later ones have greater numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChangeNumber(u64);

#[derive(Debug)]
struct State {
    last: u64,
    /// By the key's words, which tell all apart but bindings that differ in their arguments alone.
    latest: HashMap<String, Vec<(DefinitionKey, ChangeNumber)>, FixedState>,
}

impl Default for State {
    fn default() -> Self {
        Self { last: 0, latest: HashMap::with_hasher(FixedState::default()) }
    }
}

impl Unstored {
    /// A change set is about to be handed to the store. Gives what [`Unstored::stored`] wants to know.
    pub(super) fn submitted(&self, changes: &[Change]) -> (ChangeNumber, Vec<DefinitionKey>) {
        let keys: Vec<_> = changes.iter().map(key).collect();
        let mut state = self.lock();
        state.last += 1;
        let number = ChangeNumber(state.last);
        for key in &keys {
            let alike = state.latest.entry(key.to_string()).or_default();
            match alike.iter_mut().find(|(other, _)| other == key) {
                Some((_, latest)) => *latest = number,
                None => {
                    alike.push((key.clone(), number));
                    self.count.fetch_add(1, Relaxed);
                }
            }
        }
        (number, keys)
    }

    /// A change set is durable. Keys that changed again meanwhile wait for their later change.
    pub(super) fn stored(&self, number: ChangeNumber, keys: &[DefinitionKey]) {
        let mut state = self.lock();
        for key in keys {
            let words = key.to_string();
            let Some(alike) = state.latest.get_mut(&words) else { continue };
            let count = alike.len();
            alike.retain(|(other, latest)| other != key || *latest != number);
            self.count.fetch_sub(count - alike.len(), Relaxed);
            if alike.is_empty() {
                state.latest.remove(&words);
            }
        }
    }

    /// Whether this definition may differ from what is stored.
    pub(super) fn contains(&self, key: impl FnOnce() -> DefinitionKey) -> bool {
        if self.count.load(Relaxed) == 0 {
            return false;
        }
        let key = key();
        self.lock()
            .latest
            .get(&key.to_string())
            .is_some_and(|alike| alike.iter().any(|(other, _)| *other == key))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(change: &Change) -> DefinitionKey {
    match change {
        Change::Put(definition) => definition.key(),
        Change::Delete(key) => key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::Name;

    fn user(name: &'static str) -> DefinitionKey {
        DefinitionKey::User(Name::literal(name))
    }

    fn submit(unstored: &Unstored, names: &[&'static str]) -> (ChangeNumber, Vec<DefinitionKey>) {
        let changes: Vec<_> = names.iter().map(|name| Change::Delete(user(name))).collect();
        unstored.submitted(&changes)
    }

    #[test]
    fn a_definition_is_unstored_until_its_latest_change_is_durable() {
        let unstored = Unstored::default();
        let has = |name: &'static str| unstored.contains(|| user(name));
        let (failed, failed_keys) = submit(&unstored, &["a", "b"]);
        let (second, second_keys) = submit(&unstored, &["b", "c"]);
        assert!(has("a") && has("b") && has("c") && !has("d"));
        unstored.stored(failed, &failed_keys);
        assert!(!has("a") && has("b"), "its second change is on its way");
        unstored.stored(second, &second_keys);
        assert!(!has("b") && !has("c"));
        assert!(unstored.lock().latest.is_empty());
        assert_eq!(unstored.count.load(Relaxed), 0);
    }
}
