//! How one exchange chooses among its bindings: one router per exchange kind.
//!
//! A router holds what its kind needs to find the matching bindings without looking at the others. It knows
//! neither names nor arguments of exchanges; [`Topology`](crate::model::topology::Topology) follows the targets.

mod direct;
mod headers;
mod topic;

use hashbrown::{HashMap, HashSet};

use crate::{
    model::{binding::Binding, exchange::ExchangeKind, name::Name, queue_id::QueueId},
    wire::table::RawTable,
};

pub(crate) use headers::fingerprint_of_argument;
pub use headers::{XMatchError, check_x_match};

/// A table whose order and collisions are the same in every run.
pub(crate) type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;
/// A set whose order and collisions are the same in every run.
pub(crate) type Set<K> = HashSet<K, foldhash::fast::FixedState>;

/// A binding's number: given once per topology, in the order of binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BindingId(pub(crate) u64);

/// Where a matching binding leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    Queue(QueueId),
    Exchange(Name),
}

/// What is published, as far as routing looks at it.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) routing_key: &'a [u8],
    pub(crate) headers: Option<RawTable<'a>>,
}

/// The bindings of one exchange, arranged for its kind.
#[derive(Clone, Debug)]
pub(crate) enum Router {
    Direct(direct::DirectRouter),
    Fanout(Targets),
    Topic(topic::TopicRouter),
    Headers(headers::HeadersRouter),
}

impl Router {
    pub(crate) fn new(kind: ExchangeKind) -> Self {
        match kind {
            ExchangeKind::Direct => Self::Direct(direct::DirectRouter::default()),
            ExchangeKind::Fanout => Self::Fanout(Targets::default()),
            ExchangeKind::Topic => Self::Topic(topic::TopicRouter::default()),
            ExchangeKind::Headers => Self::Headers(headers::HeadersRouter::default()),
        }
    }

    /// Ids must be added in rising order.
    pub(crate) fn add(&mut self, id: BindingId, binding: &Binding, target: Target) {
        match self {
            Self::Direct(router) => router.add(id, &binding.binding_key, target),
            Self::Fanout(targets) => targets.add(id, target),
            Self::Topic(router) => router.add(id, &binding.binding_key, target),
            Self::Headers(router) => router.add(id, &binding.arguments, target),
        }
    }

    /// Takes out what [`Self::add`] put in for the same binding.
    pub(crate) fn remove(&mut self, id: BindingId, binding: &Binding) {
        match self {
            Self::Direct(router) => router.remove(id, &binding.binding_key),
            Self::Fanout(targets) => targets.remove(id),
            Self::Topic(router) => router.remove(id, &binding.binding_key),
            Self::Headers(router) => router.remove(id),
        }
    }

    /// Calls `visit` with the target of every matching binding; one target may come several times.
    pub(crate) fn visit_matching<'a>(&'a self, subject: Subject<'_>, visit: &mut dyn FnMut(&'a Target)) {
        match self {
            Self::Direct(router) => router.visit_matching(subject.routing_key, visit),
            Self::Fanout(targets) => targets.visit(visit),
            Self::Topic(router) => router.visit_matching(subject.routing_key, visit),
            Self::Headers(router) => router.visit_matching(subject.headers, visit),
        }
    }

    /// Whether two messages with different routing keys may be routed differently.
    pub(crate) fn depends_on_key(&self) -> bool {
        matches!(self, Self::Direct(_) | Self::Topic(_))
    }

    /// Whether two messages with the same routing key may be routed differently.
    pub(crate) fn depends_on_headers(&self) -> bool {
        matches!(self, Self::Headers(_))
    }
}

/// The targets of bindings that match alike, in the order of binding.
#[derive(Clone, Debug, Default)]
pub(crate) struct Targets(Vec<(BindingId, Target)>);

impl Targets {
    /// Ids rise, so that the list stays sorted and [`Self::remove`] can search it.
    fn add(&mut self, id: BindingId, target: Target) {
        debug_assert!(self.0.last().is_none_or(|(last, _)| *last < id), "binding ids rise");
        self.0.push((id, target));
    }

    fn remove(&mut self, id: BindingId) {
        if let Ok(index) = self.0.binary_search_by_key(&id, |(id, _)| *id) {
            self.0.remove(index);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'a Target)) {
        for (_, target) in &self.0 {
            visit(target);
        }
    }
}
