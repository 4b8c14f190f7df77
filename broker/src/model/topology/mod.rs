//! The exchanges, queue names and bindings of one vhost, and the way from an exchange to queues.
//!
//! A value: nothing is locked, stored or announced here. The caller checks (`check_declare`, `check_bind`),
//! makes durable what must be, and then changes. Exchanges of the broker itself are there from the start.

mod bindings;
mod error;
#[cfg(test)]
mod property_tests;
mod route;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use hashbrown::hash_map::Entry;

use crate::model::{
    arguments::type_name,
    binding::{Binding, Destination},
    exchange::{Exchange, ExchangeKind},
    name::Name,
    policy::EffectivePolicy,
    queue_id::QueueId,
    routing::{BindingId, Map, Router, Target, check_x_match},
};

use bindings::Bindings;
pub use error::{BindError, DeclareExchangeError, DeleteExchangeError, RouteError};
pub use route::Routed;

/// The argument that names where unroutable messages go.
pub const ALTERNATE_EXCHANGE: &str = "alternate-exchange";

/// One vhost's exchanges, queues by name, and bindings.
#[derive(Clone, Debug)]
pub struct Topology {
    exchanges: Map<Name, Node>,
    queues: Map<Name, QueueEntry>,
    bindings: Bindings,
}

/// Whether a declare made something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declared {
    /// It is new.
    Created,
    /// It was there, and equivalent.
    Existing,
}

/// Whether a bind made something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// It is new.
    Added,
    /// The same binding was there.
    Existing,
}

/// Everything that a delete or unbind took with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Removed {
    /// The exchange asked for first, then those that deleted themselves with their last binding.
    pub exchanges: Vec<Exchange>,
    /// All bindings that went.
    pub bindings: Vec<Binding>,
}

/// An exchange and its bindings as a source.
#[derive(Clone, Debug)]
struct Node {
    exchange: Exchange,
    alternate: Option<Name>,
    policy: Option<Arc<EffectivePolicy>>,
    router: Router,
}

#[derive(Clone, Copy, Debug)]
struct QueueEntry {
    id: QueueId,
    is_durable: bool,
}

impl Default for Topology {
    fn default() -> Self {
        Self::new()
    }
}

impl Topology {
    /// The exchanges every vhost has, and no queue.
    #[must_use]
    pub fn new() -> Self {
        let mut topology =
            Self { exchanges: Map::default(), queues: Map::default(), bindings: Bindings::default() };
        for (name, kind, is_internal) in [
            ("", ExchangeKind::Direct, false),
            ("amq.direct", ExchangeKind::Direct, false),
            ("amq.fanout", ExchangeKind::Fanout, false),
            ("amq.topic", ExchangeKind::Topic, false),
            ("amq.headers", ExchangeKind::Headers, false),
            ("amq.match", ExchangeKind::Headers, false),
            ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
        ] {
            let name = Name::literal(name);
            let exchange = Exchange {
                name: name.clone(),
                kind,
                is_durable: true,
                is_auto_delete: false,
                is_internal,
                arguments: Default::default(),
            };
            topology.exchanges.insert(name, Node::new(exchange));
        }
        topology
    }

    /// The exchange called `name`; the default exchange is called "".
    #[must_use]
    pub fn exchange(&self, name: &str) -> Option<&Exchange> {
        Some(&self.exchanges.get(name)?.exchange)
    }

    /// All exchanges, the broker's own too, in no order.
    pub fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.exchanges.values().map(|node| &node.exchange)
    }

    /// How many exchanges there are, the broker's own too.
    #[must_use]
    pub fn exchange_count(&self) -> usize {
        self.exchanges.len()
    }

    /// What policies make of an exchange.
    #[must_use]
    pub fn policy_of_exchange(&self, name: &str) -> Option<&Arc<EffectivePolicy>> {
        self.exchanges.get(name)?.policy.as_ref()
    }

    /// Policies changed: asks for the one of each exchange.
    pub fn set_policies(&mut self, mut effective: impl FnMut(&Name) -> Option<Arc<EffectivePolicy>>) {
        for (name, node) in &mut self.exchanges {
            node.set_policy(effective(name));
        }
    }

    /// What policies make of one exchange.
    pub fn set_policy(&mut self, name: &str, policy: Option<Arc<EffectivePolicy>>) {
        if let Some(node) = self.exchanges.get_mut(name) {
            node.set_policy(policy);
        }
    }

    /// What [`Self::declare_exchange`] would answer.
    pub fn check_declare(&self, exchange: &Exchange) -> Result<Declared, DeclareExchangeError> {
        if exchange.name.is_empty() {
            return Err(DeclareExchangeError::DefaultExchange);
        }
        if let Some(node) = self.exchanges.get(&exchange.name) {
            check_equivalence(exchange, &node.exchange)?;
            return Ok(Declared::Existing);
        }
        if exchange.name.is_reserved() {
            return Err(DeclareExchangeError::ReservedName(exchange.name.clone()));
        }
        match exchange.arguments.value(ALTERNATE_EXCHANGE) {
            Some(value) if exchange.arguments.text(ALTERNATE_EXCHANGE).is_none() => {
                let (exchange, type_name) = (exchange.name.clone(), type_name(value));
                Err(DeclareExchangeError::AlternateExchangeType { exchange, type_name })
            }
            _ => Ok(Declared::Created),
        }
    }

    /// Adds an exchange, unless it is there and equivalent.
    pub fn declare_exchange(&mut self, exchange: Exchange) -> Result<Declared, DeclareExchangeError> {
        let declared = self.check_declare(&exchange)?;
        if declared == Declared::Created {
            self.exchanges.insert(exchange.name.clone(), Node::new(exchange));
        }
        Ok(declared)
    }

    /// What [`Self::delete_exchange`] would refuse.
    pub fn check_delete(&self, name: &Name, if_unused: bool) -> Result<(), DeleteExchangeError> {
        if name.is_empty() {
            return Err(DeleteExchangeError::DefaultExchange);
        }
        if name.is_reserved() {
            return Err(DeleteExchangeError::SystemExchange(name.clone()));
        }
        if if_unused && self.bindings.has_source(name) {
            return Err(DeleteExchangeError::InUse(name.clone()));
        }
        Ok(())
    }

    /// Removes an exchange with its bindings both ways; nothing is removed when it isn't there.
    pub fn delete_exchange(&mut self, name: &Name, if_unused: bool) -> Result<Removed, DeleteExchangeError> {
        self.check_delete(name, if_unused)?;
        let mut removed = Removed::default();
        self.remove_exchanges(vec![name.clone()], &mut removed);
        Ok(removed)
    }

    /// Adds a queue: the default exchange routes to it from now on. An existing one stays as it is.
    pub fn add_queue(&mut self, name: Name, id: QueueId, is_durable: bool) -> Declared {
        match self.queues.entry(name) {
            Entry::Occupied(_) => Declared::Existing,
            Entry::Vacant(entry) => {
                entry.insert(QueueEntry { id, is_durable });
                Declared::Created
            }
        }
    }

    /// Removes a queue with its bindings, and the exchanges that delete themselves for want of bindings.
    pub fn remove_queue(&mut self, name: &str) -> Removed {
        let mut removed = Removed::default();
        if let Some((name, _)) = self.queues.remove_entry(name) {
            let abandoned = self.remove_bindings_to(Destination::Queue(name), &mut removed);
            self.remove_exchanges(abandoned, &mut removed);
        }
        removed
    }

    /// The queue called `name`.
    #[must_use]
    pub fn queue(&self, name: &str) -> Option<QueueId> {
        Some(self.queues.get(name)?.id)
    }

    /// All queues, in no order.
    pub fn queues(&self) -> impl Iterator<Item = (&Name, QueueId)> {
        self.queues.iter().map(|(name, queue)| (name, queue.id))
    }

    /// What [`Self::bind`] would answer.
    pub fn check_bind(&self, binding: &Binding) -> Result<Bound, BindError> {
        check_ends_named(binding)?;
        let source = self.exchanges.get(&binding.source);
        let source = source.ok_or_else(|| BindError::NoExchange(binding.source.clone()))?;
        self.target(&binding.destination)?;
        if source.exchange.kind == ExchangeKind::Headers {
            check_x_match(&binding.arguments).map_err(BindError::XMatch)?;
        }
        Ok(if self.bindings.find(binding).is_some() { Bound::Existing } else { Bound::Added })
    }

    /// Adds a binding, unless the same is there.
    pub fn bind(&mut self, binding: Binding) -> Result<Bound, BindError> {
        let bound = self.check_bind(&binding)?;
        if bound == Bound::Added {
            let target = self.target(&binding.destination)?;
            let id = self.bindings.add(binding.clone());
            if let Some(source) = self.exchanges.get_mut(&binding.source) {
                source.router.add(id, &binding, target);
            }
        }
        Ok(bound)
    }

    /// What [`Self::unbind`] would refuse; whether the binding is there.
    pub fn check_unbind(&self, binding: &Binding) -> Result<bool, BindError> {
        check_ends_named(binding)?;
        Ok(self.bindings.find(binding).is_some())
    }

    /// Removes a binding, and the exchanges that delete themselves for want of bindings. Nothing is removed when
    /// the binding or one of its ends isn't there.
    pub fn unbind(&mut self, binding: &Binding) -> Result<Removed, BindError> {
        check_ends_named(binding)?;
        let mut removed = Removed::default();
        if let Some(id) = self.bindings.find(binding) {
            let abandoned = self.remove_binding(id, &mut removed);
            self.remove_exchanges(abandoned.into_iter().collect(), &mut removed);
        }
        Ok(removed)
    }

    /// All bindings but the default exchange's implied ones, in no order.
    pub fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.bindings.iter()
    }

    /// The bindings of an exchange as a source, in the order of binding.
    pub fn bindings_of_source(&self, source: &str) -> impl Iterator<Item = &Binding> {
        self.bindings.of_source(source)
    }

    /// The bindings that lead to a queue or exchange, in the order of binding.
    pub fn bindings_of_destination(&self, destination: &Destination) -> impl Iterator<Item = &Binding> {
        self.bindings.of_destination(destination)
    }

    /// Whether a binding survives a restart: both its ends must.
    #[must_use]
    pub fn is_durable_binding(&self, binding: &Binding) -> bool {
        let is_durable_exchange =
            |name: &str| self.exchange(name).is_some_and(|exchange| exchange.is_durable);
        is_durable_exchange(&binding.source)
            && match &binding.destination {
                Destination::Exchange(name) => is_durable_exchange(name),
                Destination::Queue(name) => self.queues.get(name).is_some_and(|queue| queue.is_durable),
            }
    }

    fn target(&self, destination: &Destination) -> Result<Target, BindError> {
        match destination {
            Destination::Queue(name) => match self.queues.get(name) {
                Some(queue) => Ok(Target::Queue(queue.id)),
                None => Err(BindError::NoQueue(name.clone())),
            },
            Destination::Exchange(name) => match self.exchanges.get(name) {
                Some(node) => Ok(Target::Exchange(node.exchange.name.clone())),
                None => Err(BindError::NoExchange(name.clone())),
            },
        }
    }

    /// Removes the exchanges `next`, and those that delete themselves in consequence. A list instead of
    /// recursion: a chain may be longer than the stack is deep.
    fn remove_exchanges(&mut self, mut next: Vec<Name>, removed: &mut Removed) {
        while let Some(name) = next.pop() {
            let Some(node) = self.exchanges.remove(&name) else { continue };
            removed.exchanges.push(node.exchange);
            for id in self.bindings.ids_of_source(&name) {
                // The router went with its exchange, which deletes no other one by going as a source.
                removed.bindings.extend(self.bindings.remove(id));
            }
            next.extend(self.remove_bindings_to(Destination::Exchange(name), removed));
        }
    }

    /// Gives the exchanges that must delete themselves now.
    fn remove_bindings_to(&mut self, destination: Destination, removed: &mut Removed) -> Vec<Name> {
        let ids = self.bindings.ids_of_destination(&destination);
        ids.into_iter().filter_map(|id| self.remove_binding(id, removed)).collect()
    }

    /// Gives the source if it must delete itself now.
    fn remove_binding(&mut self, id: BindingId, removed: &mut Removed) -> Option<Name> {
        let binding = self.bindings.remove(id)?;
        let source = self.exchanges.get_mut(&binding.source);
        let is_auto_delete = source.is_some_and(|node| {
            node.router.remove(id, &binding);
            node.exchange.is_auto_delete
        });
        let is_abandoned = is_auto_delete && !self.bindings.has_source(&binding.source);
        let abandoned = is_abandoned.then(|| binding.source.clone());
        removed.bindings.push(binding);
        abandoned
    }
}

impl Node {
    fn new(exchange: Exchange) -> Self {
        let router = Router::new(exchange.kind);
        let mut node = Self { exchange, alternate: None, policy: None, router };
        node.set_policy(None);
        node
    }

    /// The argument counts before the policy.
    fn set_policy(&mut self, policy: Option<Arc<EffectivePolicy>>) {
        let of_policy = policy.as_ref().and_then(|policy| policy.definition.text(ALTERNATE_EXCHANGE));
        let alternate = self.exchange.arguments.text(ALTERNATE_EXCHANGE).or(of_policy);
        self.alternate = alternate.and_then(|text| Name::parse(text).ok());
        self.policy = policy;
    }
}

/// Nothing can be bound to or from the default exchange.
fn check_ends_named(binding: &Binding) -> Result<(), BindError> {
    let is_to_default = matches!(&binding.destination, Destination::Exchange(name) if name.is_empty());
    if binding.source.is_empty() || is_to_default {
        return Err(BindError::DefaultExchange);
    }
    Ok(())
}

/// Compares what RabbitMQ compares, in its order: other arguments may differ.
fn check_equivalence(received: &Exchange, current: &Exchange) -> Result<(), DeclareExchangeError> {
    let name = &current.name;
    let not_equivalent = |argument, (received, current): (String, String)| {
        Err(DeclareExchangeError::NotEquivalent { exchange: name.clone(), argument, received, current })
    };
    if received.kind != current.kind {
        let texts = (quoted(received.kind.as_str()), quoted(current.kind.as_str()));
        return not_equivalent("type", texts);
    }
    for (argument, received, current) in [
        ("durable", received.is_durable, current.is_durable),
        ("auto_delete", received.is_auto_delete, current.is_auto_delete),
        ("internal", received.is_internal, current.is_internal),
    ] {
        if received != current {
            return not_equivalent(argument, (quoted(received), quoted(current)));
        }
    }
    let received = received.arguments.value(ALTERNATE_EXCHANGE);
    let current = current.arguments.value(ALTERNATE_EXCHANGE);
    if received != current {
        return not_equivalent(ALTERNATE_EXCHANGE, error::argument_difference(received, current));
    }
    Ok(())
}

fn quoted(value: impl std::fmt::Display) -> String {
    format!("'{value}'")
}
