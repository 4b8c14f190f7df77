//! What connections and queues cost that do nothing.

use std::thread;
use std::time::Duration;

use crate::cli::Target;
use crate::clock::now;
use crate::codec::method::QueueDeclare;
use crate::codec::table::FieldTable;
use crate::connection::{CHANNEL, Connection, close_all};
use crate::cycle::{Cycle, Until, run_cycles};
use crate::error::PerfError;
use crate::figure::{Value, less, memory, more};
use crate::process;

/// How many declare queues at the same time: a broker that syncs them to disk can take several with one sync.
const DECLARING: u32 = 16;
const EACH: Duration = Duration::from_millis(50);
/// Memory has settled when it changed by less than a hundredth in this time.
const SETTLE_STEP: Duration = Duration::from_millis(300);
const SETTLE_STEPS_MAX: u32 = 20;

/// What idles, how many, and for how long it is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    pub what: Idling,
    pub count: u32,
    pub hold: Duration,
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
    pub fn measure(&self, target: &Target) -> Result<Vec<Value>, PerfError> {
        let before = settled_rss(target)?;
        let begin = now();
        let ballast = Ballast::load(target, self.what, self.count)?;
        let seconds = now().since(begin).as_secs_f64();
        let watched = settled_rss(target).and_then(|rss| Ok((rss, self.watch_cpu(target)?)));
        // Whatever became of that, it does not stay.
        let dropped = ballast.drop_overboard(target);
        let (after, idle_cpu) = watched?;
        dropped?;
        let growth = before.zip(after).map(|(before, after)| after as f64 - before as f64);
        let mebibytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / 1_048_576.0);
        Ok(vec![
            memory(
                "bytes_each",
                "broker memory, bytes each",
                growth.map(|bytes| bytes / f64::from(self.count)),
            ),
            memory("rss_before_mib", "broker RSS MiB before", mebibytes(before)),
            memory("rss_after_mib", "broker RSS MiB with them", mebibytes(after)),
            more("per_second", "made per s", f64::from(self.count) / seconds.max(f64::MIN_POSITIVE)),
            less("idle_cpu_percent", "broker CPU while idle, % of a core", idle_cpu),
        ])
    }

    /// The broker's CPU time while it is held, in hundredths of a core.
    fn watch_cpu(&self, target: &Target) -> Result<Option<f64>, PerfError> {
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
    queues: Option<(String, u32)>,
}

impl Ballast {
    pub fn load(target: &Target, what: Idling, count: u32) -> Result<Self, PerfError> {
        let prefix = format!("liebre-perf-idle-{}", now().0);
        match what {
            Idling::Connections => Self::connections(target, &prefix, count),
            Idling::Queues { is_durable } => {
                let declare = Cycle::Declare { prefix: prefix.clone(), is_durable };
                let declared =
                    run_cycles(target, &declare, DECLARING.min(count), Until::Count(u64::from(count)));
                let ballast = Self { connections: Vec::new(), queues: Some((prefix, count)) };
                if let Err(error) = declared {
                    // As many as there are: why there are not more is the error to tell.
                    let _ = ballast.drop_overboard(target);
                    return Err(error);
                }
                Ok(ballast)
            }
        }
    }

    fn connections(target: &Target, queue: &str, count: u32) -> Result<Self, PerfError> {
        let deadline = now().plus(Duration::from_secs(4) + EACH * count);
        let arguments = &FieldTable::default();
        let mut connections = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let mut connection = Connection::open(&target.url, deadline)?;
            if connections.is_empty() {
                let declare = QueueDeclare { queue, is_durable: false, is_auto_delete: true, arguments };
                connection.declare_queue(declare, deadline)?;
            }
            connection.consume(CHANNEL, queue, true, arguments, deadline)?;
            // Its answer tells that the consumer is there.
            connection.set_prefetch(CHANNEL, 0, false, deadline)?;
            connections.push(connection);
        }
        Ok(Self { connections, queues: None })
    }

    /// Closes the connections, deletes the queues.
    pub fn drop_overboard(self, target: &Target) -> Result<(), PerfError> {
        let deadline = now()
            .plus(Duration::from_secs(4) + EACH * u32::try_from(self.connections.len()).unwrap_or(u32::MAX));
        // What they cost has been measured; with one that does not answer, the rest is dropped.
        close_all(self.connections, deadline);
        if let Some((prefix, count)) = self.queues {
            run_cycles(
                target,
                &Cycle::Delete { prefix },
                DECLARING.min(count),
                Until::Count(u64::from(count)),
            )?;
        }
        Ok(())
    }
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
