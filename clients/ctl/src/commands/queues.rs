//! Queues.

use serde_json::Value;

use super::Outcome;
use crate::api::{Method, Request, path, refusal};
use crate::arguments::Switch;
use crate::catalogue::{Command, Group, Scope};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::format::Term;
use crate::listing::{Column, Listing};

const LISTING: Listing = Listing {
    columns: &[
        Column::plain("name"),
        Column::plain("durable"),
        Column::plain("auto_delete"),
        Column::arguments("arguments"),
        Column::plain("policy"),
        Column::plain("operator_policy"),
        Column {
            name: "effective_policy_definition",
            field: "effective_policy_definition",
            term: Term::definition,
        },
        Column::atoms("pid"),
        Column::atoms("owner_pid"),
        Column::plain("exclusive"),
        Column::atoms("exclusive_consumer_pid"),
        Column::plain("exclusive_consumer_tag"),
        Column::plain("messages_ready"),
        Column::plain("messages_unacknowledged"),
        Column::plain("messages"),
        Column::plain("messages_ready_ram"),
        Column::plain("messages_unacknowledged_ram"),
        Column::plain("messages_ram"),
        Column::plain("messages_persistent"),
        Column::plain("message_bytes"),
        Column::plain("message_bytes_ready"),
        Column::plain("message_bytes_unacknowledged"),
        Column::plain("message_bytes_ram"),
        Column::plain("message_bytes_persistent"),
        Column::plain("head_message_timestamp"),
        Column::plain("disk_reads"),
        Column::plain("disk_writes"),
        Column::plain("consumers"),
        Column::plain("consumer_utilisation"),
        Column::plain("consumer_capacity"),
        Column::plain("memory"),
        Column::plain("slave_pids"),
        Column::plain("synchronised_slave_pids"),
        Column::plain("mirror_pids"),
        Column::plain("synchronised_mirror_pids"),
        Column::atoms("state"),
        Column::atoms("type"),
        Column::atoms("leader"),
        Column::atoms("members"),
        Column::atoms("online"),
    ],
    shown: &["name", "messages"],
    is_ordered: false,
    is_whole: false,
};

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::Monitoring,
        "list_queues",
        "list_queues [--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] [<column>, ...]",
        "Lists queues and their properties",
    )
    .scope(Scope::CtlAndDiagnostics)
    .timeout()
    .lists(&LISTING)
    .switches(&[Switch::flag("online"), Switch::flag("offline"), Switch::flag("local")])
    .explained(&[
        ("--online", "lists only queues on online (reachable) nodes"),
        ("--offline", "lists only queues on offline (unreachable) nodes"),
        ("--local", "only return queues hosted on the target node"),
    ])
    .runs(list_queues),
    Command::new(
        Group::Queues,
        "purge_queue",
        "purge_queue <queue>",
        "Purges a queue (removes all messages in it)",
    )
    .takes(1, 1)
    .timeout()
    .explained(&[("<queue>", "Name of the queue to purge")])
    .runs(purge_queue),
    Command::new(
        Group::Queues,
        "delete_queue",
        "delete_queue [--vhost <vhost>] <queue_name> [--if-empty|-e] [--if-unused|-u] [--force]",
        "Deletes a queue",
    )
    .takes(1, 1)
    .timeout()
    .switches(&[Switch::flag("if-empty").or('e'), Switch::flag("if-unused").or('u'), Switch::flag("force")])
    .explained(&[
        ("<queue_name>", "name of the queue to delete"),
        ("--if-empty", "delete the queue if it is empty (has no messages ready for delivery)"),
        ("--if-unused", "delete the queue only if it has no consumers"),
        ("--force", "accepted for compatibility"),
    ])
    .runs(delete_queue),
];

fn list_queues(context: &mut Context<'_>) -> Outcome {
    let vhost = context.vhost().to_string();
    let timeout_secs = crate::timeout(context.options).as_secs_f64();
    context
        .announce(&format!("Timeout: {timeout_secs:.1} seconds ...\nListing queues for vhost {vhost} ..."))?;
    // the queues of this node are all online
    let is_none = context.options.has("offline") && !context.options.has("online");
    let queues = if is_none { Vec::new() } else { context.broker.list_in_vhost("queues", &vhost)? };
    context.list(&queues)
}

fn purge_queue(context: &mut Context<'_>) -> Outcome {
    let (queue, vhost) = (context.argument(0).to_string(), context.vhost().to_string());
    context.announce(&format!("Purging queue '{queue}' in vhost '{vhost}' ..."))?;
    let purged = context.broker.send(Method::Delete, &path(&["queues", &vhost, &queue, "contents"]), None)?;
    purged.ok_or_else(|| Failure::new(Code::Unavailable, "not_found"))?;
    context.done()
}

fn delete_queue(context: &mut Context<'_>) -> Outcome {
    let (queue, vhost) = (context.argument(0).to_string(), context.vhost().to_string());
    let conditions = [("if-empty", "if queue is empty "), ("if-unused", "if queue is unused ")];
    let given: Vec<_> = conditions.into_iter().filter(|(name, _)| context.options.has(name)).collect();
    let words: Vec<_> = given.iter().map(|(_, words)| *words).collect();
    context.announce(&format!("Deleting queue '{queue}' on vhost '{vhost}' {}...", words.join("and ")))?;
    let path = path(&["queues", &vhost, &queue]);
    let before = context.broker.find(&path)?.ok_or_else(not_there)?;
    let query: Vec<_> = given.iter().map(|(name, _)| format!("{name}=true")).collect();
    let path = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
    let response =
        context.broker.call(&Request { method: Method::Delete, path, body: None, reason: None })?;
    match response.status {
        200..=299 => {
            let ready = before.get("messages_ready").or(before.get("messages")).and_then(Value::as_u64);
            let text = format!("Queue was successfully deleted with {} ready messages", ready.unwrap_or(0));
            context.finish(&text, serde_json::json!({"message": text}))
        }
        404 => Err(not_there().into()),
        _ => Err(not_deleted(&refusal(&response)).into()),
    }
}

fn not_there() -> Failure {
    Failure::new(Code::Usage, "No such queue was found")
}

/// The API says in words which condition does not hold.
fn not_deleted(reason: &str) -> Failure {
    let lower = reason.to_lowercase();
    let known = [
        ("not empty", "The queue is not empty"),
        ("in use", "The queue is in use"),
        ("locked", "The queue is locked or protected from deletion"),
    ];
    match known.iter().find(|(sign, _)| lower.contains(sign)) {
        Some((_, text)) => Failure::new(Code::Usage, *text),
        None => Failure::new(Code::Unavailable, reason),
    }
}
