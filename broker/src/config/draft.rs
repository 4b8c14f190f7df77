//! Settings while keys are read, one after another.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use super::{
    address::{self, Endpoint},
    log::{LogDraft, LogSettings},
};
use crate::{
    limits::{DISK_FREE_LIMIT, NodeLimits, PROMETHEUS_PORT},
    server::{
        DefaultUser, PrometheusListen, Settings, definition_files::DefinitionFiles, resources::Limits,
        watermark::DiskFreeLimit,
    },
    vhost::access::LOOPBACK_USER,
};

/// The default port of AMQP.
const AMQP_PORT: u16 = 5_672;
/// The default port of the management API.
const HTTP_PORT: u16 = 15_672;
/// All interfaces.
const EVERYWHERE: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// What is known so far.
#[derive(Debug)]
pub(super) struct Draft {
    /// By their names in `listeners.tcp.$name`.
    pub(super) listeners: BTreeMap<String, Endpoint>,
    pub(super) has_no_listeners: bool,
    /// Of listeners of which only the port is said.
    pub(super) node_ip: Option<IpAddr>,
    pub(super) http: HttpDraft,
    pub(super) prometheus: PrometheusDraft,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) unsafe_no_fsync: bool,
    pub(super) node_name: Option<String>,
    pub(super) cluster_name: Option<String>,
    pub(super) limits: Limits,
    pub(super) node_limits: NodeLimits,
    pub(super) backlog: i32,
    pub(super) default_user: DefaultUser,
    /// None until somebody says who.
    pub(super) default_user_tags: Option<BTreeSet<String>>,
    pub(super) loopback_users: Option<BTreeSet<String>>,
    pub(super) definitions: Vec<PathBuf>,
    pub(super) skip_if_unchanged: bool,
    pub(super) skip_unsupported: bool,
    pub(super) log: LogDraft,
    /// What was made of the number that was read last, if that is another one, and a line about it.
    pub(super) clamped: Option<(u64, String)>,
}

/// What was said of where the management API answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HttpDraft {
    pub(super) ip: Option<IpAddr>,
    pub(super) port: Option<u16>,
}

impl HttpDraft {
    fn finish(self) -> SocketAddr {
        SocketAddr::new(self.ip.unwrap_or(EVERYWHERE), self.port.unwrap_or(HTTP_PORT))
    }
}

/// What was said of where Prometheus reads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PrometheusDraft {
    pub(super) is_off: bool,
    pub(super) ip: Option<IpAddr>,
    pub(super) port: Option<u16>,
}

impl PrometheusDraft {
    /// What was not said is as for the management API, or the usual.
    fn finish(self, http: SocketAddr) -> PrometheusListen {
        let address = SocketAddr::new(self.ip.unwrap_or(http.ip()), self.port.unwrap_or(PROMETHEUS_PORT));
        match (self.is_off, self.ip, self.port) {
            (true, ..) => PrometheusListen::Off,
            (false, None, None) => PrometheusListen::IfFree(reachable(address)),
            _ => PrometheusListen::At(reachable(address)),
        }
    }
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            listeners: BTreeMap::new(),
            has_no_listeners: false,
            node_ip: None,
            http: HttpDraft::default(),
            prometheus: PrometheusDraft::default(),
            data_dir: None,
            unsafe_no_fsync: false,
            node_name: None,
            cluster_name: None,
            limits: Limits { disk: DiskFreeLimit::Absolute(DISK_FREE_LIMIT), memory: None },
            node_limits: NodeLimits::default(),
            backlog: 1_024,
            default_user: DefaultUser::default(),
            default_user_tags: None,
            loopback_users: None,
            definitions: Vec::new(),
            skip_if_unchanged: false,
            skip_unsupported: false,
            log: LogDraft::default(),
            clamped: None,
        }
    }
}

impl Draft {
    /// The settings, or what is missing to make them.
    pub(super) fn finish(mut self) -> Result<(Settings, LogSettings), String> {
        if self.has_no_listeners && self.listeners.is_empty() {
            return Err(
                "listeners.tcp = none: this version has no TLS, so that nobody could connect".to_owned()
            );
        }
        if self.listeners.is_empty() {
            self.listeners.insert("default".to_owned(), Endpoint { ip: None, port: AMQP_PORT });
        }
        let usual_ip = self.node_ip.unwrap_or(EVERYWHERE);
        let http = self.http.finish();
        let listeners: BTreeMap<String, SocketAddr> =
            self.listeners.into_iter().map(|(name, at)| (name, reachable(at.or_at(usual_ip)))).collect();
        let prometheus_listen = self.prometheus.finish(http);
        check_ports(&listeners, reachable(http), prometheus_listen)?;
        let data_dir = match self.data_dir {
            Some(data_dir) => data_dir,
            None => user_data_dir()
                .ok_or("no data directory: HOME is not set; name one with --data-dir or LIEBRE_DATA_DIR")?
                .join("liebre"),
        };
        if let Some(tags) = self.default_user_tags {
            self.default_user.tags = tags.into_iter().collect();
        }
        let loopback_users =
            self.loopback_users.unwrap_or_else(|| BTreeSet::from([LOOPBACK_USER.to_owned()]));
        let settings = Settings {
            amqp_listen: listeners.into_values().collect(),
            http_listen: reachable(http),
            prometheus_listen,
            data_dir,
            unsafe_no_fsync: self.unsafe_no_fsync,
            backlog: self.backlog,
            node_limits: self.node_limits,
            limits: self.limits,
            node_name: self.node_name.unwrap_or_else(|| format!("rabbit@{}", host_name())),
            cluster_name: self.cluster_name,
            default_user: self.default_user,
            loopback_users: loopback_users.into_iter().collect(),
            definitions: DefinitionFiles {
                paths: self.definitions,
                skip_if_unchanged: self.skip_if_unchanged,
                skip_unsupported: self.skip_unsupported,
            },
            effective: Vec::new(),
        };
        let log = self.log.finish(&settings.node_name);
        Ok((settings, log))
    }
}

/// No two of them can be at the same place.
fn check_ports(
    amqp: &BTreeMap<String, SocketAddr>,
    http: SocketAddr,
    prometheus: PrometheusListen,
) -> Result<(), String> {
    let mut all: Vec<(String, SocketAddr)> =
        amqp.iter().map(|(name, at)| (format!("listeners.tcp.{name}"), *at)).collect();
    all.push(("management.tcp".to_owned(), http));
    if let PrometheusListen::At(at) = prometheus {
        all.push(("prometheus.tcp".to_owned(), at));
    }
    for (index, (name, at)) in all.iter().enumerate() {
        if let Some((other, _)) = all[..index].iter().find(|(_, other)| address::collide(*at, *other)) {
            return Err(format!("{other} and {name} are on the same port: {at}"));
        }
    }
    Ok(())
}

/// Where programs keep a user's data (XDG base directories; on macOS Application Support).
fn user_data_dir() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || set("HOME");
    if cfg!(target_os = "macos") {
        return Some(home()?.join("Library/Application Support"));
    }
    set("XDG_DATA_HOME").filter(|path| path.is_absolute()).or_else(|| Some(home()?.join(".local/share")))
}

/// On a machine without IPv6, all interfaces are those of IPv4.
fn reachable(address: SocketAddr) -> SocketAddr {
    let has_ipv6 = || std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !has_ipv6() {
        return SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    }
    address
}

/// The machine's name up to its first dot.
fn host_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    name.split('.').next().filter(|name| !name.is_empty()).unwrap_or("localhost").to_owned()
}
