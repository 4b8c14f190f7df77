//! Health checks.

use expect_test::expect;
use serde_json::json;

use super::check;
use crate::testing::Script;

#[test]
fn a_running_broker_passes() {
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
        expect![[r#"
            $ rabbitmq-diagnostics check_running
            Checking if RabbitMQ is running on node rabbit@h ...
            RabbitMQ on node rabbit@h is fully booted and running
            $ rabbitmq-diagnostics check_running -s
            $ rabbitmq-diagnostics is_running
            Asking node rabbit@h for its status ...
            RabbitMQ on node rabbit@h is fully booted and running
            $ rabbitmq-diagnostics is_booting
            Asking node rabbit@h for its boot status ...
            RabbitMQ on node rabbit@h is fully booted (check with is_running), stopped or has not started booting yet
            $ rabbitmq-diagnostics check_port_connectivity
            Testing TCP connections to all active listeners on node rabbit@h using hostname resolution ...
            Successfully connected to ports 5672, 15672 on node rabbit@h (using node hostname resolution)
            $ rabbitmq-diagnostics check_port_connectivity --address 10.0.0.1
            Testing TCP connections to all active listeners on node rabbit@h using address 10.0.0.1 ...
            Successfully connected to ports 5672, 15672 on node rabbit@h (using address 10.0.0.1)
        "#]],
    );
}

#[test]
fn listeners_are_found_or_not() {
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
        expect![[r#"
            $ rabbitmq-diagnostics check_port_listener 5672
            Asking node rabbit@h if there's an active listener on port 5672 ...
            A listener for port 5672 is running on node rabbit@h.
            $ rabbitmq-diagnostics check_port_listener 1
            Asking node rabbit@h if there's an active listener on port 1 ...
            ! No listener for port 1 is active on node rabbit@h. Found listeners that use the following ports: 5672, 15672
            exit 69
            $ rabbitmq-diagnostics check_port_listener x
            ! Error (argument validation): Bad argument: Argument must be a positive integer
            ! Arguments given:
            ! 	check_port_listener x
            ! 
            ! Usage
            ! 
            ! rabbitmq-diagnostics [--node <node>] [--longnames] [--quiet] check_port_listener <port> [--timeout <timeout>]
            exit 65
            $ rabbitmq-diagnostics check_protocol_listener amqp
            Asking node rabbit@h if there's an active listener for protocol amqp ...
            A listener for protocol amqp is running on node rabbit@h.
            $ rabbitmq-diagnostics check_protocol_listener mqtt
            Asking node rabbit@h if there's an active listener for protocol mqtt ...
            ! Error:
            ! No listener for protocol mqtt is active on node rabbit@h. Found listeners for the following protocols: amqp, http
            exit 69
            $ rabbitmq-diagnostics check_alarms
            Asking node rabbit@h to report any local resource alarms ...
            Node rabbit@h reported no alarms, local or clusterwide
        "#]],
    );
}

#[test]
fn vhosts_alarms_and_listeners() {
    check(
        &Script::new(),
        &[
            "rabbitmq-diagnostics check_local_alarms",
            "rabbitmq-diagnostics check_virtual_hosts",
            "rabbitmq-diagnostics alarms --formatter json",
            "rabbitmq-diagnostics listeners",
            "rabbitmq-diagnostics server_version",
        ],
        expect![[r#"
            $ rabbitmq-diagnostics check_local_alarms
            Asking node rabbit@h to report any local resource alarms ...
            Node rabbit@h reported no local alarms
            $ rabbitmq-diagnostics check_virtual_hosts
            Checking if all vhosts are running on node rabbit@h ...
            Node rabbit@h reported all vhosts as running
            $ rabbitmq-diagnostics alarms --formatter json
            {"alarms":[],"node":"rabbit@h","result":"ok"}
            $ rabbitmq-diagnostics listeners
            Asking node rabbit@h to report its protocol listeners ...
            Interface: [::], port: 5672, protocol: amqp, purpose: AMQP 0-9-1
            Interface: 127.0.0.1, port: 15672, protocol: http, purpose: HTTP API
            $ rabbitmq-diagnostics server_version
            Asking node rabbit@h for its RabbitMQ version...
            4.2.0
        "#]],
    );
}

#[test]
fn a_closed_port_fails() {
    check(
        &Script::new().closed_port(5672),
        &["rabbitmq-diagnostics check_port_connectivity"],
        expect![[r#"
        $ rabbitmq-diagnostics check_port_connectivity
        Testing TCP connections to all active listeners on node rabbit@h using hostname resolution ...
        ! Error:
        ! Connection to ports of the following listeners on node rabbit@h failed: 
        ! Interface: [::], port: 5672, protocol: amqp, purpose: AMQP 0-9-1
        exit 69
    "#]],
    );
}

#[test]
fn alarms_fail() {
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
        expect![[r#"
            $ rabbitmq-diagnostics check_alarms
            Asking node rabbit@h to report any local resource alarms ...
            ! Error:
            ! Memory alarm on node rabbit@h
            ! Free disk space alarm on node rabbit@h
            exit 69
            $ rabbitmq-diagnostics check_alarms -s
            exit 69
            $ rabbitmq-diagnostics alarms
            Asking node rabbit@h to report any known resource alarms ...
            Memory alarm on node rabbit@h
            Free disk space alarm on node rabbit@h
        "#]],
    );
}

#[test]
fn a_stopped_vhost_fails() {
    check(
        &Script::new().answer(
            "GET /api/vhosts",
            200,
            json!([{"name": "/", "cluster_state": {"rabbit@h": "stopped"}}]),
        ),
        &["rabbitmq-diagnostics check_virtual_hosts"],
        expect![[r#"
            $ rabbitmq-diagnostics check_virtual_hosts
            Checking if all vhosts are running on node rabbit@h ...
            ! Error:
            ! Some virtual hosts on node rabbit@h are down:
            ! /
            exit 69
        "#]],
    );
}
