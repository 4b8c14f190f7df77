//! Vhosts.

use serde_json::{Map, Value, json};

use super::Outcome;
use crate::api::{Method, path};
use crate::arguments::Switch;
use crate::catalogue::{Command, Group, Scope};
use crate::context::Context;
use crate::exit::{Failure, UsageError};
use crate::listing::{Column, Listing};

const LISTING: Listing = Listing {
    columns: &[
        Column::plain("name"),
        Column::plain("description"),
        Column::atoms("tags"),
        Column::plain("default_queue_type"),
        Column::plain("protected_from_deletion"),
        Column::plain("tracing"),
        Column::atoms("cluster_state"),
        Column::plain("metadata"),
    ],
    shown: &["name"],
    is_ordered: false,
    is_whole: true,
};

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::VirtualHosts,
        "add_vhost",
        "add_vhost <vhost> [--description <description> --tags \"<tag1>,<tag2>,<...>\" --default-queue-type \
         <quorum|classic>]",
        "Creates a virtual host",
    )
    .takes(1, 1)
    .switches(&[Switch::word("description"), Switch::word("tags"), Switch::word("default-queue-type")])
    .explained(&[
        ("<vhost>", "Virtual host name"),
        ("--description <description>", "Virtual host description"),
        ("--tags <tags>", "Comma separated list of tags"),
        (
            "--default-queue-type <quorum|classic>",
            "Queue type to use if no type is explicitly provided by the client",
        ),
    ])
    .runs(add_vhost),
    Command::new(Group::VirtualHosts, "delete_vhost", "delete_vhost <vhost>", "Deletes a virtual host")
        .takes(1, 1)
        .timeout()
        .explained(&[("<vhost>", "Name of the virtual host to delete.")])
        .runs(delete_vhost),
    Command::new(
        Group::AccessControl,
        "list_vhosts",
        "list_vhosts [--no-table-headers] [<column> ...]",
        "Lists virtual hosts",
    )
    .scope(Scope::CtlAndDiagnostics)
    .timeout()
    .lists(&LISTING)
    .runs(list_vhosts),
];

fn add_vhost(context: &mut Context<'_>) -> Outcome {
    let vhost = context.argument(0).to_string();
    if vhost.is_empty() {
        return Err(UsageError::bad_argument("virtual host name cannot be an empty string").into());
    }
    context.announce(&format!("Adding vhost \"{vhost}\" ..."))?;
    let mut fields = Map::new();
    for (option, field) in [("description", "description"), ("default-queue-type", "default_queue_type")] {
        fields.extend(context.options.word(option).map(|value| (field.to_string(), json!(value))));
    }
    if let Some(tags) = context.options.word("tags") {
        let tags: Vec<_> = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect();
        fields.insert("tags".into(), json!(tags.join(",")));
    }
    context.broker.send(Method::Put, &path(&["vhosts", &vhost]), Some(Value::Object(fields)))?;
    context.done()
}

fn delete_vhost(context: &mut Context<'_>) -> Outcome {
    let vhost = context.argument(0).to_string();
    context.announce(&format!("Deleting vhost \"{vhost}\" ..."))?;
    let deleted = context.broker.send(Method::Delete, &path(&["vhosts", &vhost]), None)?;
    deleted.ok_or_else(|| Failure::no_such_vhost(&vhost))?;
    context.done()
}

fn list_vhosts(context: &mut Context<'_>) -> Outcome {
    context.announce("Listing vhosts ...")?;
    let vhosts = context.broker.list("/api/vhosts")?;
    context.list(&vhosts)
}
