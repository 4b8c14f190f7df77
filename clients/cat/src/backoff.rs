//! The pauses between attempts to connect: twice as long each time, and never quite the same.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(3);

/// Exponential backoff with jitter.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The next pause: between half and all of the current step, as `chance` (0 to 1) says, so that the clients of a
    /// broker that comes back do not all knock at once.
    pub fn pause(&mut self, chance: f64) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(LONGEST);
        step.div_f64(2.0) + step.mul_f64(chance.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..8).map(|_| backoff.pause(1.0).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 3000, 3000, 3000, 3000]);
    }

    #[test]
    fn chance_takes_away_half_at_most() {
        assert_eq!(Backoff::default().pause(0.0), FIRST / 2);
        assert_eq!(Backoff::default().pause(0.5), FIRST * 3 / 4);
        assert_eq!(Backoff::default().pause(7.0), FIRST);
    }
}
