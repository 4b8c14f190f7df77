//! Liveness after a fault (I8), and what the process gives back (I9).

use std::time::Duration;

use super::violations::{Invariant, Violations};

/// File descriptors that may stay open: log files that were not there at the start.
const FDS_SPARE: u32 = 16;

/// Threads that may stay: the runtime's for blocking work.
const THREADS_SPARE: u32 = 8;

/// Memory that may stay taken, besides twice what there was, KiB: allocators keep some.
const RSS_SPARE_KIB: u64 = 256 << 10;

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub fds: u32,
    pub threads: u32,
    pub rss_kib: u64,
}

impl Usage {
    /// What `self`, after all clients have gone, has too much of, compared with `before`.
    pub fn excess(&self, before: &Usage) -> Option<String> {
        let over = |what: &str, now: u64, before: u64, most: u64| {
            (now > most).then(|| format!("{now} {what}, {before} before the clients came"))
        };
        over("file descriptors", self.fds.into(), before.fds.into(), (before.fds + FDS_SPARE).into())
            .or_else(|| {
                let most = before.threads + THREADS_SPARE;
                over("threads", self.threads.into(), before.threads.into(), most.into())
            })
            .or_else(|| over("KiB", self.rss_kib, before.rss_kib, 2 * before.rss_kib + RSS_SPARE_KIB))
    }
}

/// What has to happen next, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sign {
    Accepted,
    Confirmed,
    Delivered,
}

/// What has not happened yet since the last fault.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    over_at: Duration,
    waited_for: Vec<Sign>,
}

impl Liveness {
    pub(super) fn begin(&mut self, now: Duration) {
        self.over_at = now;
        self.waited_for = vec![Sign::Accepted, Sign::Confirmed, Sign::Delivered];
    }

    /// A new fault: nothing is waited for.
    pub(super) fn end(&mut self) {
        self.waited_for.clear();
    }

    pub(super) fn see(&mut self, sign: Sign, patience: Duration, violations: &mut Violations) {
        let Some(index) = self.waited_for.iter().position(|waited| *waited == sign) else { return };
        self.waited_for.remove(index);
        let took = violations.now.saturating_sub(self.over_at);
        if took > patience {
            let took = took.as_secs_f64();
            violations.add(Invariant::Liveness, format!("{sign:?} only {took:.3} s after the fault"));
        }
    }
}
