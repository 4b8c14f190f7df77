//! What each command prints, how it exits and what it asks the broker for.
//!
//! The transcripts hold standard output, then standard error after `! `, the calls that change something after `> `,
//! and the exit code unless it is 0.

use expect_test::Expect;
use serde_json::json;

use crate::testing::Script;

mod cluster;
mod command_line;
mod completion;
mod connections;
mod definitions;
mod health;
mod lifecycle;
mod limits;
mod logs;
mod node;
mod parameters;
mod permissions;
mod plugins;
mod policies;
mod process;
mod queues;
mod reference;
mod replicas;
mod usage_limits;
mod users;
mod vhost_metadata;

/// Runs the command lines, one after the other, on the same broker.
pub fn check(script: &Script, lines: &[&str], expected: Expect) {
    let transcripts = lines.iter().map(|line| format!("$ {line}\n{}", script.run(line)));
    expected.assert_eq(&transcripts.collect::<String>());
}

pub fn queues() -> Script {
    let queue = json!({
        "name": "a", "vhost": "/", "messages": 3, "messages_ready": 2, "arguments": {"x-message-ttl": 1000},
        "policy": "p", "effective_policy_definition": {"max-length": 5}, "owner_pid": "<rabbit@h.1.5.0>",
    });
    let binding = |source: &str, key: &str| {
        let (kind, no_arguments) = ("queue", json!({}));
        json!({
            "source": source, "destination": "a", "destination_type": kind, "routing_key": key,
            "arguments": no_arguments,
        })
    };
    Script::new()
        .answer("GET /api/queues/%2F", 200, json!([queue, {"name": "tab\t", "messages": 0, "policy": null}]))
        .answer("GET /api/queues/%2F/a", 200, queue)
        .answer("GET /api/bindings/%2F", 200, json!([binding("", "a"), binding("x", "k.#")]))
        .answer(
            "GET /api/exchanges/%2F",
            200,
            json!([{"name": "", "type": "direct"}, {"name": "x", "type": "topic"}]),
        )
}

pub fn connections() -> Script {
    let connection = |name: &str, vhost: &str, pid: &str| {
        json!({
            "name": name, "vhost": vhost, "pid": pid, "user": "guest", "peer_host": "127.0.0.1", "peer_port": 4000,
            "state": "running", "protocol": "AMQP 0-9-1", "client_properties": {"capabilities": {"basic.nack": true}},
        })
    };
    let connections = json!([
        connection("c 1", "/", "<rabbit@h.1.5.0>"),
        connection("c 2", "/", "<rabbit@h.1.6.0>"),
        connection("c 3", "other", "<rabbit@h.1.7.0>"),
    ]);
    let channel = json!({
        "name": "c 1 (1)", "number": 1, "pid": "<rabbit@h.1.8.0>", "user": "guest", "consumer_count": 1,
        "messages_unacknowledged": 0, "connection_details": {"name": "c 1"},
    });
    let consumer = json!({
        "queue": {"name": "a", "vhost": "/"}, "channel_details": {"name": "c 1 (1)"}, "consumer_tag": "t",
        "ack_required": true, "prefetch_count": 7, "active": true, "activity_status": "up",
        "arguments": {"x-priority": 3},
    });
    Script::new()
        .answer("GET /api/connections", 200, connections)
        .answer("GET /api/channels", 200, json!([channel]))
        .answer("GET /api/consumers/%2F", 200, json!([consumer]))
}
