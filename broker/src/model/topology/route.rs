//! From an exchange, a key and headers to queues.

use crate::{
    model::{
        queue_id::QueueId,
        routing::{Set, Subject, Target},
    },
    wire::table::RawTable,
};

use super::{Node, RouteError, Topology};

/// What a caller must know about a result beside the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routed {
    /// A headers exchange was asked: another message with the same exchange and key may go elsewhere.
    pub depends_on_headers: bool,
}

impl Topology {
    /// Clears `out` and fills it with the queues that a message goes to: each once, in the order of their ids.
    /// A message with several keys (`CC`, `BCC`) goes wherever one of them leads.
    ///
    /// Exchanges bound to exchanges are followed, each once, so that cycles end. An exchange without a matching
    /// binding hands the message to its alternate exchange; one that doesn't exist drops it.
    pub fn route(
        &self,
        exchange: &str,
        routing_keys: &[&[u8]],
        headers: Option<RawTable<'_>>,
        out: &mut Vec<QueueId>,
    ) -> Result<Routed, RouteError> {
        let internal = self.exchanges.get(exchange).filter(|node| node.exchange.is_internal);
        if let Some(node) = internal {
            return Err(RouteError::Internal(node.exchange.name.clone()));
        }
        self.route_internally(exchange, routing_keys, headers, out)
    }

    /// The same for what the broker publishes, also to an internal exchange.
    pub fn route_internally(
        &self,
        exchange: &str,
        routing_keys: &[&[u8]],
        headers: Option<RawTable<'_>>,
        out: &mut Vec<QueueId>,
    ) -> Result<Routed, RouteError> {
        out.clear();
        if exchange.is_empty() {
            let names = routing_keys.iter().filter_map(|key| std::str::from_utf8(key).ok());
            out.extend(names.filter_map(|name| self.queue(name)));
            out.sort_unstable();
            out.dedup();
            return Ok(Routed { depends_on_headers: false });
        }
        let node = self.exchanges.get(exchange);
        let node = node.ok_or_else(|| RouteError::NoExchange(exchange.to_owned()))?;
        let mut walk = Walk::new(self, &node.exchange.name, out);
        let mut depends_on_headers = false;
        let mut next = Some(node);
        while let Some(node) = next {
            depends_on_headers |= node.router.depends_on_headers();
            walk.visit(node, routing_keys, headers);
            next = walk.next.pop();
        }
        walk.queues.sort_unstable();
        walk.queues.dedup();
        Ok(Routed { depends_on_headers })
    }
}

/// The exchanges still to ask, and the queues found so far.
struct Walk<'a> {
    topology: &'a Topology,
    start: &'a str,
    /// Beside the start: most messages meet no second exchange, and need no set.
    seen: Set<&'a str>,
    next: Vec<&'a Node>,
    queues: &'a mut Vec<QueueId>,
}

impl<'a> Walk<'a> {
    fn new(topology: &'a Topology, start: &'a str, queues: &'a mut Vec<QueueId>) -> Self {
        Self { topology, start, seen: Set::default(), next: Vec::new(), queues }
    }

    /// The default exchange as an alternate exchange finds no binding, as in RabbitMQ.
    fn visit(&mut self, node: &'a Node, routing_keys: &[&[u8]], headers: Option<RawTable<'_>>) {
        let mut is_matched = false;
        let keys_max = if node.router.depends_on_key() { routing_keys.len() } else { 1 };
        for routing_key in routing_keys.iter().take(keys_max) {
            node.router.visit_matching(Subject { routing_key, headers }, &mut |target| {
                is_matched = true;
                match target {
                    Target::Queue(id) => self.queues.push(*id),
                    Target::Exchange(name) => self.follow(name),
                }
            });
        }
        if !is_matched && let Some(alternate) = &node.alternate {
            self.follow(alternate);
        }
    }

    fn follow(&mut self, exchange: &'a str) {
        if exchange != self.start
            && self.seen.insert(exchange)
            && let Some(node) = self.topology.exchanges.get(exchange)
        {
            self.next.push(node);
        }
    }
}
