//! Stopping, resetting and starting the broker in its process; listeners; waiting.

use expect_test::expect;
use serde_json::json;

use super::check;
use crate::testing::Script;

/// A broker that is stopped while its process waits.
fn stopped() -> Script {
    let not_running = json!({"error": "not_running", "reason": "it is stopped", "node": "rabbit@h"});
    Script::new().answer("GET /api/overview", 503, not_running.clone()).answer(
        "GET /api/users",
        503,
        not_running,
    )
}

#[test]
fn a_running_broker_is_stopped_first() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl reset",
            "rabbitmqctl force_reset",
            "rabbitmqctl start_app",
            "rabbitmqctl stop_app -t 0",
        ],
        expect![[r#"
            $ rabbitmqctl reset
            ! Error: this command requires the 'rabbit' app to be stopped on the target node. Stop it with 'rabbitmqctl stop_app'.
            ! Arguments given:
            ! 	reset
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] reset
            exit 64
            $ rabbitmqctl force_reset
            ! Error: this command requires the 'rabbit' app to be stopped on the target node. Stop it with 'rabbitmqctl stop_app'.
            ! Arguments given:
            ! 	force_reset
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] force_reset
            exit 64
            $ rabbitmqctl start_app
            Starting node rabbit@h ...
            $ rabbitmqctl stop_app -t 0
            Stopping rabbit application on node rabbit@h ...
            ! Error: operation stop_app on node rabbit@h timed out. Timeout value used: 0
            > POST /api/liebre/stop-app
            > pause 100 ms
            exit 75
        "#]],
    );
}

#[test]
fn of_a_stopped_broker_there_are_the_log_and_the_process() {
    let status = json!({
        "os": "Linux", "runtime": "Liebre 0.1.0", "name": "rabbit@h", "os_pid": "42", "db_dir": "/data",
        "log_files": ["<stderr>", "/var/log/liebre.log"], "product_name": "Liebre", "product_version": "0.1.0",
        "rabbitmq_version": "4.2.0",
    });
    let script = stopped().answer("GET /api/liebre/status", 200, status).answer(
        "GET /api/liebre/log?lines=50",
        200,
        json!({"lines": ["one", "two"], "next": 7}),
    );
    check(
        &script,
        &["rabbitmqctl status", "rabbitmq-diagnostics log_tail", "rabbitmq-diagnostics log_location --all"],
        expect![[r#"
            $ rabbitmqctl status
            Status of node rabbit@h ...
            Runtime

            OS PID: 42
            OS: Linux
            RabbitMQ is stopped on this node: 'rabbitmqctl start_app' starts it
            Product name: Liebre
            Product version: 0.1.0
            RabbitMQ version: 4.2.0
            Node name: rabbit@h
            Runtime: Liebre 0.1.0

            Data directory

            Node data directory: /data

            Log file(s)

             * <stderr>
             * /var/log/liebre.log
            $ rabbitmq-diagnostics log_tail
            Last 50 log lines on node rabbit@h ...
            one
            two
            $ rabbitmq-diagnostics log_location --all
            Log file location(s) on node rabbit@h ...
            <stderr>
            /var/log/liebre.log
        "#]],
    );
}

#[test]
fn who_could_not_start_it_again_does_not_stop_it() {
    check(
        &Script::new(),
        &["rabbitmqctl --host h stop_app"],
        expect![[r#"
            $ rabbitmqctl --host h stop_app
            ! Error: stop_app works only where the broker runs, without --host and --port: a stopped broker answers nobody from afar, not even start_app. To end it, use 'stop'.
            ! Arguments given:
            ! 	--host h stop_app
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] stop_app
            exit 64
        "#]],
    );
}

#[test]
fn a_stopped_broker_is_reset_and_says_why_it_does_not_answer() {
    check(
        &stopped(),
        &[
            "rabbitmqctl stop_app",
            "rabbitmqctl reset",
            "rabbitmqctl ping",
            "rabbitmqctl list_users",
            "rabbitmqctl list_users --formatter json",
            "rabbitmq-diagnostics check_running",
            "rabbitmq-diagnostics is_running",
            "rabbitmq-diagnostics is_booting",
            "rabbitmqctl start_app -t 0",
            "rabbitmqctl shutdown --no-wait",
        ],
        expect![[r#"
            $ rabbitmqctl stop_app
            Stopping rabbit application on node rabbit@h ...
            $ rabbitmqctl reset
            Resetting node rabbit@h ...
            > POST /api/liebre/reset
            $ rabbitmqctl ping
            Will ping rabbit@h. This only checks if the OS process is running and registered with epmd. Timeout: 60000 ms.
            Ping succeeded
            $ rabbitmqctl list_users
            Listing users ...
            ! Error: this command requires the 'rabbit' app to be running on the target node. Start it with 'rabbitmqctl start_app'.
            ! Arguments given:
            ! 	list_users
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] list_users [--no-table-headers] [--timeout <timeout>]
            exit 64
            $ rabbitmqctl list_users --formatter json
            ! Error: this command requires the 'rabbit' app to be running on the target node. Start it with 'rabbitmqctl start_app'.
            ! Arguments given:
            ! 	list_users --formatter json
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] list_users [--no-table-headers] [--timeout <timeout>]
            exit 64
            $ rabbitmq-diagnostics check_running
            Checking if RabbitMQ is running on node rabbit@h ...
            ! Error:
            ! RabbitMQ on node rabbit@h is not running or has not fully booted yet (check with is_booting)
            exit 69
            $ rabbitmq-diagnostics is_running
            Asking node rabbit@h for its status ...
            RabbitMQ on node rabbit@h is not running or has not fully booted yet (check with is_booting)
            $ rabbitmq-diagnostics is_booting
            Asking node rabbit@h for its boot status ...
            RabbitMQ on node rabbit@h is fully booted (check with is_running), stopped or has not started booting yet
            $ rabbitmqctl start_app -t 0
            Starting node rabbit@h ...
            ! Error: operation start_app on node rabbit@h timed out. Timeout value used: 0
            > POST /api/liebre/start-app
            > pause 100 ms
            exit 75
            $ rabbitmqctl shutdown --no-wait
            Shutting down RabbitMQ node rabbit@h running at PID unknown
            > POST /api/liebre/stop
        "#]],
    );
}

#[test]
fn listeners_are_suspended_and_nodes_drained() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl suspend_listeners",
            "rabbitmqctl resume_listeners",
            "rabbitmq-upgrade drain",
            "rabbitmq-upgrade revive",
        ],
        expect![[r#"
            $ rabbitmqctl suspend_listeners
            Will suspend client connection listeners on node rabbit@h. The node will no longer accept client connections!
            > PUT /api/liebre/listeners {"suspended":true}
            $ rabbitmqctl resume_listeners
            Will resume client connection listeners on node rabbit@h. The node will now accept client connections
            > PUT /api/liebre/listeners {"suspended":false}
            $ rabbitmq-upgrade drain
            Will put node rabbit@h into maintenance mode. The node will no longer serve any client traffic!
            > PUT /api/liebre/maintenance {"enabled":true}
            $ rabbitmq-upgrade revive
            Will put node rabbit@h back into regular operating mode. The node will again serve client traffic and host primary queue replicas.
            > PUT /api/liebre/maintenance {"enabled":false}
        "#]],
    );
}

#[test]
fn wait_follows_a_pid_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    std::fs::write(&file, format!("{}\n", std::process::id())).unwrap();
    let told = Script::new().run(&format!("rabbitmqctl wait {}", file.display()));
    let told =
        told.replace(&file.display().to_string(), "FILE").replace(&std::process::id().to_string(), "PID");
    expect![[r#"
        Waiting for pid file 'FILE' to appear
        pid is PID
        Waiting for erlang distribution on node 'rabbit@h' while OS process 'PID' is running
        Waiting for applications 'rabbit_and_plugins' to start on node 'rabbit@h'
        Applications 'rabbit_and_plugins' are running on node 'rabbit@h'
    "#]]
    .assert_eq(&told);
    std::fs::write(&file, "nonsense").unwrap();
    assert!(Script::new().run(&format!("rabbitmqctl wait {}", file.display())).ends_with("exit 70\n"));
}

#[test]
fn wait_for_nothing() {
    check(
        &Script::gone(),
        &[
            "rabbitmqctl wait",
            "rabbitmqctl wait /nowhere --pid 1",
            "rabbitmqctl wait /nowhere -t 0 -n rabbit@h",
            "rabbitmqctl wait --pid 4194305 -n rabbit@h",
        ],
        expect![[r#"
            $ rabbitmqctl wait
            ! Error (argument validation): "No pid or pidfile specified"
            ! Arguments given:
            ! 	wait
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] wait [<pidfile>] [--pid|-P <pid>] [--timeout <timeout>]
            exit 64
            $ rabbitmqctl wait /nowhere --pid 1
            ! Error (argument validation): "Cannot specify both pid and pidfile"
            ! Arguments given:
            ! 	wait /nowhere --pid 1
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] wait [<pidfile>] [--pid|-P <pid>] [--timeout <timeout>]
            exit 64
            $ rabbitmqctl wait /nowhere -t 0 -n rabbit@h
            Waiting for pid file '/nowhere' to appear
            ! Error: operation wait on node rabbit@h timed out. Timeout value used: 0
            > pause 100 ms
            exit 75
            $ rabbitmqctl wait --pid 4194305 -n rabbit@h
            pid is 4194305
            Waiting for erlang distribution on node 'rabbit@h' while OS process '4194305' is running
            ! Error:
            ! process_not_running
            exit 70
        "#]],
    );
}
