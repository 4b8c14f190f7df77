//! The server's command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, builder::BoolishValueParser};

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

    /// Where everything durable is kept [default: liebre in the user's data directory]
    #[arg(long, env = "LIEBRE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Confirm messages before they are on stable storage: what was confirmed is lost when the machine stops
    ///
    /// For tests and throw-away data. Definitions (queues, users ...) are synced all the same.
    #[arg(long, env = "LIEBRE_UNSAFE_NO_FSYNC", value_parser = BoolishValueParser::new())]
    pub unsafe_no_fsync: bool,
}
