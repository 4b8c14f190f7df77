//! What a run is asked to do.

use std::time::Duration;

/// The traffic of a run and how long it lasts.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    pub queue: String,
    /// Whether each run adds something to the queue's name that no other run has. A broker may still be busy
    /// with the messages of an earlier run; under the same name they would arrive in this one.
    pub has_unique_queue: bool,
    pub flow: Flow,
    pub body_size: usize,
    pub is_persistent: bool,
    pub is_durable: bool,
    /// At most this many publishes are unconfirmed; `None` publishes without confirms.
    pub confirm_window: Option<u32>,
    pub acks: Acks,
    /// Messages per second; `None` as fast as the broker takes them.
    pub rate: Option<f64>,
    pub extent: Extent,
    /// Whether the queue goes away after the run.
    pub deletes_queue: bool,
    pub patience: Patience,
}

/// Which sides take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Both,
    PublishOnly,
    ConsumeOnly,
}

/// How the consumer settles its deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// The broker settles by itself when it delivers.
    Auto,
    /// One `basic.ack` for every `every` messages.
    Manual { every: u32, prefetch_count: u16 },
}

/// How long a run lasts: until `messages` are through or `duration` has passed, whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// What passes before the measured time begins.
    pub warmup: Duration,
    pub duration: Option<Duration>,
    pub messages: Option<u64>,
}

/// How long to wait for a broker that does not answer. With the second that an unfinished write may take,
/// this bounds a run to its warm-up, its duration and less than ten seconds more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For all connections and declarations before the run.
    pub setup: Duration,
    /// For deleting the queue and closing the connections after it.
    pub teardown: Duration,
    /// A run that only has a number of messages ends when none moved for this long.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            setup: Duration::from_secs(4),
            teardown: Duration::from_secs(3),
            stall: Duration::from_secs(9),
        }
    }
}

impl Flow {
    pub fn publishes(self) -> bool {
        self != Self::ConsumeOnly
    }

    pub fn consumes(self) -> bool {
        self != Self::PublishOnly
    }

    /// How many sides take part.
    pub fn sides(self) -> usize {
        usize::from(self.publishes()) + usize::from(self.consumes())
    }
}
