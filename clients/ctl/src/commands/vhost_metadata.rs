//! What vhosts carry besides objects: description, tags, default queue type, protection; and whether they run.

use serde_json::{Map, Value, json};

use super::Outcome;
use crate::api::{Method, path};
use crate::arguments::Switch;
use crate::catalogue::{Action, Command, Group};
use crate::context::Context;
use crate::exit::{Code, Failure, UsageError};

const VHOST: (&str, &str) = ("<vhost>", "Virtual host name");

/// Streams are not here.
const TYPES: [&str; 2] = ["quorum", "classic"];

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::VirtualHosts,
        "set_vhost_tags",
        "set_vhost_tags <vhost> <tag> [...]",
        "Sets virtual host tags",
    )
    .takes(1, usize::MAX)
    .explained(&[VHOST, ("<tags>", "Space separated list of tags")])
    .runs(set_tags),
    Command::new(
        Group::VirtualHosts,
        "update_vhost_metadata",
        "update_vhost_metadata <vhost> [--description=<description>] [--tags=\"<tag1>,<tag2>,<...>\"] \
         [--default-queue-type=<quorum|classic>] [--protected-from-deletion=<true|false>]",
        "Updates metadata (tags, description, default queue type, protection from deletion) a virtual host",
    )
    .takes(1, 1)
    .switches(&[
        Switch::word("description").or('d'),
        Switch::word("tags"),
        Switch::word("default-queue-type"),
        Switch::flag("protected-from-deletion"),
    ])
    .explained(&[
        VHOST,
        ("--description <description>", "Virtual host description"),
        ("--tags <tag1,tag2>", "Comma-separated list of tags"),
        (
            "--default-queue-type <quorum|classic>",
            "Queue type to use if no type is explicitly provided by the client",
        ),
        (
            "--protected-from-deletion <true|false>",
            "When set to true, will make it impossible to delete a virtual host until the protection is removed",
        ),
    ])
    .runs(update),
    Command::new(
        Group::VirtualHosts,
        "enable_vhost_deletion_protection",
        "enable_vhost_deletion_protection <vhost>",
        "Protects a virtual host from deletion (until the protection is removed)",
    )
    .takes(1, 1)
    .explained(&[VHOST])
    .runs(|context| protect(context, true)),
    Command::new(
        Group::VirtualHosts,
        "disable_vhost_deletion_protection",
        "disable_vhost_deletion_protection <vhost>",
        "Removes deletion protection from a virtual host (so that it can be deleted)",
    )
    .takes(1, 1)
    .explained(&[VHOST])
    .runs(|context| protect(context, false)),
    Command::new(
        Group::VirtualHosts,
        "restart_vhost",
        "restart_vhost [--vhost <vhost>]",
        "Restarts a failed vhost data stores and queues",
    )
    .takes(0, 0)
    .timeout()
    .here("A vhost that is there runs")
    .runs(restart),
    Command::new(
        Group::VirtualHosts,
        "reconcile_vhosts",
        "reconcile_vhosts",
        "Makes sure all virtual hosts were initialized on all reachable cluster nodes",
    )
    .takes(0, 0)
    .here("A vhost that is there runs")
    .runs(reconcile),
    Command::new(
        Group::VirtualHosts,
        "trace_on",
        "trace_on [--vhost <vhost>]",
        "Turns the firehose on for a vhost",
    )
    .action(Action::Refused(
        "this version has no firehose. To see what passes an exchange, bind a queue of your own to it; \
         'liebre-cat consume' does both",
    )),
    Command::new(
        Group::VirtualHosts,
        "trace_off",
        "trace_off [--vhost <vhost>]",
        "Turns the firehose off for a vhost",
    )
    .takes(0, 0)
    .here("It is never on")
    .runs(trace_off),
];

fn set_tags(context: &mut Context<'_>) -> Outcome {
    let vhost = context.argument(0).to_string();
    let tags = context.arguments.get(1..).unwrap_or_default().to_vec();
    context.announce(&format!("Setting tags for virtual host \"{vhost}\" to [{}] ...", tags.join(", ")))?;
    change(context, &vhost, vec![("tags", tags.join(",").into())])
}

fn update(context: &mut Context<'_>) -> Outcome {
    let options = context.options;
    let mut fields: Vec<(&str, Value)> = Vec::new();
    fields.extend(options.word("description").map(|text| ("description", text.into())));
    fields.extend(options.word("tags").map(|tags| ("tags", trimmed(tags).into())));
    if let Some(kind) = options.word("default-queue-type") {
        if !TYPES.contains(&kind) {
            let text = format!("Default queue type must be one of: {}. Provided: {kind}", TYPES.join(", "));
            return Err(UsageError::bad_argument(&text).into());
        }
        fields.push(("default_queue_type", kind.into()));
    }
    let protection = options.word("protected-from-deletion").map(|value| value != "false");
    if fields.is_empty() && protection.is_none() {
        return Err(UsageError::not_enough().into());
    }
    let vhost = context.argument(0).to_string();
    context.announce(&format!("Updating metadata of vhost \"{vhost}\" ..."))?;
    if let Some(is_protected) = protection {
        set_protection(context, &vhost, is_protected)?;
    }
    change(context, &vhost, fields)
}

fn protect(context: &mut Context<'_>, is_protected: bool) -> Outcome {
    let vhost = context.argument(0).to_string();
    context.announce(&if is_protected {
        format!("Protecting virtual host '{vhost}' from removal...")
    } else {
        format!("Removing deletion protection from virtual host '{vhost}'...")
    })?;
    set_protection(context, &vhost, is_protected)?;
    context.done()
}

fn set_protection(context: &Context<'_>, vhost: &str, is_protected: bool) -> Outcome {
    let method = if is_protected { Method::Post } else { Method::Delete };
    let path = path(&["vhosts", vhost, "deletion", "protection"]);
    context.broker.send(method, &path, None)?.ok_or_else(|| not_there(vhost))?;
    Ok(())
}

/// Replaces a vhost with itself and other `fields`: what is not among them stays.
fn change(context: &mut Context<'_>, vhost: &str, fields: Vec<(&str, Value)>) -> Outcome {
    let at = path(&["vhosts", vhost]);
    let before = context.broker.find(&at)?.ok_or_else(|| not_there(vhost))?;
    let mut kept = Map::new();
    for name in ["description", "tags", "default_queue_type"] {
        let value = before.get(name).filter(|value| !value.is_null() && **value != "undefined");
        kept.extend(value.map(|value| (name.to_string(), joined(value))));
    }
    kept.extend(fields.into_iter().map(|(name, value)| (name.to_string(), value)));
    context.broker.send(Method::Put, &at, Some(Value::Object(kept)))?;
    context.done()
}

fn restart(context: &mut Context<'_>) -> Outcome {
    let (vhost, node) = (context.vhost().to_string(), context.broker.node()?);
    context.announce(&format!("Trying to restart vhost '{vhost}' on node '{node}' ..."))?;
    if context.broker.find(&path(&["vhosts", &vhost]))?.is_none() {
        let text = format!(
            "Failed to start vhost '{vhost}' on node '{node}'Reason: {{:no_such_vhost, \"{vhost}\"}}"
        );
        return Err(Failure::new(Code::Software, text).into());
    }
    let text = format!("Vhost '{vhost}' is already running on node '{node}'");
    context.finish(&text, json!({"result": "ok", "message": text}))
}

fn reconcile(context: &mut Context<'_>) -> Outcome {
    context.broker.overview()?;
    context.announce("Will try to initiate virtual host reconciliation on all reachable cluster nodes...")?;
    context.done()
}

fn trace_off(context: &mut Context<'_>) -> Outcome {
    let vhost = context.vhost().to_string();
    context.announce(&format!("Stopping tracing for vhost \"{vhost}\" ..."))?;
    let text = format!("Trace disabled for vhost {vhost}");
    context.finish(&text, json!({"result": "ok", "message": text}))
}

fn not_there(vhost: &str) -> Failure {
    Failure::new(Code::Data, format!("Virtual host \"{vhost}\" does not exist"))
}

/// A list of tags as the API takes it.
fn joined(value: &Value) -> Value {
    match value.as_array() {
        Some(tags) => tags.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",").into(),
        None => value.clone(),
    }
}

fn trimmed(tags: &str) -> String {
    tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect::<Vec<_>>().join(",")
}
