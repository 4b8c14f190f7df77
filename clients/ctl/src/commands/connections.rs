//! Connections, their channels and consumers.

use std::time::Duration;

use serde_json::{Value, json};

use super::Outcome;
use crate::api::{Method, Request, path};
use crate::arguments::Switch;
use crate::catalogue::{Command, Group, Scope};
use crate::context::Context;
use crate::exit::{Code, Failure, Stop};
use crate::format::Term;
use crate::listing::{Column, Listing};

const CONNECTIONS: Listing = Listing {
    columns: &[
        Column::atoms("pid"),
        Column::plain("name"),
        Column::plain("port"),
        Column::plain("host"),
        Column::plain("peer_port"),
        Column::plain("peer_host"),
        Column::plain("ssl"),
        Column::atoms("ssl_protocol"),
        Column::atoms("ssl_key_exchange"),
        Column::atoms("ssl_cipher"),
        Column::atoms("ssl_hash"),
        Column::plain("peer_cert_subject"),
        Column::plain("peer_cert_issuer"),
        Column::plain("peer_cert_serial_number"),
        Column::plain("peer_cert_validity"),
        Column::atoms("state"),
        Column::plain("channels"),
        Column { name: "protocol", field: "protocol", term: Term::version },
        Column::plain("auth_mechanism"),
        Column::plain("user"),
        Column::plain("vhost"),
        Column::plain("container_id"),
        Column::plain("timeout"),
        Column::plain("frame_max"),
        Column::plain("channel_max"),
        Column::arguments("client_properties"),
        Column::plain("recv_oct"),
        Column::plain("recv_cnt"),
        Column::plain("send_oct"),
        Column::plain("send_cnt"),
        Column::plain("send_pend"),
        Column::plain("connected_at"),
    ],
    shown: &["user", "peer_host", "peer_port", "state"],
    is_ordered: false,
    is_whole: false,
};

const CHANNELS: Listing = Listing {
    columns: &[
        Column::atoms("pid"),
        Column::atoms("connection").from("connection_details.pid"),
        Column::plain("name"),
        Column::plain("number"),
        Column::plain("user"),
        Column::plain("vhost"),
        Column::plain("transactional"),
        Column::plain("confirm"),
        Column::plain("consumer_count"),
        Column::plain("messages_unacknowledged"),
        Column::plain("messages_uncommitted"),
        Column::plain("acks_uncommitted"),
        Column::plain("messages_unconfirmed"),
        Column::plain("prefetch_count"),
        Column::plain("global_prefetch_count"),
    ],
    shown: &["pid", "user", "consumer_count", "messages_unacknowledged"],
    is_ordered: false,
    is_whole: false,
};

const CONSUMERS: Listing = Listing {
    columns: &[
        Column::plain("queue_name").from("queue.name"),
        Column::atoms("channel_pid").from("channel_details.pid"),
        Column::plain("consumer_tag"),
        Column::plain("ack_required"),
        Column::plain("prefetch_count"),
        Column::plain("active"),
        Column::atoms("activity_status"),
        Column::arguments("arguments"),
    ],
    shown: &[
        "queue_name",
        "channel_pid",
        "consumer_tag",
        "ack_required",
        "prefetch_count",
        "active",
        "arguments",
    ],
    is_ordered: true,
    is_whole: false,
};

const EXPLANATION: (&str, &str) = ("<explanation>", "reason for connection closure");

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::Monitoring,
        "list_connections",
        "list_connections [--no-table-headers] [<column> ...]",
        "Lists AMQP connections for the node",
    )
    .scope(Scope::CtlAndDiagnostics)
    .timeout()
    .lists(&CONNECTIONS)
    .runs(list_connections),
    Command::new(
        Group::Monitoring,
        "list_channels",
        "list_channels [--no-table-headers] [<column> ...]",
        "Lists all channels in the node",
    )
    .scope(Scope::CtlAndDiagnostics)
    .lists(&CHANNELS)
    .runs(list_channels),
    Command::new(
        Group::Monitoring,
        "list_consumers",
        "list_consumers [--vhost <vhost>] [--no-table-headers] [<column> ...]",
        "Lists all consumers for a vhost",
    )
    .scope(Scope::CtlAndDiagnostics)
    .timeout()
    .lists(&CONSUMERS)
    .runs(list_consumers),
    Command::new(
        Group::Operations,
        "close_connection",
        "close_connection <connection pid> <explanation>",
        "Instructs the broker to close the connection associated with the Erlang process id",
    )
    .takes(2, 2)
    .explained(&[
        ("<connection pid>", "connection identifier (pid, or name), see list_connections"),
        EXPLANATION,
    ])
    .runs(close_connection),
    Command::new(
        Group::Operations,
        "close_all_connections",
        "close_all_connections [--vhost <vhost> --limit <limit>] [-n <node> --global] [--per-connection-delay <delay>] \
         <explanation>",
        "Instructs the broker to close all connections for the specified vhost or entire RabbitMQ node",
    )
    .takes(1, 1)
    .switches(&[Switch::flag("global"), Switch::number("limit"), Switch::number("per-connection-delay")])
    .explained(&[
        ("--global", "consider connections across all virtual hosts"),
        ("--limit <number>", "close up to this many connections"),
        ("--per-connection-delay <milliseconds>", "inject a delay between closures"),
        EXPLANATION,
    ])
    .runs(close_all_connections),
    Command::new(
        Group::Operations,
        "close_all_user_connections",
        "close_all_user_connections <username> <explanation>",
        "Instructs the broker to close all connections of the specified user",
    )
    .takes(2, 2)
    .explained(&[("<username>", "Self-explanatory"), EXPLANATION])
    .runs(close_all_user_connections),
];

fn list_connections(context: &mut Context<'_>) -> Outcome {
    context.announce("Listing connections ...")?;
    let connections = context.broker.list("/api/connections")?;
    context.list(&connections)
}

fn list_channels(context: &mut Context<'_>) -> Outcome {
    context.announce("Listing channels ...")?;
    let mut channels = context.broker.list("/api/channels")?;
    if context.shows("connection")? {
        let connections = context.broker.list("/api/connections")?;
        add_pids(&mut channels, "connection_details", &connections);
    }
    context.list(&channels)
}

fn list_consumers(context: &mut Context<'_>) -> Outcome {
    let vhost = context.vhost().to_string();
    context.announce(&format!("Listing consumers in vhost {vhost} ..."))?;
    let mut consumers = context.broker.list_in_vhost("consumers", &vhost)?;
    if context.shows("channel_pid")? {
        let channels = context.broker.list("/api/channels")?;
        add_pids(&mut consumers, "channel_details", &channels);
    }
    context.list(&consumers)
}

fn close_connection(context: &mut Context<'_>) -> Outcome {
    let (wanted, reason) = (context.argument(0).to_string(), context.argument(1).to_string());
    context.announce(&format!("Closing connection {wanted}, reason: {reason}..."))?;
    let connections = context.broker.list("/api/connections")?;
    let is_wanted =
        |connection: &&Value| ["pid", "name"].iter().any(|field| text(connection, field) == Some(&wanted));
    let found = connections.iter().find(is_wanted);
    let name = found.and_then(|connection| text(connection, "name"));
    let not_found = || Failure::new(Code::Unavailable, format!("Connection '{wanted}' was not found"));
    close(context, name.ok_or_else(not_found)?, &reason)?;
    context.done()
}

fn close_all_connections(context: &mut Context<'_>) -> Outcome {
    let (vhost, reason) = (context.vhost().to_string(), context.argument(0).to_string());
    let is_global = context.options.has("global");
    let announced = if is_global {
        format!("Closing all connections to node {}, reason: {reason}...", context.broker.node()?)
    } else {
        format!("Closing all connections in vhost {vhost}, reason: {reason}...")
    };
    context.announce(&announced)?;
    let mut connections = context.broker.list("/api/connections")?;
    connections.retain(|connection| is_global || text(connection, "vhost") == Some(&vhost));
    // RabbitMQ takes 0 for no limit
    if let Some(limit) = context.options.number("limit").filter(|limit| *limit > 0) {
        connections.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let delay = Duration::from_millis(context.options.number("per-connection-delay").unwrap_or(0));
    for name in connections.iter().filter_map(|connection| text(connection, "name")) {
        close(context, name, &reason)?;
        if !delay.is_zero() {
            context.broker.api().pause(delay);
        }
    }
    let result = format!("Closed {} connections", connections.len());
    context.finish(&result, json!({"result": "ok", "message": result}))
}

fn close_all_user_connections(context: &mut Context<'_>) -> Outcome {
    let (user, reason) = (context.argument(0).to_string(), context.argument(1).to_string());
    context.announce(&format!("Closing connections of user {user}, reason: {reason}..."))?;
    let connections = context.broker.list("/api/connections")?;
    let is_theirs = |connection: &&Value| text(connection, "user") == Some(&user);
    for name in connections.iter().filter(is_theirs).filter_map(|connection| text(connection, "name")) {
        close(context, name, &reason)?;
    }
    context.done()
}

/// A connection that has gone meanwhile is closed, too.
fn close(context: &Context<'_>, name: &str, reason: &str) -> Result<(), Stop> {
    let request = Request {
        method: Method::Delete,
        path: path(&["connections", name]),
        body: None,
        reason: Some(reason.to_string()),
    };
    context.broker.send_request(&request)?;
    Ok(())
}

/// Copies the pids of `owners` into the field of `objects` that tells the owner's name.
fn add_pids(objects: &mut [Value], field: &str, owners: &[Value]) {
    for object in objects {
        let Some(details) = object.get_mut(field).and_then(Value::as_object_mut) else { continue };
        let owner = owners.iter().find(|owner| owner.get("name") == details.get("name"));
        if let Some(pid) = owner.and_then(|owner| owner.get("pid")) {
            details.insert("pid".into(), pid.clone());
        }
    }
}

fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str)
}
