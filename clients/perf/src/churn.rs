//! Connections, channels and queues that come and go: how many a second, and at what cost.

use std::time::Duration;

use crate::cli::Target;
use crate::clock::now;
use crate::cycle::{Cycle, Until, run_cycles};
use crate::error::PerfError;
use crate::figure::{Value, less, more};
use crate::load::OWN_PREFIX;

const WARMUP: Duration = Duration::from_millis(300);

/// What comes and goes, and how many of them at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Churn {
    pub what: Churned,
    pub at_once: u32,
    pub duration: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Churned {
    Connections,
    Channels,
    Queues { is_durable: bool },
}

impl Churn {
    pub fn measure(&self, target: &Target) -> Result<Vec<Value>, PerfError> {
        let cycle = match self.what {
            Churned::Connections => Cycle::Connection,
            Churned::Channels => Cycle::Channel,
            Churned::Queues { is_durable } => {
                Cycle::Queue { prefix: format!("{OWN_PREFIX}-churn-{}", now().0), is_durable }
            }
        };
        let until = Until::Time { warmup: WARMUP, duration: self.duration };
        let cycled = run_cycles(target, &cycle, self.at_once, until)?;
        let each = |cpu: Duration| (cycled.count > 0).then(|| cpu.as_secs_f64() * 1e6 / cycled.count as f64);
        let latency = cycled.latency;
        Ok(vec![
            more("per_second", "opened and closed per s", cycled.count as f64 / cycled.seconds),
            less("latency_p50_us", "p50 us", latency.map(|found| found.p50_us)),
            less("latency_p99_us", "p99 us", latency.map(|found| found.p99_us)),
            less("latency_p999_us", "p99.9 us", latency.map(|found| found.p999_us)),
            less("broker_cpu_us", "broker CPU us each", cycled.broker_cpu.and_then(each)),
            less("own_cpu_us", "own CPU us each", each(cycled.own_cpu)),
        ])
    }

    pub fn describe(&self) -> String {
        let what = match self.what {
            Churned::Connections => "connections opened and closed",
            Churned::Channels => "channels opened and closed",
            Churned::Queues { is_durable: false } => "transient queues declared and deleted",
            Churned::Queues { is_durable: true } => "durable queues declared and deleted",
        };
        format!("{what}, {} at once", self.at_once)
    }
}
