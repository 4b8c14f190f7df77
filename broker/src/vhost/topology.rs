//! Exchanges and bindings of a vhost, and their way to disk.

use super::{Places, Vhost, policies::policy_keys, queue::SharedQueue, ticket::Ticket};
use crate::model::{
    binding::{Binding, Destination},
    definition::{Change, Definition, DefinitionKey},
    exchange::Exchange,
    name::Name,
    queue_id::QueueId,
    topology::{BindError, Bound, DeclareExchangeError, Declared, DeleteExchangeError, Removed, Topology},
};

/// There is no such exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoExchange;

impl Vhost {
    /// Declares an exchange, or finds the equivalent one that is there.
    pub fn declare_exchange(&self, exchange: Exchange) -> Result<Option<Ticket>, DeclareExchangeError> {
        let name = exchange.name.clone();
        let is_unstored = || self.unstored.contains(|| self.exchange_key(&name));
        if self.read().topology.check_declare(&exchange)? == Declared::Existing && !is_unstored() {
            return Ok(None);
        }
        let mut places = self.write();
        let is_new = places.topology.declare_exchange(exchange)? == Declared::Created;
        if is_new {
            places.apply_policies_to_exchange(&name);
            self.outdate_routes(&mut places);
        }
        let exchange = places.topology.exchange(&name).filter(|exchange| {
            exchange.is_durable && !exchange.is_predeclared() && (is_new || is_unstored())
        });
        let definition = exchange
            .map(|exchange| Definition::Exchange { vhost: self.name().clone(), exchange: exchange.clone() });
        Ok(self.submit(&places, definition.map(Change::Put).into_iter().collect()))
    }

    /// Finds an exchange: gives its way to stable storage, if it is durable and not there yet.
    pub fn find_exchange(&self, name: &Name) -> Result<Option<Ticket>, NoExchange> {
        let places = self.read();
        let exchange = places.topology.exchange(name).ok_or(NoExchange)?;
        let is_durable = exchange.is_durable && !exchange.is_predeclared();
        if !is_durable || !self.unstored.contains(|| self.exchange_key(name)) {
            return Ok(None);
        }
        let definition = Definition::Exchange { vhost: self.name().clone(), exchange: exchange.clone() };
        Ok(self.submit(&places, vec![Change::Put(definition)]))
    }

    /// Deletes an exchange with its bindings. One that is not there counts as deleted.
    pub fn delete_exchange(
        &self,
        name: &Name,
        if_unused: bool,
    ) -> Result<Option<Ticket>, DeleteExchangeError> {
        let mut places = self.write();
        let removed = places.topology.delete_exchange(name, if_unused)?;
        self.statistics().forget_exchanges(&removed.exchanges);
        if !removed.exchanges.is_empty() {
            self.outdate_routes(&mut places);
            return Ok(self.submit(&places, self.changes_of_removal(&places, None, &removed)));
        }
        Ok(self.delete_again(&places, self.exchange_key(name)))
    }

    /// Binds, unless the very same binding is there.
    pub fn bind(&self, binding: Binding) -> Result<Option<Ticket>, BindError> {
        let mut places = self.write();
        let is_durable = places.topology.is_durable_binding(&binding);
        let definition = Definition::Binding { vhost: self.name().clone(), binding: binding.clone() };
        let is_new = places.topology.bind(binding)? == Bound::Added;
        if is_new {
            self.outdate_routes(&mut places);
        }
        if is_durable && (is_new || self.unstored.contains(|| definition.key())) {
            return Ok(self.submit(&places, vec![Change::Put(definition)]));
        }
        Ok(None)
    }

    /// Unbinds. A binding that is not there counts as unbound.
    pub fn unbind(&self, binding: &Binding) -> Result<Option<Ticket>, BindError> {
        let mut places = self.write();
        let removed = places.topology.unbind(binding)?;
        self.statistics().forget_exchanges(&removed.exchanges);
        if !removed.bindings.is_empty() {
            self.outdate_routes(&mut places);
            return Ok(self.submit(&places, self.changes_of_removal(&places, None, &removed)));
        }
        let key = DefinitionKey::Binding { vhost: self.name().clone(), binding: binding.clone() };
        Ok(self.delete_again(&places, key))
    }

    /// A copy of exchanges, queues' names and bindings, to try changes on.
    #[must_use]
    pub fn topology(&self) -> Topology {
        self.read().topology.clone()
    }

    /// All bindings, without those that every queue has to the default exchange.
    #[must_use]
    pub fn bindings(&self) -> Vec<Binding> {
        self.read().topology.bindings().cloned().collect()
    }

    /// The bindings of an exchange as a source, in the order of binding.
    #[must_use]
    pub fn bindings_of_source(&self, source: &str) -> Vec<Binding> {
        self.read().topology.bindings_of_source(source).cloned().collect()
    }

    /// The bindings that lead to a queue or exchange, in the order of binding.
    #[must_use]
    pub fn bindings_of_destination(&self, destination: &Destination) -> Vec<Binding> {
        self.read().topology.bindings_of_destination(destination).cloned().collect()
    }

    /// Puts an exchange that was read from disk in its place.
    pub fn restore_exchange(&self, exchange: Exchange) -> bool {
        let mut places = self.write();
        self.outdate_routes(&mut places);
        let name = exchange.name.clone();
        let is_restored = places.topology.declare_exchange(exchange).is_ok();
        places.apply_policies_to_exchange(&name);
        is_restored
    }

    /// Puts a binding that was read from disk in its place.
    pub fn restore_binding(&self, binding: Binding) -> bool {
        let mut places = self.write();
        self.outdate_routes(&mut places);
        places.topology.bind(binding).is_ok()
    }

    /// Ends the vhost: no queue can be declared any more. Gives what was stored of it, and which queues the log
    /// may forget when that is gone.
    pub(super) fn end(&self) -> (Vec<Change>, Vec<QueueId>) {
        let mut places = self.write();
        self.outdate_routes(&mut places);
        places.is_deleted = true;
        let queues: Vec<_> = places.queues.drain().map(|(_, queue)| queue).collect();
        let vhost = || self.name().clone();
        let topology = &places.topology;
        let bindings = topology.bindings().filter(|binding| topology.is_durable_binding(binding));
        let bindings =
            bindings.map(|binding| DefinitionKey::Binding { vhost: vhost(), binding: binding.clone() });
        let stored = queues.iter().filter(|queue| queue.is_stored());
        let stored = stored.map(|queue| DefinitionKey::Queue { vhost: vhost(), name: queue.name.clone() });
        let exchanges =
            topology.exchanges().filter(|exchange| exchange.is_durable && !exchange.is_predeclared());
        let exchanges =
            exchanges.map(|exchange| DefinitionKey::Exchange { vhost: vhost(), name: exchange.name.clone() });
        let policies = policy_keys(&places.policies, self.name());
        let changes = bindings.chain(stored).chain(exchanges).chain(policies).map(Change::Delete).collect();
        drop(places);
        let ended = queues.iter().filter(|queue| queue.is_stored()).map(|queue| queue.id).collect();
        for queue in queues {
            if let Ok((_, subscriptions)) = queue.delete(false, false) {
                for subscription in subscriptions {
                    subscription.notify_cancelled();
                }
            }
        }
        (changes, ended)
    }

    /// Deletes what is not there any more from disk, where it may still be.
    pub(super) fn delete_again(&self, places: &Places, key: DefinitionKey) -> Option<Ticket> {
        let is_unstored = self.unstored.contains(|| key.clone());
        is_unstored.then(|| self.submit(places, vec![Change::Delete(key)])).flatten()
    }

    fn exchange_key(&self, name: &Name) -> DefinitionKey {
        DefinitionKey::Exchange { vhost: self.name().clone(), name: name.clone() }
    }

    /// What goes from disk after a removal.
    pub(super) fn changes_of_removal(
        &self,
        places: &Places,
        queue: Option<&SharedQueue>,
        removed: &Removed,
    ) -> Vec<Change> {
        let vhost = || self.name().clone();
        let queues = queue
            .filter(|queue| queue.is_stored())
            .map(|queue| DefinitionKey::Queue { vhost: vhost(), name: queue.name.clone() });
        let exchanges = removed.exchanges.iter().filter(|exchange| exchange.is_durable);
        let exchanges =
            exchanges.map(|exchange| DefinitionKey::Exchange { vhost: vhost(), name: exchange.name.clone() });
        let bindings = removed.bindings.iter().filter(|binding| was_durable(places, queue, removed, binding));
        let bindings =
            bindings.map(|binding| DefinitionKey::Binding { vhost: vhost(), binding: binding.clone() });
        queues.into_iter().chain(exchanges).chain(bindings).map(Change::Delete).collect()
    }
}

/// Whether a removed binding was on disk: both its ends were, be they removed or still there.
fn was_durable(places: &Places, queue: Option<&SharedQueue>, removed: &Removed, binding: &Binding) -> bool {
    let is_durable_exchange = |name: &Name| {
        let mut gone = removed.exchanges.iter().filter(|exchange| exchange.name == *name);
        gone.next().or_else(|| places.topology.exchange(name)).is_some_and(|exchange| exchange.is_durable)
    };
    let is_durable_destination = match &binding.destination {
        Destination::Exchange(name) => is_durable_exchange(name),
        Destination::Queue(name) => match queue.filter(|queue| queue.name == *name) {
            Some(queue) => queue.is_stored(),
            None => places.queue(name).is_some_and(|queue| queue.is_stored()),
        },
    };
    is_durable_destination && is_durable_exchange(&binding.source)
}
