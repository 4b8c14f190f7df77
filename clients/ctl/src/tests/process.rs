//! The broker's process, what is around it, and the commands that look around.

use expect_test::expect;
use serde_json::json;

use super::{check, connections, queues};
use crate::testing::Script;

fn script() -> Script {
    let process = json!({
        "arguments": ["liebre", "--data-dir", "/data"],
        "variables": {"RABBITMQ_DEFAULT_PASS": "******", "LIEBRE_LOG": "debug"},
        "threads": [{"name": "liebre", "busy_nanos": 5_000_000}, {"name": "messages", "busy_nanos": 7}],
    });
    Script::new().answer("GET /api/liebre/process", 200, process)
}

#[test]
fn the_process() {
    check(
        &script(),
        &[
            "rabbitmq-diagnostics memory_breakdown",
            "rabbitmq-diagnostics memory_breakdown --unit mb --formatter json",
            "rabbitmq-diagnostics memory_breakdown --unit kb",
            "rabbitmq-diagnostics os_env",
            "rabbitmq-diagnostics command_line_arguments",
            "rabbitmq-diagnostics command_line_arguments --formatter json",
            "rabbitmq-diagnostics runtime_thread_stats --sample-interval 1",
            "rabbitmq-diagnostics certificates",
            "rabbitmq-diagnostics check_certificate_expiration",
            "rabbitmq-diagnostics check_certificate_expiration --unit centuries",
            "rabbitmq-diagnostics check_if_metadata_store_initialized",
        ],
        expect![[r#"
            $ rabbitmq-diagnostics memory_breakdown
            Reporting memory breakdown on node rabbit@h...
            other: 0.015 gb (75.0%)
            code: 0.005 gb (25.0%)

            $ rabbitmq-diagnostics memory_breakdown --unit mb --formatter json
            {"other":{"bytes":15000000,"percentage":75.0},"code":{"bytes":5000000,"percentage":25.0}}
            $ rabbitmq-diagnostics memory_breakdown --unit kb
            ! Error (argument validation): "unit 'kb' is not supported. Please use one of: bytes, mb, gb"
            ! Arguments given:
            ! 	memory_breakdown --unit kb
            ! 
            ! Usage
            ! 
            ! rabbitmq-diagnostics [--node <node>] [--longnames] [--quiet] memory_breakdown [--unit <unit>] [--timeout <timeout>]
            exit 64
            $ rabbitmq-diagnostics os_env
            Listing RabbitMQ-specific environment variables defined on node rabbit@h...
            LIEBRE_LOG=debug
            RABBITMQ_DEFAULT_PASS=******
            $ rabbitmq-diagnostics command_line_arguments
            Command line arguments of node rabbit@h ...
            liebre
            --data-dir
            /data
            $ rabbitmq-diagnostics command_line_arguments --formatter json
            ["liebre","--data-dir","/data"]
            $ rabbitmq-diagnostics runtime_thread_stats --sample-interval 1
            Will collect runtime thread stats on rabbit@h for 1 seconds...
                      Thread     busy    sleep

                      liebre    0.00%  100.00%
                    messages    0.00%  100.00%
            > pause 1000 ms
            $ rabbitmq-diagnostics certificates
            Certificates of node rabbit@h ...
            #{}
            $ rabbitmq-diagnostics check_certificate_expiration
            Checking certificate expiration on node rabbit@h ...
            No certificates are expiring within 4 weeks.
            $ rabbitmq-diagnostics check_certificate_expiration --unit centuries
            ! Error (argument validation): "unit 'centuries' is not supported. Please use one of: days, weeks, months, years"
            ! Arguments given:
            ! 	check_certificate_expiration --unit centuries
            ! 
            ! Usage
            ! 
            ! rabbitmq-diagnostics [--node <node>] [--longnames] [--quiet] check_certificate_expiration [--within <period>] [--unit <unit>]
            exit 64
            $ rabbitmq-diagnostics check_if_metadata_store_initialized
            Checking if metadata store on node rabbit@h is initialized ...
            Metadata store on node rabbit@h is initialized
        "#]],
    );
}

#[test]
fn names_are_resolved() {
    check(
        &Script::gone(),
        &[
            "rabbitmq-diagnostics resolve_hostname -n rabbit@h 127.0.0.1",
            "rabbitmq-diagnostics resolve_hostname -n rabbit@h --address-family ipv6 ::1",
            "rabbitmq-diagnostics resolve_hostname -n rabbit@h --address-family ipv6 127.0.0.1",
            "rabbitmq-diagnostics resolve_hostname -n rabbit@h --address-family ipx h",
        ],
        expect![[r#"
            $ rabbitmq-diagnostics resolve_hostname -n rabbit@h 127.0.0.1
            Asking node rabbit@h to resolve hostname 127.0.0.1 to IPv4 addresses...
            127.0.0.1
            $ rabbitmq-diagnostics resolve_hostname -n rabbit@h --address-family ipv6 ::1
            Asking node rabbit@h to resolve hostname ::1 to IPv6 addresses...
            ::1
            $ rabbitmq-diagnostics resolve_hostname -n rabbit@h --address-family ipv6 127.0.0.1
            Asking node rabbit@h to resolve hostname 127.0.0.1 to IPv6 addresses...
            ! Error:
            ! Failed to resolve hostname 127.0.0.1 to IPv6 addresses: nxdomain
            exit 70
            $ rabbitmq-diagnostics resolve_hostname -n rabbit@h --address-family ipx h
            ! Error (argument validation): "unsupported address family ipx. Please use one of: ipv4, ipv6"
            ! Arguments given:
            ! 	resolve_hostname -n rabbit@h --address-family ipx h
            ! 
            ! Usage
            ! 
            ! rabbitmq-diagnostics [--node <node>] [--longnames] [--quiet] resolve_hostname <hostname> [--address-family <ipv4 | ipv6>]
            exit 64
        "#]],
    );
}

#[test]
fn queues_answer_and_policies_match() {
    let policy = |name: &str, priority: u64, pattern: &str| {
        let definition = json!({"max-length": 5});
        json!({
            "vhost": "/", "name": name, "pattern": pattern, "apply-to": "queues", "definition": definition,
            "priority": priority,
        })
    };
    let policies = json!([policy("low", 1, "^a"), policy("high", 2, ".*"), policy("other", 3, "^b")]);
    check(
        &queues().answer("GET /api/policies/%2F", 200, policies),
        &[
            "rabbitmqctl list_unresponsive_queues",
            "rabbitmqctl list_unresponsive_queues -p nowhere",
            "rabbitmq-diagnostics list_policies_that_match a",
            "rabbitmq-diagnostics list_policies_that_match nothing",
            "rabbitmq-diagnostics list_policies_that_match a --object-type user",
        ],
        expect![[r#"
            $ rabbitmqctl list_unresponsive_queues
            Listing unresponsive queues for vhost / ...
            $ rabbitmqctl list_unresponsive_queues -p nowhere
            Listing unresponsive queues for vhost nowhere ...
            ! Virtual host 'nowhere' does not exist
            exit 65
            $ rabbitmq-diagnostics list_policies_that_match a
            Listing policies that match queue 'a' in vhost '/' ...
            ┌───────┬──────┬─────────┬──────────┬──────────────────┬──────────┐
            │ vhost │ name │ pattern │ apply-to │ definition       │ priority │
            ├───────┼──────┼─────────┼──────────┼──────────────────┼──────────┤
            │ /     │ high │ .*      │ queues   │ {"max-length":5} │ 2        │
            ├───────┼──────┼─────────┼──────────┼──────────────────┼──────────┤
            │ /     │ low  │ ^a      │ queues   │ {"max-length":5} │ 1        │
            └───────┴──────┴─────────┴──────────┴──────────────────┴──────────┘
            $ rabbitmq-diagnostics list_policies_that_match nothing
            Listing policies that match queue 'nothing' in vhost '/' ...
            ! Error:
            ! not_found
            exit 69
            $ rabbitmq-diagnostics list_policies_that_match a --object-type user
            ! Error (argument validation): "object type 'user' is not supported. Please use one of: queue, exchange"
            ! Arguments given:
            ! 	list_policies_that_match a --object-type user
            ! 
            ! Usage
            ! 
            ! rabbitmq-diagnostics [--node <node>] [--longnames] [--quiet] list_policies_that_match [--object-type <type>] <name>
            exit 64
        "#]],
    );
}

#[test]
fn a_report_goes_on_where_a_part_fails() {
    let report = connections().run("rabbitmqctl report");
    for part in [
        "Reporting server status of node rabbit@h ...\n",
        "Status of node rabbit@h ...\nRuntime\n",
        "Cluster status of node rabbit@h ...\nBasics\n",
        "Listing connections ...\npid\tname\t",
        "Listing channels ...\npid\tconnection\t",
        "Command line arguments of node rabbit@h ...\nError:\n",
        "Listing queues for vhost / ...\n",
        "Listing policies for vhost \"/\" ...\n",
    ] {
        assert!(report.contains(part), "{part}\n{report}");
    }
    assert!(!report.contains("exit"), "{report}");
}

#[test]
fn the_observer_shows_rates_from_its_second_look_on() {
    let queue =
        json!({"vhost": "/", "name": "a", "messages_ready": 2, "messages_unacknowledged": 1, "consumers": 3});
    let call = "GET /api/queues?sort=messages&sort_reverse=true&page=1&page_size=10\
                &columns=vhost,name,messages_ready,messages_unacknowledged,consumers";
    let overview = json!({
        "node": "rabbit@h", "object_totals": {"connections": 1, "queues": 2}, "queue_totals": {"messages": 3},
        "message_stats": {"publish": 5},
    });
    check(
        &Script::new().answer(call, 200, json!({"items": [queue]})).answer(
            "GET /api/overview",
            200,
            overview,
        ),
        &[
            "rabbitmq-diagnostics observer --count 2 --interval 1",
            "rabbitmq-diagnostics observer --count 1 --formatter json",
        ],
        expect![[r#"
            $ rabbitmq-diagnostics observer --count 2 --interval 1
            Observing node rabbit@h, every 1 seconds ...
            rabbit@h   up 61 s   memory 20.0 mb   disk free 5.0 gb
            connections 1   channels 0   queues 2   consumers 0
            messages 3   ready 0   unacknowledged 0

                   ready      unacked consumers  queue
                       2            1         3  a
            rabbit@h   up 61 s   memory 20.0 mb   disk free 5.0 gb
            connections 1   channels 0   queues 2   consumers 0
            messages 3   ready 0   unacknowledged 0
            published 0/s

                   ready      unacked consumers  queue
                       2            1         3  a
            > pause 1000 ms
            $ rabbitmq-diagnostics observer --count 1 --formatter json
            {"object_totals":{"connections":1,"queues":2},"queue_totals":{"messages":3},"message_stats":{"publish":5},"mem_used":20000000,"queues":[{"vhost":"/","name":"a","messages_ready":2,"messages_unacknowledged":1,"consumers":3}]}
        "#]],
    );
}

#[test]
fn attempts_to_log_in() {
    let attempts = json!([{"protocol": "amqp091", "auth_attempts": 3, "auth_attempts_failed": 1,
        "auth_attempts_succeeded": 2}]);
    check(
        &Script::new().answer("GET /api/auth/attempts/rabbit%40h", 200, attempts),
        &[
            "rabbitmq-diagnostics list_node_auth_attempts",
            "rabbitmqctl list_node_auth_attempt_stats --by-source",
            "rabbitmq-diagnostics reset_node_auth_attempt_metrics",
            "rabbitmq-diagnostics enable_auth_attempt_source_tracking",
            "rabbitmq-diagnostics disable_track_auth_attempt_source",
        ],
        expect![[r#"
            $ rabbitmq-diagnostics list_node_auth_attempts
            Listing authentication
             attempts for node "rabbit@h" ...
            protocol	auth_attempts	auth_attempts_failed	auth_attempts_succeeded
            amqp091	3	1	2
            $ rabbitmqctl list_node_auth_attempt_stats --by-source
            Listing authentication
             attempts for node "rabbit@h" ...
            ! Error:
            ! the broker does not count authentication attempts
            exit 69
            $ rabbitmq-diagnostics reset_node_auth_attempt_metrics
            Resetting auth attempt metrics on node rabbit@h ...
            > DELETE /api/auth/attempts/rabbit%40h
            $ rabbitmq-diagnostics enable_auth_attempt_source_tracking
            ! Error: the broker does not keep addresses and names of those who log in; its log has them: 'rabbitmq-diagnostics log_tail'
            exit 69
            $ rabbitmq-diagnostics disable_track_auth_attempt_source
            Addresses and names of those who log in are not kept on this broker
        "#]],
    );
}
