//! Black-box tests: the real broker through real sockets. One binary, one broker, unique names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests panic, that is how they fail; they have threads and a clock"
)]

mod admin;
mod alarms;
mod backlog;
mod campaign;
mod cat;
mod channel_exceptions;
mod configuration;
mod connection_exceptions;
mod consumer_timeout;
mod consumers;
mod data_dir;
mod delivering;
mod environment;
mod exchanges;
mod fairness;
mod framing;
mod hostile;
mod judge;
mod liveliness;
mod perf;
mod publishing;
mod queue_rules;
mod queues;
mod reply_to;
mod restart;
mod routing;
mod settling;
mod statistics;
mod topic_permissions;
mod transactions;
mod tutorials;
mod usage_limits;
mod verdict;
