//! When it was looked what happened: rates are about the time between two looks, which is never quite a second.

use crate::model::timestamp::Timestamp;

/// A look at everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// When the one before was.
    pub previous: Timestamp,
    /// When it is.
    pub now: Timestamp,
}

/// When the last looks were, as far as rates need to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookTimes {
    newest: Timestamp,
    /// The first ones at or after the latest multiples of [`INTERVAL`]: what rows hold was seen then. Newest first.
    firsts: [Timestamp; 3],
}

/// Between two rows of the finest level of every history, seconds.
pub(super) const INTERVAL: u64 = 5;

impl LookTimes {
    /// The last look is now; of those before nothing is known.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { newest: now, ..Self::default() }
    }

    /// A look.
    pub fn note(&mut self, look: Look) {
        let interval = |time: Timestamp| time.seconds() / INTERVAL;
        self.newest = look.now;
        if interval(look.now) > interval(look.previous) {
            let [newest, older, _] = self.firsts;
            self.firsts = [look.now, newest, older];
        }
    }

    /// The last one.
    #[must_use]
    pub fn newest(&self) -> Timestamp {
        self.newest
    }

    /// The first one at or after a time, seconds since 1970; if that is not known, the time itself.
    pub(super) fn first_at(&self, seconds: u64) -> Timestamp {
        let is_it = |look: &&Timestamp| look.seconds() / INTERVAL == seconds / INTERVAL;
        self.firsts.iter().find(is_it).copied().unwrap_or(Timestamp(seconds * 1_000))
    }
}
