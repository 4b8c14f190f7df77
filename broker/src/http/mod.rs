//! The management HTTP API in RabbitMQ's form.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::SystemTime};

use axum::Router;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
};

use crate::connection::registry::Node;

/// What the API tells of and acts on.
#[derive(Debug)]
pub struct Api {
    /// The broker and its connections.
    pub node: Arc<Node>,
    /// Where AMQP clients connect.
    pub amqp_address: SocketAddr,
    /// Where this API answers.
    pub http_address: SocketAddr,
    /// Where everything durable is.
    pub data_dir: PathBuf,
    /// When the broker was started.
    pub started_at: SystemTime,
    /// The time of day, for uptimes and rates.
    pub clock: fn() -> SystemTime,
    /// True makes the broker stop.
    pub stop: watch::Sender<bool>,
}

/// Serves the API to callers who log in, until `stop` is true.
pub async fn serve_tcp(listener: TcpListener, api: Arc<Api>, mut stop: watch::Receiver<bool>) {
    let app = Router::new().with_state(api).into_make_service_with_connect_info::<SocketAddr>();
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(stopped).await {
        tracing::error!("the HTTP listener failed: {error}");
    }
}

/// Serves the API to whoever may enter the data directory: the broker's own user and root, without a
/// password.
pub async fn serve_control(listener: UnixListener, api: Arc<Api>, mut stop: watch::Receiver<bool>) {
    let app = Router::new().with_state(api).into_make_service();
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(stopped).await {
        tracing::error!("the control socket failed: {error}");
    }
}
