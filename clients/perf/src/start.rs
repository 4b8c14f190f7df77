//! How long a broker takes from its start to the first client.

use std::io;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::Target;
use crate::clock::{Nanos, now};
use crate::connection::Connection;
use crate::error::PerfError;
use crate::figure::{Value, less, mebibytes};
use crate::idle::settled_rss;
use crate::process;
use crate::url::BrokerUrl;

/// Between two attempts to connect.
const RETRY: Duration = Duration::from_micros(500);
const STOP_POLL: Duration = Duration::from_millis(5);

/// A broker that is started and stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The program and its arguments.
    pub command: Vec<String>,
    pub url: BrokerUrl,
    /// Whether it is stopped with SIGKILL, so that it has to recover.
    pub kills: bool,
    /// For its start, and for its stop.
    pub patience: Duration,
}

/// A broker that was started, and is stopped at the latest when this is dropped.
#[derive(Debug)]
pub struct Started {
    child: Child,
    /// Just before its exec.
    began: Nanos,
    kills: bool,
    patience: Duration,
}

impl Start {
    /// Starts it, waits until a client has its vhost open, lets that client `look` at what there is, and stops it again.
    pub fn measure(
        &self,
        look: impl FnOnce(&mut Connection, Nanos) -> Result<(), PerfError>,
    ) -> Result<Vec<Value>, PerfError> {
        let (started, mut connection) = self.launch()?;
        let starting = now().since(started.began);
        let target = Target { url: self.url.clone(), pid: Some(started.pid()) };
        let cpu = process::usage_of(started.pid())?.cpu;
        look(&mut connection, now().plus(self.patience))?;
        // Its answer changes nothing.
        let _ = connection.close(now().plus(self.patience));
        let rss = settled_rss(&target)?;
        let stopping = now();
        started.stop()?;
        Ok(vec![
            less("start_ms", "start to first handshake ms", starting.as_secs_f64() * 1e3),
            less("start_cpu_ms", "CPU ms until then", cpu.as_secs_f64() * 1e3),
            less("rss_mib", "RSS MiB afterwards", rss.map(mebibytes)),
            less("stop_ms", "stop ms", now().since(stopping).as_secs_f64() * 1e3),
        ])
    }

    /// Starts it, and connects as soon as it answers.
    pub fn launch(&self) -> Result<(Started, Connection), PerfError> {
        if Connection::open(&self.url, now().plus(RETRY * 100)).is_ok() {
            return Err(PerfError::PortTaken { address: format!("{}:{}", self.url.host, self.url.port) });
        }
        let began = now();
        let child = self.spawn()?;
        let mut started = Started { child, began, kills: self.kills, patience: self.patience };
        let connection = self.await_handshake(&mut started.child, began.plus(self.patience))?;
        Ok((started, connection))
    }

    /// One line that says what is started.
    pub fn describe(&self) -> String {
        format!("{} at {}", self.command.join(" "), self.url)
    }

    fn spawn(&self) -> Result<Child, PerfError> {
        let [program, arguments @ ..] = &self.command[..] else {
            return Err(PerfError::Command {
                command: String::new(),
                source: io::ErrorKind::InvalidInput.into(),
            });
        };
        let spawned = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        spawned.map_err(|source| PerfError::Command { command: program.clone(), source })
    }

    fn await_handshake(&self, child: &mut Child, deadline: Nanos) -> Result<Connection, PerfError> {
        loop {
            match Connection::open(&self.url, deadline) {
                Ok(connection) => return Ok(connection),
                Err(PerfError::Connect { .. }) if now() < deadline => {}
                Err(error) => return Err(error),
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(PerfError::Ended { status });
            }
            thread::sleep(RETRY);
        }
    }
}

impl Started {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended. One that does not end when it is asked to is killed, and that is an error.
    pub fn stop(mut self) -> Result<(), PerfError> {
        let failed = |source| PerfError::Io { doing: "stopping the broker", source };
        if self.kills {
            return self.kill().map_err(failed);
        }
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            // One that has ended already is waited for all the same.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = now().plus(self.patience);
        while now() < deadline {
            if self.child.try_wait().map_err(failed)?.is_some() {
                return Ok(());
            }
            thread::sleep(STOP_POLL);
        }
        self.kill().map_err(failed)?;
        Err(PerfError::Stays { patience: self.patience })
    }

    fn kill(&mut self) -> io::Result<()> {
        self.child.kill().and_then(|()| self.child.wait()).map(|_| ())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Of one that has ended and was waited for, this is nothing; with one that cannot be ended, nothing can be done.
        let _ = self.kill();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_broker_that_does_not_stop_is_killed_and_told_of() {
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; echo deaf; exec sleep 600"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id();
        // From then on it does not hear.
        child.stdout.take().unwrap().read_exact(&mut [0; 5]).unwrap();
        let started = Started { child, began: now(), kills: false, patience: Duration::from_millis(100) };
        let error = started.stop().unwrap_err();
        assert_eq!(error.to_string(), "the broker had not stopped 0.1 s after SIGTERM, and was killed");
        assert!(process::usage_of(pid).is_err());
    }
}
