//! The management HTTP API in RabbitMQ's form (<https://www.rabbitmq.com/docs/management#http-api>).
//!
//! One way through: path -> names ([`path`]), header -> caller (`auth`), body -> bytes; then `routes` picks the
//! noun's function by names and method, which gives an `Answer` or an [`HttpError`]. The pure parts ([`body`],
//! [`json`], [`query`], …) know no broker, the nouns (`queues`, `users`, …) know no HTTP but the method.
//!
//! Where RabbitMQ's answer is an accident of its implementation, such as a status 500 without a body, the comment
//! says what is answered instead. Figures that the broker does not measure are left out of the objects.

mod answer;
mod auth;
mod bindings;
pub mod body;
mod channels;
mod cluster;
mod connections;
mod consumers;
pub mod credentials;
mod deeds;
pub mod definitions;
pub mod error;
mod exchanges;
mod form;
mod health;
pub mod json;
mod limits;
mod login;
mod messages;
mod metrics;
mod nodes;
mod overview;
mod own;
mod own_node;
mod pages;
mod parameters;
pub mod path;
mod permissions;
mod policies;
pub mod properties;
pub mod properties_key;
pub mod query;
mod queues;
mod rates;
mod request;
mod routes;
mod stopped;
mod table;
#[cfg(test)]
mod tests;
mod topic_permissions;
mod users;
mod vhosts;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::SystemTime,
};

use tokio::{runtime::Handle, sync::watch};

use crate::{
    connection::registry::Node,
    server::{
        Doors, EffectiveSetting, Server, admission::Admission, http::serve, journal::Journal,
        large_answers::LargeAnswers, resources::Resources,
    },
    storage::log::Log,
};
pub use error::HttpError;
use routes::{Door, respond};
pub use stopped::wait_for_start;

/// What the API tells of and acts on.
#[derive(Debug)]
pub struct Api {
    /// The broker and its connections.
    pub node: Arc<Node>,
    /// Where AMQP clients connect.
    pub amqp_addresses: Vec<SocketAddr>,
    /// The configuration by its keys.
    pub effective: Vec<EffectiveSetting>,
    /// Where this API answers.
    pub http_address: SocketAddr,
    /// Where Prometheus reads.
    pub prometheus_address: Option<SocketAddr>,
    /// The threads of AMQP connections.
    pub runtime: Handle,
    /// The files that the configuration was read from.
    pub config_files: Vec<String>,
    /// Where everything durable is.
    pub data_dir: PathBuf,
    /// Messages are confirmed before they are on stable storage.
    pub unsafe_no_fsync: bool,
    /// Memory and disk, and their limits.
    pub resources: Arc<Resources>,
    /// The message log, for what it does.
    pub log: Option<Log>,
    /// When the broker was started.
    pub started_at: SystemTime,
    /// The time of day, for uptimes and rates.
    pub clock: fn() -> SystemTime,
    /// True makes the broker stop.
    pub stop: watch::Sender<bool>,
    /// The process stays when the broker stops.
    pub keeps_process: Arc<AtomicBool>,
    /// Whether AMQP clients are let in.
    pub admission: Arc<Admission>,
    /// The log.
    pub journal: Arc<Journal>,
    /// Those to callers who have logged in.
    pub large_answers: LargeAnswers,
    /// Those to anybody, at the port for Prometheus.
    pub large_scrapes: LargeAnswers,
}

/// Opens the doors: the server answers there until it stops. Called on a thread of AMQP connections.
pub fn start(server: &mut Server, doors: Doors) {
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    let api = Arc::new(Api {
        node: Arc::clone(&server.node),
        amqp_addresses: server.amqp_addresses.clone(),
        effective: server.effective.clone(),
        http_address: doors.http.local_addr().unwrap_or(unknown),
        prometheus_address: doors.prometheus_address(),
        runtime: Handle::current(),
        config_files: server.config_files().iter().map(|path| path.display().to_string()).collect(),
        data_dir: server.data_dir().to_owned(),
        unsafe_no_fsync: server.unsafe_no_fsync,
        resources: Arc::clone(&server.resources),
        log: Some(server.log().clone()),
        started_at: server.started_at,
        clock: server.clock(),
        stop: server.stop.clone(),
        keeps_process: Arc::clone(&server.keeps_process),
        admission: Arc::clone(&server.admission),
        journal: server.journal(),
        large_answers: LargeAnswers::default(),
        large_scrapes: LargeAnswers::default(),
    });
    // Who comes by the control socket may enter the data directory: it is the broker's own user, or root.
    let control = Arc::clone(&api);
    let respond = move |request, _| respond(Arc::clone(&control), Door::Control, request);
    server.attend(serve(doors.control, respond, server.stop.subscribe()));
    if let Some(listener) = doors.prometheus {
        let metrics = Arc::clone(&api);
        let respond = move |request, _| metrics::respond(Arc::clone(&metrics), request);
        server.attend(serve(listener, respond, server.stop.subscribe()));
    }
    let respond = move |request, peer| self::respond(Arc::clone(&api), Door::Tcp(peer), request);
    server.attend(serve(doors.http, respond, server.stop.subscribe()));
}
