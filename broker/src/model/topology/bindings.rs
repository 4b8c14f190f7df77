//! All bindings of a vhost, found by identity, by source and by destination.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, Hash, Hasher},
};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::model::{
    binding::{Binding, Destination},
    name::Name,
    routing::{BindingId, Map, fingerprint_of_argument},
};

/// Bindings and their indexes. Every operation's cost is independent of the number of other bindings.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings {
    by_id: Map<BindingId, Binding>,
    /// By source, destination, key and arguments.
    by_identity: HashTable<BindingId>,
    by_source: Map<Name, BTreeSet<BindingId>>,
    by_destination: Map<Destination, BTreeSet<BindingId>>,
    next_id: u64,
}

impl Bindings {
    pub(super) fn find(&self, binding: &Binding) -> Option<BindingId> {
        self.by_identity.find(identity_hash(binding), |id| self.by_id.get(id) == Some(binding)).copied()
    }

    /// The caller has looked that it is new.
    pub(super) fn add(&mut self, binding: Binding) -> BindingId {
        let id = BindingId(self.next_id);
        self.next_id += 1;
        self.by_source.entry(binding.source.clone()).or_default().insert(id);
        self.by_destination.entry(binding.destination.clone()).or_default().insert(id);
        let hash = identity_hash(&binding);
        self.by_id.insert(id, binding);
        let by_id = &self.by_id;
        self.by_identity.insert_unique(hash, id, |id| by_id.get(id).map_or(0, identity_hash));
        id
    }

    pub(super) fn remove(&mut self, id: BindingId) -> Option<Binding> {
        let binding = self.by_id.remove(&id)?;
        if let Ok(entry) = self.by_identity.find_entry(identity_hash(&binding), |other| *other == id) {
            entry.remove();
        }
        if let Some(ids) = self.by_source.get_mut(&binding.source) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_source.remove(&binding.source);
            }
        }
        if let Some(ids) = self.by_destination.get_mut(&binding.destination) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_destination.remove(&binding.destination);
            }
        }
        Some(binding)
    }

    pub(super) fn has_source(&self, source: &str) -> bool {
        self.by_source.contains_key(source)
    }

    pub(super) fn ids_of_source(&self, source: &str) -> Vec<BindingId> {
        self.by_source.get(source).into_iter().flatten().copied().collect()
    }

    pub(super) fn ids_of_destination(&self, destination: &Destination) -> Vec<BindingId> {
        self.by_destination.get(destination).into_iter().flatten().copied().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.by_id.values()
    }

    pub(super) fn of_source(&self, source: &str) -> impl Iterator<Item = &Binding> {
        self.by_source.get(source).into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }

    pub(super) fn of_destination(&self, destination: &Destination) -> impl Iterator<Item = &Binding> {
        self.by_destination.get(destination).into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }
}

fn identity_hash(binding: &Binding) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    binding.source.hash(&mut hasher);
    binding.destination.hash(&mut hasher);
    binding.binding_key.hash(&mut hasher);
    for (key, value) in binding.arguments.iter() {
        key.hash(&mut hasher);
        fingerprint_of_argument(value).hash(&mut hasher);
    }
    hasher.finish()
}
