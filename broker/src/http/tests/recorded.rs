//! Which fields the objects have, and of which types they are, beside what RabbitMQ was asked for the same objects:
//! `recorded/record.py` did that.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{bench::Bench, connections::Client};

/// Fields, each with what is in it in the form of a path: `listeners[].port`.
type Fields = BTreeMap<String, String>;

/// Fields that are not there, or not of RabbitMQ's type, and what is in them; why.
const DIFFERENCES: &[(&str, &str)] = &[
    ("backing_queue_status", "the state of RabbitMQ's queue index, not ours"),
    ("client_properties", "another client made the recording"),
    ("cluster_state", "its field is the node's name"),
    ("context_switches", "Erlang's"),
    ("context_switches_details", "Erlang's"),
    ("contexts[].cowboy_opts", "of RabbitMQ's HTTP server"),
    ("garbage_collection", "Erlang's"),
    ("gc_bytes_reclaimed", "Erlang's"),
    ("gc_bytes_reclaimed_details", "Erlang's"),
    ("gc_num", "Erlang's"),
    ("gc_num_details", "Erlang's"),
    ("idle_since", "known once the broker has looked at its queues, which it does not here"),
    ("io_read_avg_time", "not measured"),
    ("io_read_avg_time_details", "not measured"),
    ("io_write_avg_time", "not measured"),
    ("io_write_avg_time_details", "not measured"),
    ("io_reopen_count", "files are not opened again"),
    ("io_reopen_count_details", "files are not opened again"),
    ("io_seek_avg_time", "nothing seeks"),
    ("io_seek_avg_time_details", "nothing seeks"),
    ("io_seek_count", "nothing seeks"),
    ("io_seek_count_details", "nothing seeks"),
    ("limits", "of other users of the recording's broker"),
    ("listeners[].socket_opts", "of RabbitMQ's listeners"),
    ("message_bytes_dlx", "there is no second store for dead letters"),
    ("messages_dlx", "there is no second store for dead letters"),
    ("message_bytes_persistent", "not counted apart"),
    ("messages_persistent", "not counted apart"),
    ("message_stats.ack", "what others did on the recording's broker"),
    ("message_stats.ack_details", "what others did on the recording's broker"),
    ("message_stats.deliver", "what others did on the recording's broker"),
    ("message_stats.deliver_details", "what others did on the recording's broker"),
    ("message_stats.deliver_get", "what others did on the recording's broker"),
    ("message_stats.deliver_get_details", "what others did on the recording's broker"),
    ("message_stats.deliver_no_ack", "what others did on the recording's broker"),
    ("message_stats.deliver_no_ack_details", "what others did on the recording's broker"),
    ("message_stats.get", "what others did on the recording's broker"),
    ("message_stats.get_details", "what others did on the recording's broker"),
    ("message_stats.get_empty", "what others did on the recording's broker"),
    ("message_stats.get_empty_details", "what others did on the recording's broker"),
    ("message_stats.get_no_ack", "what others did on the recording's broker"),
    ("message_stats.get_no_ack_details", "what others did on the recording's broker"),
    ("message_stats.redeliver", "what others did on the recording's broker"),
    ("message_stats.redeliver_details", "what others did on the recording's broker"),
    ("metrics_gc_queue_length", "there is no database of statistics"),
    ("mnesia_disk_tx_count", "Erlang's database"),
    ("mnesia_disk_tx_count_details", "Erlang's database"),
    ("mnesia_ram_tx_count", "Erlang's database"),
    ("mnesia_ram_tx_count_details", "Erlang's database"),
    ("msg_store_read_count", "of RabbitMQ's store"),
    ("msg_store_read_count_details", "of RabbitMQ's store"),
    ("msg_store_write_count", "of RabbitMQ's store"),
    ("msg_store_write_count_details", "of RabbitMQ's store"),
    ("open_files", "of RabbitMQ's quorum queues"),
    ("pending_raft_commands", "of RabbitMQ's quorum queues"),
    ("queue_index_read_count", "of RabbitMQ's store"),
    ("queue_index_read_count_details", "of RabbitMQ's store"),
    ("queue_index_write_count", "of RabbitMQ's store"),
    ("queue_index_write_count_details", "of RabbitMQ's store"),
    ("ra_open_file_metrics", "of RabbitMQ's quorum queues"),
    ("recoverable_slaves", "there are no mirrors"),
    ("reductions", "Erlang's"),
    ("reductions_details", "Erlang's"),
    ("release_series_support_status", "RabbitMQ's releases"),
    ("single_active_consumer_ctag", "RabbitMQ's slip of the pen for `…_tag`"),
    ("user_who_performed_action", "not kept with exchanges"),
];

/// What the recording asked for, and the answers' fields.
fn recorded() -> (Value, BTreeMap<String, Fields>) {
    let setup = serde_json::from_str(include_str!("recorded/setup.json")).unwrap();
    (setup, serde_json::from_str(include_str!("recorded/fields.json")).unwrap())
}

/// Adds the fields of a value; those that are there in one item of a list and not in another, too.
fn flatten(prefix: &str, value: &Value, fields: &mut Fields) {
    match value {
        Value::Object(object) => flatten_object(prefix, object, fields),
        Value::Array(items) => {
            fields.entry(format!("{prefix}[]")).or_insert_with(|| "array".to_owned());
            items.iter().for_each(|item| flatten(&format!("{prefix}[]"), item, fields));
        }
        leaf => {
            let kind = match leaf {
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                _ => "null",
            };
            let known = fields.entry(prefix.to_owned()).or_insert_with(|| kind.to_owned());
            if known == "null" {
                kind.clone_into(known);
            }
        }
    }
}

fn flatten_object(prefix: &str, object: &Map<String, Value>, fields: &mut Fields) {
    if !prefix.is_empty() {
        fields.entry(prefix.to_owned()).or_insert_with(|| "object".to_owned());
    }
    for (name, inner) in object {
        let inner_prefix = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        flatten(&inner_prefix, inner, fields);
    }
}

/// A field in the terms of one object.
fn of_object(field: &str) -> &str {
    field.trim_start_matches("items").trim_start_matches("[]").trim_start_matches('.')
}

/// The difference that a field belongs to.
fn difference(field: &str) -> Option<&'static str> {
    let field = of_object(field);
    let is_within = |known: &str| {
        field.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    DIFFERENCES.iter().map(|(known, _)| *known).find(|known| is_within(known))
}

#[tokio::test]
async fn objects_have_the_fields_of_rabbitmq() {
    let (plan, recorded) = recorded();
    let bench = Bench::new().await;
    for step in plan["setup"].as_array().unwrap() {
        let [method, path, body] = [0, 1, 2].map(|index| &step[index]);
        let (method, path) = (method.as_str().unwrap(), path.as_str().unwrap());
        let (status, answer) = bench.send(&format!("guest {method} /{path} {body}")).await;
        assert!(status < 300, "{method} {path}: {status} {answer}");
    }
    let mut client = Client::connect_to(&bench, 1234, ("guest", "recorded"));
    client.consume("q", "c", false);
    let name = "127.0.0.1:1234%20-%3E%20127.0.0.1:5672";
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for (path, fields) in &recorded {
        let asked = path.replace("{node}", "rabbit@test").replace("{connection}", name);
        let asked = asked.replace("{channel}", &format!("{name}%20(1)"));
        let (status, answer) = bench.send(&format!("guest GET /{asked}")).await;
        assert_eq!(status, 200, "{path}: {answer}");
        let mut own = Fields::new();
        flatten("", &serde_json::from_str(&answer).unwrap(), &mut own);
        for (field, kind) in fields {
            let is_same = own.get(field).is_some_and(|own| own == kind || own == "null" || kind == "null");
            match difference(field) {
                _ if is_same => {}
                Some(known) => _ = used.insert(known),
                None => wrong.push(format!("{path}: {field} is {:?}, not {kind}", own.get(field))),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unused: Vec<_> = DIFFERENCES.iter().filter(|(known, _)| !used.contains(known)).collect();
    assert!(unused.is_empty(), "these do not differ: {unused:?}");
}
