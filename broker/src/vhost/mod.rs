//! Model and storage joined: what connections share.
//!
//! Lock order: access and topology, then queues by ascending id, then the log or an outbox, never both.

pub mod access;
mod ages;
pub mod broker;
pub mod buffer;
mod dead_letters;
pub mod declare;
#[cfg(test)]
mod delete_tests;
pub mod deliveries;
mod dispatch;
mod marks;
#[cfg(test)]
mod model_tests;
pub mod outbox;
mod paging;
pub mod parameters;
pub mod policies;
pub mod queue;
pub mod reply_to;
pub mod statistics;
pub mod subscription;
#[cfg(test)]
pub(crate) mod test_clock;
#[cfg(test)]
mod tests;
pub mod ticket;
pub mod topology;
pub mod transaction;
mod unstored;
pub mod upkeep;
#[cfg(test)]
mod upkeep_tests;

use std::sync::{
    Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{
    model::{
        arguments::Arguments,
        definition::{Change, VhostDefinition},
        exchange::Exchange,
        limit::LimitName,
        message::Message,
        name::Name,
        policy::Policies,
        queue::{QUEUE_TYPE, QueueType},
        queue_id::QueueId,
        topology::{RouteError, Topology},
    },
    storage::{LogError, MetadataStore, queue_log::QueueLog},
    wire::table::RawTable,
};
use queue::{Published, SharedQueue};
use statistics::VhostStatistics;
use ticket::Ticket;
use unstored::Unstored;
use upkeep::{Surroundings, Upkeep};

/// A namespace: exchanges, queues and bindings of its own.
#[derive(Debug)]
pub struct Vhost {
    name: Name,
    definition: RwLock<VhostDefinition>,
    places: Arc<RwLock<Places>>,
    /// For its queues.
    surroundings: Arc<Surroundings>,
    /// Connections that are open to it.
    pub open_connections: AtomicUsize,
    /// Grows with every change of the topology: what was routed under an older one is routed anew.
    epoch: AtomicU64,
    log: Arc<dyn QueueLog>,
    store: Arc<dyn MetadataStore>,
    /// What may differ from what is on stable storage.
    unstored: Arc<Unstored>,
}

/// Exchanges and bindings, and the queues that they lead to.
#[derive(Debug)]
struct Places {
    topology: Topology,
    queues: HashMap<QueueId, Arc<SharedQueue>, FixedState>,
    policies: Policies,
    is_deleted: bool,
}

/// The queues that a message goes to, sorted by id.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Where to.
    pub queues: Arc<[Arc<SharedQueue>]>,
    /// The same exchange and key may lead elsewhere for other headers.
    pub depends_on_headers: bool,
    /// The topology it holds for.
    pub epoch: u64,
    /// All its durable queues are on stable storage.
    pub is_stored: bool,
    /// A queue may be full and refuse messages: what became of one is to be known before the next.
    pub may_refuse: bool,
}

impl Vhost {
    /// A vhost with the predeclared exchanges.
    #[must_use]
    pub fn new(
        definition: VhostDefinition,
        log: Arc<dyn QueueLog>,
        store: Arc<dyn MetadataStore>,
        upkeep: Arc<Upkeep>,
    ) -> Self {
        let places = Places {
            topology: Topology::new(),
            queues: HashMap::with_hasher(FixedState::default()),
            policies: Policies::default(),
            is_deleted: false,
        };
        let places = Arc::new(RwLock::new(places));
        let surroundings = Surroundings {
            vhost: definition.name.clone(),
            log: Arc::clone(&log),
            upkeep,
            statistics: VhostStatistics::default(),
            places: Arc::downgrade(&places),
        };
        Self {
            name: definition.name.clone(),
            definition: RwLock::new(definition),
            places,
            surroundings: Arc::new(surroundings),
            open_connections: AtomicUsize::new(0),
            epoch: AtomicU64::new(0),
            log,
            store,
            unstored: Arc::default(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// As made: name, description, tags, and the limits set since.
    #[must_use]
    pub fn definition(&self) -> VhostDefinition {
        self.definition.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many of something there may be.
    #[must_use]
    pub fn limit(&self, name: LimitName) -> Option<usize> {
        self.definition.read().unwrap_or_else(PoisonError::into_inner).limits.max(name)
    }

    /// The arguments of a queue about to be declared: where they name no type, the vhost's default
    /// (<https://www.rabbitmq.com/docs/vhosts#default-queue-type>). A queue that is there keeps the type that it has, and
    /// one that goes with its connection or its consumers is classic.
    #[must_use]
    pub fn with_default_type(&self, name: &str, is_lasting: bool, arguments: Arguments) -> Arguments {
        if !is_lasting {
            return arguments;
        }
        let quorum = QueueType::Quorum.as_str();
        let definition = self.definition.read().unwrap_or_else(PoisonError::into_inner);
        let is_default = definition.default_queue_type.as_deref() == Some(quorum);
        drop(definition);
        let keeps_other =
            || self.queue(name).is_some_and(|queue| queue.options.queue_type != QueueType::Quorum);
        if is_default && !keeps_other() { arguments.or_text(QUEUE_TYPE, quorum) } else { arguments }
    }

    pub(super) fn set_definition(&self, definition: VhostDefinition) {
        *self.definition.write().unwrap_or_else(PoisonError::into_inner) = definition;
    }

    /// The topology's age: a [`Route`] with another one is out of date.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Relaxed)
    }

    /// The queues that a message published with this key, or these, goes to: each once.
    pub fn route(
        &self,
        exchange: &str,
        routing_keys: &[&[u8]],
        headers: Option<RawTable<'_>>,
    ) -> Result<Route, RouteError> {
        let places = self.read();
        let mut ids = Vec::new();
        let routed = places.topology.route(exchange, routing_keys, headers, &mut ids)?;
        ids.sort_unstable();
        let queues: Arc<[_]> = ids.iter().filter_map(|id| places.queues.get(id).cloned()).collect();
        let is_stored = !queues.iter().any(|queue| self.is_unstored(queue));
        let may_refuse = queues.iter().any(|queue| queue.may_refuse());
        let (depends_on_headers, epoch) = (routed.depends_on_headers, self.epoch());
        Ok(Route { queues, depends_on_headers, epoch, is_stored, may_refuse })
    }

    /// Appends messages that share a route to its queues, and dispatches; says when they are safe.
    /// `messages` is empty after.
    pub fn publish(&self, route: &Route, messages: &mut Vec<Message>) -> Result<Published, LogError> {
        let appended = match &*route.queues {
            [] => Ok(Published::default()),
            [queue] => queue.publish(messages),
            queues => SharedQueue::publish_to_all(queues, messages),
        };
        messages.clear();
        appended
    }

    /// The log of its queues.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn QueueLog> {
        &self.log
    }

    /// The queue with this name.
    #[must_use]
    pub fn queue(&self, name: &str) -> Option<Arc<SharedQueue>> {
        self.read().queue(name)
    }

    /// All queues, in no order.
    #[must_use]
    pub fn queues_unordered(&self) -> Vec<Arc<SharedQueue>> {
        self.read().queues.values().cloned().collect()
    }

    /// The names of all queues, in no order.
    #[must_use]
    pub fn queue_names(&self) -> Vec<Name> {
        self.read().topology.queues().map(|(name, _)| name.clone()).collect()
    }

    /// All queues, by name.
    #[must_use]
    pub fn queues(&self) -> Vec<Arc<SharedQueue>> {
        let mut queues = self.queues_unordered();
        queues.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        queues
    }

    /// How many exchanges there are.
    #[must_use]
    pub fn exchange_count(&self) -> usize {
        self.read().topology.exchange_count()
    }

    /// How many queues there are.
    #[must_use]
    pub fn queue_count(&self) -> usize {
        self.read().queues.len()
    }

    /// The exchange with this name.
    #[must_use]
    pub fn exchange(&self, name: &str) -> Option<Exchange> {
        self.read().topology.exchange(name).cloned()
    }

    /// All exchanges, by name.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        let mut exchanges: Vec<_> = self.read().topology.exchanges().cloned().collect();
        exchanges.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        exchanges
    }

    /// Hands changes to the store, in the order in which they happen: `places` is locked. A vhost that was
    /// deleted leaves nothing behind.
    fn submit(&self, places: &Places, changes: Vec<Change>) -> Option<Ticket> {
        self.submit_and(places, changes, || {})
    }

    /// Likewise; `stored` is called when the changes are on stable storage.
    fn submit_and(
        &self,
        places: &Places,
        changes: Vec<Change>,
        stored: impl FnOnce() + Send + 'static,
    ) -> Option<Ticket> {
        if places.is_deleted || changes.is_empty() {
            return None;
        }
        let (number, keys) = self.unstored.submitted(&changes);
        let unstored = Arc::clone(&self.unstored);
        Ticket::submit(&*self.store, changes, move || {
            unstored.stored(number, &keys);
            stored();
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, Places> {
        self.places.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever changes something under this lock says [`Vhost::outdate_routes`].
    fn write(&self) -> RwLockWriteGuard<'_, Places> {
        self.places.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The topology changed: what was routed before is to be routed anew. The lock is held, so that nobody
    /// finds an old route with a new epoch.
    fn outdate_routes(&self, _changed: &mut Places) {
        self.epoch.fetch_add(1, Relaxed);
    }
}

impl Route {
    /// Whether it leads to the same queues.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.queues, &other.queues)
            || (self.queues.len() == other.queues.len()
                && self.queues.iter().zip(&*other.queues).all(|(one, other)| one.id == other.id))
    }
}

impl Places {
    fn queue(&self, name: &str) -> Option<Arc<SharedQueue>> {
        self.queues.get(&self.topology.queue(name)?).cloned()
    }
}
