//! A backlog: how fast it is built and drained, and what it weighs.

use std::time::Duration;

use crate::cli::Target;
use crate::error::PerfError;
use crate::figure::{Value, less, mebibytes, memory, more};
use crate::idle::settled_rss;
use crate::load::{Extent, Load, Topology};
use crate::report::describe;
use crate::run::{Figures, Watcher, run};
use crate::topology::amid_topology;
use crate::work::{Outcome, TEARDOWN};

/// A load whose consumers begin when its publishers are done.
#[derive(Debug, Clone, PartialEq)]
pub struct Backlog {
    load: Load,
    messages: u64,
}

impl Backlog {
    /// `None` when the load lacks one of its sides, or a number of messages.
    pub fn of(load: Load) -> Option<Self> {
        let messages = load.publishing.as_ref()?.messages?;
        load.consuming.as_ref()?;
        Some(Self { load, messages })
    }

    pub fn measure(&self, target: &Target) -> Result<Outcome, PerfError> {
        let mut load = self.load.with_unique_names();
        load.topology.deletes = !load.topology.is_predeclared;
        load.patience.teardown = TEARDOWN;
        let work = |_| self.build_and_drain(target, &load);
        let (outcome, is_deleted) = amid_topology(target, &load, work)?;
        Ok(Outcome { is_taken_down: outcome.is_taken_down && is_deleted, ..outcome })
    }

    /// In queues that are there, and stay.
    fn build_and_drain(&self, target: &Target, load: &Load) -> Result<Outcome, PerfError> {
        let extent = Extent { warmup: Duration::ZERO, ..load.extent };
        let topology = || Topology {
            is_predeclared: true,
            has_unique_names: false,
            deletes: false,
            ..load.topology.clone()
        };
        let rss_before = settled_rss(target)?;
        let build = Load { topology: topology(), consuming: None, extent, ..load.clone() };
        let built = run(target, &build, &mut Watcher::nobody())?;
        if !built.is_complete {
            let window = load.publishing.as_ref().and_then(|publishing| publishing.confirm_window);
            let count = if window.is_some() { built.confirmed } else { built.sent };
            let patience = Duration::from_secs_f64(built.seconds);
            return Err(PerfError::NotReached { what: "messages", count, wanted: self.messages, patience });
        }
        let rss_full = settled_rss(target)?;
        let drain = Load { topology: topology(), publishing: None, extent, ..load.clone() };
        let drained = run(target, &drain, &mut Watcher::nobody())?;
        let values = self.values(&built, &drained, rss_before, rss_full);
        let is_complete = built.is_complete && drained.is_complete;
        Ok(Outcome { values, is_complete, is_taken_down: built.is_taken_down && drained.is_taken_down })
    }

    pub fn describe(&self) -> String {
        format!("backlog of {} messages: {}", self.messages, describe(&self.load))
    }

    fn values(
        &self,
        built: &Figures,
        drained: &Figures,
        rss_before: Option<u64>,
        rss_full: Option<u64>,
    ) -> Vec<Value> {
        let cpu = |figures: &Figures| figures.broker.and_then(|broker| broker.cpu_seconds_per_million);
        let growth = rss_full.zip(rss_before).map(|(full, before)| full as f64 - before as f64);
        vec![
            more("built_per_second", "built msg/s", built.sent_per_second),
            more("drained_per_second", "drained msg/s", drained.received_per_second),
            less("drain_seconds", "drained in s", drained.seconds),
            less("build_cpu_us", "broker CPU us per message built", cpu(built)),
            less("drain_cpu_us", "broker CPU us per message drained", cpu(drained)),
            memory("rss_full_mib", "broker RSS MiB when full", rss_full.map(mebibytes)),
            memory(
                "bytes_each",
                "broker memory, bytes per message",
                growth.map(|bytes| bytes / self.messages as f64),
            ),
        ]
    }
}
