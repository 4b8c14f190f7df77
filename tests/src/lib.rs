//! The harness of the black-box tests: the real broker in a process of its own, and what talks to it.
//!
//! | module | gives a test |
//! |---|---|
//! | [`broker`] | a running broker: the one that all tests share, or one to stop, kill and start again |
//! | [`binaries`] | the workspace's programs, built once |
//! | [`admin`] | the admin tools: command lines in, transcripts out |
//! | [`amqp`] | the stock client, with a deadline on everything that waits |
//! | [`raw`] | a socket that says anything, also what no client would say |
//! | [`codec`], [`method`] | the frames and methods that `raw` says, written by hand |
//! | [`http`] | the management API, for users, permissions and vhosts |
//! | [`program`], [`python`] | a program whose lines are waited for; Python with pika |
//! | [`campaign`] | long runs of random load and real faults, with a checker of histories |
//! | [`hostile`] | peers that mean harm, and the client that must notice nothing |
//! | [`judge`] | scripted sessions against two brokers, RabbitMQ and ours, and what differs |
//! | [`wait`] | waiting for a state that no event announces |
//! | [`source`] | the source tree, for tests of its rules |
//!
//! `LIEBRE_TEST_AMQP=host:port[/vhost]` and `LIEBRE_TEST_HTTP=host:port` run the same tests against a broker that is
//! already there. RabbitMQ is the judge of every expectation: it must pass them too.
//!
//! Nothing here waits for a fixed time (campaigns do, for a random one); everything that waits has a deadline.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test that cannot go on must panic; the harness reads the clock and has threads"
)]

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub mod admin;
pub mod amqp;
pub mod binaries;
pub mod broker;
pub mod campaign;
pub mod codec;
pub mod hostile;
pub mod http;
pub mod judge;
pub mod method;
pub mod program;
pub mod python;
pub mod raw;
pub mod source;
pub mod wait;

/// How long any step may take before the test gives up. Far above what it takes, for busy machines.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A name that nobody else uses, no other run and no other test; `what` tells the reader of a log where it came from.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    format!("{}{}.{what}", *RUN, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// `text` as it would read in the default vhost, with names as the test wrote them before [`unique`].
pub fn plain(text: &str) -> String {
    let vhost = &broker::Broker::shared().vhost;
    let text = text.replace(&format!("vhost '{vhost}'"), "vhost '/'");
    let mut pieces = text.split(RUN.as_str());
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain += piece.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches('.');
    }
    plain
}

/// What the names of this run begin with.
static RUN: LazyLock<String> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    format!("t{}-{}-", std::process::id(), since.subsec_micros())
});
