//! Channels.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    connections::{self, connection_details},
    consumers::{self, Peers},
    query::ListQuery,
    rates::{Fields, MessageStats},
    request::Request,
};
use crate::{
    connection::registry::{ChannelFacts, ConnectionInfo, Node},
    model::{
        name::Name,
        statistics::{Curve, Ranges},
        timestamp::Timestamp,
    },
    vhost::{queue::ConnectionId, statistics::IDLE_AFTER},
    wire::frame::ChannelNumber,
};

/// A channel in a listing.
struct Channel {
    name: String,
    owner: Arc<Owner>,
    number: u16,
    facts: ChannelFacts,
}

/// Its connection.
struct Owner {
    name: String,
    info: Arc<ConnectionInfo>,
    vhost: Option<Name>,
    user: Option<Name>,
}

/// `channels`, `channels/{channel}`
pub(super) async fn answer(request: &Request, names: &[&str]) -> Answered {
    match (names, &request.method) {
        ([], &Method::GET) => list(request, None).await,
        ([channel], &Method::GET) => show(request, channel),
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// The channels of the connections that the caller may see, of all vhosts or of one.
pub(super) async fn list(request: &Request, vhost: Option<&Name>) -> Answered {
    listing(request, &connections::visible(request, vhost)).await
}

/// The channels of these connections.
pub(super) async fn listing(request: &Request, connections: &[Arc<ConnectionInfo>]) -> Answered {
    let query = ListQuery::parse(&request.query)?;
    let ranges = required_ranges(request)?;
    let mut channels = Vec::new();
    for info in connections {
        let owner = Arc::new(Owner::of(info));
        let of_connection = info.read(|facts| facts.channels.clone());
        channels.extend(of_connection.into_iter().map(|facts| Channel {
            name: format!("{} ({})", owner.name, facts.number),
            owner: Arc::clone(&owner),
            number: facts.number,
            facts,
        }));
    }
    let view = |channel: &Channel, wants: &dyn Fn(&str) -> bool| {
        view(request.node(), channel, &ranges, wants).into_value()
    };
    let order = |one: &Channel, other: &Channel| {
        (one.owner.info.id, one.number).cmp(&(other.owner.info.id, other.number))
    };
    Ok(Answer::Selected(query.list(channels, order, |channel| &channel.name, view).await?))
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
    let ranges = required_ranges(request)?;
    let facts = info.read(|facts| facts.channel(number).cloned()).ok_or(HttpError::ObjectNotFound)?;
    let owner = Arc::new(Owner::of(&info));
    let channel = Channel { name: channel_name(&info, number), owner, number, facts };
    let mut fields = view(node, &channel, &ranges, &|_| true);
    fields.put("consumer_details", || consumers_of(request, &info, number).into());
    // What goes to which exchange and comes from which queue is not counted.
    fields.put("publishes", || json!([]));
    fields.put("deliveries", || json!([]));
    Ok(Answer::Object(fields.into_value()))
}

/// A channel without its statistics would be nothing.
fn required_ranges(request: &Request) -> Result<Ranges, HttpError> {
    match request.is_without_stats() {
        true => Err(HttpError::bad_request("Stats in management UI are disabled on this node")),
        false => request.ranges(),
    }
}

fn find(node: &Node, name: &str) -> Option<(Arc<ConnectionInfo>, u16)> {
    let (connection, number) = name.strip_suffix(')')?.rsplit_once(" (")?;
    Some((connections::find(node, connection)?, number.parse().ok()?))
}

fn consumers_of(request: &Request, info: &ConnectionInfo, number: u16) -> Vec<Value> {
    let subscriptions = info.outbox.with_channel(ChannelNumber(number), |deliveries| {
        deliveries.subscriptions().cloned().collect::<Vec<_>>()
    });
    let vhost = info.read(|facts| facts.vhost.clone()).and_then(|name| request.broker().vhost(&name));
    let (Some(subscriptions), Some(vhost)) = (subscriptions, vhost) else { return Vec::new() };
    let peers = Peers::of(request.node());
    let view = |subscription| consumers::view(request.node(), &vhost, subscription, &peers);
    subscriptions.iter().filter_map(|subscription| view(subscription)).collect()
}

impl Owner {
    fn of(info: &Arc<ConnectionInfo>) -> Self {
        let (vhost, user) = info.read(|facts| (facts.vhost.clone(), facts.user.clone()));
        Self { name: info.name(), info: Arc::clone(info), vhost, user }
    }
}

fn view<'w>(node: &Node, channel: &Channel, ranges: &Ranges, wants: &'w dyn Fn(&str) -> bool) -> Fields<'w> {
    let Channel { name, owner, number, facts } = channel;
    let Owner { info, vhost, user, .. } = &**owner;
    let looked = info.outbox.with_channel(ChannelNumber(*number), |deliveries| {
        let statistics = deliveries.statistics();
        let counts = (deliveries.consumer_count(), deliveries.unsettled_count(), deliveries.held_count());
        (counts, deliveries.prefetch().limit(), statistics.curve(ranges), statistics.changed_at())
    });
    let mut fields = Fields::new(wants);
    fields.put("name", || name.as_str().into());
    fields.put("number", || (*number).into());
    fields.put("pid", || channel_pid(node, info.id, *number).into());
    fields.put("node", || node.name.as_str().into());
    fields.put("vhost", || vhost.as_deref().into());
    fields.put("user", || user.as_deref().into());
    fields.put("user_who_performed_action", || user.as_deref().into());
    fields.put("connection_details", || connection_details(info));
    fields.put("state", || "running".into());
    fields.put("prefetch_count", || facts.prefetch_count.into());
    let ((consumer_count, unsettled_count, held_count), global_prefetch_count, curve, changed_at) =
        looked.unwrap_or_else(|| ((0, 0, 0), 0, Curve::zero(ranges), None));
    fields.put("global_prefetch_count", || global_prefetch_count.into());
    fields.put("consumer_count", || consumer_count.into());
    fields.put("confirm", || facts.is_confirm.into());
    fields.put("transactional", || facts.is_transactional.into());
    fields.put("messages_unacknowledged", || unsettled_count.into());
    fields.put("messages_unconfirmed", || facts.published.unconfirmed.load(Relaxed).into());
    fields.put("messages_uncommitted", || facts.published.uncommitted.load(Relaxed).into());
    fields.put("acks_uncommitted", || held_count.into());
    fields.put_message_stats(MessageStats::Channels, &curve, ranges);
    let changed_at = changed_at.unwrap_or(info.connected_since_epoch().as_secs());
    if changed_at + IDLE_AFTER <= ranges.now {
        fields.put("idle_since", || Timestamp(changed_at * 1_000).rfc3339().into());
    }
    fields
}
