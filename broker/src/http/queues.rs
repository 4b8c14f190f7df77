//! Queues: what they hold, and declaring, deleting and purging them with the permissions that AMQP asks for.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    auth::Right,
    bindings,
    connections::{connection_details, connection_pid},
    consumers::{self, Peers},
    json::arguments_to_json,
    messages,
    request::{Request, durable, new_name, not_allowed, refused},
};
use crate::{
    connection::exception::Exception,
    model::{
        binding::Destination,
        permission::Operation,
        queue::{QueueOptions, QueueType},
    },
    vhost::{Vhost, declare::DeclareQueueError, queue::SharedQueue, ticket::Ticket},
};

/// `queues`, `queues/detailed`, `queues/{vhost}`, `queues/{vhost}/{queue}`, `…/bindings`, `…/contents`, `…/get`,
/// `…/actions`
pub(super) async fn answer(request: &Request, names: &[&str]) -> Answered {
    match (names, &request.method) {
        ([] | ["detailed"], &Method::GET) => Ok(list(request, &request.vhosts())),
        ([vhost], &Method::GET) => Ok(list(request, &[request.vhost(vhost)?])),
        ([vhost, queue], &Method::GET) => show(request, vhost, queue),
        ([vhost, queue], &Method::PUT) => declare(request, vhost, queue).await,
        ([vhost, queue], &Method::DELETE) => delete(request, vhost, queue).await,
        ([_, _], _) => not_allowed("HEAD, GET, PUT, DELETE, OPTIONS"),
        ([vhost, queue, "bindings"], &Method::GET) => list_bindings(request, vhost, queue),
        ([vhost, queue, "contents"], &Method::DELETE) => purge(request, vhost, queue).await,
        ([_, _, "contents"], _) => not_allowed("DELETE, OPTIONS"),
        ([vhost, queue, "get"], &Method::POST) => messages::get(request, vhost, queue).await,
        ([_, _, "get"], _) => not_allowed("POST, OPTIONS"),
        ([vhost, queue, "actions"], _) => act(request, vhost, queue),
        ([] | [_] | [_, _, "bindings"], _) => not_allowed("HEAD, GET, OPTIONS"),
        _ => Err(HttpError::ObjectNotFound),
    }
}

fn list(request: &Request, vhosts: &[Arc<Vhost>]) -> Answer {
    let peers = Peers::of(request.node());
    let of_vhost = |vhost: &Arc<Vhost>| {
        let queues = vhost.queues();
        queues.iter().map(|queue| view(request, vhost, queue, &peers)).collect::<Vec<_>>()
    };
    Answer::Pages(vhosts.iter().flat_map(of_vhost).collect())
}

fn show(request: &Request, vhost: &str, name: &str) -> Answered {
    let (vhost, queue) = find(request, vhost, name)?;
    let peers = Peers::of(request.node());
    let mut object = view(request, &vhost, &queue, &peers);
    object["consumer_details"] = consumers::views(request.node(), &vhost, &queue, &peers).into();
    Ok(Answer::Object(object))
}

async fn declare(request: &Request, vhost: &str, name: &str) -> Answered {
    let vhost = request.vhost_of_new(vhost)?;
    let name = new_name(name)?;
    let fields = request.fields()?;
    let (is_durable, is_auto_delete) = (fields.flag("durable")?, fields.flag("auto_delete")?);
    let arguments = fields.arguments()?;
    let is_there = vhost.queue(&name).is_some();
    let dead_letter_exchange = arguments.text("x-dead-letter-exchange").filter(|_| !is_there);
    request.authorize(&vhost, &Operation::DeclareQueue { queue: &name, dead_letter_exchange })?;
    if vhost.queue(&name).is_none() && !name.is_reserved() {
        request.node().check_queue_room(&vhost).map_err(|error| not_used(&error, &name, &vhost))?;
    }
    let options = QueueOptions::parse(&name, is_durable, false, is_auto_delete, arguments);
    let options =
        options.map_err(|error| refused(&Exception::of_queue_options(&error, &name, vhost.name())))?;
    // A number that no connection has: an exclusive queue is never this caller's.
    let nobody = request.broker().next_connection_id();
    let declared = vhost.declare_queue(name.clone(), options, nobody);
    let declared = declared.map_err(|error| not_used(&error, &name, &vhost))?;
    request.node().churn.count_declared(declared.is_new);
    durable(declared.ticket).await?;
    Ok(Answer::put(declared.is_new))
}

async fn delete(request: &Request, vhost: &str, name: &str) -> Answered {
    let (vhost, queue) = find(request, vhost, name)?;
    request.authorize(&vhost, &Operation::DeleteQueue { queue: &queue.name })?;
    let (if_unused, if_empty) = (request.has_flag("if-unused"), request.has_flag("if-empty"));
    let nobody = request.broker().next_connection_id();
    let deleted = vhost.delete_queue(&queue.name, Some(nobody), if_unused, if_empty);
    let (_, ticket) =
        deleted.map_err(|error| refused(&Exception::of_queue_delete(error, &queue.name, vhost.name())))?;
    request.node().churn.queues_deleted.fetch_add(1, Relaxed);
    durable(ticket).await?;
    Ok(Answer::Done)
}

async fn purge(request: &Request, vhost: &str, name: &str) -> Answered {
    let (vhost, queue) = find(request, vhost, name)?;
    request.authorize(&vhost, &Operation::PurgeQueue { queue: &queue.name })?;
    let nobody = request.broker().next_connection_id();
    let queue =
        vhost.queue_for(&queue.name, nobody).map_err(|error| not_used(&error, &queue.name, &vhost))?;
    let (_, lsn) = queue.purge();
    durable(lsn.and_then(|lsn| Ticket::synced(&**vhost.log(), lsn))).await?;
    Ok(Answer::Done)
}

/// What RabbitMQ does with the mirrors of a queue: there are none, so it is done.
fn act(request: &Request, vhost: &str, name: &str) -> Answered {
    request.require(Right::Administrator)?;
    let _ = find(request, vhost, name)?;
    let fields = request.fields()?;
    fields.require(&["action"])?;
    match fields.value("action").unwrap_or(&Value::Null) {
        Value::String(action) if matches!(action.as_str(), "sync" | "cancel_sync") => Ok(Answer::Done),
        other => Err(HttpError::bad_value("unknown", other)),
    }
}

fn list_bindings(request: &Request, vhost: &str, name: &str) -> Answered {
    let (vhost, queue) = find(request, vhost, name)?;
    let mut of_queue = vec![bindings::implied(&queue.name)];
    of_queue.extend(vhost.bindings_of_destination(&Destination::Queue(queue.name.clone())));
    Ok(bindings::listing(&vhost, of_queue))
}

fn find(request: &Request, vhost: &str, name: &str) -> Result<(Arc<Vhost>, Arc<SharedQueue>), HttpError> {
    let vhost = request.vhost(vhost)?;
    let queue = vhost.queue(name).ok_or(HttpError::ObjectNotFound)?;
    Ok((vhost, queue))
}

fn not_used(error: &DeclareQueueError, queue: &str, vhost: &Vhost) -> HttpError {
    match error {
        DeclareQueueError::Store(error) => HttpError::Internal(error.to_string()),
        other => refused(&Exception::of_queue(other, queue, vhost.name())),
    }
}

fn view(request: &Request, vhost: &Vhost, queue: &SharedQueue, peers: &Peers) -> Value {
    let node = request.node();
    let (counts, options) = (queue.counts(), &queue.options);
    let subscriptions = queue.subscriptions();
    let exclusive = subscriptions.iter().find(|subscription| subscription.is_exclusive);
    let has_single = options.rules.is_single_active;
    let single = subscriptions.iter().find(|subscription| has_single && queue.is_active(subscription.id));
    let policy = queue.policy();
    let policy = policy.as_deref();
    let exclusive_pid = exclusive.and_then(|subscription| peers.channel_pid(node, subscription));
    let mut object = json!({
        "name": queue.name.as_str(),
        "vhost": vhost.name().as_str(),
        "type": options.queue_type.as_str(),
        "durable": options.is_durable,
        "auto_delete": options.is_auto_delete,
        "exclusive": options.is_exclusive,
        "arguments": arguments_to_json(&options.arguments),
        "node": node.name,
        "state": "running",
        "policy": policy.and_then(|policy| policy.policy.as_deref()),
        "operator_policy": policy.and_then(|policy| policy.operator_policy.as_deref()),
        "effective_policy_definition":
            policy.map_or_else(|| json!({}), |policy| arguments_to_json(&policy.definition)),
        "exclusive_consumer_tag": exclusive.map(|subscription| subscription.tag.as_str()),
        "exclusive_consumer_pid": exclusive_pid,
        "single_active_consumer_tag": single.map(|subscription| subscription.tag.as_str()),
        "messages": counts.ready + counts.unsettled,
        "messages_ready": counts.ready,
        "messages_unacknowledged": counts.unsettled,
        "message_bytes": counts.ready_bytes + counts.unsettled_bytes,
        "message_bytes_ready": counts.ready_bytes,
        "message_bytes_unacknowledged": counts.unsettled_bytes,
        "consumers": counts.consumers,
    });
    if options.queue_type == QueueType::Quorum {
        object["leader"] = node.name.as_str().into();
        object["members"] = json!([node.name]);
        object["online"] = json!([node.name]);
    }
    if let Some(owner) = queue.owner {
        object["owner_pid"] = connection_pid(node, owner).into();
        object["owner_pid_details"] = node.connection(owner).map(|info| connection_details(&info)).into();
    }
    object
}
