//! What connections and queues cost that do nothing.

use std::thread;
use std::time::Duration;

use crate::cli::Target;
use crate::clock::{Nanos, now};
use crate::codec::method::QueueDeclare;
use crate::codec::table::FieldTable;
use crate::connection::{CHANNEL, Connection, close_all};
use crate::cycle::{Cycle, Until, queue_name, run_cycles};
use crate::error::PerfError;
use crate::figure::{Value, less, mebibytes, memory, more};
use crate::load::OWN_PREFIX;
use crate::process;

/// How many declare queues at the same time: a broker that syncs them to disk can take several with one sync.
const DECLARING: u32 = 16;
/// What they may take to be there, unless told otherwise: so long, and so long for each.
const PATIENCE: Duration = Duration::from_secs(4);
const PATIENCE_EACH: Duration = Duration::from_millis(50);
/// What they may take at least to be gone.
const GOING: Duration = Duration::from_secs(10);
/// Memory has settled when it changed by less than a hundredth in this time.
const SETTLE_STEP: Duration = Duration::from_millis(300);
const SETTLE_STEPS_MAX: u32 = 20;

/// What idles, how many, and for how long it is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    pub what: Idling,
    pub count: u32,
    pub hold: Duration,
    /// Until they are there; twice as long until they are gone, and 10 s at least.
    pub patience: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idling {
    /// Each with one channel and one consumer.
    Connections,
    Queues {
        is_durable: bool,
    },
}

impl Idle {
    /// For how long to wait for so many if nobody says it.
    pub fn patience_default(count: u32) -> Duration {
        PATIENCE + PATIENCE_EACH * count
    }

    pub fn measure(&self, target: &Target) -> Result<Vec<Value>, PerfError> {
        let (ballast, values) = self.weigh(target)?;
        ballast.drop_overboard(target)?;
        Ok(values)
    }

    /// Measures, and leaves them there.
    pub fn weigh(&self, target: &Target) -> Result<(Ballast, Vec<Value>), PerfError> {
        let before = settled_rss(target)?;
        let begin = now();
        let ballast = Ballast::load(target, self.what, self.count, self.patience)?;
        let seconds = now().since(begin).as_secs_f64();
        match settled_rss(target).and_then(|after| Ok((after, self.watch_cpu(target)?))) {
            Ok((after, idle_cpu)) => Ok((ballast, self.values(before, after, seconds, idle_cpu))),
            Err(error) => {
                // Why they could not be weighed is the error to tell.
                let _ = ballast.drop_overboard(target);
                Err(error)
            }
        }
    }

    fn values(
        &self,
        before: Option<u64>,
        after: Option<u64>,
        seconds: f64,
        idle_cpu: Option<f64>,
    ) -> Vec<Value> {
        let growth = before.zip(after).map(|(before, after)| after as f64 - before as f64);
        vec![
            memory(
                "bytes_each",
                "broker memory, bytes each",
                growth.map(|bytes| bytes / f64::from(self.count)),
            ),
            memory("rss_before_mib", "broker RSS MiB before", before.map(mebibytes)),
            memory("rss_after_mib", "broker RSS MiB with them", after.map(mebibytes)),
            more("per_second", "made per s", f64::from(self.count) / seconds.max(f64::MIN_POSITIVE)),
            less("idle_cpu_percent", "broker CPU while idle, % of a core", idle_cpu),
        ]
    }

    /// The broker's CPU time while it is held, in hundredths of a core.
    fn watch_cpu(&self, target: &Target) -> Result<Option<f64>, PerfError> {
        if self.hold.is_zero() {
            return Ok(None);
        }
        let cpu = || target.pid.map(|pid| process::usage_of(pid).map(|usage| usage.cpu)).transpose();
        let (before, begin) = (cpu()?, now());
        thread::sleep(self.hold);
        let seconds = now().since(begin).as_secs_f64().max(f64::MIN_POSITIVE);
        let used = cpu()?.zip(before).map(|(after, before)| after.saturating_sub(before));
        Ok(used.map(|used| 100.0 * used.as_secs_f64() / seconds))
    }

    pub fn describe(&self) -> String {
        match self.what {
            Idling::Connections => {
                format!("{} idle connections with a channel and a consumer each", self.count)
            }
            Idling::Queues { is_durable: false } => format!("{} idle transient queues", self.count),
            Idling::Queues { is_durable: true } => format!("{} idle durable queues", self.count),
        }
    }
}

/// Connections or queues that are just there.
#[derive(Debug)]
pub struct Ballast {
    connections: Vec<Connection>,
    /// What their names begin with, and how many there are.
    queues: Option<(String, u64)>,
    patience: Duration,
}

impl Ballast {
    /// With less than `count` of them after `patience` it fails, and leaves nothing there.
    pub fn load(target: &Target, what: Idling, count: u32, patience: Duration) -> Result<Self, PerfError> {
        let prefix = format!("{OWN_PREFIX}-idle-{}", now().0);
        match what {
            Idling::Connections => Self::connections(target, &prefix, count, patience),
            Idling::Queues { is_durable } => Self::queues(target, prefix, is_durable, count, patience),
        }
    }

    fn queues(
        target: &Target,
        prefix: String,
        is_durable: bool,
        count: u32,
        patience: Duration,
    ) -> Result<Self, PerfError> {
        let declare = Cycle::Declare { prefix: prefix.clone(), is_durable };
        let wanted = u64::from(count);
        let until = Until::Count { count: wanted, deadline: now().plus(patience) };
        let declared = run_cycles(target, &declare, DECLARING.min(count), until).map(|cycled| cycled.count);
        let there = *declared.as_ref().unwrap_or(&wanted);
        let ballast = Self { connections: Vec::new(), queues: Some((prefix, there)), patience };
        let failure = match declared {
            Ok(count) if count == wanted => return Ok(ballast),
            Ok(count) => PerfError::NotReached { what: "queues", count, wanted, patience },
            Err(error) => error,
        };
        // As many as there are: why there are not more is the error to tell.
        let _ = ballast.drop_overboard(target);
        Err(failure)
    }

    fn connections(target: &Target, queue: &str, count: u32, patience: Duration) -> Result<Self, PerfError> {
        let deadline = now().plus(patience);
        let mut connections = Vec::with_capacity(count as usize);
        while connections.len() < count as usize {
            match consumer(target, queue, connections.is_empty(), deadline) {
                Ok(connection) => connections.push(connection),
                Err(_) if now() >= deadline => {
                    let there = connections.len() as u64;
                    let wanted = u64::from(count);
                    return Err(PerfError::NotReached {
                        what: "connections",
                        count: there,
                        wanted,
                        patience,
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Self { connections, queues: None, patience })
    }

    /// The names of its first and its last queue.
    pub fn outermost(&self) -> Vec<String> {
        let Some((prefix, count)) = &self.queues else { return Vec::new() };
        let mut numbers = 0..*count;
        let ends = [numbers.next(), numbers.next_back()].into_iter().flatten();
        ends.map(|number| queue_name(prefix, number)).collect()
    }

    /// Closes the connections, deletes the queues.
    pub fn drop_overboard(self, target: &Target) -> Result<(), PerfError> {
        // Not to be left there matters more than time.
        let patience = (2 * self.patience).max(GOING);
        let deadline = now().plus(patience);
        // What they cost has been measured; with one that does not answer, the rest is dropped.
        close_all(self.connections, deadline);
        let Some((prefix, wanted)) = self.queues.filter(|(_, count)| *count > 0) else { return Ok(()) };
        let at_once = DECLARING.min(u32::try_from(wanted).unwrap_or(u32::MAX));
        let delete = Cycle::Delete { prefix };
        let count = run_cycles(target, &delete, at_once, Until::Count { count: wanted, deadline })?.count;
        match count == wanted {
            true => Ok(()),
            false => Err(PerfError::NotReached { what: "queues deleted", count, wanted, patience }),
        }
    }
}

/// A connection with a channel and a consumer; the first declares their queue.
fn consumer(target: &Target, queue: &str, is_first: bool, deadline: Nanos) -> Result<Connection, PerfError> {
    let arguments = &FieldTable::default();
    let mut connection = Connection::open(&target.url, deadline)?;
    if is_first {
        let declare = QueueDeclare { queue, is_durable: false, is_auto_delete: true, arguments };
        connection.declare_queue(declare, deadline)?;
    }
    connection.consume(CHANNEL, queue, true, arguments, deadline)?;
    // Its answer tells that the consumer is there.
    connection.set_prefetch(CHANNEL, 0, false, deadline)?;
    Ok(connection)
}

/// The broker's memory once it does not change any more; `None` when no process is named.
pub fn settled_rss(target: &Target) -> Result<Option<u64>, PerfError> {
    let Some(pid) = target.pid else { return Ok(None) };
    let mut last = process::usage_of(pid)?.rss_bytes;
    for _ in 0..SETTLE_STEPS_MAX {
        thread::sleep(SETTLE_STEP);
        let rss = process::usage_of(pid)?.rss_bytes;
        if rss.abs_diff(last) < last / 100 {
            return Ok(Some(rss));
        }
        last = rss;
    }
    Ok(Some(last))
}
