//! Waiting for a state that no event announces: ask again and again, with a deadline.
//!
//! This file holds the only pauses of the tests. A test never waits for a fixed time; a campaign, whose load and faults
//! come at random times, does.

use std::time::{Duration, Instant};

use crate::PATIENCE;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until the answer is `Some`; `what` says in the panic what did not come.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    until_or(PATIENCE, &mut ask).unwrap_or_else(|| panic!("{what}: not within {PATIENCE:?}"))
}

/// Asks until the answer is `Some` or `patience` has passed.
pub fn until_or<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}

/// [`until`] for a question that is asked over a connection.
pub async fn until_async<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Lets time pass, where chance says how much of it.
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
