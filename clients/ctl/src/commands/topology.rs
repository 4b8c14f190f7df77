//! Exchanges and bindings.

use super::Outcome;
use crate::catalogue::{Command, Group, Scope};
use crate::context::Context;
use crate::listing::{Column, Listing};
use serde_json::Value;

const EXCHANGES: Listing = Listing {
    columns: &[
        Column::plain("name"),
        Column::atoms("type"),
        Column::plain("durable"),
        Column::plain("auto_delete"),
        Column::plain("internal"),
        Column::arguments("arguments"),
        Column::plain("policy"),
    ],
    shown: &["name", "type"],
    is_ordered: false,
    is_whole: false,
};

const BINDINGS: Listing = Listing {
    columns: &[
        Column::plain("source_name").from("source"),
        Column::atoms("source_kind"),
        Column::plain("destination_name").from("destination"),
        Column::atoms("destination_kind").from("destination_type"),
        Column::plain("routing_key"),
        Column::arguments("arguments"),
    ],
    shown: &[
        "source_name",
        "source_kind",
        "destination_name",
        "destination_kind",
        "routing_key",
        "arguments",
    ],
    is_ordered: false,
    is_whole: false,
};

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::Monitoring,
        "list_exchanges",
        "list_exchanges [--vhost <vhost>] [--no-table-headers] [<column> ...]",
        "Lists exchanges",
    )
    .scope(Scope::CtlAndDiagnostics)
    .timeout()
    .lists(&EXCHANGES)
    .runs(list_exchanges),
    Command::new(
        Group::Monitoring,
        "list_bindings",
        "list_bindings [--vhost <vhost>] [--no-table-headers] [<column> ...]",
        "Lists all bindings on a vhost",
    )
    .scope(Scope::CtlAndDiagnostics)
    .timeout()
    .lists(&BINDINGS)
    .runs(list_bindings),
];

fn list_exchanges(context: &mut Context<'_>) -> Outcome {
    let vhost = context.vhost().to_string();
    context.announce(&format!("Listing exchanges for vhost {vhost} ..."))?;
    let exchanges = context.broker.list_in_vhost("exchanges", &vhost)?;
    context.list(&exchanges)
}

fn list_bindings(context: &mut Context<'_>) -> Outcome {
    let vhost = context.vhost().to_string();
    context.announce(&format!("Listing bindings for vhost {vhost}..."))?;
    let mut bindings = context.broker.list_in_vhost("bindings", &vhost)?;
    // only exchanges can be sources, so that the API does not say so
    for binding in bindings.iter_mut().filter_map(Value::as_object_mut) {
        binding.insert("source_kind".into(), "exchange".into());
    }
    context.list(&bindings)
}
