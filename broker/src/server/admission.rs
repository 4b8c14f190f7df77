//! Whether AMQP clients are let in: an operator may close the listener for a while, and drain the node.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

/// How long the listener may take to open or close.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an operator wants of the listener, and what became of it.
#[derive(Debug)]
pub struct Admission {
    wanted: watch::Sender<Door>,
    found: watch::Sender<Found>,
    is_draining: AtomicBool,
}

/// The state of the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Clients can connect.
    Open,
    /// Nobody listens.
    Closed,
}

/// How the listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    door: Door,
    /// Why it could not be opened.
    refusal: Option<String>,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            wanted: watch::Sender::new(Door::Open),
            found: watch::Sender::new(Found { door: Door::Open, refusal: None }),
            is_draining: AtomicBool::new(false),
        }
    }
}

impl Admission {
    /// Opens or closes the listener, and waits until it is so. An error says why it can't be opened.
    pub async fn set(&self, door: Door) -> Result<(), String> {
        self.found.send_modify(|found| found.refusal = None);
        self.wanted.send_replace(door);
        let mut found = self.found.subscribe();
        let settled = found.wait_for(|found| found.door == door || found.refusal.is_some());
        match timeout(PATIENCE, settled).await {
            Ok(Ok(found)) => found.refusal.clone().map_or(Ok(()), Err),
            _ => Err("the listener does not answer".to_owned()),
        }
    }

    /// An operator is about to stop the node.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Relaxed)
    }

    /// Whether the node is shown as one that is about to stop.
    pub fn set_draining(&self, is_draining: bool) {
        self.is_draining.store(is_draining, Relaxed);
    }

    /// What is wanted, for the listener.
    pub(super) fn wanted(&self) -> watch::Receiver<Door> {
        self.wanted.subscribe()
    }

    /// The listener is so now.
    pub(super) fn report(&self, door: Door) {
        self.found.send_replace(Found { door, refusal: None });
    }

    /// The listener can't be opened.
    pub(super) fn refuse(&self, reason: String) {
        self.found.send_replace(Found { door: Door::Closed, refusal: Some(reason) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_learns_what_became_of_it() {
        let admission = Admission::default();
        let mut wanted = admission.wanted();
        let listener = async {
            wanted.changed().await.unwrap();
            admission.report(Door::Closed);
            wanted.changed().await.unwrap();
            admission.refuse("in use".to_owned());
        };
        let operator = async {
            let closed = admission.set(Door::Closed).await;
            (closed, admission.set(Door::Open).await)
        };
        let ((closed, opened), ()) = tokio::join!(operator, listener);
        assert_eq!((closed, opened), (Ok(()), Err("in use".to_owned())));
    }
}
