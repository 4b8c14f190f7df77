//! What outlives the broker inside the process: an operator may stop the broker, reset it, and start it again.

use std::{io, path::PathBuf, sync::Arc};

use tokio::{
    net::UnixListener,
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
};

use super::{Settings, StartError, control, journal::Journal, process::raise_open_files_max};
use crate::storage::DataDir;

/// The settings, the lock on the data directory, the signals, and what is the process's.
#[derive(Debug)]
pub struct Base {
    pub(super) settings: Settings,
    /// Locked as long as it is held.
    pub(super) data_dir: Arc<DataDir>,
    pub(super) signals: StopSignals,
    pub(super) process: Process,
}

/// What the process has before there is a broker in it, and after.
#[derive(Debug)]
pub struct Process {
    /// The log.
    pub journal: Arc<Journal>,
    /// The threads that answer HTTP requests.
    pub http: Handle,
    /// The files that the configuration was read from.
    pub config_files: Vec<PathBuf>,
}

impl Base {
    /// Makes the data directory this process's own.
    pub fn open(settings: Settings, process: Process) -> Result<Self, StartError> {
        // First of all: whoever sees that the broker is ready may stop it.
        let signals = StopSignals::listen().map_err(StartError::Spawn)?;
        raise_open_files_max();
        let data_dir = Arc::new(DataDir::open(&settings.data_dir).map_err(StartError::Store)?);
        Ok(Self { settings, data_dir, signals, process })
    }

    /// `rabbit@host`
    #[must_use]
    pub fn node_name(&self) -> &str {
        &self.settings.node_name
    }

    /// Everything durable. Nobody else uses it.
    #[must_use]
    pub fn data_dir(&self) -> Arc<DataDir> {
        Arc::clone(&self.data_dir)
    }

    /// The log of the process.
    #[must_use]
    pub fn journal(&self) -> Arc<Journal> {
        Arc::clone(&self.process.journal)
    }

    /// The control socket, while the broker itself does not serve it.
    pub fn bind_control(&self) -> Result<UnixListener, StartError> {
        bind_control(&self.data_dir)
    }

    /// Takes the control socket away.
    pub fn remove_control(&self) {
        control::remove(self.data_dir.path());
    }

    /// The name of the next signal that asks the process to end.
    pub async fn next_signal(&mut self) -> &'static str {
        self.signals.next().await
    }
}

pub(super) fn bind_control(data_dir: &DataDir) -> Result<UnixListener, StartError> {
    let refused = |(path, error): (PathBuf, io::Error)| StartError::Control { path, error };
    control::bind(data_dir.path()).map_err(refused)
}

/// The signals that end the broker in order.
#[derive(Debug)]
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From now on they are heard, and no longer end the process at once.
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one's name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
