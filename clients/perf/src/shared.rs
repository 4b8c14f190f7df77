//! What the threads of a run tell each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Nanos, now};
use crate::error::PerfError;
use crate::latency::{Histogram, Percentiles};

/// A counter on a cache line of its own, so that the threads do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Latencies of one kind, recorded by one thread and read by another.
#[derive(Debug, Default)]
pub struct Latency {
    /// Taken alone, and for a moment.
    histograms: Mutex<Histograms>,
}

#[derive(Debug, Default)]
struct Histograms {
    /// All of the measured time.
    total: Histogram,
    /// Since somebody looked last.
    interval: Histogram,
}

impl Latency {
    /// Takes over what was seen since the last time.
    pub fn record(&self, samples: &mut Vec<Duration>, is_measuring: bool) {
        if samples.is_empty() {
            return;
        }
        let mut histograms = self.histograms();
        for sample in samples.drain(..) {
            histograms.interval.record(sample);
            if is_measuring {
                histograms.total.record(sample);
            }
        }
    }

    pub fn total(&self) -> Option<Percentiles> {
        self.histograms().total.percentiles()
    }

    /// What was seen since the last call.
    pub fn take_interval(&self) -> Option<Percentiles> {
        let mut histograms = self.histograms();
        let percentiles = histograms.interval.percentiles();
        histograms.interval.clear();
        percentiles
    }

    fn histograms(&self) -> MutexGuard<'_, Histograms> {
        self.histograms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counters, and whether the run goes on.
#[derive(Debug, Default)]
pub struct Shared {
    /// Messages written to the publisher's socket.
    pub sent: Counter,
    /// Messages the consumer has got whole.
    pub received: Counter,
    /// Publishes the broker took (`basic.ack`).
    pub confirmed: Counter,
    /// Publishes the broker refused (`basic.nack`).
    pub nacked: Counter,
    /// Publishes that came back, as no queue was there for them (`basic.return`).
    pub returned: Counter,
    /// From the stamp in a body to its arrival.
    pub delivery_latency: Latency,
    /// From a publish to its confirm.
    pub confirm_latency: Latency,
    is_measuring: AtomicBool,
    is_stopping: AtomicBool,
    /// Guards nothing but itself; taken alone.
    outcome: Mutex<Outcome>,
    /// Signalled when `outcome` changes.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Outcome {
    finished_count: usize,
    failure: Option<PerfError>,
}

impl Shared {
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Relaxed)
    }

    pub fn is_measuring(&self) -> bool {
        self.is_measuring.load(Relaxed)
    }

    pub fn start_measuring(&self) {
        self.is_measuring.store(true, Relaxed);
    }

    pub fn stop(&self) {
        self.is_measuring.store(false, Relaxed);
        self.is_stopping.store(true, Relaxed);
    }

    /// One side has done all it was asked for.
    pub fn finish(&self) {
        self.outcome().finished_count += 1;
        self.changed.notify_all();
    }

    /// One side cannot go on. The first failure counts: later ones follow from it.
    pub fn fail(&self, error: PerfError) {
        if !self.is_stopping() {
            self.outcome().failure.get_or_insert(error);
        }
        self.stop();
        self.changed.notify_all();
    }

    /// Takes the failure that ended the run, if one did.
    pub fn take_failure(&self) -> Option<PerfError> {
        self.outcome().failure.take()
    }

    /// Waits until `deadline`, or until `sides` have finished or one has failed: then it says `true`.
    pub fn is_over_before(&self, deadline: Nanos, sides: usize) -> bool {
        let mut outcome = self.outcome();
        loop {
            if outcome.failure.is_some() || outcome.finished_count >= sides {
                return true;
            }
            let left = deadline.since(now());
            if left.is_zero() {
                return false;
            }
            outcome = self.changed.wait_timeout(outcome, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
