//! What each command prints, how it exits and what it asks the broker for.
//!
//! The transcripts hold standard output, then standard error after `! `, the calls that change something after `> `,
//! and the exit code unless it is 0.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::testing::Script;

/// Runs the command lines, one after the other, on the same broker.
fn check(script: &Script, lines: &[&str], expected: Expect) {
    let transcripts = lines.iter().map(|line| format!("$ {line}\n{}", script.run(line)));
    expected.assert_eq(&transcripts.collect::<String>());
}

fn queues() -> Script {
    let queue = json!({
        "name": "a", "vhost": "/", "messages": 3, "messages_ready": 2, "arguments": {"x-message-ttl": 1000},
        "policy": "p", "effective_policy_definition": {"max-length": 5}, "owner_pid": "<rabbit@h.1.5.0>",
    });
    let binding = |source: &str, key: &str| json!({"source": source, "destination": "a", "destination_type": "queue", "routing_key": key, "arguments": {}});
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

fn connections() -> Script {
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

#[test]
fn users() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl add_user ana s3creta",
            "rabbitmqctl add_user ana s3creta -q",
            "rabbitmqctl add_user ana 'HASH=' --pre-hashed-password -s",
            "rabbitmqctl add_user ana x --formatter json",
            "rabbitmqctl add_user guest x",
            "rabbitmqctl add_user guest x --formatter json",
        ],
        expect![[]],
    );
    check(
        &Script::new(),
        &[
            "rabbitmqctl add_user ana ''",
            "rabbitmqctl add_user '' x",
            "rabbitmqctl add_user ana",
            "rabbitmqctl delete_user nobody --formatter json",
            "rabbitmqctl delete_user ana",
            "rabbitmqctl set_user_tags guest a b",
        ],
        expect![[]],
    );
    check(
        &Script::new(),
        &[
            "rabbitmqctl set_user_tags guest",
            "rabbitmqctl set_user_tags nobody a",
            "rabbitmqctl change_password guest new",
            "rabbitmqctl clear_password guest",
            "rabbitmqctl clear_password nobody",
            "rabbitmqctl list_users",
        ],
        expect![[]],
    );
    check(
        &Script::new(),
        &["rabbitmqctl list_users --formatter json", "rabbitmqctl list_users -s"],
        expect![[]],
    );
    check(&Script::new().input("typed\r\n"), &["rabbitmqctl add_user ana"], expect![[]]);
    check(
        &Script::new().answer("POST /api/liebre/authenticate", 200, json!({"authenticated": true})),
        &["rabbitmqctl authenticate_user guest guest"],
        expect![[]],
    );
    check(
        &Script::new().answer("POST /api/liebre/authenticate", 200, json!({"authenticated": false})),
        &["rabbitmqctl authenticate_user ana bad"],
        expect![[]],
    );
    check(
        &Script::new().answer("DELETE /api/users/nobody", 404, Value::Null),
        &["rabbitmqctl delete_user nobody", "rabbitmqctl delete_user nobody --formatter json"],
        expect![[]],
    );
}

#[test]
fn vhosts_and_permissions() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl add_vhost curso",
            "rabbitmqctl add_vhost curso --description 'a b' --tags 'x, y' --default-queue-type quorum",
            "rabbitmqctl add_vhost ''",
            "rabbitmqctl add_vhost curso --dry-run",
            "rabbitmqctl delete_vhost curso",
            "rabbitmqctl list_vhosts",
        ],
        expect![[]],
    );
    check(
        &Script::new(),
        &[
            "rabbitmqctl list_vhosts name cluster_state description",
            "rabbitmqctl set_permissions -p curso guest .* .* ''",
            "rabbitmqctl clear_permissions guest",
            "rabbitmqctl list_permissions -p nowhere",
            "rabbitmqctl list_user_permissions nobody",
        ],
        expect![[]],
    );
    check(
        &Script::new().answer("DELETE /api/vhosts/curso", 404, Value::Null),
        &["rabbitmqctl delete_vhost curso"],
        expect![[]],
    );
    check(
        &Script::new().answer(
            "GET /api/vhosts/%2F/permissions",
            200,
            json!([{"user": "guest", "vhost": "/", "configure": ".*", "write": "^a", "read": ""}]),
        ),
        &["rabbitmqctl list_permissions", "rabbitmqctl list_permissions --formatter csv"],
        expect![[]],
    );
    check(
        &Script::new().answer("GET /api/users/guest/permissions", 200, json!([])),
        &["rabbitmqctl list_user_permissions guest"],
        expect![[]],
    );
    check(
        &Script::new()
            .answer("PUT /api/permissions/%2F/nobody", 400, json!({"reason": "vhost_or_user_not_found"}))
            .answer("PUT /api/permissions/nowhere/guest", 400, json!({"reason": "vhost_or_user_not_found"}))
            .answer("PUT /api/permissions/%2F/guest", 400, json!({"reason": "bad pattern"})),
        &[
            "rabbitmqctl set_permissions nobody .* .* .*",
            "rabbitmqctl set_permissions -p nowhere guest .* .* .*",
            "rabbitmqctl set_permissions guest '*' .* .*",
        ],
        expect![[]],
    );
}

#[test]
fn queues_and_topology() {
    check(
        &queues(),
        &[
            "rabbitmqctl list_queues",
            "rabbitmqctl list_queues -q name policy arguments effective_policy_definition owner_pid",
            "rabbitmqctl list_queues --offline",
            "rabbitmqctl list_queues -p nowhere -t 5",
            "rabbitmqctl list_queues --formatter json name arguments",
            "rabbitmqctl delete_queue a",
        ],
        expect![[]],
    );
    check(
        &queues(),
        &[
            "rabbitmqctl delete_queue a --if-empty -u",
            "rabbitmqctl delete_queue nosuch",
            "rabbitmqctl purge_queue a",
            "rabbitmqctl list_bindings",
            "rabbitmqctl list_exchanges",
        ],
        expect![[]],
    );
    check(
        &queues()
            .answer(
                "DELETE /api/queues/%2F/a?if-empty=true",
                400,
                json!({"reason": "queue 'a' in vhost '/' not empty"}),
            )
            .answer(
                "DELETE /api/queues/%2F/a?if-unused=true",
                400,
                json!({"reason": "queue 'a' in vhost '/' in use"}),
            )
            .answer("DELETE /api/queues/%2F/a", 405, json!({"reason": "RESOURCE_LOCKED - no"})),
        &[
            "rabbitmqctl delete_queue a -e",
            "rabbitmqctl delete_queue a -u -q",
            "rabbitmqctl delete_queue a -q",
        ],
        expect![[]],
    );
    check(
        &Script::new().answer("DELETE /api/queues/%2F/a/contents", 404, Value::Null),
        &["rabbitmqctl purge_queue a"],
        expect![[]],
    );
}

#[test]
fn connections() {
    check(
        &connections(),
        &[
            "rabbitmqctl list_connections",
            "rabbitmqctl list_connections pid protocol client_properties -q",
            "rabbitmqctl list_channels",
            "rabbitmqctl list_channels connection number -q",
            "rabbitmqctl list_consumers",
            "rabbitmqctl list_consumers activity_status queue_name -q",
        ],
        expect![[]],
    );
    check(
        &connections(),
        &[
            "rabbitmqctl close_connection '<rabbit@h.1.5.0>' bye",
            "rabbitmqctl close_connection 'c 1' bye",
            "rabbitmqctl close_connection nosuch bye",
            "rabbitmqctl close_all_connections bye",
            "rabbitmqctl close_all_connections bye --global --limit 2 --per-connection-delay 10",
        ],
        expect![[]],
    );
}

#[test]
fn node() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl ping",
            "rabbitmqctl ping -t 5 --formatter json",
            "rabbitmqctl await_startup",
            "rabbitmqctl version",
            "liebrectl --version",
            "rabbitmqctl status",
        ],
        expect![[]],
    );
    check(
        &Script::new(),
        &["rabbitmqctl status -q --unit mb --formatter json", "rabbitmqctl status --unit kb"],
        expect![[]],
    );
    check(
        &Script::new().answer(
            "GET /api/liebre/environment",
            200,
            json!({"heartbeat": 60, "listeners.tcp": ["127.0.0.1:5672"], "x": {"a": null}}),
        ),
        &["rabbitmqctl environment", "rabbitmqctl environment --formatter json"],
        expect![[]],
    );
    check(&Script::new(), &["rabbitmqctl stop"], expect![[]]);
    check(&Script::new(), &["rabbitmqctl shutdown"], expect![[]]);
    check(&Script::new(), &["rabbitmqctl shutdown --no-wait"], expect![[]]);
    check(
        &Script::gone(),
        &[
            "rabbitmqctl stop --idempotent",
            "rabbitmqctl stop",
            "rabbitmqctl list_queues",
            "rabbitmqctl await_startup -t 1",
            "rabbitmqctl list_users --formatter json",
        ],
        expect![[]],
    );
}

#[test]
fn health() {
    check(
        &Script::new(),
        &[
            "rabbitmq-diagnostics check_running",
            "rabbitmq-diagnostics check_running -s",
            "rabbitmq-diagnostics is_running",
            "rabbitmq-diagnostics is_booting",
            "rabbitmq-diagnostics check_port_connectivity",
            "rabbitmq-diagnostics check_port_connectivity --address 10.0.0.1",
        ],
        expect![[]],
    );
    check(
        &Script::new(),
        &[
            "rabbitmq-diagnostics check_port_listener 5672",
            "rabbitmq-diagnostics check_port_listener 1",
            "rabbitmq-diagnostics check_port_listener x",
            "rabbitmq-diagnostics check_protocol_listener amqp",
            "rabbitmq-diagnostics check_protocol_listener mqtt",
            "rabbitmq-diagnostics check_alarms",
        ],
        expect![[]],
    );
    check(
        &Script::new(),
        &[
            "rabbitmq-diagnostics check_local_alarms",
            "rabbitmq-diagnostics check_virtual_hosts",
            "rabbitmq-diagnostics alarms --formatter json",
            "rabbitmq-diagnostics listeners",
            "rabbitmq-diagnostics server_version",
        ],
        expect![[]],
    );
    check(&Script::new().closed_port(5672), &["rabbitmq-diagnostics check_port_connectivity"], expect![[]]);
    check(
        &Script::new().answer(
            "GET /api/nodes/rabbit%40h",
            200,
            json!({"mem_alarm": true, "disk_free_alarm": true}),
        ),
        &[
            "rabbitmq-diagnostics check_alarms",
            "rabbitmq-diagnostics check_alarms -s",
            "rabbitmq-diagnostics alarms",
        ],
        expect![[]],
    );
    check(
        &Script::new().answer(
            "GET /api/vhosts",
            200,
            json!([{"name": "/", "cluster_state": {"rabbit@h": "stopped"}}]),
        ),
        &["rabbitmq-diagnostics check_virtual_hosts"],
        expect![[]],
    );
}

#[test]
fn plugins() {
    check(
        &Script::new(),
        &[
            "rabbitmq-plugins list",
            "rabbitmq-plugins list -E -m",
            "rabbitmq-plugins list agent$ -v -q",
            "rabbitmq-plugins list '('",
            "rabbitmq-plugins list dispatch --formatter json",
            "rabbitmq-plugins enable rabbitmq_management",
        ],
        expect![[]],
    );
    check(
        &Script::new(),
        &[
            "rabbitmq-plugins enable rabbitmq_management nosuch other",
            "rabbitmq-plugins enable",
            "rabbitmq-plugins disable --all",
            "rabbitmq-plugins is_enabled rabbitmq_management",
            "rabbitmq-plugins is_enabled rabbitmq_management rabbitmq_mqtt",
            "rabbitmq-plugins directories",
        ],
        expect![[]],
    );
    check(
        &Script::gone(),
        &[
            "rabbitmq-plugins enable rabbitmq_management -n rabbit@x",
            "rabbitmq-plugins enable rabbitmq_management --online",
        ],
        expect![[]],
    );
}

#[test]
fn command_line() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl lst_queues",
            "rabbitmqctl add_user",
            "rabbitmqctl add_user a b c",
            "rabbitmqctl list_queues nosuch name",
            "rabbitmqctl list_queues --bogus -t abc",
            "rabbitmqctl set_policy a b c",
        ],
        expect![[]],
    );
    check(
        &Script::new(),
        &[
            "rabbitmqctl eval 'x().'",
            "rabbitmqctl sync_queue q",
            "rabbitmqctl help lst_queues",
            "rabbitmqctl help zzz",
            "rabbitmqctl help delete_queue",
            "rabbitmqctl ping --help --script-name ctl",
        ],
        expect![[]],
    );
    check(
        &Script::new(),
        &[
            "rabbitmqctl autocomplete add_",
            "rabbitmq-plugins",
            "rabbitmq-plugins help",
            "rabbitmq-plugins zzz",
        ],
        expect![[]],
    );
}
