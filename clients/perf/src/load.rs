//! What a run is asked to do.

use std::time::Duration;

use crate::clock::{Nanos, now};
use crate::codec::table::{FieldTable, Properties};
use crate::schedule::Schedule;
#[cfg(test)]
use crate::work::Work;

/// What the names of queues and exchanges begin with that this tool chose itself.
pub const OWN_PREFIX: &str = "liebre-perf";

/// The traffic of a run and how long it lasts.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    pub topology: Topology,
    /// `None` when nobody publishes.
    pub publishing: Option<Publishing>,
    /// `None` when nobody consumes.
    pub consuming: Option<Consuming>,
    pub extent: Extent,
    pub patience: Patience,
}

/// Queues, and how messages get there.
#[derive(Debug, Clone, PartialEq)]
pub struct Topology {
    pub queues: Vec<String>,
    /// Whether each run adds something to the names that no other run has. A broker may still be busy
    /// with the messages of an earlier run; under the same names they would arrive in this one.
    pub has_unique_names: bool,
    /// Whether everything is there already.
    pub is_predeclared: bool,
    pub is_durable: bool,
    pub is_auto_delete: bool,
    pub arguments: FieldTable,
    /// `None`: the default exchange, where a queue's name is its key.
    pub exchange: Option<Exchange>,
    /// The key of all messages and bindings, instead of the queues' names.
    pub routing_key: Option<String>,
    /// Whether the run binds its queues to the exchange.
    pub binds: bool,
    /// How many bindings the first queue has besides, for keys that no message has.
    pub spare_bindings: u32,
    /// Whether queues go away after the run, and the exchange if it is this tool's own.
    pub deletes: bool,
}

/// An exchange that is not the default one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    pub name: String,
    /// The field calls it the exchange's type.
    pub kind: String,
}

/// The publishing side.
#[derive(Debug, Clone, PartialEq)]
pub struct Publishing {
    /// Connections.
    pub producers: u32,
    /// On each connection.
    pub channels: u16,
    pub bodies: Bodies,
    pub properties: Properties,
    pub is_mandatory: bool,
    pub has_random_keys: bool,
    /// At most this many publishes of a channel are unconfirmed; `None` publishes without confirms.
    pub confirm_window: Option<u32>,
    /// Messages per second of a channel; `None` as fast as the broker takes them.
    pub rate: Option<Schedule>,
    /// How many messages all channels together may be ahead of the consumers.
    pub ahead_max: Option<u64>,
    /// How many messages all channels publish together.
    pub messages: Option<u64>,
}

/// What is published.
#[derive(Debug, Clone, PartialEq)]
pub enum Bodies {
    /// Bytes of each, the first of them the time of publishing; may change with time.
    Sized(Schedule),
    /// These in turn.
    Given(Vec<Vec<u8>>),
}

/// The consuming side.
#[derive(Debug, Clone, PartialEq)]
pub struct Consuming {
    /// Connections.
    pub consumers: u32,
    /// On each connection, with one consumer each.
    pub channels: u16,
    pub acks: Acks,
    /// Messages per second of a channel; `None` as fast as they come.
    pub rate: Option<f64>,
    pub arguments: FieldTable,
    /// How many messages all consumers take together.
    pub messages: Option<u64>,
}

/// How a consumer settles its deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// The broker settles by itself when it delivers.
    Auto,
    /// One `basic.ack` for every `every` messages.
    Manual { every: u32, prefetch_count: u16, is_per_channel: bool },
}

/// How long a run lasts: until all messages are through or `duration` has passed, whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// What passes before the measured time begins.
    pub warmup: Duration,
    pub duration: Option<Duration>,
}

/// How long to wait for a broker that does not answer. With the second that an unfinished write may take,
/// this bounds a run of few connections to its warm-up, its duration and less than ten seconds more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For all connections and declarations before the run.
    pub setup: Duration,
    /// For deleting the queues and closing the connections after it.
    pub teardown: Duration,
    /// A run that only has a number of messages ends when none moved for this long.
    pub stall: Duration,
    /// What each connection, and each queue, adds to `setup` and `teardown`.
    pub each: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            setup: Duration::from_secs(4),
            teardown: Duration::from_secs(3),
            stall: Duration::from_secs(9),
            each: Duration::from_millis(50),
        }
    }
}

impl Load {
    /// How many sides take part.
    pub fn sides(&self) -> usize {
        usize::from(self.publishing.is_some()) + usize::from(self.consuming.is_some())
    }

    /// How many sides end by themselves, when their messages are through.
    pub fn ending_sides(&self) -> usize {
        usize::from(self.publishing.as_ref().is_some_and(|publishing| publishing.messages.is_some()))
            + usize::from(self.consuming.as_ref().is_some_and(|consuming| consuming.messages.is_some()))
    }

    /// The same load, and names that no other run has, where it is to have them.
    pub fn with_unique_names(&self) -> Self {
        let mut load = self.clone();
        if std::mem::take(&mut load.topology.has_unique_names) {
            load.topology.add_to_names(&format!("-{}", now().0));
        }
        load
    }

    /// Until when what begins now to delete the queues and close the connections must be done with it.
    pub fn teardown_deadline(&self) -> Nanos {
        now().plus(self.patience.teardown + self.patience.each * self.parts())
    }

    /// Connections, queues and bindings: what setting up takes time for.
    pub fn parts(&self) -> u32 {
        let producers = self.publishing.as_ref().map_or(0, |publishing| publishing.producers);
        let consumers = self.consuming.as_ref().map_or(0, |consuming| consuming.consumers);
        producers
            + consumers
            + self.topology.spare_bindings / 10
            + u32::try_from(self.topology.queues.len()).unwrap_or(u32::MAX / 4)
    }
}

impl Topology {
    /// The queue of the channel with this number, in turn.
    pub fn queue(&self, number: usize) -> &str {
        &self.queues[number % self.queues.len()]
    }

    /// What the publisher with this number addresses its messages with, if each has not another key.
    pub fn routing_key(&self, number: usize) -> &str {
        self.routing_key.as_deref().unwrap_or_else(|| self.queue(number))
    }

    /// With what this queue is bound.
    pub fn binding_key<'a>(&'a self, queue: &'a str) -> &'a str {
        self.routing_key.as_deref().unwrap_or(queue)
    }

    pub fn exchange_name(&self) -> &str {
        self.exchange.as_ref().map_or("", |exchange| &exchange.name)
    }

    /// How many queues get each message, as far as the run's own bindings tell.
    pub fn copies(&self) -> u64 {
        let is_to_all = match &self.exchange {
            Some(exchange) => exchange.kind == "fanout" || self.routing_key.is_some(),
            None => false,
        };
        if is_to_all && self.binds { self.queues.len() as u64 } else { 1 }
    }

    fn add_to_names(&mut self, suffix: &str) {
        for queue in &mut self.queues {
            queue.push_str(suffix);
        }
        if let Some(exchange) = self.exchange.as_mut().filter(|exchange| exchange.is_own()) {
            exchange.name.push_str(suffix);
        }
    }
}

impl Exchange {
    /// Whether the name says that it is this tool's, which may delete it.
    pub fn is_own(&self) -> bool {
        self.name.starts_with(OWN_PREFIX)
    }

    /// Whether the broker has it from the beginning.
    pub fn is_builtin(&self) -> bool {
        self.name.starts_with("amq.")
    }
}

impl Publishing {
    /// The largest body, as far as known.
    pub fn body_size_max(&self) -> usize {
        match &self.bodies {
            Bodies::Sized(sizes) => sizes.steps().iter().map(|step| step.value as usize).max().unwrap_or(0),
            Bodies::Given(bodies) => bodies.iter().map(Vec::len).max().unwrap_or(0),
        }
    }

    pub fn channel_count(&self) -> u64 {
        u64::from(self.producers) * u64::from(self.channels)
    }

    /// The channel's share of the messages.
    pub fn messages_of(&self, channel: u64) -> Option<u64> {
        let count = self.channel_count();
        self.messages.map(|messages| messages / count + u64::from(channel < messages % count))
    }
}

impl Consuming {
    pub fn channel_count(&self) -> u64 {
        u64::from(self.consumers) * u64::from(self.channels)
    }
}

#[cfg(test)]
impl Load {
    /// The load that these options of the command line describe.
    pub fn parse(options: &str) -> Result<Self, String> {
        match Work::parse(options)? {
            Work::Load(load) => Ok(*load),
            work => Err(format!("{work:?} is no load")),
        }
    }
}
