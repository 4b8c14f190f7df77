//! Policies and operator policies.

use serde_json::{Value, json};

use super::Outcome;
use crate::api::{Method, Request, path, refusal};
use crate::arguments::Switch;
use crate::catalogue::{Command, Group, Scope};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::format::html_as_text;
use crate::listing::{Column, Listing};

/// Which policies.
#[derive(Clone, Copy)]
enum Kind {
    User,
    Operator,
}

/// What is told of a policy, of either kind.
pub(super) const LISTING: Listing = Listing {
    columns: &[
        Column::plain("vhost"),
        Column::plain("name"),
        Column::plain("pattern"),
        Column::plain("apply-to"),
        Column::plain("definition"),
        Column::plain("priority"),
    ],
    shown: &["vhost", "name", "pattern", "apply-to", "definition", "priority"],
    is_ordered: true,
    is_whole: true,
};

const SWITCHES: &[Switch] = &[Switch::integer("priority"), Switch::word("apply-to")];

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::Policies,
        "set_policy",
        "set_policy [--vhost <vhost>] [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> <definition>",
        "Sets or updates a policy",
    )
    .takes(3, 3)
    .switches(SWITCHES)
    .explained(&[
        ("<name>", "policy name (identifier)"),
        ("<pattern>", "regular expression pattern that will be used to match queue, exchanges, etc"),
        ("<definition>", "policy definition (arguments). Must be a valid JSON document"),
        ("--priority <priority>", "policy priority"),
        (
            "--apply-to <queues | classic_queues | quorum_queues | streams | exchanges | all>",
            "policy should only apply to the specified types of queues, streams or exchanges",
        ),
    ])
    .runs(|context| set(context, Kind::User)),
    Command::new(
        Group::Policies,
        "clear_policy",
        "clear_policy [--vhost <vhost>] <name>",
        "Clears (removes) a policy",
    )
    .takes(1, 1)
    .explained(&[("<name>", "Name of policy to clear (remove)")])
    .runs(|context| clear(context, Kind::User)),
    Command::new(
        Group::Policies,
        "list_policies",
        "list_policies [--vhost <vhost>] [--no-table-headers]",
        "Lists all policies in a virtual host",
    )
    .scope(Scope::CtlAndDiagnostics)
    .takes(0, 0)
    .timeout()
    .lists(&LISTING)
    .runs(|context| list(context, Kind::User)),
    Command::new(
        Group::Policies,
        "set_operator_policy",
        "set_operator_policy [--vhost <vhost>] [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> <definition>",
        "Sets an operator policy that overrides a subset of arguments in user policies",
    )
    .takes(3, 3)
    .switches(SWITCHES)
    .explained(&[
        ("<name>", "policy name (identifier)"),
        ("<pattern>", "a regular expression pattern that will be used to match queue, exchanges, etc"),
        ("<definition>", "policy definition (arguments). Must be a valid JSON document"),
        ("--priority <priority>", "policy priority"),
        (
            "--apply-to <queues | classic_queues | quorum_queues | streams | exchanges | all>",
            "policy should only apply to the specified types of queues, streams or exchanges",
        ),
    ])
    .runs(|context| set(context, Kind::Operator)),
    Command::new(
        Group::Policies,
        "clear_operator_policy",
        "clear_operator_policy [--vhost <vhost>] <name>",
        "Clears an operator policy",
    )
    .takes(1, 1)
    .explained(&[("<name>", "name of the policy to clear (remove)")])
    .runs(|context| clear(context, Kind::Operator)),
    Command::new(
        Group::Policies,
        "list_operator_policies",
        "list_operator_policies [--vhost <vhost>] [--no-table-headers]",
        "Lists operator policy overrides for a virtual host",
    )
    .scope(Scope::CtlAndDiagnostics)
    .takes(0, 0)
    .timeout()
    .lists(&LISTING)
    .runs(|context| list(context, Kind::Operator)),
];

fn set(context: &mut Context<'_>, kind: Kind) -> Outcome {
    let (name, vhost) = (context.argument(0).to_string(), context.vhost().to_string());
    let (pattern, definition) = (context.argument(1).to_string(), context.argument(2).to_string());
    let priority = context.options.integer("priority").unwrap_or(0);
    let what = match kind {
        Kind::User => "policy",
        Kind::Operator => "operator policy override",
    };
    context.announce(&format!(
        "Setting {what} \"{name}\" for pattern \"{pattern}\" to \"{definition}\" with priority \"{priority}\" \
         for vhost \"{vhost}\" ..."
    ))?;
    let definition: Value = serde_json::from_str(&definition)
        .map_err(|error| Failure::new(Code::Software, format!("JSON decoding error. Reason: {error}")))?;
    let body = json!({
        "pattern": pattern,
        "definition": definition,
        "priority": priority,
        "apply-to": context.options.word("apply-to").unwrap_or("all"),
    });
    let path = path(&[route(kind), &vhost, &name]);
    let request = Request { method: Method::Put, path, body: Some(body), reason: None };
    let response = context.broker.call(&request)?;
    match response.status {
        200..=299 => context.done(),
        404 => Err(Failure::no_such_vhost(&vhost).into()),
        400 => Err(Failure::new(Code::Software, html_as_text(&refusal(&response))).into()),
        _ => Err(Failure::new(Code::Unavailable, refusal(&response)).into()),
    }
}

fn clear(context: &mut Context<'_>, kind: Kind) -> Outcome {
    let (name, vhost) = (context.argument(0).to_string(), context.vhost().to_string());
    let what = match kind {
        Kind::User => "policy",
        Kind::Operator => "operator policy",
    };
    context.announce(&format!("Clearing {what} \"{name}\" on vhost \"{vhost}\" ..."))?;
    let cleared = context.broker.send(Method::Delete, &path(&[route(kind), &vhost, &name]), None)?;
    cleared.ok_or_else(|| Failure::new(Code::Software, "Parameter does not exist"))?;
    context.done()
}

fn list(context: &mut Context<'_>, kind: Kind) -> Outcome {
    let vhost = context.vhost().to_string();
    let what = match kind {
        Kind::User => "policies",
        Kind::Operator => "operator policy overrides",
    };
    context.announce(&format!("Listing {what} for vhost \"{vhost}\" ..."))?;
    let found = context.broker.find(&path(&[route(kind), &vhost]))?;
    let found = found.ok_or_else(|| Failure::no_such_vhost(&vhost))?;
    let mut policies = found.as_array().cloned().unwrap_or_default();
    policies.sort_by_key(|policy| policy.get("priority").and_then(Value::as_i64));
    for policy in &mut policies {
        // shown as the JSON document that it was set with, in JSON, too
        let definition = policy.get("definition").map(Value::to_string);
        policy["definition"] = definition.into();
    }
    context.list(&policies)
}

fn route(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "policies",
        Kind::Operator => "operator-policies",
    }
}
