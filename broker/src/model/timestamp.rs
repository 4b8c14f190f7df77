//! Points in time that outlast the process.

/// The time of day in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// So many milliseconds later.
    #[must_use]
    pub fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// In whole seconds, as the wire has it.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1_000
    }
}
