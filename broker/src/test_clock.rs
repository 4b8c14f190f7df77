//! The one clock that tests of the pure layers read, to have an instant to count from.

use std::time::Instant;

/// Some instant.
#[expect(clippy::disallowed_methods, reason = "there is no other way to make an Instant")]
pub(crate) fn start_of_time() -> Instant {
    Instant::now()
}
