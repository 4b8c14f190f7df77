//! The server's command line.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::{Parser, builder::BoolishValueParser, value_parser};
use liebre::{
    limits::CHANNEL_MAX,
    server::watermark::{DiskFreeLimit, MemoryWatermark},
};

/// Liebre, a message broker for RabbitMQ clients (AMQP 0-9-1).
#[derive(Debug, Parser)]
#[command(name = "liebre", version, about, long_about = None)]
pub struct Arguments {
    /// Where AMQP clients connect
    #[arg(long, env = "LIEBRE_AMQP_LISTEN", value_name = "ADDR:PORT", default_value = "[::]:5672")]
    pub amqp_listen: SocketAddr,

    /// Where the management API answers
    #[arg(long, env = "LIEBRE_HTTP_LISTEN", value_name = "ADDR:PORT", default_value = "[::]:15672")]
    pub http_listen: SocketAddr,

    /// Where Prometheus reads /metrics without a login, or 'off' [default: port 15692 at the address of the management
    /// API, if it is free]
    #[arg(long, env = "LIEBRE_PROMETHEUS_LISTEN", value_name = "ADDR:PORT")]
    pub prometheus_listen: Option<PrometheusAddress>,

    /// Where everything durable is kept [default: liebre in the user's data directory]
    #[arg(long, env = "LIEBRE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Block publishers when less than this is free where the data directory is, such as 500MiB or 2GB [default:
    /// 50 MB and three files of the message log, 100.3 MB]
    #[arg(long, env = "LIEBRE_DISK_FREE_LIMIT", value_name = "SIZE")]
    pub disk_free_limit: Option<DiskFreeLimit>,

    /// Block publishers when the broker uses more memory than this: a share of what there is, such as 0.4, or a
    /// size, such as 2GB [default: never]
    ///
    /// Memory that the system's allocator keeps after queues were emptied counts as used: set it well above what
    /// the broker needs. With glibc, MALLOC_MMAP_THRESHOLD_=524288 in the environment makes it give memory back.
    #[arg(long, env = "LIEBRE_VM_MEMORY_HIGH_WATERMARK", value_name = "SHARE|SIZE")]
    pub vm_memory_high_watermark: Option<MemoryWatermark>,

    /// Accept no more connections than this at a time [default: no limit]
    #[arg(long, env = "LIEBRE_CONNECTION_MAX", value_name = "COUNT")]
    pub connection_max: Option<usize>,

    /// Open no more channels than this on one connection
    #[arg(long, env = "LIEBRE_CHANNEL_MAX", value_name = "COUNT", default_value_t = CHANNEL_MAX,
        value_parser = value_parser!(u16).range(1..=i64::from(CHANNEL_MAX)))]
    pub channel_max: u16,

    /// Open no more channels than this on all connections together [default: no limit]
    #[arg(long, env = "LIEBRE_CHANNEL_MAX_PER_NODE", value_name = "COUNT")]
    pub channel_max_per_node: Option<usize>,

    /// Declare no more queues than this in all vhosts together [default: no limit]
    #[arg(long, env = "LIEBRE_CLUSTER_QUEUE_LIMIT", value_name = "COUNT")]
    pub cluster_queue_limit: Option<usize>,

    /// Close channels that do not acknowledge a delivery within so many milliseconds, or 'off'; the queue argument
    /// x-consumer-timeout comes first
    #[arg(long, env = "LIEBRE_CONSUMER_TIMEOUT", value_name = "MILLIS", default_value = "1800000")]
    pub consumer_timeout: ConsumerTimeout,

    /// Confirm messages before they are on stable storage: what was confirmed is lost when the machine stops
    ///
    /// For tests and throw-away data. Definitions (queues, users ...) are synced all the same.
    #[arg(long, env = "LIEBRE_UNSAFE_NO_FSYNC", value_parser = BoolishValueParser::new())]
    pub unsafe_no_fsync: bool,
}

/// Where Prometheus reads; none if nowhere.
#[derive(Clone, Copy, Debug)]
pub struct PrometheusAddress(pub Option<SocketAddr>);

impl FromStr for PrometheusAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse().map(|address| Self(Some(address))).map_err(|_| "an address is ADDR:PORT, or 'off'")
    }
}

/// How long a delivery may be unsettled; none if for ever.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerTimeout(pub Option<Duration>);

impl FromStr for ConsumerTimeout {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self(None));
        }
        match text.parse() {
            Ok(millis) if millis > 0 => Ok(Self(Some(Duration::from_millis(millis)))),
            _ => Err("a timeout is a number of milliseconds above 0, or 'off'"),
        }
    }
}
