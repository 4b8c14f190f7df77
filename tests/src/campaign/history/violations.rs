//! Broken promises, by name.

use std::{fmt, time::Duration};

/// Violations kept word for word; the rest is only counted.
const KEPT_MAX: usize = 40;

/// The promises; the table in the parent module says what each means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    NoLoss,
    NoInvention,
    NoResurrection,
    HonestRedelivered,
    Order,
    OneVerdict,
    Definitions,
    Liveness,
    Resources,
    Transactions,
}

/// One broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Since the campaign began.
    pub at: Duration,
    pub invariant: Invariant,
    pub text: String,
}

/// All of them, the first ones in full.
#[derive(Debug, Default)]
pub(super) struct Violations {
    pub(super) now: Duration,
    pub(super) count: u64,
    pub(super) kept: Vec<Violation>,
}

impl Violations {
    pub(super) fn add(&mut self, invariant: Invariant, text: String) {
        self.count += 1;
        if self.kept.len() < KEPT_MAX {
            self.kept.push(Violation { at: self.now, invariant, text });
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLoss => "I1 no loss",
            Self::NoInvention => "I2 no invention",
            Self::NoResurrection => "I3 no resurrection",
            Self::HonestRedelivered => "I4 honest redelivered",
            Self::Order => "I5 order",
            Self::OneVerdict => "I6 one verdict",
            Self::Definitions => "I7 definitions",
            Self::Liveness => "I8 liveness",
            Self::Resources => "I9 resources",
            Self::Transactions => "I10 transactions",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:.3} s] {}: {}", self.at.as_secs_f64(), self.invariant, self.text)
    }
}
