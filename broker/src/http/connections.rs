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
    query::ListQuery,
    rates::{CONNECTION_BYTES, Fields},
    request::Request,
};
use crate::{
    connection::registry::{ConnectionInfo, Facts, Node},
    model::{
        name::Name,
        statistics::{Ranges, SampleKind},
    },
    vhost::queue::ConnectionId,
};

/// What a closed connection is told when the request gives no reason.
const REASON: &str = "Closed via management plugin";

/// `connections`, `connections/{connection}`, `connections/{connection}/channels`, `…/sessions`,
/// `connections/username/{user}`
pub(super) async fn answer(request: &Request, names: &[&str]) -> Answered {
    match (names, &request.method) {
        ([], &Method::GET) => list(request, None).await,
        (["username", user], &Method::GET) => {
            let mut of_user = visible(request, None);
            of_user.retain(|info| is_of(info, user));
            listing(request, of_user).await
        }
        (["username", user], _) => close_all(request, user),
        ([connection], &Method::GET) => {
            let info = visible_one(request, connection)?;
            let ranges = request.wanted_ranges()?;
            Ok(Answer::Object(view(request.node(), &info, ranges.as_ref(), &|_| true)))
        }
        ([connection], &Method::DELETE) => close(request, connection),
        ([connection, "channels"], &Method::GET) => {
            let info = visible_one(request, connection)?;
            channels::listing(request, &[info]).await
        }
        // Only AMQP 1.0 has sessions.
        ([connection, "sessions"], _) => {
            visible_one(request, connection).map(|_| Answer::Listing(Vec::new()))
        }
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// The connections that the caller may see, of all vhosts or of one.
pub(super) async fn list(request: &Request, vhost: Option<&Name>) -> Answered {
    listing(request, visible(request, vhost)).await
}

async fn listing(request: &Request, connections: Vec<Arc<ConnectionInfo>>) -> Answered {
    let query = ListQuery::parse(&request.query)?;
    let ranges = request.wanted_ranges()?;
    let named: Vec<_> = connections.into_iter().map(|info| (info.name(), info)).collect();
    let listing = query.list(
        named,
        |(_, one), (_, other)| one.id.cmp(&other.id),
        |(name, _)| name,
        |(_, info), wants| view(request.node(), info, ranges.as_ref(), wants),
    );
    Ok(Answer::Selected(listing.await?))
}

/// As [`list`].
pub(super) fn visible(request: &Request, vhost: Option<&Name>) -> Vec<Arc<ConnectionInfo>> {
    let sees_all = request.caller.has(Right::Monitoring);
    let mut connections = request.node().connections();
    connections.retain(|info| {
        info.read(|facts| {
            let is_in_vhost = vhost.is_none() || facts.vhost.as_ref() == vhost;
            is_in_vhost && (sees_all || request.caller.is(facts.user.as_ref()))
        })
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
    info.read(|facts| facts.user.as_ref().is_some_and(|own| own.as_str() == user))
}

/// The caller's own connection, or one that its right covers.
fn check_own(request: &Request, info: &ConnectionInfo, right: Right) -> Result<(), HttpError> {
    if request.caller.has(right) || info.read(|facts| request.caller.is(facts.user.as_ref())) {
        return Ok(());
    }
    Err(HttpError::NotAuthorised("User not authorised to access object".into()))
}

/// While an alarm is on, a connection that has not published yet would be blocked if it did.
fn state(node: &Node, state: &'static str) -> &'static str {
    if state == "running" && node.alarms.any() { "blocking" } else { state }
}

/// Without ranges only what it is called, and whose it is.
fn view(node: &Node, info: &ConnectionInfo, ranges: Option<&Ranges>, wants: &dyn Fn(&str) -> bool) -> Value {
    let facts = info.facts();
    let mut fields = Fields::new(wants);
    fields.put("name", || info.name().into());
    fields.put("node", || node.name.as_str().into());
    fields.put("vhost", || facts.vhost.as_deref().into());
    fields.put("user", || facts.user.as_deref().into());
    if let Some(ranges) = ranges {
        put_facts(&mut fields, node, info, &facts);
        put_traffic(&mut fields, info, ranges);
    }
    fields.into_value()
}

fn put_facts(fields: &mut Fields<'_>, node: &Node, info: &ConnectionInfo, facts: &Facts) {
    fields.put("pid", || connection_pid(node, info.id).into());
    fields.put("user_who_performed_action", || facts.user.as_deref().into());
    fields.put("type", || "network".into());
    fields.put("protocol", || "AMQP 0-9-1".into());
    fields.put("auth_mechanism", || facts.auth_mechanism.as_str().into());
    fields.put("state", || state(node, facts.state).into());
    fields.put("host", || info.local.ip().to_string().into());
    fields.put("port", || info.local.port().into());
    fields.put("peer_host", || info.peer.ip().to_string().into());
    fields.put("peer_port", || info.peer.port().into());
    fields.put("ssl", || false.into());
    for name in [
        "ssl_protocol",
        "ssl_key_exchange",
        "ssl_cipher",
        "ssl_hash",
        "peer_cert_subject",
        "peer_cert_issuer",
        "peer_cert_validity",
    ] {
        fields.put(name, || Value::Null);
    }
    fields.put("channels", || facts.channels.len().into());
    fields.put("channel_max", || facts.channel_max.into());
    fields.put("frame_max", || facts.frame_max.into());
    fields.put("timeout", || facts.heartbeat_secs.into());
    let connected_at = info.connected_since_epoch().as_millis();
    fields.put("connected_at", || u64::try_from(connected_at).unwrap_or(u64::MAX).into());
    let client_properties = facts.client_properties();
    fields.put("client_properties", || arguments_to_json(&client_properties));
    if let Some(name) = client_properties.text("connection_name") {
        fields.put("user_provided_name", || name.into());
    }
}

fn put_traffic(fields: &mut Fields<'_>, info: &ConnectionInfo, ranges: &Ranges) {
    let traffic = &info.traffic;
    fields.put_figures(CONNECTION_BYTES, &info.curve(ranges), SampleKind::Data, ranges);
    fields.put("recv_cnt", || traffic.receives.load(Relaxed).into());
    fields.put("send_cnt", || traffic.sends.load(Relaxed).into());
    fields.put("send_pend", || info.outbox.unsent_bytes().into());
}
