//! Attempts to log in: how many there were, and from where.

use serde_json::Value;

use super::Outcome;
use crate::api::{Method, path};
use crate::arguments::Switch;
use crate::catalogue::{Action, Command, Group, Scope};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::listing::{Column, Listing};

const BY_PROTOCOL: Listing = Listing {
    columns: &[
        Column::atoms("protocol"),
        Column::plain("auth_attempts"),
        Column::plain("auth_attempts_failed"),
        Column::plain("auth_attempts_succeeded"),
    ],
    shown: &["protocol", "auth_attempts", "auth_attempts_failed", "auth_attempts_succeeded"],
    is_ordered: true,
    is_whole: true,
};

const BY_SOURCE: Listing = Listing {
    columns: &[
        Column::plain("remote_address"),
        Column::plain("username"),
        Column::atoms("protocol"),
        Column::plain("auth_attempts"),
        Column::plain("auth_attempts_failed"),
        Column::plain("auth_attempts_succeeded"),
    ],
    shown: &[
        "remote_address",
        "username",
        "protocol",
        "auth_attempts",
        "auth_attempts_failed",
        "auth_attempts_succeeded",
    ],
    is_ordered: true,
    is_whole: true,
};

const SWITCHES: &[Switch] = &[Switch::flag("by-source")];
const EXPLAINED: &[(&str, &str)] =
    &[("--by-source", "list authentication attempts by remote address and username")];

const TRACKING: &str = "the broker does not keep addresses and names of those who log in; its log has them: \
                        'rabbitmq-diagnostics log_tail'";

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    list("list_node_auth_attempts", "list_node_auth_attempts [--by-source]").scope(Scope::Diagnostics),
    // its name in 3.x
    list("list_node_auth_attempt_stats", "list_node_auth_attempt_stats [--by-source]")
        .scope(Scope::CtlAndDiagnostics),
    Command::new(
        Group::Configuration,
        "reset_node_auth_attempt_metrics",
        "reset_node_auth_attempt_metrics",
        "Resets auth attempt metrics on the target node",
    )
    .scope(Scope::Diagnostics)
    .takes(0, 0)
    .runs(reset),
    Command::new(
        Group::Configuration,
        "enable_auth_attempt_source_tracking",
        "enable_auth_attempt_source_tracking",
        "Enables the tracking of peer IP address and username of authentication attempts",
    )
    .scope(Scope::Diagnostics)
    .action(Action::Refused(TRACKING)),
    disable("disable_track_auth_attempt_source"),
    // its name in 3.x
    disable("disable_auth_attempt_source_tracking"),
];

const fn list(name: &'static str, usage: &'static str) -> Command {
    Command::new(Group::Monitoring, name, usage, "Lists authentication attempts on the target node")
        .takes(0, 0)
        .timeout()
        .switches(SWITCHES)
        .explained(EXPLAINED)
        .runs(list_attempts)
}

const fn disable(name: &'static str) -> Command {
    Command::new(
        Group::Configuration,
        name,
        name,
        "Disables the tracking of peer IP address and username of authentication attempts",
    )
    .scope(Scope::Diagnostics)
    .action(Action::Nothing("Addresses and names of those who log in are not kept on this broker"))
}

fn list_attempts(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Listing authentication\n attempts for node \"{node}\" ..."))?;
    let (listing, names) = match context.options.has("by-source") {
        true => (&BY_SOURCE, vec!["auth", "attempts", &node, "source"]),
        false => (&BY_PROTOCOL, vec!["auth", "attempts", &node]),
    };
    let found = context.broker.find(&path(&names))?.ok_or_else(not_counted)?;
    let attempts: &[Value] = found.as_array().map_or(&[], Vec::as_slice);
    let table = listing.table(&listing.select(&[])?, attempts);
    context.table(&table)
}

fn reset(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Resetting auth attempt metrics on node {node} ..."))?;
    context
        .broker
        .send(Method::Delete, &path(&["auth", "attempts", &node]), None)?
        .ok_or_else(not_counted)?;
    context.done()
}

fn not_counted() -> Failure {
    Failure::new(Code::Unavailable, "the broker does not count authentication attempts")
}
