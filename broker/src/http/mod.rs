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
mod connections;
mod consumers;
pub mod credentials;
pub mod definitions;
pub mod error;
mod exchanges;
mod health;
pub mod json;
mod limits;
mod nodes;
mod overview;
mod own;
mod parameters;
pub mod path;
mod permissions;
mod policies;
pub mod properties_key;
pub mod query;
mod queues;
mod request;
mod routes;
#[cfg(test)]
mod tests;
mod topic_permissions;
mod users;
mod vhosts;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::SystemTime};

use axum::Router;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
};

use crate::{
    connection::registry::Node,
    server::{Doors, EffectiveSetting, Server, resources::Resources},
};
pub use error::HttpError;
use routes::Door;

/// What the API tells of and acts on.
#[derive(Debug)]
pub struct Api {
    /// The broker and its connections.
    pub node: Arc<Node>,
    /// Where AMQP clients connect.
    pub amqp_address: SocketAddr,
    /// The configuration by its keys.
    pub effective: Vec<EffectiveSetting>,
    /// Where this API answers.
    pub http_address: SocketAddr,
    /// Where everything durable is.
    pub data_dir: PathBuf,
    /// Messages are confirmed before they are on stable storage.
    pub unsafe_no_fsync: bool,
    /// Memory and disk, and their limits.
    pub resources: Arc<Resources>,
    /// When the broker was started.
    pub started_at: SystemTime,
    /// The time of day, for uptimes and rates.
    pub clock: fn() -> SystemTime,
    /// True makes the broker stop.
    pub stop: watch::Sender<bool>,
}

/// Opens the doors: the server answers there until it stops.
pub fn start(server: &mut Server, doors: Doors) {
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    let api = Arc::new(Api {
        node: Arc::clone(&server.node),
        amqp_address: server.amqp_addresses.first().copied().unwrap_or(unknown),
        effective: server.effective.clone(),
        http_address: doors.http.local_addr().unwrap_or(unknown),
        data_dir: server.data_dir().to_owned(),
        unsafe_no_fsync: server.unsafe_no_fsync,
        resources: Arc::clone(&server.resources),
        started_at: server.started_at,
        clock: server.clock(),
        stop: server.stop.clone(),
    });
    server.attend(serve_tcp(doors.http, Arc::clone(&api), server.stop.subscribe()));
    server.attend(serve_control(doors.control, api, server.stop.subscribe()));
}

/// Serves the API to callers who log in, until `stop` is true.
async fn serve_tcp(listener: TcpListener, api: Arc<Api>, stop: watch::Receiver<bool>) {
    let app = router(api, Door::Tcp).into_make_service_with_connect_info::<SocketAddr>();
    if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(stopped(stop)).await {
        tracing::error!("the HTTP listener failed: {error}");
    }
}

/// Serves the API to whoever may enter the data directory: the broker's own user and root, without a
/// password.
async fn serve_control(listener: UnixListener, api: Arc<Api>, stop: watch::Receiver<bool>) {
    let app = router(api, Door::Control).into_make_service();
    if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(stopped(stop)).await {
        tracing::error!("the control socket failed: {error}");
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// All paths go to [`routes`]: names in paths are RabbitMQ's to read, not the router's.
fn router(api: Arc<Api>, door: Door) -> Router {
    Router::new().fallback(move |request| routes::respond(Arc::clone(&api), door, request))
}
