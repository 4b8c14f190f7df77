//! What queues need besides their own lock: the time, a timer each, and where their dead letters go.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{Places, queue::SharedQueue, statistics::VhostStatistics};
use crate::{
    model::{name::Name, queue_id::QueueId, timestamp::Timestamp},
    storage::queue_log::QueueLog,
};

/// The time of day. Only queues with messages or rules that depend on it ask.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Clock and timers, for all queues of the broker.
#[derive(Debug)]
pub struct Upkeep {
    clock: Arc<dyn Clock>,
    timers: Mutex<Timers>,
    /// The first timer is another one.
    changed: Notify,
    /// The shortest time that a queue ever gave to consumers, milliseconds.
    shortest_timeout: AtomicU64,
    /// It is shorter now.
    is_shorter: Notify,
}

/// When which queue wants attention: at most one time each.
type Timers = BTreeMap<(Timestamp, QueueId), Weak<SharedQueue>>;

/// What the queues of a vhost share.
#[derive(Debug)]
pub struct Surroundings {
    /// The vhost's name.
    pub(super) vhost: Name,
    pub(super) log: Arc<dyn QueueLog>,
    pub(super) upkeep: Arc<Upkeep>,
    pub(super) statistics: VhostStatistics,
    /// The vhost's exchanges and queues. Nobody holds a queue's lock who takes this one.
    pub(super) places: Weak<RwLock<Places>>,
}

impl Upkeep {
    /// Nothing is due.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            timers: Mutex::default(),
            changed: Notify::new(),
            shortest_timeout: AtomicU64::new(u64::MAX),
            is_shorter: Notify::new(),
        }
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Attends to a queue at a time, and not at the one that was set `before`. May be called with locks held.
    pub(super) fn set(&self, queue: (QueueId, Weak<SharedQueue>), before: Option<Timestamp>, at: Timestamp) {
        let (id, queue) = queue;
        let mut timers = self.lock();
        if let Some(before) = before {
            timers.remove(&(before, id));
        }
        timers.insert((at, id), queue);
        let is_first = timers.first_key_value().is_some_and(|(first, _)| *first == (at, id));
        drop(timers);
        if is_first {
            self.changed.notify_one();
        }
    }

    /// A queue that is gone wants no attention.
    pub(super) fn clear(&self, id: QueueId, at: Timestamp) {
        self.lock().remove(&(at, id));
    }

    /// A queue whose time has come, if there is one; otherwise the time of the first.
    pub(super) fn take_due(&self, now: Timestamp) -> Result<Weak<SharedQueue>, Option<Timestamp>> {
        let mut timers = self.lock();
        match timers.first_entry() {
            Some(first) if first.key().0 <= now => Ok(first.remove()),
            first => Err(first.map(|first| first.key().0)),
        }
    }

    /// Until there may be another first timer.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A queue has a consumer timeout, milliseconds.
    pub(super) fn note_consumer_timeout(&self, millis: u64) {
        if self.shortest_timeout.fetch_min(millis, Relaxed) > millis {
            self.is_shorter.notify_one();
        }
    }

    /// The shortest consumer timeout that a queue ever had; none, if none had any.
    #[must_use]
    pub fn shortest_consumer_timeout(&self) -> Option<Duration> {
        let millis = self.shortest_timeout.load(Relaxed);
        (millis < u64::MAX).then(|| Duration::from_millis(millis))
    }

    /// Until [`Upkeep::shortest_consumer_timeout`] may be another one.
    pub async fn consumer_timeout_changed(&self) {
        self.is_shorter.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Timers> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Upkeep {
    /// How many timers there are.
    pub(super) fn timer_count(&self) -> usize {
        self.lock().len()
    }
}

#[cfg(test)]
impl Surroundings {
    /// Those of a queue without a vhost.
    pub(crate) fn of_log(log: Arc<dyn QueueLog>) -> Arc<Self> {
        let upkeep = Arc::new(Upkeep::new(Arc::new(crate::vhost::test_clock::TestClock::default())));
        Arc::new(Self {
            vhost: Name::literal("/"),
            log,
            upkeep,
            statistics: VhostStatistics::default(),
            places: Weak::new(),
        })
    }
}
