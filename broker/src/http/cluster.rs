//! What concerns clusters and upgrades: one node, all of whose features are on, has little to say.

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    auth::Right,
    request::Request,
};

/// RabbitMQ's feature flags that clients ask for: what they stand for is built in.
const FEATURE_FLAGS: [(&str, &str); 13] = [
    ("classic_mirrored_queue_version", "Support setting version for classic mirrored queues"),
    ("drop_unroutable_metric", "Count unroutable publishes to be dropped in stats"),
    ("empty_basic_get_metric", "Count AMQP `basic.get` on empty queues in stats"),
    (
        "implicit_default_bindings",
        "Default bindings are now implicit, instead of being stored in the database",
    ),
    ("maintenance_mode_status", "Maintenance mode status"),
    ("quorum_queue", "Support queues of type `quorum`"),
    ("user_limits", "Configure connection and channel limits for a user"),
    ("virtual_host_metadata", "Virtual host metadata (description, tags, etc)"),
    ("direct_exchange_routing_v2", "v2 direct exchange routing implementation"),
    ("detailed_queues_endpoint", "Add a detailed queues HTTP API endpoint"),
    // Those of the versions whose API this is.
    ("rabbitmq_4.0.0", "Allows rolling upgrades from 3.13.x to 4.0.x"),
    ("rabbitmq_4.1.0", "Allows rolling upgrades to 4.1.x"),
    ("rabbitmq_4.2.0", "Allows rolling upgrades to 4.2.x"),
];

/// `feature-flags`, `feature-flags/{name}/enable`. All are on.
pub(super) fn answer_feature_flags(request: &Request, names: &[&str]) -> Answered {
    request.require(Right::Administrator)?;
    match names {
        [] => Ok(Answer::Listing(FEATURE_FLAGS.map(feature_flag).to_vec())),
        ["all", "enable"] => Ok(Answer::Done),
        [name, "enable"] if FEATURE_FLAGS.iter().any(|(known, _)| known == name) => Ok(Answer::Done),
        [_, "enable"] => Err(HttpError::bad_request("unsupported")),
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// `deprecated-features`, `deprecated-features/used`: nothing is.
pub(super) fn answer_deprecated_features(request: &Request) -> Answered {
    request.require(Right::Administrator)?;
    Ok(Answer::Listing(Vec::new()))
}

/// `rebalance/queues`: all are here.
pub(super) fn rebalance(request: &Request) -> Answered {
    request.require(Right::Administrator)?;
    Ok(Answer::Done)
}

/// `reset`, `reset/{node}`: there is no database of statistics to begin anew.
pub(super) fn reset(request: &Request, names: &[&str]) -> Answered {
    request.require(Right::Administrator)?;
    names.iter().try_for_each(|node| find_node(request, node))?;
    Ok(Answer::Done)
}

/// `queues/quorum/{vhost}/{queue}/status`, and changes of replicas, for which there are no other nodes.
pub(super) fn answer_quorum(request: &Request, names: &[&str]) -> Answered {
    match (names, &request.method) {
        ([vhost, queue, "status"], &Method::GET) => {
            let vhost = request.vhost(vhost)?;
            vhost.queue(queue).ok_or(HttpError::ObjectNotFound)?;
            Ok(Answer::Listing(vec![replica(request)]))
        }
        ([vhost, queue, "replicas", ..], _) => {
            request.require(Right::Administrator)?;
            request.vhost(vhost)?.queue(queue).ok_or(HttpError::ObjectNotFound)?;
            no_other_node()
        }
        (["replicas", "on", node, _], _) => {
            request.require(Right::Administrator)?;
            find_node(request, node)?;
            no_other_node()
        }
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// Refuses what is not this node's name.
pub(super) fn find_node(request: &Request, name: &str) -> Result<(), HttpError> {
    if name == request.node().name { Ok(()) } else { Err(HttpError::ObjectNotFound) }
}

fn no_other_node() -> Answered {
    Err(HttpError::bad_request("there is one node: every queue has its one replica here"))
}

fn feature_flag((name, description): (&str, &str)) -> Value {
    json!({
        "name": name,
        "desc": description,
        "doc_url": "",
        "state": "enabled",
        "stability": "stable",
        "provided_by": "rabbit",
    })
}

/// The one replica, which leads: in the words of RabbitMQ's `quorum_status`.
fn replica(request: &Request) -> Value {
    json!({
        "Node Name": request.node().name,
        "Raft State": "leader",
        "Membership": "voter",
    })
}
