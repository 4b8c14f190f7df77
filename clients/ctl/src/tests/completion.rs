//! Completion of command lines.

use expect_test::expect;
use serde_json::json;

use super::{check, queues};
use crate::testing::Script;

fn script() -> Script {
    queues()
        .answer("GET /api/vhosts?columns=name", 200, json!([{"name": "/"}, {"name": "curso"}]))
        .answer("GET /api/users?columns=name", 200, json!([{"name": "ana"}, {"name": "guest"}]))
        .answer(
            "GET /api/queues/curso?columns=name",
            200,
            json!([{"name": "orders"}, {"name": "orders.dead"}]),
        )
}

#[test]
fn what_the_last_word_may_become() {
    check(
        &script(),
        &[
            "rabbitmqctl autocomplete list_q",
            "rabbitmqctl -q autocomplete -- list_ex",
            "rabbitmqctl -q autocomplete -- -p c",
            "rabbitmqctl -q autocomplete -- delete_user ''",
            "rabbitmqctl -q autocomplete -- -p curso purge_queue ord",
            "rabbitmqctl -q autocomplete -- list_queues name mess",
            "rabbitmqctl -q autocomplete -- list_queues --formatter j",
            "rabbitmqctl -q autocomplete -- delete_queue --if",
            "rabbitmqctl -q autocomplete -- help add_",
            "rabbitmqctl -q autocomplete -- nonsense ''",
            "rabbitmq-upgrade -q autocomplete -- d",
        ],
        expect![[r#"
            $ rabbitmqctl autocomplete list_q
            list_queues
            $ rabbitmqctl -q autocomplete -- list_ex
            list_exchanges
            $ rabbitmqctl -q autocomplete -- -p c
            curso
            $ rabbitmqctl -q autocomplete -- delete_user ''
            ana
            guest
            $ rabbitmqctl -q autocomplete -- -p curso purge_queue ord
            orders
            orders.dead
            $ rabbitmqctl -q autocomplete -- list_queues name mess
            message_bytes
            message_bytes_persistent
            message_bytes_ram
            message_bytes_ready
            message_bytes_unacknowledged
            messages
            messages_persistent
            messages_ram
            messages_ready
            messages_ready_ram
            messages_unacknowledged
            messages_unacknowledged_ram
            $ rabbitmqctl -q autocomplete -- list_queues --formatter j
            json
            json_stream
            $ rabbitmqctl -q autocomplete -- delete_queue --if
            --if-empty
            --if-unused
            $ rabbitmqctl -q autocomplete -- help add_
            add_user
            add_vhost
            $ rabbitmqctl -q autocomplete -- nonsense ''
            $ rabbitmq-upgrade -q autocomplete -- d
            drain
        "#]],
    );
}

#[test]
fn names_and_values_of_options() {
    check(
        &script(),
        &[
            "rabbitmqctl -q autocomplete -- -p curso delete_queue orders.",
            "rabbitmqctl -q autocomplete -- set_permissions -p curso ''",
            "rabbitmqctl -q autocomplete -- list_queues --vhost=",
            "rabbitmqctl -q autocomplete -- list_queues --vhost = cu",
            "rabbitmqctl -q autocomplete -- list_queues --vhost =",
            "rabbitmqctl -q autocomplete -- delete_queue --vhost = curso orders.d",
            "rabbitmqctl -q autocomplete -- list_queues --nope=",
        ],
        expect![[r#"
            $ rabbitmqctl -q autocomplete -- -p curso delete_queue orders.
            orders.dead
            $ rabbitmqctl -q autocomplete -- set_permissions -p curso ''
            ana
            guest
            $ rabbitmqctl -q autocomplete -- list_queues --vhost=
            --vhost=/
            --vhost=curso
            $ rabbitmqctl -q autocomplete -- list_queues --vhost = cu
            curso
            $ rabbitmqctl -q autocomplete -- list_queues --vhost =
            /
            curso
            $ rabbitmqctl -q autocomplete -- delete_queue --vhost = curso orders.d
            orders.dead
            $ rabbitmqctl -q autocomplete -- list_queues --nope=
        "#]],
    );
}

#[test]
fn without_a_broker_there_are_still_commands() {
    check(
        &Script::gone(),
        &["rabbitmqctl -q autocomplete -- delete_us", "rabbitmqctl -q autocomplete -- delete_user ''"],
        expect![[r#"
            $ rabbitmqctl -q autocomplete -- delete_us
            delete_user
            $ rabbitmqctl -q autocomplete -- delete_user ''
        "#]],
    );
}

#[test]
fn shells_are_told_to_ask() {
    for shell in ["bash", "zsh", "fish"] {
        let script = Script::gone().run(&format!("liebrectl completion {shell}"));
        assert!(script.contains("autocomplete -- ") && script.contains("rabbitmq-upgrade"), "{script}");
    }
    assert!(Script::gone().run("liebrectl completion tcsh").ends_with("exit 64\n"));
}
