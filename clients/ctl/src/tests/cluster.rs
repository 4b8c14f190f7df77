//! The cluster of one, and feature flags.

use expect_test::expect;
use serde_json::json;

use super::check;
use crate::testing::Script;

fn script() -> Script {
    let flag =
        json!({"name": "quorum_queue", "state": "enabled", "stability": "stable", "provided_by": "rabbit"});
    let feature = json!({"name": "transient_nonexcl_queues", "deprecation_phase": "permitted_by_default"});
    Script::new()
        .answer("GET /api/feature-flags", 200, json!([flag]))
        .answer("GET /api/deprecated-features", 200, json!([feature]))
        .answer("GET /api/deprecated-features/used", 200, json!([]))
}

#[test]
fn the_cluster_is_one_node() {
    check(
        &script(),
        &[
            "rabbitmqctl cluster_status",
            "rabbitmqctl cluster_status --formatter json",
            "rabbitmqctl await_online_nodes 1",
            "rabbitmqctl await_online_nodes 3",
            "rabbitmqctl await_online_nodes none",
            "rabbitmqctl set_cluster_name aula",
        ],
        expect![[r#"
            $ rabbitmqctl cluster_status
            Cluster status of node rabbit@h ...
            Basics

            Cluster name: unknown
            Total CPU cores available cluster-wide: unknown

            Cluster Tags

            (none)

            Disk Nodes

            rabbit@h

            Running Nodes

            rabbit@h

            Versions

            rabbit@h: RabbitMQ 4.2.0 on Liebre 0.1.0

            CPU Cores

            Node: rabbit@h, available CPU cores: unknown

            Maintenance status

            Node: rabbit@h, status: not under maintenance

            Alarms

            (none)

            Network Partitions

            (none)

            Listeners

            Node: rabbit@h, interface: [::], port: 5672, protocol: amqp, purpose: AMQP 0-9-1
            Node: rabbit@h, interface: 127.0.0.1, port: 15672, protocol: http, purpose: HTTP API

            Feature flags

            Flag: quorum_queue, state: enabled
            $ rabbitmqctl cluster_status --formatter json
            {"cluster_name":null,"disk_nodes":["rabbit@h"],"ram_nodes":[],"running_nodes":["rabbit@h"],"versions":{"rabbit@h":{"rabbitmq_name":"RabbitMQ","rabbitmq_version":"4.2.0","product_name":"Liebre","product_version":"0.1.0"}},"cpu_cores":{"rabbit@h":null},"maintenance_status":{"rabbit@h":"not under maintenance"},"alarms":[],"partitions":{},"listeners":{"rabbit@h":[{"interface":"[::]","node":"rabbit@h","port":5672,"protocol":"amqp","purpose":"AMQP 0-9-1"},{"interface":"127.0.0.1","node":"rabbit@h","port":15672,"protocol":"http","purpose":"HTTP API"}]},"feature_flags":[{"name":"quorum_queue","state":"enabled"}]}
            $ rabbitmqctl await_online_nodes 1
            Will wait for at least 1 nodes to join the cluster of rabbit@h. Timeout: 300 seconds.
            $ rabbitmqctl await_online_nodes 3
            Will wait for at least 3 nodes to join the cluster of rabbit@h. Timeout: 300 seconds.
            ! Error:
            ! rabbit@h is a single node: 3 nodes will never be online
            exit 69
            $ rabbitmqctl await_online_nodes none
            ! Error (argument validation): Bad argument: Argument must be a positive integer
            ! Arguments given:
            ! 	await_online_nodes none
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] await_online_nodes <count> [--timeout <timeout>]
            exit 65
            $ rabbitmqctl set_cluster_name aula
            Setting cluster name to aula ...
            > PUT /api/cluster-name {"name":"aula"}
        "#]],
    );
}

#[test]
fn features() {
    check(
        &script(),
        &[
            "rabbitmqctl list_feature_flags",
            "rabbitmqctl list_feature_flags name stability",
            "rabbitmqctl enable_feature_flag all",
            "rabbitmqctl enable_feature_flag quorum_queue",
            "rabbitmqctl enable_feature_flag nonsense",
            "rabbitmqctl list_deprecated_features",
            "rabbitmqctl list_deprecated_features --used",
            "rabbitmq-diagnostics check_if_any_deprecated_features_are_used",
        ],
        expect![[r#"
            $ rabbitmqctl list_feature_flags
            Listing feature flags ...
            name	state
            quorum_queue	enabled
            $ rabbitmqctl list_feature_flags name stability
            Listing feature flags ...
            name	stability
            quorum_queue	stable
            $ rabbitmqctl enable_feature_flag all
            Enabling all feature flags ...
            $ rabbitmqctl enable_feature_flag quorum_queue
            Enabling feature flag "quorum_queue" ...
            $ rabbitmqctl enable_feature_flag nonsense
            Enabling feature flag "nonsense" ...
            ! Error:
            ! This feature flag is not supported by node rabbit@h
            exit 64
            $ rabbitmqctl list_deprecated_features
            Listing deprecated features ...
            ┌──────────────────────────┬──────────────────────┐
            │ name                     │ deprecation_phase    │
            ├──────────────────────────┼──────────────────────┤
            │ transient_nonexcl_queues │ permitted_by_default │
            └──────────────────────────┴──────────────────────┘
            $ rabbitmqctl list_deprecated_features --used
            Listing deprecated features in use ...
            $ rabbitmq-diagnostics check_if_any_deprecated_features_are_used
            Checking if any deprecated features are used ...
            Cluster reported no deprecated features in use
        "#]],
    );
}
