//! The log.

use expect_test::expect;
use serde_json::json;

use super::check;
use crate::testing::Script;

fn script() -> Script {
    Script::new()
        .answer("GET /api/liebre/log?lines=50", 200, json!({"lines": ["one", "two"], "next": 7}))
        .answer("GET /api/liebre/log?lines=1", 200, json!({"lines": ["two"], "next": 7}))
        .answer("GET /api/liebre/log?lines=0", 200, json!({"lines": [], "next": 7}))
        .answer("GET /api/liebre/log?since=7", 200, json!({"lines": ["three"], "next": 8}))
        .answer("GET /api/liebre/log?since=8", 200, json!({"lines": [], "next": 8}))
}

#[test]
fn the_log_is_shown_and_followed() {
    check(
        &script(),
        &[
            "rabbitmq-diagnostics log_location",
            "rabbitmq-diagnostics log_location --all --formatter json",
            "rabbitmq-diagnostics log_tail",
            "rabbitmq-diagnostics log_tail -N 1 -q",
            "rabbitmq-diagnostics log_tail -N 0",
            "rabbitmq-diagnostics log_tail_stream -d 1",
        ],
        expect![[r#"
            $ rabbitmq-diagnostics log_location
            Log file location(s) on node rabbit@h ...
            <stdout>
            $ rabbitmq-diagnostics log_location --all --formatter json
            ["<stdout>"]
            $ rabbitmq-diagnostics log_tail
            Last 50 log lines on node rabbit@h ...
            one
            two
            $ rabbitmq-diagnostics log_tail -N 1 -q
            two
            $ rabbitmq-diagnostics log_tail -N 0
            ! Error (argument validation): Bad argument: Argument must be a positive integer
            ! Arguments given:
            ! 	log_tail -N 0
            ! 
            ! Usage
            ! 
            ! rabbitmq-diagnostics [--node <node>] [--longnames] [--quiet] log_tail [--number|-N <number>] [--timeout <timeout>]
            exit 65
            $ rabbitmq-diagnostics log_tail_stream -d 1
            Streaming logs from node rabbit@h for 1 seconds ...
            three
            > pause 250 ms
            > pause 250 ms
            > pause 250 ms
            > pause 250 ms
        "#]],
    );
}

#[test]
fn its_level_is_set() {
    check(
        &script(),
        &[
            "rabbitmqctl set_log_level debug",
            "rabbitmqctl set_log_level warn",
            "rabbitmqctl set_log_level loud",
            "rabbitmqctl rotate_logs",
        ],
        expect![[r#"
            $ rabbitmqctl set_log_level debug
            Setting log level to "debug" ...
            > PUT /api/liebre/log-level {"level":"debug"}
            $ rabbitmqctl set_log_level warn
            Setting log level to "warning" ...
            > PUT /api/liebre/log-level {"level":"warning"}
            $ rabbitmqctl set_log_level loud
            ! Error:
            ! level loud is not supported. Try one of debug, info, warning, error, critical, none
            exit 69
            $ rabbitmqctl rotate_logs
            ! Error:
            ! This command does not rotate logs anymore [deprecated]
            exit 69
        "#]],
    );
}
