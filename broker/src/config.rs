//! From flags and environment to settings.

use std::{
    env,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use liebre::{
    limits::{DISK_FREE_LIMIT, NodeLimits, PROMETHEUS_PORT},
    server::{DefaultUser, PrometheusListen, Settings, resources::Limits, watermark::DiskFreeLimit},
};

use crate::cli::{Arguments, PrometheusAddress};

/// The settings, or what is missing to make them.
pub fn settings(arguments: Arguments) -> Result<Settings, String> {
    let data_dir = match arguments.data_dir {
        Some(data_dir) => data_dir,
        None => user_data_dir()
            .ok_or("no data directory: HOME is not set; name one with --data-dir or LIEBRE_DATA_DIR")?
            .join("liebre"),
    };
    let value = |name: &str, otherwise: &str| match env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => otherwise.to_owned(),
    };
    let http_listen = reachable(arguments.http_listen);
    Ok(Settings {
        amqp_listen: reachable(arguments.amqp_listen),
        http_listen,
        prometheus_listen: match arguments.prometheus_listen {
            None => PrometheusListen::IfFree(SocketAddr::new(http_listen.ip(), PROMETHEUS_PORT)),
            Some(PrometheusAddress(None)) => PrometheusListen::Off,
            Some(PrometheusAddress(Some(address))) => PrometheusListen::At(reachable(address)),
        },
        data_dir,
        unsafe_no_fsync: arguments.unsafe_no_fsync,
        node_limits: NodeLimits {
            connection_max: arguments.connection_max,
            channel_max: arguments.channel_max,
            channel_max_per_node: arguments.channel_max_per_node,
            queue_max: arguments.cluster_queue_limit,
            consumer_timeout: arguments.consumer_timeout.0,
        },
        limits: Limits {
            disk: arguments.disk_free_limit.unwrap_or(DiskFreeLimit::Absolute(DISK_FREE_LIMIT)),
            memory: arguments.vm_memory_high_watermark,
        },
        node_name: value("RABBITMQ_NODENAME", &format!("rabbit@{}", host_name())),
        default_user: DefaultUser {
            name: value("RABBITMQ_DEFAULT_USER", "guest"),
            password: value("RABBITMQ_DEFAULT_PASS", "guest"),
            vhost: value("RABBITMQ_DEFAULT_VHOST", "/"),
        },
    })
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
