//! The broker under test: the real program, in a process and a data directory of its own.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, ToSocketAddrs},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, OnceLock,
        mpsc::{self, Receiver, Sender},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{PATIENCE, binaries::binary, wait};

/// How long the broker may take to end after SIGTERM.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A running broker. Ends with the value, or at the latest with the test process.
#[derive(Debug)]
pub struct Broker {
    /// Where it speaks AMQP.
    pub amqp: SocketAddr,
    /// Where it speaks HTTP; an external broker may not say.
    pub http: Option<SocketAddr>,
    /// The vhost that tests use.
    pub vhost: String,
    /// None for a broker that somebody else runs.
    process: Option<Process>,
    data_dir: Option<TempDir>,
    /// On its command line, besides addresses and directory.
    options: Vec<String>,
}

impl Broker {
    /// The broker that all tests of a test binary share; names come from [`crate::unique`].
    pub fn shared() -> &'static Broker {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(|| Broker::external().unwrap_or_else(Broker::start))
    }

    /// A broker that the test may stop and kill. None, with a note, if the tests run against an external one.
    pub fn own() -> Option<Broker> {
        Self::own_with(&[])
    }

    /// The same with options of its own on its command line, whenever it is started.
    pub fn own_with(options: &[&str]) -> Option<Broker> {
        if external_address().is_some() {
            eprintln!(
                "skipped: needs a broker that may be stopped, and LIEBRE_TEST_AMQP names an external one"
            );
            return None;
        }
        Some(Broker::start_with(options))
    }

    /// The URL of the broker's vhost for user guest.
    pub fn url(&self) -> String {
        let vhost = self.vhost.replace('/', "%2f");
        format!("amqp://guest:guest@{}/{vhost}", self.amqp)
    }

    /// Whether the broker is one that somebody else runs, for instance RabbitMQ.
    pub fn is_external(&self) -> bool {
        self.process.is_none()
    }

    /// Ends the broker in order and starts it again on the same data directory. The ports change.
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Ends the broker in order: SIGTERM, and SIGKILL if it does not end by itself.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop();
        }
    }

    /// Waits until the broker, told to stop by other means, has ended; its exit code, if no signal ended it.
    pub fn wait_end(&mut self) -> Option<i32> {
        let process = self.process.take().expect("the broker was started and not stopped");
        process.wait_end().code()
    }

    /// Ends the broker as a power cut would end it, as far as a process can tell.
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts a stopped or killed broker on its old data directory. The ports change.
    pub fn start_again(&mut self) {
        let data_dir = self.data_dir.as_ref().expect("an external broker is never stopped");
        let process = Process::spawn(data_dir.path(), &self.options);
        self.amqp = process.amqp;
        self.http = Some(process.http);
        self.process = Some(process);
    }

    /// Starts a broker that is to refuse this data directory; gives what it says.
    pub fn refused(data_dir: &Path) -> String {
        let mut child = Process::command(data_dir, &[]).spawn().expect("the broker starts");
        let ended = wait::until_or(PATIENCE, || child.try_wait().expect("the broker is our child"));
        kill_and_reap(&mut child);
        let mut said = String::new();
        let stderr = child.stderr.as_mut().expect("stderr is piped");
        stderr.read_to_string(&mut said).expect("the log is text");
        assert_eq!(ended.and_then(|status| status.code()), Some(1), "{said}");
        said
    }

    /// Where the broker keeps its files. None for an external one.
    pub fn data_dir(&self) -> Option<&Path> {
        self.data_dir.as_ref().map(TempDir::path)
    }

    /// What the broker has logged since it was last started.
    pub fn log(&self) -> String {
        self.process.as_ref().map_or_else(String::new, |process| process.log.lock().unwrap().join("\n"))
    }

    fn start() -> Broker {
        Self::start_with(&[])
    }

    fn start_with(options: &[&str]) -> Broker {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let data_dir = tempfile::Builder::new().prefix("liebre-test-").tempdir().expect("a data directory");
        let process = Process::spawn(data_dir.path(), &options);
        Broker {
            amqp: process.amqp,
            http: Some(process.http),
            vhost: "/".to_owned(),
            process: Some(process),
            data_dir: Some(data_dir),
            options,
        }
    }

    fn external() -> Option<Broker> {
        let address = external_address()?;
        let (amqp, vhost) = address.split_once('/').unwrap_or((&address, "/"));
        Some(Broker {
            amqp: resolve(amqp),
            http: env::var("LIEBRE_TEST_HTTP").ok().map(|http| resolve(&http)),
            vhost: vhost.to_owned(),
            process: None,
            data_dir: None,
            options: Vec::new(),
        })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One run of the broker's program.
#[derive(Debug)]
struct Process {
    child: Child,
    guard: Child,
    amqp: SocketAddr,
    http: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    fn command(data_dir: &Path, options: &[String]) -> Command {
        let mut command = Command::new(binary("liebre", "liebre"));
        command
            .args(["--amqp-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .args(options)
            .env("NO_COLOR", "1")
            // No file that this machine may have.
            .env("LIEBRE_CONFIG_FILE", "")
            // Many brokers run side by side.
            .env("LIEBRE_PROMETHEUS_LISTEN", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Returns when the broker has said that it is ready.
    fn spawn(data_dir: &Path, options: &[String]) -> Process {
        let mut child = Process::command(data_dir, options).spawn().expect("the broker starts");
        let guard = guard(child.id(), data_dir);
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = follow(&mut child, log.clone());
        let (amqp, http) = ports(&lines).unwrap_or_else(|| {
            let log = log.lock().unwrap().join("\n");
            kill_and_reap(&mut child);
            panic!("the broker did not say that it is ready within {PATIENCE:?}; its log:\n{log}")
        });
        Process { child, guard, amqp, http, log }
    }

    fn stop(mut self) {
        let pid = Pid::from_child(&self.child);
        // An error means that it has ended already.
        kill_process(pid, Signal::TERM).ok();
        wait::until_or(STOP_PATIENCE, || self.child.try_wait().expect("the broker is our child"));
        self.kill();
    }

    fn wait_end(mut self) -> ExitStatus {
        // The guard first, as in `kill`; whatever happens next, the child is ended.
        kill_and_reap(&mut self.guard);
        let ended = wait::until_or(PATIENCE, || self.child.try_wait().expect("the broker is our child"));
        ended.unwrap_or_else(|| {
            kill_and_reap(&mut self.child);
            panic!("the broker has not ended within {PATIENCE:?}")
        })
    }

    fn kill(mut self) {
        // The guard first: once the broker is reaped, its number may be somebody else's.
        kill_and_reap(&mut self.guard);
        kill_and_reap(&mut self.child);
    }
}

/// Reads the broker's log: into `log` for good, and line by line into the channel until it is ready.
fn follow(child: &mut Child, log: Arc<Mutex<Vec<String>>>) -> Receiver<String> {
    let stderr = child.stderr.take().expect("stderr is piped");
    let (sender, receiver): (Sender<String>, _) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            log.lock().unwrap().push(line.clone());
            // Nobody listens any more once the broker is ready.
            sender.send(line).ok();
        }
    });
    receiver
}

fn ports(lines: &Receiver<String>) -> Option<(SocketAddr, SocketAddr)> {
    let (mut amqp, mut http) = (None, None);
    while let Ok(line) = lines.recv_timeout(PATIENCE) {
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
            return amqp.zip(http);
        }
    }
    None
}

/// A shell that ends the broker and removes its files when this process ends, however it ends: its standard input
/// closes then. (A broker in a static is never dropped.)
fn guard(pid: u32, data_dir: &Path) -> Child {
    Command::new("sh")
        .args(["-c", "read _; kill -9 \"$1\"; rm -rf \"$2\"", "guard", &pid.to_string()])
        .arg(data_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell starts")
}

fn kill_and_reap(child: &mut Child) {
    // An error means that it has ended already.
    child.kill().ok();
    child.wait().expect("a child can be waited for");
}

fn external_address() -> Option<String> {
    env::var("LIEBRE_TEST_AMQP").ok().filter(|address| !address.is_empty())
}

fn resolve(address: &str) -> SocketAddr {
    let mut found = address.to_socket_addrs().unwrap_or_else(|error| panic!("address {address}: {error}"));
    found.next().unwrap_or_else(|| panic!("address {address}: unknown"))
}
