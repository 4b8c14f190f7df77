//! A time of day that passes when a test says so.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::upkeep::Clock;
use crate::model::timestamp::Timestamp;

#[derive(Debug)]
pub(crate) struct TestClock(AtomicU64);

impl Default for TestClock {
    fn default() -> Self {
        Self(AtomicU64::new(1_000_000_000_000))
    }
}

impl TestClock {
    pub(crate) fn pass(&self, millis: u64) {
        self.0.fetch_add(millis, Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Relaxed))
    }
}
