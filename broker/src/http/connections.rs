//! Connections: who monitors sees all of them, others their own.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    auth::Right,
    channels,
    json::arguments_to_json,
    request::{Request, not_allowed},
};
use crate::{
    connection::registry::{ConnectionInfo, Node},
    model::name::Name,
    vhost::queue::ConnectionId,
};

/// What a closed connection is told when the request gives no reason.
const REASON: &str = "Closed via management plugin";

/// `connections`, `connections/{connection}`, `connections/{connection}/channels`, `…/sessions`,
/// `connections/username/{user}`
pub(super) fn answer(request: &Request, names: &[&str]) -> Answered {
    match (names, &request.method) {
        ([], &Method::GET) => Ok(list(request, None)),
        (["username", user], &Method::GET) => {
            let of_user = visible(request, None).into_iter().filter(|info| is_of(info, user));
            Ok(Answer::Pages(of_user.map(|info| view(request.node(), &info)).collect()))
        }
        (["username", user], _) => close_all(request, user),
        ([connection], &Method::GET) => {
            let info = visible_one(request, connection)?;
            Ok(Answer::Object(view(request.node(), &info)))
        }
        ([connection], &Method::DELETE) => close(request, connection),
        ([_], _) => not_allowed("HEAD, GET, DELETE, OPTIONS"),
        ([connection, "channels"], &Method::GET) => {
            let info = visible_one(request, connection)?;
            Ok(Answer::Pages(channels::views(request.node(), &info)))
        }
        // Only AMQP 1.0 has sessions.
        ([connection, "sessions"], _) => {
            visible_one(request, connection).map(|_| Answer::Listing(Vec::new()))
        }
        ([] | [_, "channels"], _) => not_allowed("HEAD, GET, OPTIONS"),
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// The connections that the caller may see, of all vhosts or of one.
pub(super) fn list(request: &Request, vhost: Option<&Name>) -> Answer {
    Answer::Pages(visible(request, vhost).iter().map(|info| view(request.node(), info)).collect())
}

/// As [`list`].
pub(super) fn visible(request: &Request, vhost: Option<&Name>) -> Vec<Arc<ConnectionInfo>> {
    let sees_all = request.caller.has(Right::Monitoring);
    let mut connections = request.node().connections();
    connections.retain(|info| {
        let facts = info.facts();
        let is_in_vhost = vhost.is_none() || facts.vhost.as_ref() == vhost;
        is_in_vhost && (sees_all || request.caller.is(facts.user.as_ref()))
    });
    connections
}

/// The connection that tools call so.
pub(super) fn find(node: &Node, name: &str) -> Option<Arc<ConnectionInfo>> {
    node.connections().into_iter().find(|info| info.name() == name)
}

/// Refuses another user's connection to a caller who does not monitor.
pub(super) fn check_visible(request: &Request, info: &ConnectionInfo) -> Result<(), HttpError> {
    check_own(request, info, Right::Monitoring)
}

/// The connection in the objects of its channels and queues.
pub(super) fn connection_details(info: &ConnectionInfo) -> Value {
    json!({
        "name": info.name(),
        "peer_host": info.peer.ip().to_string(),
        "peer_port": info.peer.port(),
    })
}

/// A name in the form of an Erlang process identifier, which RabbitMQ's tools take and print.
pub(super) fn connection_pid(node: &Node, id: ConnectionId) -> String {
    format!("<{}.1.{}.0>", node.name, id.0)
}

fn visible_one(request: &Request, name: &str) -> Result<Arc<ConnectionInfo>, HttpError> {
    let info = find(request.node(), name).ok_or(HttpError::ObjectNotFound)?;
    check_visible(request, &info)?;
    Ok(info)
}

fn close(request: &Request, name: &str) -> Answered {
    let info = find(request.node(), name).ok_or(HttpError::ObjectNotFound)?;
    check_own(request, &info, Right::Administrator)?;
    info.force_close(&reason(request));
    Ok(Answer::Done)
}

/// Those of one user: the caller's own, or as an administrator.
fn close_all(request: &Request, user: &str) -> Answered {
    if request.caller.user().is_none_or(|own| own.as_str() != user) {
        request.require(Right::Administrator)?;
    }
    let of_user = request.node().connections().into_iter().filter(|info| is_of(info, user));
    of_user.for_each(|info| info.force_close(&reason(request)));
    Ok(Answer::Done)
}

/// What a closed connection is told.
fn reason(request: &Request) -> String {
    let reason = request.headers.get("x-reason").map(|reason| String::from_utf8_lossy(reason.as_bytes()));
    reason.map_or_else(|| REASON.to_owned(), Cow::into_owned)
}

fn is_of(info: &ConnectionInfo, user: &str) -> bool {
    info.facts().user.is_some_and(|own| own.as_str() == user)
}

/// The caller's own connection, or one that its right covers.
fn check_own(request: &Request, info: &ConnectionInfo, right: Right) -> Result<(), HttpError> {
    if request.caller.has(right) || request.caller.is(info.facts().user.as_ref()) {
        return Ok(());
    }
    Err(HttpError::NotAuthorised("User not authorised to access object".into()))
}

/// While an alarm is on, a connection that has not published yet would be blocked if it did.
fn state(node: &Node, state: &'static str) -> &'static str {
    if state == "running" && node.alarms.any() { "blocking" } else { state }
}

fn view(node: &Node, info: &ConnectionInfo) -> Value {
    let (facts, traffic) = (info.facts(), &info.traffic);
    let mut object = json!({
        "name": info.name(),
        "pid": connection_pid(node, info.id),
        "node": node.name,
        "vhost": facts.vhost.as_deref(),
        "user": facts.user.as_deref(),
        "user_who_performed_action": facts.user.as_deref(),
        "type": "network",
        "protocol": "AMQP 0-9-1",
        "auth_mechanism": facts.auth_mechanism,
        "state": state(node, facts.state),
        "host": info.local.ip().to_string(),
        "port": info.local.port(),
        "peer_host": info.peer.ip().to_string(),
        "peer_port": info.peer.port(),
        "ssl": false,
        "ssl_protocol": null,
        "ssl_key_exchange": null,
        "ssl_cipher": null,
        "ssl_hash": null,
        "peer_cert_subject": null,
        "peer_cert_issuer": null,
        "peer_cert_validity": null,
        "channels": facts.channels.len(),
        "channel_max": facts.channel_max,
        "frame_max": facts.frame_max,
        "timeout": facts.heartbeat_secs,
        "connected_at": u64::try_from(info.connected_since_epoch().as_millis()).unwrap_or(u64::MAX),
        "client_properties": arguments_to_json(&facts.client_properties),
        "recv_oct": traffic.received_bytes.load(Relaxed),
        "recv_cnt": traffic.receives.load(Relaxed),
        "send_oct": traffic.sent_bytes.load(Relaxed),
        "send_cnt": traffic.sends.load(Relaxed),
        "send_pend": info.outbox.unsent_bytes(),
    });
    if let Some(name) = facts.client_properties.text("connection_name") {
        object["user_provided_name"] = name.into();
    }
    object
}
