//! Consumers, with the channels they are on.

use std::{collections::HashMap, sync::Arc};

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    HttpError,
    answer::Answer,
    answer::Answered,
    channels::{channel_name, channel_pid},
    json::arguments_to_json,
    request::Request,
};
use crate::{
    connection::registry::{ConnectionInfo, Node},
    vhost::{Vhost, outbox::Outbox, queue::SharedQueue, subscription::Subscription},
};

/// `consumers`, `consumers/{vhost}`
pub(super) async fn answer(request: &Request, names: &[&str]) -> Answered {
    match (names, &request.method) {
        ([], &Method::GET) => list(request, request.vhosts()).await,
        ([vhost], &Method::GET) => list(request, vec![request.vhost(vhost)?]).await,
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// Whose outbox a consumer's deliveries go to, at one moment.
pub(super) struct Peers(HashMap<usize, Arc<ConnectionInfo>>);

impl Peers {
    /// All connections there are now.
    pub(super) fn of(node: &Node) -> Self {
        Self(node.connections().into_iter().map(|info| (address(&info.outbox), info)).collect())
    }

    /// The pid of a consumer's channel.
    pub(super) fn channel_pid(&self, node: &Node, subscription: &Subscription) -> Option<String> {
        Some(channel_pid(node, self.info(subscription)?.id, subscription.channel.0))
    }

    fn info(&self, subscription: &Subscription) -> Option<&Arc<ConnectionInfo>> {
        self.0.get(&address(&subscription.outbox))
    }
}

/// The consumers of a queue, as listings have them.
pub(super) fn views(node: &Node, vhost: &Vhost, queue: &SharedQueue, peers: &Peers) -> Vec<Value> {
    let subscriptions = queue.subscriptions();
    subscriptions.iter().filter_map(|subscription| view(node, vhost, subscription, peers)).collect()
}

/// One consumer; none when its connection has gone meanwhile.
pub(super) fn view(node: &Node, vhost: &Vhost, subscription: &Subscription, peers: &Peers) -> Option<Value> {
    let info = peers.info(subscription)?;
    let number = subscription.channel.0;
    let is_active = subscription.queue.is_active(subscription.id);
    let activity_status = match (subscription.queue.options.rules.is_single_active, is_active) {
        (true, true) => "single_active",
        (true, false) => "waiting",
        (false, _) => "up",
    };
    Some(json!({
        "arguments": arguments_to_json(&subscription.arguments),
        "ack_required": !subscription.is_no_ack,
        "active": is_active,
        "activity_status": activity_status,
        "channel_details": {
            "connection_name": info.name(),
            "name": channel_name(info, number),
            "node": node.name,
            "number": number,
            "peer_host": info.peer.ip().to_string(),
            "peer_port": info.peer.port(),
            "pid": channel_pid(node, info.id, number),
            "user": info.facts().user.as_deref(),
        },
        "consumer_tag": subscription.tag.as_str(),
        "exclusive": subscription.is_exclusive,
        "prefetch_count": subscription.prefetch.limit(),
        "queue": { "name": subscription.queue.name.as_str(), "vhost": vhost.name().as_str() },
    }))
}

async fn list(request: &Request, vhosts: Vec<Arc<Vhost>>) -> Answered {
    let node = Arc::clone(&request.api.node);
    let list = move || {
        let peers = Peers::of(&node);
        let of_vhost = |vhost: &Arc<Vhost>| {
            let queues = vhost.queues();
            queues.iter().flat_map(|queue| views(&node, vhost, queue, &peers)).collect::<Vec<_>>()
        };
        Answer::Listing(vhosts.iter().flat_map(of_vhost).collect())
    };
    request.aside(list).await
}

fn address(outbox: &Arc<Outbox>) -> usize {
    Arc::as_ptr(outbox).addr()
}
