//! When the next message is due.

use std::time::Duration;

use crate::clock::Nanos;
use crate::schedule::Schedule;

/// Lateness below this is the timer's, not the broker's.
const TIMER_LATENESS: Duration = Duration::from_millis(1);
/// A message that is never due, as the rate stays 0.
const NEVER: Nanos = Nanos(u64::MAX);

/// A rate of messages, steady or by a schedule.
#[derive(Debug, Clone)]
pub struct Pace {
    start: Nanos,
    /// Messages per second.
    rate: Schedule,
}

impl Pace {
    /// `rate` messages per second from `start` on; the first message is due at once.
    pub fn new(rate: Schedule, start: Nanos) -> Self {
        Self { start, rate }
    }

    /// How many messages should have been sent by `now`.
    pub fn due_count(&self, now: Nanos) -> u64 {
        if now < self.start {
            return 0;
        }
        self.rate.sum_until(now.since(self.start)) as u64 + 1
    }

    /// When the message with `index` (from 0) should be sent.
    pub fn due_at(&self, index: u64) -> Nanos {
        self.rate.time_of(index as f64).map_or(NEVER, |elapsed| self.start.plus(elapsed))
    }

    /// The time to stamp on message `index` when it is sent `now`: when a stall of the broker made it late,
    /// the time it was due, so that the wait counts as latency although the message had not been written.
    pub fn stamp(&self, index: u64, now: Nanos) -> Nanos {
        let due = self.due_at(index);
        if now.since(due) > TIMER_LATENESS { due } else { now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_due_one_by_one() {
        let pace = Pace::new(Schedule::constant(1_000.0), Nanos(500));
        assert_eq!(pace.due_count(Nanos(499)), 0);
        assert_eq!(pace.due_count(Nanos(500)), 1);
        assert_eq!(pace.due_count(Nanos(999_000)), 1);
        assert_eq!(pace.due_count(Nanos(1_000_501)), 2);
        assert_eq!(pace.due_at(3), Nanos(3_000_500));
    }

    #[test]
    fn only_real_lateness_is_stamped() {
        let pace = Pace::new(Schedule::constant(1_000.0), Nanos(0));
        assert_eq!(pace.stamp(2, Nanos(2_400_000)), Nanos(2_400_000));
        assert_eq!(pace.stamp(2, Nanos(9_000_000)), Nanos(2_000_000));
    }
}
