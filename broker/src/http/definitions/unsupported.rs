//! What files of RabbitMQ's have and this broker lacks: streams, exchanges and policies of plugins.
//!
//! A file with any of it is refused as a whole, and the message lists all of it; or, if that is asked for, the rest is
//! imported, and the answer lists what was left out.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::object::Object;
use crate::{http::body::RequestBody, model::name::Name};

/// Types of exchanges that are not the specification's begin like this: they come with plugins.
const PLUGIN_EXCHANGE: &str = "x-";
/// Keys of policies that are for the federation plugin.
const FEDERATION: &str = "federation-";
/// Keys of policies that are for mirrored queues.
const MIRRORING: &str = "ha-";
const QUEUE_TYPES: [&str; 2] = ["classic", "quorum"];

/// Queues and exchanges of a file that are left out: what is bound to them is left out, too.
#[derive(Debug, Default)]
pub(super) struct LeftOut(HashSet<(Name, String)>);

impl LeftOut {
    /// This queue or exchange.
    pub(super) fn add(&mut self, vhost: &Name, name: &str) {
        self.0.insert((vhost.clone(), name.to_owned()));
    }

    /// Whether one of that name was.
    pub(super) fn has(&self, vhost: &Name, name: &str) -> bool {
        self.0.contains(&(vhost.clone(), name.to_owned()))
    }
}

/// Whether this type of exchanges is that of a plugin.
pub(super) fn is_plugin_exchange(kind: &str) -> bool {
    kind.starts_with(PLUGIN_EXCHANGE)
}

/// Whether a queue of the file is of a type that is not here: a stream, or a plugin's.
pub(super) fn is_other_queue(queue: &Object) -> bool {
    let kind = queue.fields.value("arguments").and_then(|arguments| arguments["x-queue-type"].as_str());
    kind.is_some_and(|kind| !QUEUE_TYPES.contains(&kind))
}

/// The fields of a policy without what is for the federation plugin, and the keys that this was.
pub(super) fn without_federation(fields: &RequestBody) -> (RequestBody, Vec<String>) {
    without_keys(fields.fields(), FEDERATION)
}

/// The fields of an operator policy without what is for mirrored queues, and the keys that this was.
pub(super) fn without_mirroring(fields: &Map<String, Value>) -> (RequestBody, Vec<String>) {
    without_keys(fields, MIRRORING)
}

fn without_keys(fields: &Map<String, Value>, prefix: &str) -> (RequestBody, Vec<String>) {
    let mut fields = fields.clone();
    let mut keys = Vec::new();
    if let Some(definition) = fields.get_mut("definition").and_then(Value::as_object_mut) {
        definition.retain(|key, _| {
            let is_kept = !key.starts_with(prefix);
            if !is_kept {
                keys.push(key.clone());
            }
            is_kept
        });
    }
    (fields.into(), keys)
}

/// Whether a policy says nothing any more.
pub(super) fn is_empty_policy(fields: &RequestBody) -> bool {
    fields.value("definition").and_then(Value::as_object).is_some_and(Map::is_empty)
}
