//! Time: nanoseconds of the system's monotonic clock.
//!
//! Not `Instant`: a stamp travels inside a message body, perhaps to another process of the same machine,
//! so that the number itself must mean the same to both.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A point of the monotonic clock, in nanoseconds since some moment that all processes of a machine share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The time that passed since `earlier`; nothing if `earlier` is later.
    pub fn since(self, earlier: Nanos) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This point moved later by `span`.
    pub fn plus(self, span: Duration) -> Nanos {
        Nanos(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Reads the monotonic clock.
pub fn now() -> Nanos {
    Nanos(nanoseconds(clock_gettime(ClockId::Monotonic)))
}

/// The CPU time that all threads of this process have used.
pub fn own_cpu() -> Duration {
    Duration::from_nanos(nanoseconds(clock_gettime(ClockId::ProcessCPUTime)))
}

fn nanoseconds(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
