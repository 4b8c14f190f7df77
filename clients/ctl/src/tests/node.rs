//! The broker itself.

use expect_test::expect;
use serde_json::{Value, json};

use super::check;
use crate::testing::Script;

#[test]
fn the_broker_answers() {
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
        expect![[r#"
            $ rabbitmqctl ping
            Will ping rabbit@h. This only checks if the OS process is running and registered with epmd. Timeout: 60000 ms.
            Ping succeeded
            $ rabbitmqctl ping -t 5 --formatter json
            {"message":"Ping succeeded"}
            $ rabbitmqctl await_startup
            $ rabbitmqctl version
            4.2.0
            $ liebrectl --version
            0.1.0
            $ rabbitmqctl status
            Status of node rabbit@h ...
            Runtime

            OS PID: 42
            OS: unknown
            Uptime (seconds): 61
            Is under maintenance?: false
            Product name: Liebre
            Product version: 0.1.0
            RabbitMQ version: 4.2.0
            Node name: rabbit@h

            Plugins

            Enabled plugins:

             * rabbitmq_management

            Data directory

            Node data directory: /data

            Config files

            (none)

            Log file(s)

             * <stdout>

            Alarms

            (none)

            Tags

            (none)

            Memory

            Total memory used: 0.02 gb
            Calculation strategy: rss
            Memory high watermark setting: unknown, computed to: 0.6 gb

            other: 0.015 gb (75.0 %)
            code: 0.005 gb (25.0 %)

            Free Disk Space

            Low free disk space watermark: 0.05 gb
            Free disk space: 5.0 gb

            Totals

            Connection count: 1
            Queue count: 2
            Virtual host count: 1

            Listeners

            Interface: [::], port: 5672, protocol: amqp, purpose: AMQP 0-9-1
            Interface: 127.0.0.1, port: 15672, protocol: http, purpose: HTTP API
        "#]],
    );
}

#[test]
fn status_is_json_or_refuses_a_unit() {
    check(
        &Script::new(),
        &["rabbitmqctl status -q --unit mb --formatter json", "rabbitmqctl status --unit kb"],
        expect![[r#"
            $ rabbitmqctl status -q --unit mb --formatter json
            {"pid":42,"os":null,"uptime":61,"is_under_maintenance":false,"product_name":"Liebre","product_version":"0.1.0","rabbitmq_version":"4.2.0","runtime":null,"processes":{"used":null,"limit":null},"run_queue":null,"net_ticktime":null,"active_plugins":["rabbitmq_management"],"data_directory":"/data","config_files":[],"log_files":["<stdout>"],"alarms":[],"tags":null,"memory":{"code":5000000,"other":15000000,"total":{"rss":20000000}},"vm_memory_calculation_strategy":"rss","vm_memory_high_watermark_setting":null,"vm_memory_high_watermark_limit":600000000,"disk_free":5000000000,"disk_free_limit":50000000,"totals":{"connection_count":1,"queue_count":2,"virtual_host_count":1},"listeners":[{"interface":"[::]","node":"rabbit@h","port":5672,"protocol":"amqp","purpose":"AMQP 0-9-1"},{"interface":"127.0.0.1","node":"rabbit@h","port":15672,"protocol":"http","purpose":"HTTP API"}]}
            $ rabbitmqctl status --unit kb
            ! Error (argument validation): "unit 'kb' is not supported. Please use one of: bytes, mb, gb"
            ! Arguments given:
            ! 	status --unit kb
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] status [--unit <unit>] [--timeout <timeout>]
            exit 64
        "#]],
    );
}

#[test]
fn status_warns_of_confirms_before_the_disk() {
    let own = json!({"os": "Linux", "unsafe_no_fsync": true});
    let script = Script::new().answer("GET /api/liebre/status", 200, own);
    let text = script.run("rabbitmqctl status");
    let warning = "\nWARNING: --unsafe-no-fsync: confirmed messages are lost when the machine stops\n";
    assert!(text.contains(warning), "{text}");
    assert!(script.run("rabbitmqctl status --formatter json").contains(r#""unsafe_no_fsync":true"#));
    assert!(!Script::new().run("rabbitmqctl status --formatter json").contains("unsafe_no_fsync"));
}

#[test]
fn settings_are_erlang_terms_or_json() {
    check(
        &Script::new().answer(
            "GET /api/liebre/environment",
            200,
            json!({"heartbeat": 60, "listeners.tcp": ["127.0.0.1:5672"], "x": {"a": null}}),
        ),
        &["rabbitmqctl environment", "rabbitmqctl environment --formatter json"],
        expect![[r#"
            $ rabbitmqctl environment
            Application environment of node rabbit@h ...
            [{liebre,
                 [{heartbeat,60},
                  {'listeners.tcp',["127.0.0.1:5672"]},
                  {x,[{a,undefined}]}]}]
            $ rabbitmqctl environment --formatter json
            {"liebre":{"heartbeat":60,"listeners.tcp":["127.0.0.1:5672"],"x":{"a":null}}}
        "#]],
    );
}

#[test]
fn another_broker_has_no_own_routes() {
    let other = Script::new().answer("POST /api/liebre/stop", 405, Value::Null).answer(
        "POST /api/liebre/authenticate",
        405,
        Value::Null,
    );
    let lines = ["rabbitmqctl stop -q", "rabbitmqctl authenticate_user a b -q", "rabbitmqctl environment -q"];
    check(
        &other,
        &lines,
        expect![[r#"
        $ rabbitmqctl stop -q
        ! Error:
        ! what answers at /data/control.sock is not a Liebre broker: it has no /api/liebre/stop
        > POST /api/liebre/stop
        exit 69
        $ rabbitmqctl authenticate_user a b -q
        ! Error:
        ! what answers at /data/control.sock is not a Liebre broker: it has no /api/liebre/authenticate
        > POST /api/liebre/authenticate {"username":"a","password":"b"}
        exit 69
        $ rabbitmqctl environment -q
        ! Error:
        ! what answers at /data/control.sock is not a Liebre broker: it has no /api/liebre/environment
        exit 69
    "#]],
    );
}

#[test]
fn stop_waits_for_the_end() {
    check(
        &Script::new(),
        &["rabbitmqctl stop"],
        expect![[r#"
        $ rabbitmqctl stop
        Stopping and halting node rabbit@h ...
        > POST /api/liebre/stop
    "#]],
    );
}

#[test]
fn shutdown_tells_its_steps() {
    check(
        &Script::new(),
        &["rabbitmqctl shutdown"],
        expect![[r#"
        $ rabbitmqctl shutdown
        Shutting down RabbitMQ node rabbit@h running at PID 42
        Waiting for PID 42 to terminate
        RabbitMQ node rabbit@h running at PID 42 successfully shut down
        > POST /api/liebre/stop
    "#]],
    );
}

#[test]
fn shutdown_may_not_wait() {
    check(
        &Script::new(),
        &["rabbitmqctl shutdown --no-wait"],
        expect![[r#"
        $ rabbitmqctl shutdown --no-wait
        Shutting down RabbitMQ node rabbit@h running at PID 42
        > POST /api/liebre/stop
    "#]],
    );
}

#[test]
fn without_a_broker() {
    check(
        &Script::gone(),
        &[
            "rabbitmqctl stop --idempotent",
            "rabbitmqctl stop",
            "rabbitmqctl list_queues",
            "rabbitmqctl await_startup -t 1",
            "rabbitmqctl list_users --formatter json",
        ],
        expect![[r#"
            $ rabbitmqctl stop --idempotent
            /data/control.sock is not running, so there is nothing to stop
            $ rabbitmqctl stop
            ! Error: no Liebre broker answers at /data/control.sock (No such file or directory): start it with 'liebre', or name another one with --data-dir or --host
            exit 69
            $ rabbitmqctl list_queues
            Timeout: 60.0 seconds ...
            Listing queues for vhost / ...
            ! Error: no Liebre broker answers at /data/control.sock (No such file or directory): start it with 'liebre', or name another one with --data-dir or --host
            exit 69
            $ rabbitmqctl await_startup -t 1
            ! Error: operation await_startup on node /data/control.sock timed out. Timeout value used: 1000
            > pause 200 ms
            > pause 200 ms
            > pause 200 ms
            > pause 200 ms
            > pause 200 ms
            exit 75
            $ rabbitmqctl list_users --formatter json
            {"result":"error","node":"","message":"Error: no Liebre broker answers at /data/control.sock (No such file or directory): start it with 'liebre', or name another one with --data-dir or --host"}
            exit 69
        "#]],
    );
}

#[test]
fn another_node_than_the_one_that_answers_is_refused_before_anything_is_done() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl -n hare@mars delete_user ana",
            "rabbitmqctl -n rabbit@localhost -q delete_user ana",
            "rabbitmqctl -n @h --dry-run delete_user ana",
            "rabbitmqctl -n @other --dry-run delete_user ana",
            "rabbitmqctl -n hare version",
        ],
        expect![[r#"
            $ rabbitmqctl -n hare@mars delete_user ana
            ! Error: unable to perform an operation on node 'hare@mars'. Please see diagnostics information and suggestions below.
            ! 
            ! Most common reasons for this are:
            ! 
            !  * Target node is not running
            !  * Target node has another name (see the name in the diagnostics below)
            !  * Target node keeps its data in another directory (see --data-dir) or is on another host (see --host)
            ! 
            ! DIAGNOSTICS
            ! ===========
            ! 
            ! attempted to contact: [hare@mars]
            ! 
            ! hare@mars:
            !   * connected to /data/control.sock
            !   * the broker there is node 'rabbit@h'
            !   * suggestion: nothing was done; leave out --node to speak to 'rabbit@h'
            ! 
            exit 69
            $ rabbitmqctl -n rabbit@localhost -q delete_user ana
            > DELETE /api/users/ana
            $ rabbitmqctl -n @h --dry-run delete_user ana
            Deleting user "ana" ...
            $ rabbitmqctl -n @other --dry-run delete_user ana
            ! Error: unable to perform an operation on node 'rabbit@other'. Please see diagnostics information and suggestions below.
            ! 
            ! Most common reasons for this are:
            ! 
            !  * Target node is not running
            !  * Target node has another name (see the name in the diagnostics below)
            !  * Target node keeps its data in another directory (see --data-dir) or is on another host (see --host)
            ! 
            ! DIAGNOSTICS
            ! ===========
            ! 
            ! attempted to contact: [rabbit@other]
            ! 
            ! rabbit@other:
            !   * connected to /data/control.sock
            !   * the broker there is node 'rabbit@h'
            !   * suggestion: nothing was done; leave out --node to speak to 'rabbit@h'
            ! 
            exit 69
            $ rabbitmqctl -n hare version
            4.2.0
        "#]],
    );
}

#[test]
fn a_node_that_does_not_answer_is_told_as_ever() {
    let line = "rabbitmqctl -n hare list_users";
    assert_eq!(Script::gone().run(line), Script::gone().run("rabbitmqctl list_users"));
}
