//! Channels.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    connections::{self, connection_details},
    consumers::{self, Peers},
    request::{Request, not_allowed},
};
use crate::{
    connection::registry::{ChannelFacts, ConnectionInfo, Node},
    model::name::Name,
    vhost::queue::ConnectionId,
    wire::frame::ChannelNumber,
};

/// `channels`, `channels/{channel}`
pub(super) fn answer(request: &Request, names: &[&str]) -> Answered {
    match (names, &request.method) {
        ([], &Method::GET) => Ok(list(request, None)),
        ([channel], &Method::GET) => show(request, channel),
        ([] | [_], _) => not_allowed("HEAD, GET, OPTIONS"),
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// The channels of the connections that the caller may see, of all vhosts or of one.
pub(super) fn list(request: &Request, vhost: Option<&Name>) -> Answer {
    let visible = connections::visible(request, vhost);
    Answer::Pages(visible.iter().flat_map(|info| views(request.node(), info)).collect())
}

/// The channels of one connection, as listings have them.
pub(super) fn views(node: &Node, info: &ConnectionInfo) -> Vec<Value> {
    let channels = info.facts().channels;
    channels.iter().map(|(number, facts)| view(node, info, *number, facts)).collect()
}

/// As tools call it: `127.0.0.1:51234 -> 127.0.0.1:5672 (1)`.
pub(super) fn channel_name(info: &ConnectionInfo, number: u16) -> String {
    format!("{} ({number})", info.name())
}

/// Its connection's pid with the channel's number in the last place.
pub(super) fn channel_pid(node: &Node, connection: ConnectionId, number: u16) -> String {
    format!("<{}.1.{}.{number}>", node.name, connection.0)
}

fn show(request: &Request, name: &str) -> Answered {
    let node = request.node();
    let (info, number) = find(node, name).ok_or(HttpError::ObjectNotFound)?;
    connections::check_visible(request, &info)?;
    let channel = info.facts().channels.get(&number).cloned().ok_or(HttpError::ObjectNotFound)?;
    let mut object = view(node, &info, number, &channel);
    object["consumer_details"] = consumers_of(request, &info, number).into();
    Ok(Answer::Object(object))
}

fn find(node: &Node, name: &str) -> Option<(Arc<ConnectionInfo>, u16)> {
    let (connection, number) = name.strip_suffix(')')?.rsplit_once(" (")?;
    Some((connections::find(node, connection)?, number.parse().ok()?))
}

fn consumers_of(request: &Request, info: &ConnectionInfo, number: u16) -> Vec<Value> {
    let subscriptions = info.outbox.with_channel(ChannelNumber(number), |deliveries| {
        deliveries.subscriptions().cloned().collect::<Vec<_>>()
    });
    let vhost = info.facts().vhost.and_then(|name| request.broker().vhost(&name));
    let (Some(subscriptions), Some(vhost)) = (subscriptions, vhost) else { return Vec::new() };
    let peers = Peers::of(request.node());
    let view = |subscription| consumers::view(request.node(), &vhost, subscription, &peers);
    subscriptions.iter().filter_map(|subscription| view(subscription)).collect()
}

fn view(node: &Node, info: &ConnectionInfo, number: u16, channel: &ChannelFacts) -> Value {
    let facts = info.facts();
    let counts = info.outbox.with_channel(ChannelNumber(number), |deliveries| {
        let (unsettled_count, held_count) = (deliveries.unsettled_count(), deliveries.held_count());
        (deliveries.consumer_count(), unsettled_count, held_count, deliveries.prefetch().limit())
    });
    let (consumer_count, unsettled_count, held_count, global_prefetch_count) = counts.unwrap_or_default();
    json!({
        "name": channel_name(info, number),
        "number": number,
        "pid": channel_pid(node, info.id, number),
        "node": node.name,
        "vhost": facts.vhost.as_deref(),
        "user": facts.user.as_deref(),
        "user_who_performed_action": facts.user.as_deref(),
        "connection_details": connection_details(info),
        "state": "running",
        "prefetch_count": channel.prefetch_count,
        "global_prefetch_count": global_prefetch_count,
        "consumer_count": consumer_count,
        "confirm": channel.is_confirm,
        "transactional": channel.is_transactional,
        "messages_unacknowledged": unsettled_count,
        "messages_unconfirmed": channel.unconfirmed_count.load(Relaxed),
        "messages_uncommitted": channel.uncommitted_count.load(Relaxed),
        "acks_uncommitted": held_count,
    })
}
