//! Random changes to a topology, compared with plain lists that are searched for every answer.

use proptest::prelude::*;

use super::{
    tests::{auto_delete, exchange, name, route, with_alternate},
    *,
};

/// What the property test does to a topology.
#[derive(Clone, Debug)]
enum Step {
    Bind(Binding),
    Unbind(Binding),
    RemoveQueue(&'static str),
    DeleteExchange(&'static str),
}

const EXCHANGES: [&str; 5] = ["d", "f", "t", "auto", "alternate"];
const QUEUES: [&str; 3] = ["q1", "q2", "q3"];
const KEYS: [&str; 4] = ["a", "b", "#", "*"];

fn declared() -> Vec<Exchange> {
    vec![
        exchange("d", ExchangeKind::Direct),
        exchange("f", ExchangeKind::Fanout),
        exchange("t", ExchangeKind::Topic),
        auto_delete("auto", ExchangeKind::Topic),
        with_alternate("alternate", "t"),
    ]
}

fn any_binding() -> impl Strategy<Value = Binding> {
    let select = proptest::sample::select::<&'static str>;
    let end = prop_oneof![
        select(&QUEUES[..]).prop_map(|queue| Destination::Queue(name(queue))),
        select(&EXCHANGES[..]).prop_map(|exchange| Destination::Exchange(name(exchange))),
    ];
    (select(&EXCHANGES[..]), end, select(&KEYS[..])).prop_map(|(source, destination, key)| Binding {
        source: name(source),
        destination,
        binding_key: name(key),
        arguments: Default::default(),
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => any_binding().prop_map(Step::Bind),
        6 => any_binding().prop_map(Step::Unbind),
        1 => proptest::sample::select(&QUEUES[..]).prop_map(Step::RemoveQueue),
        1 => proptest::sample::select(&EXCHANGES[..]).prop_map(Step::DeleteExchange),
    ]
}

/// Exchanges, queues and bindings as plain lists, every question answered by looking at all of them.
struct Naive {
    exchanges: Vec<Exchange>,
    queues: Vec<&'static str>,
    bindings: Vec<Binding>,
}

impl Naive {
    fn has(&self, destination: &Destination) -> bool {
        match destination {
            Destination::Queue(name) => self.queues.contains(&name.as_str()),
            Destination::Exchange(name) => self.exchange(name).is_some(),
        }
    }

    fn exchange(&self, name: &str) -> Option<&Exchange> {
        self.exchanges.iter().find(|exchange| *exchange.name == *name)
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Bind(binding) => {
                let has_ends = self.exchange(&binding.source).is_some() && self.has(&binding.destination);
                if has_ends && !self.bindings.contains(binding) {
                    self.bindings.push(binding.clone());
                }
            }
            Step::Unbind(binding) => self.drop_bindings(|other| other == binding),
            Step::RemoveQueue(queue) => {
                self.queues.retain(|other| other != queue);
                self.drop_bindings(|binding| binding.destination == Destination::Queue(name(queue)));
            }
            Step::DeleteExchange(exchange) => self.delete_exchange(exchange),
        }
    }

    fn delete_exchange(&mut self, exchange: &str) {
        self.exchanges.retain(|other| *other.name != *exchange);
        self.bindings.retain(|binding| *binding.source != *exchange);
        self.drop_bindings(|binding| binding.destination == Destination::Exchange(name(exchange)));
    }

    fn drop_bindings(&mut self, is_dropped: impl Fn(&Binding) -> bool) {
        let had_auto = self.bindings.iter().any(|binding| &*binding.source == "auto");
        self.bindings.retain(|binding| !is_dropped(binding));
        if had_auto && !self.bindings.iter().any(|binding| &*binding.source == "auto") {
            self.delete_exchange("auto");
        }
    }

    fn route(&self, exchange: &str, key: &str) -> Vec<u64> {
        let mut seen = vec![exchange.to_owned()];
        let mut queues = Vec::new();
        let mut at = 0;
        while at < seen.len() {
            let Some(exchange) = self.exchange(&seen[at]) else { break };
            let kind = exchange.kind;
            let is_match = |pattern: &str| match kind {
                ExchangeKind::Direct => pattern == key,
                ExchangeKind::Fanout => true,
                // Keys are of one word.
                _ => pattern == key || pattern == "#" || pattern == "*",
            };
            let matching: Vec<&Destination> = self
                .bindings
                .iter()
                .filter(|binding| binding.source == exchange.name && is_match(&binding.binding_key))
                .map(|binding| &binding.destination)
                .collect();
            let alternate = exchange.arguments.text(ALTERNATE_EXCHANGE).filter(|_| matching.is_empty());
            let mut exchanges: Vec<String> = alternate
                .into_iter()
                .filter(|name| self.exchange(name).is_some())
                .map(str::to_owned)
                .collect();
            for destination in matching {
                match destination {
                    Destination::Queue(name) => queues.push(name[1..].parse().unwrap()),
                    Destination::Exchange(name) => exchanges.push(name.to_string()),
                }
            }
            for name in exchanges {
                if !seen.contains(&name) {
                    seen.push(name);
                }
            }
            at += 1;
        }
        queues.sort_unstable();
        queues.dedup();
        queues
    }
}

proptest! {
    #[test]
    fn topology_agrees_with_a_list_of_bindings(steps in proptest::collection::vec(any_step(), 0..60)) {
        let mut topology = Topology::new();
        let mut naive = Naive { exchanges: declared(), queues: QUEUES.to_vec(), bindings: Vec::new() };
        for exchange in declared() {
            topology.declare_exchange(exchange).unwrap();
        }
        for (id, queue) in (1..).zip(QUEUES) {
            topology.add_queue(name(queue), QueueId(id), true);
        }
        for step in steps {
            let (exchanges_before, bindings_before) = (topology.exchanges().count(), topology.bindings().count());
            naive.apply(&step);
            let removed = match step {
                Step::Bind(binding) => topology.bind(binding).err().map(|_| Removed::default()),
                Step::Unbind(binding) => Some(topology.unbind(&binding).unwrap()),
                Step::RemoveQueue(queue) => Some(topology.remove_queue(queue)),
                Step::DeleteExchange(exchange) => {
                    Some(topology.delete_exchange(&name(exchange), false).unwrap())
                }
            };
            if let Some(removed) = removed {
                prop_assert_eq!(exchanges_before - removed.exchanges.len(), topology.exchanges().count());
                prop_assert_eq!(bindings_before - removed.bindings.len(), topology.bindings().count());
            }
            prop_assert_eq!(topology.bindings().count(), naive.bindings.len());
            prop_assert!(topology.bindings().all(|binding| naive.bindings.contains(binding)));
            for exchange in EXCHANGES {
                prop_assert_eq!(topology.exchange(exchange).is_some(), naive.exchange(exchange).is_some());
                for key in ["a", "b", "c"] {
                    if topology.exchange(exchange).is_some() {
                        prop_assert_eq!(route(&topology, exchange, key), naive.route(exchange, key));
                    }
                }
            }
        }
    }
}
