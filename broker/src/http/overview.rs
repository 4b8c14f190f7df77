//! The broker at a glance, and other facts that are not about one object.

use std::{net::SocketAddr, sync::atomic::Ordering::Relaxed};

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    Api, HttpError,
    answer::{Answer, Answered},
    auth::Right,
    connections,
    request::{Request, not_allowed},
    vhosts::MessageTotals,
};
use crate::product;

/// `overview`, `whoami`, `version`, `extensions`
pub(super) fn answer(request: &Request, name: &str) -> Answered {
    if request.method != Method::GET {
        return not_allowed("HEAD, GET, OPTIONS");
    }
    Ok(match name {
        "overview" => Answer::Object(overview(request)),
        "whoami" => Answer::Object(whoami(request)),
        "version" => Answer::Object(product::COMPATIBLE_VERSION.into()),
        "extensions" => Answer::Listing(Vec::new()),
        _ => return Err(HttpError::ObjectNotFound),
    })
}

/// A port that somebody listens on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listener {
    /// `amqp` or `http`.
    pub(super) protocol: &'static str,
    pub(super) address: SocketAddr,
}

impl Listener {
    /// All of them.
    pub(super) fn all(api: &Api) -> [Self; 2] {
        [
            Self { protocol: "amqp", address: api.amqp_address },
            Self { protocol: "http", address: api.http_address },
        ]
    }
}

/// The exchange types as overview and node list them.
pub(super) fn exchange_types() -> Value {
    let of_type = |name| {
        let description = format!("AMQP {name} exchange, as per the AMQP specification");
        json!({ "name": name, "description": description, "enabled": true })
    };
    ["direct", "fanout", "headers", "topic"].map(of_type).to_vec().into()
}

/// Who does not monitor sees sums over its own vhosts and connections, and neither node nor listeners.
fn overview(request: &Request) -> Value {
    let node = request.node();
    let (queue_totals, object_totals) = totals(request);
    let mut object = json!({
        "management_version": product::COMPATIBLE_VERSION,
        "rates_mode": "none",
        "sample_retention_policies": { "global": [], "basic": [], "detailed": [] },
        "exchange_types": exchange_types(),
        "product_name": product::NAME,
        "product_version": product::VERSION,
        "rabbitmq_version": product::COMPATIBLE_VERSION,
        "cluster_name": node.cluster_name(),
        "cluster_tags": [],
        "node_tags": [],
        // There is no Erlang, but strict clients insist on a text.
        "erlang_version": "none",
        "erlang_full_version": "none",
        "default_queue_type": "classic",
        "is_op_policy_updating_enabled": false,
        "disable_stats": false,
        "enable_queue_totals": false,
        "message_stats": {},
        "churn_rates": churn(request),
        "queue_totals": queue_totals,
        "object_totals": object_totals,
        "statistics_db_event_queue": 0,
    });
    if request.api.unsafe_no_fsync {
        object["unsafe_no_fsync"] = true.into();
    }
    if request.caller.has(Right::Monitoring) {
        object["node"] = node.name.as_str().into();
        object["listeners"] = listeners(request);
        object["contexts"] = json!([{
            "ssl_opts": [],
            "node": node.name,
            "description": "RabbitMQ Management",
            "path": "/",
            "ip": request.api.http_address.ip().to_string(),
            "port": request.api.http_address.port().to_string(),
        }]);
    }
    object
}

fn totals(request: &Request) -> (Value, Value) {
    let vhosts = match request.caller.has(Right::Monitoring) {
        true => request.broker().vhosts(),
        false => request.vhosts(),
    };
    let mut messages = MessageTotals::default();
    let (mut exchanges, mut queues, mut consumers) = (0, 0, 0);
    for vhost in &vhosts {
        messages.add(vhost);
        exchanges += vhost.exchanges().len();
        let of_vhost = vhost.queues();
        queues += of_vhost.len();
        consumers += of_vhost.iter().map(|queue| queue.counts().consumers).sum::<usize>();
    }
    let connections = connections::visible(request, None);
    let channels: usize = connections.iter().map(|info| info.facts().channels.len()).sum();
    let queue_totals = json!({
        "messages": messages.ready + messages.unsettled,
        "messages_ready": messages.ready,
        "messages_unacknowledged": messages.unsettled,
    });
    let object_totals = json!({
        "channels": channels,
        "connections": connections.len(),
        "consumers": consumers,
        "exchanges": exchanges,
        "queues": queues,
    });
    (queue_totals, object_totals)
}

fn churn(request: &Request) -> Value {
    let churn = &request.node().churn;
    json!({
        "connection_created": churn.connections_created.load(Relaxed),
        "connection_closed": churn.connections_closed.load(Relaxed),
        "channel_created": churn.channels_created.load(Relaxed),
        "channel_closed": churn.channels_closed.load(Relaxed),
        "queue_declared": churn.queues_declared.load(Relaxed),
        "queue_created": churn.queues_created.load(Relaxed),
        "queue_deleted": churn.queues_deleted.load(Relaxed),
    })
}

fn listeners(request: &Request) -> Value {
    let view = |Listener { protocol, address }| {
        json!({
            "node": request.node().name,
            "protocol": protocol,
            "ip_address": address.ip().to_string(),
            "port": address.port(),
            "socket_opts": {},
        })
    };
    Listener::all(&request.api).map(view).to_vec().into()
}

/// At the control socket nobody has logged in: the name is blank.
fn whoami(request: &Request) -> Value {
    match request.caller.user() {
        Some(user) => json!({ "name": user.as_str(), "tags": request.caller.tags() }),
        None => json!({ "name": "", "tags": ["administrator"] }),
    }
}
