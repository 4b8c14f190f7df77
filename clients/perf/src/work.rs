//! The kinds of work that brokers can be measured and compared by.

use std::thread;
use std::time::Duration;

use crate::backlog::Backlog;
use crate::churn::Churn;
use crate::cli::Target;
use crate::error::PerfError;
use crate::figure::{Value, less, mebibytes, more};
use crate::gathering::{gathers_confirms, gathers_deliveries};
use crate::idle::Idle;
use crate::load::{Load, Patience, Topology};
use crate::process;
use crate::report::{describe, latency_note};
use crate::run::{Figures, Watcher, run};

/// How long to wait after each run for the broker to have done with it.
pub const TEARDOWN: Duration = Duration::from_secs(30);

/// A broker is calm when it uses less than a tenth of a core for this long.
const CALM_STEP: Duration = Duration::from_secs(1);
const CALM_STEPS_MAX: u32 = 30;

/// Something to measure.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    Load(Box<Load>),
    Churn(Churn),
    Idle(Idle),
    Backlog(Box<Backlog>),
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub values: Vec<Value>,
    /// Whether all that was asked for came about.
    pub is_complete: bool,
    /// Whether the broker has done with it.
    pub is_taken_down: bool,
}

impl Work {
    /// Measures once, and waits until the broker has done with it: a backlog that stays would be another load for the
    /// next round, and so would messages that the one broker still has to read while the other is measured.
    pub fn measure(&self, target: &Target) -> Result<Outcome, PerfError> {
        match self {
            Self::Load(load) => {
                let patience = Patience { teardown: TEARDOWN, ..load.patience };
                let topology = Topology { deletes: !load.topology.is_predeclared, ..load.topology.clone() };
                let load = Load { topology, patience, ..(**load).clone() };
                let figures = run(target, &load, &mut Watcher::nobody())?;
                let (is_complete, is_taken_down) = (figures.is_complete, figures.is_taken_down);
                if !is_taken_down {
                    await_calm(target)?;
                }
                Ok(Outcome { values: values(&load, &figures), is_complete, is_taken_down })
            }
            Self::Churn(churn) => churn.measure(target).map(Outcome::whole),
            Self::Idle(idle) => idle.measure(target).map(Outcome::whole),
            Self::Backlog(backlog) => backlog.measure(target),
        }
    }

    /// One line that says what it is.
    pub fn describe(&self) -> String {
        match self {
            Self::Load(load) => describe(load),
            Self::Churn(churn) => churn.describe(),
            Self::Idle(idle) => idle.describe(),
            Self::Backlog(backlog) => backlog.describe(),
        }
    }

    /// Which latencies are not measured, and why.
    pub fn latency_note(&self) -> Option<String> {
        match self {
            Self::Load(load) => latency_note(load),
            Self::Churn(_) | Self::Idle(_) | Self::Backlog(_) => None,
        }
    }

    /// Why two brokers cannot be compared by it.
    pub fn check_comparable(&self) -> Result<(), String> {
        match self {
            Self::Load(load) if load.publishing.is_none() => {
                Err("rounds that only consume would find an empty queue".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Outcome {
    /// Of work that either came about or failed.
    pub fn whole(values: Vec<Value>) -> Self {
        Self { values, is_complete: true, is_taken_down: true }
    }
}

/// Waits until the broker does next to nothing, though not for ever.
fn await_calm(target: &Target) -> Result<(), PerfError> {
    let Some(pid) = target.pid else {
        thread::sleep(CALM_STEP);
        return Ok(());
    };
    let mut cpu = process::usage_of(pid)?.cpu;
    for _ in 0..CALM_STEPS_MAX {
        thread::sleep(CALM_STEP);
        let usage = process::usage_of(pid)?.cpu;
        if usage.saturating_sub(cpu) < CALM_STEP / 10 {
            return Ok(());
        }
        cpu = usage;
    }
    Ok(())
}

/// The figures of a run that are worth comparing.
fn values(load: &Load, figures: &Figures) -> Vec<Value> {
    let mut values = Vec::new();
    let (latency, confirm_latency, broker) = (figures.latency, figures.confirm_latency, figures.broker);
    if load.publishing.is_some() {
        values.push(more("sent_per_second", "sent msg/s", figures.sent_per_second));
    }
    if load.consuming.is_some() {
        values.push(more("received_per_second", "received msg/s", figures.received_per_second));
    }
    if load.consuming.is_some() && !gathers_deliveries(load) {
        values.push(less("latency_p50_us", "latency p50 us", latency.map(|found| found.p50_us)));
        values.push(less("latency_p99_us", "latency p99 us", latency.map(|found| found.p99_us)));
        values.push(less("latency_p999_us", "latency p99.9 us", latency.map(|found| found.p999_us)));
    }
    let window = load.publishing.as_ref().and_then(|publishing| publishing.confirm_window);
    if window.is_some() && !gathers_confirms(load) {
        let found = confirm_latency;
        values.push(less("confirm_p50_us", "confirm latency p50 us", found.map(|found| found.p50_us)));
        values.push(less("confirm_p99_us", "confirm latency p99 us", found.map(|found| found.p99_us)));
        values.push(less("confirm_p999_us", "confirm latency p99.9 us", found.map(|found| found.p999_us)));
    }
    if window.is_some() {
        values.push(less("nacked", "messages refused", figures.nacked as f64));
    }
    let cpu = broker.and_then(|broker| broker.cpu_seconds_per_million);
    values.push(less("broker_cpu_us", "broker CPU us per message", cpu));
    let rss = broker.map(|broker| mebibytes(broker.rss_bytes_max));
    values.push(less("broker_rss_mib_max", "broker RSS MiB, at most", rss));
    values.push(less("own_cpu_us", "own CPU us per message", figures.own_cpu_seconds_per_million));
    values
}
