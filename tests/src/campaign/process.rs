//! The broker's program: started on a data directory, killed, and started again.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    history::Usage,
    trouble::{Doing, Trouble},
};
use crate::wait;

/// How long an orderly end may take.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// How the broker is started.
#[derive(Debug, Clone)]
pub struct Launch {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// Gets all that the broker says, over all its lives.
    pub log: PathBuf,
}

/// A started broker. Killed with the value, or at the latest with this process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    guard: Child,
    lines: Receiver<String>,
}

/// Where a broker that is ready listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    pub amqp: SocketAddr,
    pub http: SocketAddr,
}

impl Launch {
    /// Starts the broker; it is not ready yet.
    pub fn start(&self, data_dir: &Path) -> Result<Process, Trouble> {
        let mut child = Command::new(&self.program)
            .args(["--amqp-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .args(&self.arguments)
            .env("NO_COLOR", "1")
            // No file that this machine may have.
            .env("LIEBRE_CONFIG_FILE", "")
            .env("LIEBRE_PROMETHEUS_LISTEN", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .doing(format_args!("starting {}", self.program.display()))?;
        let log = OpenOptions::new().create(true).append(true).open(&self.log).doing("the broker's log")?;
        let lines = follow(&mut child, log)?;
        let guard = guard(child.id())?;
        Ok(Process { child, guard, lines })
    }
}

impl Process {
    /// Waits until the broker says that it is ready. None if it ends or does not in time.
    pub fn wait_ready(&self, patience: Duration) -> Option<Addresses> {
        let deadline = Instant::now() + patience;
        let (mut amqp, mut http) = (None, None);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).ok()?;
            if let Some((_, listener)) = line.split_once("started TCP listener on ") {
                let mut words = listener.split_whitespace();
                let address = words.next().and_then(|address| address.parse().ok());
                match words.next() {
                    Some("(amqp)") => amqp = address,
                    Some("(http)") => http = address,
                    _ => {}
                }
            }
            if line.contains("Server startup complete") {
                return Some(Addresses { amqp: amqp?, http: http? });
            }
        }
    }

    /// SIGKILL; the process is gone, and with it every call it had made, when this returns.
    pub fn kill_now(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::KILL).ok();
        // Not reaped here: that is [`Process::kill`]'s.
        rustix::process::waitid(
            rustix::process::WaitId::Pid(pid),
            rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT,
        )
        .ok();
    }

    /// SIGKILL; returns when the process is gone, and with it every call it had made.
    pub fn kill(mut self) {
        self.end();
    }

    /// SIGTERM; how it ended, None if not in time.
    pub fn stop(mut self) -> Option<ExitStatus> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        let status = wait::until_or(STOP_PATIENCE, || self.child.try_wait().ok().flatten());
        self.end();
        status
    }

    /// Whether it runs still.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What the process uses now.
    pub fn usage(&self) -> Option<Usage> {
        let proc = PathBuf::from("/proc").join(self.child.id().to_string());
        let count = |dir: &str| {
            let entries = std::fs::read_dir(proc.join(dir)).ok()?.count();
            u32::try_from(entries).ok()
        };
        let status = std::fs::read_to_string(proc.join("status")).ok()?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let rss_kib = rss.split_whitespace().next()?.parse().ok()?;
        Some(Usage { fds: count("fd")?, threads: count("task")?, rss_kib })
    }

    fn end(&mut self) {
        // The guard first: once the broker is reaped, its number may be somebody else's.
        for child in [&mut self.guard, &mut self.child] {
            // An error means that it has ended already.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Passes the broker's log on: into the file, and line by line into the channel.
fn follow(child: &mut Child, mut log: File) -> Result<Receiver<String>, Trouble> {
    let stderr = child.stderr.take().ok_or_else(|| Trouble::new("the broker has no stderr"))?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            writeln!(log, "{line}").ok();
            // Nobody listens any more once the broker is gone.
            sender.send(line).ok();
        }
    });
    Ok(receiver)
}

/// A shell that kills the broker when this process ends, however it ends: its standard input closes then.
fn guard(pid: u32) -> Result<Child, Trouble> {
    Command::new("sh")
        .args(["-c", "read _; kill -9 \"$1\"", "guard", &pid.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .doing("starting a shell")
}
