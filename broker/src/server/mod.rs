//! The shell: sockets, tasks, threads, the clock. The only place that spawns or waits.

pub mod admission;
mod base;
mod bell;
mod boot;
mod control;
pub mod definition_files;
pub mod direct;
pub mod http;
pub mod journal;
pub mod large_answers;
mod listener;
mod patience;
pub mod process;
pub mod rehearsal;
pub mod resources;
mod sampler;
mod socket;
mod timers;
pub mod watermark;

use std::{
    error, fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
    task::JoinSet,
};

use admission::Admission;
pub use base::{Base, Process};
pub use boot::Loaded;
use boot::Writers;
use definition_files::DefinitionFiles;
use journal::Journal;
use resources::{Limits, Resources};

use crate::{
    connection::registry::Node,
    limits::NodeLimits,
    storage::{LogError, StoreError, log::Log},
};

/// What the operator chose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where AMQP clients connect.
    pub amqp_listen: Vec<SocketAddr>,
    /// Where the management API answers.
    pub http_listen: SocketAddr,
    /// Where Prometheus reads, without a login.
    pub prometheus_listen: PrometheusListen,
    /// Where everything durable is.
    pub data_dir: PathBuf,
    /// Messages are confirmed before they are on stable storage.
    pub unsafe_no_fsync: bool,
    /// Connections that the kernel may hold until they are accepted.
    pub backlog: i32,
    /// When alarms block publishers.
    pub limits: Limits,
    /// What the node may have.
    pub node_limits: NodeLimits,
    /// `rabbit@host`.
    pub node_name: String,
    /// What the cluster calls itself unless somebody says otherwise; none: as the node.
    pub cluster_name: Option<String>,
    /// Who may log in at the first start.
    pub default_user: DefaultUser,
    /// Who may log in through localhost only.
    pub loopback_users: Vec<String>,
    /// What is imported at each start.
    pub definitions: DefinitionFiles,
    /// All of this by its keys, for operators.
    pub effective: Vec<EffectiveSetting>,
}

/// A key of the configuration, its value, and where that comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// Its name in `rabbitmq.conf`.
    pub key: String,
    /// As it was written; secrets are hidden.
    pub value: String,
    /// In words.
    pub source: String,
}

/// Shown instead of a secret.
pub const HIDDEN: &str = "********";

/// Where Prometheus reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrometheusListen {
    /// The usual port, if nobody else has it.
    IfFree(SocketAddr),
    /// The operator wants it there.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

/// The user and vhost that a fresh data directory gets.
#[derive(Clone)]
pub struct DefaultUser {
    /// The login.
    pub name: String,
    /// Its password.
    pub password: String,
    /// The vhost it has permissions in.
    pub vhost: String,
    /// What it is.
    pub tags: Vec<String>,
    /// The names it may declare.
    pub configure: String,
    /// The names it may publish to.
    pub write: String,
    /// The names it may consume from.
    pub read: String,
}

/// As RabbitMQ's: <https://www.rabbitmq.com/docs/access-control#default-state>.
impl fmt::Debug for DefaultUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the password.
        f.debug_struct("DefaultUser")
            .field("name", &self.name)
            .field("vhost", &self.vhost)
            .finish_non_exhaustive()
    }
}

impl Default for DefaultUser {
    fn default() -> Self {
        let everything = || ".*".to_owned();
        Self {
            name: "guest".to_owned(),
            password: "guest".to_owned(),
            vhost: "/".to_owned(),
            tags: vec!["administrator".to_owned()],
            configure: everything(),
            write: everything(),
            read: everything(),
        }
    }
}

/// Why the broker does not start. Displayed with what to do about it.
#[derive(Debug)]
pub enum StartError {
    /// The data directory or what is in it.
    Store(StoreError),
    /// The message log.
    Log(LogError),
    /// A port.
    Listen {
        /// Which option names it.
        option: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's word.
        error: io::Error,
    },
    /// The control socket.
    Control {
        /// Its path.
        path: PathBuf,
        /// The system's word.
        error: io::Error,
    },
    /// A name from the environment that can't be a name, or a password that is none.
    DefaultUser(String),
    /// A file of definitions; holds which, and what is wrong.
    Definitions(String),
    /// A thread, or listening for signals.
    Spawn(io::Error),
}

/// What names the ports of AMQP.
const AMQP_OPTION: &str = "--amqp-listen";
/// What names the port of the management API.
const HTTP_OPTION: &str = "--http-listen";
/// What names the port for Prometheus.
const PROMETHEUS_OPTION: &str = "--prometheus-listen";
/// Requests to the management API may take so long to end.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(2);

/// A broker that runs.
#[derive(Debug)]
pub struct Server {
    /// The broker and its connections.
    pub node: Arc<Node>,
    /// Where AMQP clients connect: the ports are the real ones.
    pub amqp_addresses: Vec<SocketAddr>,
    /// The configuration by its keys.
    pub effective: Vec<EffectiveSetting>,
    /// When it was started.
    pub started_at: SystemTime,
    /// Messages are confirmed before they are on stable storage.
    pub unsafe_no_fsync: bool,
    /// Memory and disk.
    pub resources: Arc<Resources>,
    /// Whether AMQP clients are let in.
    pub admission: Arc<Admission>,
    /// True makes it stop.
    pub stop: watch::Sender<bool>,
    /// The process stays when it stops, so that it can be started again.
    pub keeps_process: Arc<AtomicBool>,
    /// Accepts connections until all have ended.
    connections: JoinSet<()>,
    tasks: JoinSet<()>,
    writers: Writers,
    base: Base,
}

/// Where the management API is to answer.
#[derive(Debug)]
pub struct Doors {
    /// For callers who log in.
    pub http: TcpListener,
    /// For Prometheus, who need not.
    pub prometheus: Option<TcpListener>,
    /// Inside the data directory, for whoever may enter it.
    pub control: UnixListener,
}

impl Doors {
    /// Their sockets are watched by the threads that answer.
    fn open(base: &Base) -> Result<Self, StartError> {
        let _threads = base.process.http.enter();
        let settings = &base.settings;
        Ok(Self {
            http: bind(HTTP_OPTION, settings.http_listen, settings.backlog)?,
            prometheus: bind_prometheus(settings.prometheus_listen, settings.backlog)?,
            control: base::bind_control(&base.data_dir)?,
        })
    }

    /// Where Prometheus reads.
    #[must_use]
    pub fn prometheus_address(&self) -> Option<SocketAddr> {
        self.prometheus.as_ref()?.local_addr().ok()
    }
}

impl Server {
    /// Starts everything but the management API, whose listeners it gives. Clients can connect.
    pub async fn start(loaded: Loaded) -> Result<(Self, Doors), StartError> {
        loaded.make_first_user().await?;
        let Loaded { mut base, node, writers, stop, started_at, .. } = loaded;
        let (settings, data_dir) = (&base.settings, &*base.data_dir);
        let (node, stopped) = (Arc::new(node), stop.subscribe());
        let amqp: Vec<TcpListener> = settings
            .amqp_listen
            .iter()
            .map(|address| bind(AMQP_OPTION, *address, settings.backlog))
            .collect::<Result<_, _>>()?;
        let doors = Doors::open(&base)?;
        let mut tasks = JoinSet::new();
        amqp.iter().for_each(|listener| announce(listener, "amqp"));
        announce(&doors.http, "http");
        doors.prometheus.iter().for_each(|listener| announce(listener, "http/prometheus"));
        let amqp_addresses: Vec<_> = amqp.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let resources = Arc::new(Resources::new(data_dir.path(), settings.limits));
        // Before anybody can publish.
        resources.look(&node);
        let log = writers.log().clone();
        tasks.spawn(Arc::clone(&resources).watch(Arc::clone(&node), log.clone(), stop.subscribe()));
        let sources =
            sampler::Sources { resources: Arc::clone(&resources), log, http: base.process.http.clone() };
        tasks.spawn(sampler::run(Arc::clone(&node), sources, stop.subscribe()));
        tasks.spawn(timers::run(Arc::clone(&node), stop.subscribe()));
        tasks.spawn(timers::watch_deliveries(Arc::clone(&node), stop.subscribe()));
        let mut connections = JoinSet::new();
        let admission = Arc::new(Admission::default());
        let accept =
            listener::accept(amqp, settings.backlog, Arc::clone(&node), Arc::clone(&admission), stopped);
        connections.spawn(accept);
        let unsafe_no_fsync = settings.unsafe_no_fsync;
        // Started again, it is where clients know it, also if the system chose the ports.
        base.settings.amqp_listen.clone_from(&amqp_addresses);
        base.settings.http_listen = doors.http.local_addr().unwrap_or(base.settings.http_listen);
        if let (PrometheusListen::At(_), Some(address)) =
            (base.settings.prometheus_listen, doors.prometheus_address())
        {
            base.settings.prometheus_listen = PrometheusListen::At(address);
        }
        let server = Self {
            node,
            amqp_addresses,
            effective: base.settings.effective.clone(),
            started_at,
            unsafe_no_fsync,
            resources,
            admission,
            stop,
            keeps_process: Arc::default(),
            connections,
            tasks,
            writers,
            base,
        };
        Ok((server, doors))
    }

    /// The message log.
    #[must_use]
    pub fn log(&self) -> &Log {
        self.writers.log()
    }

    /// Where everything durable is.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.base.data_dir.path()
    }

    /// The log.
    #[must_use]
    pub fn journal(&self) -> Arc<Journal> {
        Arc::clone(&self.base.process.journal)
    }

    /// The time of day.
    #[must_use]
    pub fn clock(&self) -> fn() -> SystemTime {
        listener::wall_clock
    }

    /// The files that the configuration was read from.
    #[must_use]
    pub fn config_files(&self) -> &[PathBuf] {
        &self.base.process.config_files
    }

    /// Runs something on the threads that answer HTTP requests; it is to end when `stop` is true.
    pub fn attend(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.base.process.http);
    }

    /// Runs until a signal or the management API asks it to stop, then ends in order. If the process is to stay, gives
    /// what it needs to start again.
    pub async fn run(mut self) -> Option<Base> {
        tracing::info!("Server startup complete");
        let mut stopped = self.stop.subscribe();
        tokio::select! {
            signal = self.base.signals.next() => {
                tracing::info!("{signal} received, stopping");
                self.keeps_process.store(false, Relaxed);
            }
            _ = stopped.wait_for(|stop| *stop) => tracing::info!("asked to stop, stopping"),
        }
        self.stop.send_replace(true);
        // It has its own patience, and must not be cut short: all that was handed out comes back before the end.
        while self.connections.join_next().await.is_some() {}
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(SHUTDOWN_PATIENCE, ended).await;
        self.tasks.shutdown().await;
        self.node.broker.close();
        // The writers end when everything is stored.
        let _ = tokio::task::spawn_blocking(move || self.writers.join()).await;
        control::remove(self.base.data_dir.path());
        tracing::info!("stopped");
        self.keeps_process.load(Relaxed).then_some(self.base)
    }
}

fn bind(option: &'static str, address: SocketAddr, backlog: i32) -> Result<TcpListener, StartError> {
    let bound = listener::listen(address, backlog);
    bound.map_err(|error| StartError::Listen { option, address, error })
}

/// Whether the operator's ports are free: one that is left out if somebody else has it is not looked at.
pub(crate) fn check_ports(settings: &Settings) -> Result<(), StartError> {
    let amqp = settings.amqp_listen.iter().map(|address| (AMQP_OPTION, *address));
    let prometheus = match settings.prometheus_listen {
        PrometheusListen::At(address) => Some((PROMETHEUS_OPTION, address)),
        PrometheusListen::IfFree(_) | PrometheusListen::Off => None,
    };
    for (option, address) in amqp.chain([(HTTP_OPTION, settings.http_listen)]).chain(prometheus) {
        listener::check(address).map_err(|error| StartError::Listen { option, address, error })?;
    }
    Ok(())
}

/// Somebody else may have the usual port, another broker on this machine for instance: that is no reason not to start.
fn bind_prometheus(listen: PrometheusListen, backlog: i32) -> Result<Option<TcpListener>, StartError> {
    match listen {
        PrometheusListen::At(address) => bind(PROMETHEUS_OPTION, address, backlog).map(Some),
        PrometheusListen::IfFree(address) => {
            let bound = listener::listen(address, backlog);
            let refused = |error| tracing::warn!("no metrics for Prometheus at {address}: {error}");
            Ok(bound.map_err(refused).ok())
        }
        PrometheusListen::Off => Ok(None),
    }
}

fn announce(listener: &TcpListener, protocol: &str) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!("started TCP listener on {address} ({protocol})");
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error @ StoreError::Locked { .. }) => write!(
                f,
                "{error}\nStop that broker first ('rabbitmqctl stop'), or give this one a directory of its own \
                 with --data-dir"
            ),
            Self::Store(error) => error.fmt(f),
            Self::Log(error) => write!(f, "cannot open the message log: {error}"),
            Self::Listen { option, address, error } => write!(
                f,
                "cannot listen on {address}: {error}\nIs another broker running there? Choose another address \
                 with {option} ADDRESS:PORT"
            ),
            Self::Control { path, error } => {
                write!(f, "cannot make the control socket {}: {error}", path.display())
            }
            Self::DefaultUser(reason) => write!(f, "cannot make the default user: {reason}"),
            Self::Definitions(error) => write!(
                f,
                "cannot import definitions: {error}\nMend the file, or start without it (load_definitions, \
                 definitions.local.path, management.load_definitions)"
            ),
            Self::Spawn(error) => write!(f, "cannot start a thread or hear signals: {error}"),
        }
    }
}

impl error::Error for StartError {}
