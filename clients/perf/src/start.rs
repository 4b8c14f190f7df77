//! How long a broker takes from its start to the first client.

use std::io;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::clock::{Nanos, now};
use crate::connection::Connection;
use crate::error::PerfError;
use crate::figure::{Value, less};
use crate::process;
use crate::url::BrokerUrl;

/// Between two attempts to connect.
const RETRY: Duration = Duration::from_micros(500);
/// Between the handshake and the look at the memory.
const SETTLE: Duration = Duration::from_millis(500);
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

impl Start {
    /// Starts it, waits until a client has its vhost open, and stops it again.
    pub fn measure(&self) -> Result<Vec<Value>, PerfError> {
        if Connection::open(&self.url, now().plus(RETRY * 100)).is_ok() {
            return Err(PerfError::PortTaken { address: format!("{}:{}", self.url.host, self.url.port) });
        }
        let begin = now();
        let mut child = self.spawn()?;
        let opened = self.await_handshake(&mut child, begin.plus(self.patience));
        let measured = opened.and_then(|(opened, connection)| {
            let cpu = process::usage_of(child.id())?.cpu;
            // Its answer changes nothing.
            let _ = connection.close(now().plus(self.patience));
            thread::sleep(SETTLE);
            let usage = process::usage_of(child.id())?;
            Ok(vec![
                less("start_ms", "start to first handshake ms", opened.since(begin).as_secs_f64() * 1e3),
                less("start_cpu_ms", "CPU ms until then", cpu.as_secs_f64() * 1e3),
                less("rss_mib", "RSS MiB afterwards", usage.rss_bytes as f64 / 1_048_576.0),
            ])
        });
        let stopping = now();
        let stopped = self.stop(&mut child);
        let mut values = measured?;
        stopped?;
        values.push(less("stop_ms", "stop ms", now().since(stopping).as_secs_f64() * 1e3));
        Ok(values)
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

    fn await_handshake(&self, child: &mut Child, deadline: Nanos) -> Result<(Nanos, Connection), PerfError> {
        loop {
            match Connection::open(&self.url, deadline) {
                Ok(connection) => return Ok((now(), connection)),
                Err(PerfError::Connect { .. }) if now() < deadline => {}
                Err(error) => return Err(error),
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(PerfError::Ended { status });
            }
            thread::sleep(RETRY);
        }
    }

    fn stop(&self, child: &mut Child) -> Result<(), PerfError> {
        let failed = |source| PerfError::Io { doing: "stopping the broker", source };
        if !self.kills
            && let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw)
        {
            // One that has ended already is waited for all the same.
            let _ = kill_process(pid, Signal::TERM);
            let deadline = now().plus(self.patience);
            while now() < deadline {
                if child.try_wait().map_err(failed)?.is_some() {
                    return Ok(());
                }
                thread::sleep(STOP_POLL);
            }
        }
        child.kill().and_then(|()| child.wait()).map(|_| ()).map_err(failed)
    }
}
