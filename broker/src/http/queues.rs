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
    query::ListQuery,
    rates::{Fields, MessageStats},
    request::{Request, durable, new_name, refused},
};
use crate::{
    connection::exception::Exception,
    model::{
        binding::Destination,
        permission::Operation,
        queue::{QueueOptions, QueueType},
        statistics::Ranges,
        timestamp::Timestamp,
    },
    vhost::{Vhost, declare::DeclareQueueError, queue::SharedQueue, ticket::Ticket},
};

/// `queues`, `queues/detailed`, `queues/{vhost}`, `queues/{vhost}/{queue}`, `…/bindings`, `…/contents`, `…/get`,
/// `…/actions`
pub(super) async fn answer(request: &Request, names: &[&str]) -> Answered {
    match (names, &request.method) {
        ([] | ["detailed"], &Method::GET) => list(request, &request.vhosts()).await,
        ([vhost], &Method::GET) => list(request, &[request.vhost(vhost)?]).await,
        ([vhost, queue], &Method::GET) => show(request, vhost, queue),
        ([vhost, queue], &Method::PUT) => declare(request, vhost, queue).await,
        ([vhost, queue], &Method::DELETE) => delete(request, vhost, queue).await,
        ([vhost, queue, "bindings"], &Method::GET) => list_bindings(request, vhost, queue),
        ([vhost, queue, "contents"], &Method::DELETE) => purge(request, vhost, queue).await,
        ([vhost, queue, "get"], &Method::POST) => messages::get(request, vhost, queue).await,
        ([vhost, queue, "actions"], _) => act(request, vhost, queue),
        _ => Err(HttpError::ObjectNotFound),
    }
}

async fn list(request: &Request, vhosts: &[Arc<Vhost>]) -> Answered {
    let query = ListQuery::parse(&request.query)?;
    let view = View::of(request)?;
    let mut queues = Vec::new();
    for (place, vhost) in vhosts.iter().enumerate() {
        queues.extend(vhost.queue_names().into_iter().map(|name| (place, vhost, name)));
    }
    let listing = query.list(
        queues,
        |(one_vhost, _, one), (vhost, _, other)| one_vhost.cmp(vhost).then_with(|| one.cmp(other)),
        |(.., name)| name,
        |(_, vhost, name), wants| match vhost.queue(name) {
            Some(queue) => view.fields(vhost, &queue, wants).into_value(),
            // It went meanwhile.
            None => json!({ "name": name.as_str(), "vhost": vhost.name().as_str() }),
        },
    );
    Ok(Answer::Selected(listing.await?))
}

fn show(request: &Request, vhost: &str, name: &str) -> Answered {
    let (vhost, queue) = find(request, vhost, name)?;
    let view = View::of(request)?;
    let mut fields = view.fields(&vhost, &queue, &|_| true);
    if !request.is_without_stats() {
        fields
            .put("consumer_details", || consumers::views(request.node(), &vhost, &queue, &view.peers).into());
        // What came from which exchange and went to which channel is not counted.
        fields.put("incoming", || json!([]));
        fields.put("deliveries", || json!([]));
    }
    Ok(Answer::Object(fields.into_value()))
}

async fn declare(request: &Request, vhost: &str, name: &str) -> Answered {
    let vhost = request.vhost_of_new(vhost)?;
    let name = new_name(name)?;
    let fields = request.fields()?;
    let (is_durable, is_auto_delete) = (fields.flag("durable")?, fields.flag("auto_delete")?);
    let is_lasting = is_durable && !is_auto_delete;
    let arguments = vhost.with_default_type(&name, is_lasting, fields.arguments()?);
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

/// A queue that is not there has none. RabbitMQ shows the implied one of it, too.
fn list_bindings(request: &Request, vhost: &str, name: &str) -> Answered {
    let vhost = request.vhost(vhost)?;
    let Some(queue) = vhost.queue(name) else { return Ok(bindings::listing(&vhost, Vec::new())) };
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

/// What is shown of queues.
struct View<'a> {
    request: &'a Request,
    peers: Peers,
    ranges: Ranges,
    has_stats: bool,
    has_totals: bool,
}

impl<'a> View<'a> {
    fn of(request: &'a Request) -> Result<Self, HttpError> {
        let has_stats = !request.is_without_stats();
        Ok(Self {
            request,
            peers: Peers::of(request.node()),
            ranges: request.ranges()?,
            has_stats,
            has_totals: has_stats || request.has_flag("enable_queue_totals"),
        })
    }

    fn fields<'w>(&self, vhost: &Vhost, queue: &SharedQueue, wants: &'w dyn Fn(&str) -> bool) -> Fields<'w> {
        let (node, options) = (self.request.node(), &queue.options);
        let mut fields = Fields::new(wants);
        fields.put("name", || queue.name.as_str().into());
        fields.put("vhost", || vhost.name().as_str().into());
        fields.put("type", || options.queue_type.as_str().into());
        fields.put("durable", || options.is_durable.into());
        fields.put("auto_delete", || options.is_auto_delete.into());
        fields.put("exclusive", || options.is_exclusive.into());
        fields.put("arguments", || arguments_to_json(&options.arguments));
        fields.put("node", || node.name.as_str().into());
        // RabbitMQ's word for a queue of which nothing is asked.
        fields.put("state", || if self.has_totals { "running" } else { "live" }.into());
        if options.queue_type == QueueType::Quorum {
            fields.put("leader", || node.name.as_str().into());
            fields.put("members", || json!([node.name]));
            fields.put("online", || json!([node.name]));
        }
        if self.has_stats {
            self.put_policy(&mut fields, queue);
            self.put_consumers(&mut fields, queue);
            self.put_stats(&mut fields, queue);
        } else if self.has_totals {
            let counts = queue.counts();
            fields.put("messages", || (counts.ready + counts.unsettled).into());
            fields.put("messages_ready", || counts.ready.into());
            fields.put("messages_unacknowledged", || counts.unsettled.into());
        }
        fields
    }

    fn put_policy(&self, fields: &mut Fields<'_>, queue: &SharedQueue) {
        let is_wanted = ["policy", "operator_policy", "effective_policy_definition"];
        if is_wanted.iter().any(|name| fields.wants(name)) {
            let policy = queue.policy();
            let policy = policy.as_deref();
            fields.put("policy", || policy.and_then(|policy| policy.policy.as_deref()).into());
            fields.put("operator_policy", || {
                policy.and_then(|policy| policy.operator_policy.as_deref()).into()
            });
            fields.put("effective_policy_definition", || {
                policy.map_or_else(|| json!({}), |policy| arguments_to_json(&policy.definition))
            });
        }
        if let Some(owner) = queue.owner {
            let node = self.request.node();
            fields.put("owner_pid", || connection_pid(node, owner).into());
            fields.put("owner_pid_details", || {
                node.connection(owner).map(|info| connection_details(&info)).into()
            });
        }
    }

    fn put_consumers(&self, fields: &mut Fields<'_>, queue: &SharedQueue) {
        let is_wanted = ["exclusive_consumer_tag", "exclusive_consumer_pid", "single_active_consumer_tag"];
        if !is_wanted.iter().any(|name| fields.wants(name)) {
            return;
        }
        let (node, has_single) = (self.request.node(), queue.options.rules.is_single_active);
        let subscriptions = queue.subscriptions();
        let exclusive = subscriptions.iter().find(|subscription| subscription.is_exclusive);
        let single =
            || subscriptions.iter().find(|subscription| has_single && queue.is_active(subscription.id));
        fields
            .put("exclusive_consumer_tag", || exclusive.map(|subscription| subscription.tag.as_str()).into());
        fields.put("exclusive_consumer_pid", || {
            exclusive.and_then(|subscription| self.peers.channel_pid(node, subscription)).into()
        });
        fields.put("single_active_consumer_tag", || {
            single().map(|subscription| subscription.tag.as_str()).into()
        });
    }

    fn put_stats(&self, fields: &mut Fields<'_>, queue: &SharedQueue) {
        if !STATS.iter().any(|name| fields.wants(name)) {
            return;
        }
        let (counts, report) = (queue.counts(), queue.report(&self.ranges));
        let (paged, paged_bytes) = report.paged;
        let capacity =
            || if counts.consumers == 0 { 0.into() } else { Value::from(report.consumer_capacity) };
        fields.put_lengths(&report.curve, &self.ranges);
        fields.put_message_stats(MessageStats::Queue, &report.curve, &self.ranges);
        fields.put("messages_ram", || (counts.ready + counts.unsettled).saturating_sub(paged).into());
        fields.put("messages_ready_ram", || counts.ready.saturating_sub(paged).into());
        fields.put("messages_unacknowledged_ram", || counts.unsettled.into());
        fields.put("messages_paged_out", || paged.into());
        let bytes = counts.ready_bytes + counts.unsettled_bytes;
        fields.put("message_bytes", || bytes.into());
        fields.put("message_bytes_ready", || counts.ready_bytes.into());
        fields.put("message_bytes_unacknowledged", || counts.unsettled_bytes.into());
        fields.put("message_bytes_ram", || bytes.saturating_sub(paged_bytes).into());
        fields.put("message_bytes_paged_out", || paged_bytes.into());
        fields.put("head_message_timestamp", || report.head_timestamp.into());
        fields.put("consumers", || counts.consumers.into());
        fields.put("consumer_capacity", capacity);
        fields.put("consumer_utilisation", capacity);
        fields.put("memory", || report.memory.into());
        if let Some(since) = report.idle_since {
            fields.put("idle_since", || Timestamp(since * 1_000).rfc3339().into());
        }
    }
}

/// The fields for which a queue's statistics are looked at.
const STATS: [&str; 22] = [
    "messages",
    "messages_details",
    "messages_ready",
    "messages_ready_details",
    "messages_unacknowledged",
    "messages_unacknowledged_details",
    "message_stats",
    "messages_ram",
    "messages_ready_ram",
    "messages_unacknowledged_ram",
    "messages_paged_out",
    "message_bytes",
    "message_bytes_ready",
    "message_bytes_unacknowledged",
    "message_bytes_ram",
    "message_bytes_paged_out",
    "head_message_timestamp",
    "consumers",
    "consumer_capacity",
    "consumer_utilisation",
    "memory",
    "idle_since",
];
