//! `rabbitmq-queues`, `rabbitmq-streams`, `rabbitmq-upgrade`, and what does not apply to this broker.

use expect_test::expect;
use serde_json::json;

use super::{check, queues};
use crate::catalogue::{Action, Tool};
use crate::testing::Script;

#[test]
fn one_node_has_one_copy() {
    let safe = json!({"name": "safe", "type": "quorum", "messages": 4});
    check(
        &queues().answer("GET /api/queues/%2F/safe", 200, safe),
        &[
            "rabbitmq-queues check_if_node_is_quorum_critical",
            "rabbitmq-queues quorum_status safe",
            "rabbitmq-queues quorum_status a",
            "rabbitmq-queues quorum_status nothing",
        ],
        expect![[r#"
            $ rabbitmq-queues check_if_node_is_quorum_critical
            Checking if node rabbit@h is critical for quorum of any quorum queues ...
            Node rabbit@h seems to be the only one in a single node cluster, the check does not apply
            $ rabbitmq-queues quorum_status safe
            Status of quorum queue safe on node rabbit@h ...
            ┌───────────┬────────────┬────────────┬──────────┐
            │ Node Name │ Raft State │ Membership │ Messages │
            ├───────────┼────────────┼────────────┼──────────┤
            │ rabbit@h  │ leader     │ voter      │ 4        │
            └───────────┴────────────┴────────────┴──────────┘
            $ rabbitmq-queues quorum_status a
            Status of quorum queue a on node rabbit@h ...
            ! Error:
            ! Cannot get quorum status of a classic queue
            exit 69
            $ rabbitmq-queues quorum_status nothing
            Status of quorum queue nothing on node rabbit@h ...
            ! Error:
            ! not_found
            exit 69
        "#]],
    );
}

#[test]
fn copies_stay_where_they_are() {
    check(
        &queues(),
        &[
            "rabbitmq-queues add_member a rabbit@other",
            "rabbitmq-queues delete_member nothing rabbit@other",
            "rabbitmq-queues grow rabbit@h all",
            "rabbitmq-queues shrink rabbit@h",
            "rabbitmq-queues rebalance all",
            "rabbitmq-queues peek a 1",
            "rabbitmq-streams stream_status s",
            "rabbitmq-upgrade await_online_quorum_plus_one",
            "rabbitmq-upgrade post_upgrade",
            "rabbitmq-diagnostics check_for_quorum_queues_without_an_elected_leader '^a'",
        ],
        expect![[r#"
            $ rabbitmq-queues add_member a rabbit@other
            Adding a replica for queue a on node rabbit@other...
            ! Error:
            ! rabbit@h is a single node: a queue has one copy, and it is there
            exit 69
            $ rabbitmq-queues delete_member nothing rabbit@other
            Removing a replica of queue nothing on node rabbit@other...
            ! Error:
            ! not_found
            exit 69
            $ rabbitmq-queues grow rabbit@h all
            Growing all quorum queues on rabbit@h...

            $ rabbitmq-queues shrink rabbit@h
            Shrinking quorum queues on rabbit@h...
            No queue was changed: the last node cannot be removed
            $ rabbitmq-queues rebalance all
            Re-balancing leaders of all queues...
            All queues are led by rabbit@h, the only node
            $ rabbitmq-queues peek a 1
            ! Error: messages can't be looked at in their places here. 'liebre-cat get' takes the first one, and the management API's /api/queues/VHOST/QUEUE/get puts it back (ackmode ack_requeue_true)
            exit 69
            $ rabbitmq-streams stream_status s
            ! Error: this version has no streams
            exit 69
            $ rabbitmq-upgrade await_online_quorum_plus_one
            Will wait for a quorum + 1 of nodes to be online for all quorum queues for 120 seconds...
            Target node seems to be the only one in a single node cluster, the command does not apply
            $ rabbitmq-upgrade post_upgrade
            Executing post upgrade tasks...
            There is nothing to do after an upgrade of this broker
            $ rabbitmq-diagnostics check_for_quorum_queues_without_an_elected_leader '^a'
            Checking for quorum queues without an elected leader ...
            Node rabbit@h reported all quorum queue as having responsive leader replicas
        "#]],
    );
}

#[test]
fn code_is_not_evaluated_but_answered() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl eval 'rabbit_amqqueue:list().'",
            "rabbitmqctl eval 'application:get_env(rabbit, heartbeat).'",
            "rabbitmqctl eval '1 + 1.'",
            "rabbitmqctl exec 'IO.puts(1)'",
            "rabbitmqctl join_cluster rabbit@other",
            "rabbitmqctl sync_queue q",
            "rabbitmqctl encode value secret",
            "rabbitmq-diagnostics erlang_version",
        ],
        expect![[r#"
            $ rabbitmqctl eval 'rabbit_amqqueue:list().'
            ! Error: there is no Erlang here to evaluate code with. What comes nearest to this is 'rabbitmqctl list_queues'
            exit 69
            $ rabbitmqctl eval 'application:get_env(rabbit, heartbeat).'
            ! Error: there is no Erlang here to evaluate code with. What comes nearest to this is 'rabbitmqctl environment'
            exit 69
            $ rabbitmqctl eval '1 + 1.'
            ! Error: there is no Erlang here to evaluate code with. Settings are shown by 'rabbitmqctl environment', the broker's state by 'rabbitmqctl status' and the list commands
            exit 69
            $ rabbitmqctl exec 'IO.puts(1)'
            ! Error: there is no Erlang here to evaluate code with. Settings are shown by 'rabbitmqctl environment', the broker's state by 'rabbitmqctl status' and the list commands
            exit 69
            $ rabbitmqctl join_cluster rabbit@other
            ! Error: this broker is a single node: it can't join others, nor forget them
            exit 69
            $ rabbitmqctl sync_queue q
            This command is a no-op on this broker: there are no mirrored queues
            $ rabbitmqctl encode value secret
            ! Error: values of the configuration are not encrypted here; keep its file readable for the broker's user alone
            exit 69
            $ rabbitmq-diagnostics erlang_version
            ! Error: there is no Erlang here; 'rabbitmqctl status' tells what the broker runs on
            exit 69
        "#]],
    );
}

/// Whoever asks for anything that RabbitMQ has learns what it is here.
#[test]
fn every_command_runs_or_says_why_not() {
    for tool in Tool::ALL {
        for command in tool.commands() {
            let words = "x ".repeat(command.fewest.min(4));
            match command.action {
                Action::Run(_) => {}
                Action::Nothing(_) | Action::Refused(_) | Action::RefusedFor(_) => {
                    let told = Script::gone().run(&format!("{} {} {words}", tool.name(), command.name));
                    assert!(told.ends_with("exit 69\n") || !told.contains("! "), "{told}");
                    assert!(told.lines().next().is_some_and(|line| line.len() > 5), "{told}");
                }
            }
        }
    }
}
