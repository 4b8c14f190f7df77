//! Direct exchanges: the binding key equals the routing key.

use super::{BindingId, Map, Target, Targets};

/// Targets by binding key.
#[derive(Clone, Debug, Default)]
pub(crate) struct DirectRouter {
    by_key: Map<Box<[u8]>, Targets>,
}

impl DirectRouter {
    pub(super) fn add(&mut self, id: BindingId, binding_key: &str, target: Target) {
        self.by_key.entry(binding_key.as_bytes().into()).or_default().add(id, target);
    }

    pub(super) fn remove(&mut self, id: BindingId, binding_key: &str) {
        let key = binding_key.as_bytes();
        let Some(targets) = self.by_key.get_mut(key) else { return };
        targets.remove(id);
        if targets.is_empty() {
            self.by_key.remove(key);
        }
    }

    pub(super) fn visit_matching<'a>(&'a self, routing_key: &[u8], visit: &mut dyn FnMut(&'a Target)) {
        if let Some(targets) = self.by_key.get(routing_key) {
            targets.visit(visit);
        }
    }
}
