//! Policies of a vhost, and what they make of its queues and exchanges.
//!
//! A change counts at once: the rules of all queues and exchanges that it is about change under the topology's lock;
//! what expires or is too many by then leaves right after, queue by queue.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{Places, Vhost, queue::SharedQueue, ticket::Ticket};
use crate::model::{
    definition::{Change, Definition, DefinitionKey},
    name::Name,
    policy::{EffectivePolicy, Policies, Policy, PolicyKind, Subject},
    queue::QueueRules,
};

impl Vhost {
    /// All policies of a kind, by name.
    #[must_use]
    pub fn policies(&self, kind: PolicyKind) -> Vec<Arc<Policy>> {
        self.read().policies.policies(kind).cloned().collect()
    }

    /// The policy with this name.
    #[must_use]
    pub fn policy(&self, kind: PolicyKind, name: &str) -> Option<Arc<Policy>> {
        self.read().policies.policy(kind, name)
    }

    /// What policies make of an exchange.
    #[must_use]
    pub fn policy_of_exchange(&self, name: &str) -> Option<Arc<EffectivePolicy>> {
        self.read().topology.policy_of_exchange(name).cloned()
    }

    /// Adds or replaces a policy. Says whether it is new.
    pub fn put_policy(&self, kind: PolicyKind, policy: Policy) -> (bool, Option<Ticket>) {
        let (new_count, ticket) = self.put_policies(vec![(kind, policy)]);
        (new_count > 0, ticket)
    }

    /// Adds or replaces policies as one change. Says how many are new.
    pub fn put_policies(&self, policies: Vec<(PolicyKind, Policy)>) -> (usize, Option<Ticket>) {
        let definition = |(kind, policy): &(PolicyKind, Policy)| {
            self.warn_without_effect(*kind, policy);
            let (vhost, policy) = (self.name().clone(), policy.clone());
            Change::Put(Definition::Policy { vhost, kind: *kind, policy })
        };
        let changes = policies.iter().map(definition).collect();
        let mut places = self.write();
        let is_new = policies.into_iter().map(|(kind, policy)| places.policies.put(kind, policy));
        let new_count = is_new.filter(|is_new| *is_new).count();
        let changed = places.apply_policies();
        self.outdate_routes(&mut places);
        let ticket = self.submit(&places, changes);
        drop(places);
        self.attend(&changed);
        (new_count, ticket)
    }

    /// Deletes a policy. Says whether it was there.
    pub fn delete_policy(&self, kind: PolicyKind, name: &Name) -> (bool, Option<Ticket>) {
        let key = DefinitionKey::Policy { vhost: self.name().clone(), kind, name: name.clone() };
        let mut places = self.write();
        if !places.policies.remove(kind, name) {
            return (false, self.delete_again(&places, key));
        }
        let changed = places.apply_policies();
        self.outdate_routes(&mut places);
        let ticket = self.submit(&places, vec![Change::Delete(key)]);
        drop(places);
        self.attend(&changed);
        (true, ticket)
    }

    /// Puts a policy that was read from disk in its place. [`Vhost::apply_restored_policies`] follows, once for all.
    pub(super) fn restore_policy(&self, kind: PolicyKind, policy: Policy) -> bool {
        self.write().policies.put(kind, policy)
    }

    /// Everything is restored, but for messages.
    pub(super) fn apply_restored_policies(&self) {
        let mut places = self.write();
        if !places.policies.is_empty() {
            places.apply_policies();
            self.outdate_routes(&mut places);
        }
    }

    fn warn_without_effect(&self, kind: PolicyKind, policy: &Policy) {
        let keys = policy.definition.keys_without_effect();
        if !keys.is_empty() {
            let (name, vhost, keys) = (&policy.name, self.name(), keys.join(", "));
            tracing::warn!("{kind} '{name}' in vhost '{vhost}': {keys} kept and shown, without effect here");
        }
    }

    fn attend(&self, changed: &[Arc<SharedQueue>]) {
        for queue in changed {
            queue.attend(self.surroundings.upkeep.now());
        }
    }
}

impl Places {
    /// Gives the queues of which something changed.
    fn apply_policies(&mut self) -> Vec<Arc<SharedQueue>> {
        let Self { topology, queues, policies, .. } = self;
        topology.set_policies(|name| policies.effective(Subject::Exchange(name)));
        let mut changed = Vec::new();
        for queue in queues.values() {
            let subject = Subject::Queue(&queue.name, queue.options.queue_type);
            if queue.set_policy(policies.effective(subject)) {
                changed.push(Arc::clone(queue));
            }
        }
        changed
    }

    /// For a new queue.
    pub(super) fn apply_policies_to(&mut self, queue: &SharedQueue) {
        queue.set_policy(self.policies.effective(Subject::Queue(&queue.name, queue.options.queue_type)));
    }

    /// For a new exchange.
    pub(super) fn apply_policies_to_exchange(&mut self, name: &Name) {
        let policy = self.policies.effective(Subject::Exchange(name));
        self.topology.set_policy(name, policy);
    }
}

impl SharedQueue {
    /// Whether a publisher may get a nack.
    #[must_use]
    pub fn may_refuse(&self) -> bool {
        self.may_refuse.load(Relaxed)
    }

    /// What policies make of it.
    #[must_use]
    pub fn policy(&self) -> Option<Arc<EffectivePolicy>> {
        self.lock().policy.clone()
    }

    /// Policies changed. Says whether that changes anything here: then [`SharedQueue::attend`] is to be called, without
    /// the topology's lock.
    pub(super) fn set_policy(&self, policy: Option<Arc<EffectivePolicy>>) -> bool {
        let mut state = self.lock();
        if state.policy == policy {
            return false;
        }
        let rules = match &policy {
            Some(policy) => {
                QueueRules::parse(&policy.arguments_for(&self.options.arguments), self.options.queue_type)
                    .shared()
            }
            None => Arc::clone(&self.options.rules),
        };
        state.policy = policy;
        let has_other_expiry = state.queue.rules().expires != rules.expires;
        self.may_refuse.store(rules.may_refuse(), Relaxed);
        self.consumer_timeout.store(rules.consumer_timeout.unwrap_or(0), Relaxed);
        rules.consumer_timeout.into_iter().for_each(|millis| state.upkeep.note_consumer_timeout(millis));
        state.queue.set_rules(rules);
        if has_other_expiry {
            state.note_use();
        }
        true
    }
}

/// What all policies of a vhost are stored under.
pub(super) fn policy_keys(policies: &Policies, vhost: &Name) -> Vec<DefinitionKey> {
    let of_kind = |kind| {
        let policies = policies.policies(kind);
        policies.map(move |policy| DefinitionKey::Policy {
            vhost: vhost.clone(),
            kind,
            name: policy.name.clone(),
        })
    };
    of_kind(PolicyKind::User).chain(of_kind(PolicyKind::Operator)).collect()
}
