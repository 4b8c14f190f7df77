//! The orderly end: Ctrl-C and SIGTERM ask for it, a second signal or a deadline enforces it.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

/// Whether somebody asked the program to end.
#[derive(Debug)]
pub struct Stop {
    asked: watch::Sender<bool>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { asked: watch::Sender::new(false) }
    }
}

impl Stop {
    /// Whether the program is to end.
    pub fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Asks the program to end.
    pub fn ask(&self) {
        self.asked.send_replace(true);
    }

    /// Waits until the program is to end.
    pub async fn asked(&self) {
        // An error would mean that the sender is gone, and it is in `self`.
        let _ = self.asked.subscribe().wait_for(|asked| *asked).await;
    }

    /// Runs `work`, which watches this value, until it ends by itself; None if it was cut off.
    ///
    /// It is cut off by a second signal, or `grace` after the first one.
    pub async fn run<T>(
        &self,
        signals: Signals,
        grace: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            biased;
            outcome = work => Some(outcome),
            () = self.enforce(signals, grace) => None,
        }
    }

    async fn enforce(&self, mut signals: Signals, grace: Duration) {
        signals.next().await;
        self.ask();
        tokio::select! {
            () = signals.next() => {}
            () = sleep(grace) => {}
        }
    }
}

/// The signals that ask for an end. From here on they do not end the process by themselves.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen for them.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
