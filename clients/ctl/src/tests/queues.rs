//! Queues, exchanges and bindings.

use expect_test::expect;
use serde_json::{Value, json};

use super::{check, queues};
use crate::testing::Script;

#[test]
fn queues_are_listed_and_deleted() {
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
        expect![[r#"
            $ rabbitmqctl list_queues
            Timeout: 60.0 seconds ...
            Listing queues for vhost / ...
            name	messages
            a	3
            tab\t	0
            $ rabbitmqctl list_queues -q name policy arguments effective_policy_definition owner_pid
            name	policy	arguments	effective_policy_definition	owner_pid
            a	p	[{"x-message-ttl",1000}]	[{<<"max-length">>, 5}]	<rabbit@h.1.5.0>
            tab\t				
            $ rabbitmqctl list_queues --offline
            Timeout: 60.0 seconds ...
            Listing queues for vhost / ...
            $ rabbitmqctl list_queues -p nowhere -t 5
            Timeout: 5.0 seconds ...
            Listing queues for vhost nowhere ...
            ! Virtual host 'nowhere' does not exist
            exit 65
            $ rabbitmqctl list_queues --formatter json name arguments
            [
            {"name":"a","arguments":{"x-message-ttl":1000}}
            ,{"name":"tab\t","arguments":""}
            ]
            $ rabbitmqctl delete_queue a
            Deleting queue 'a' on vhost '/' ...
            Queue was successfully deleted with 2 ready messages
            > DELETE /api/queues/%2F/a
        "#]],
    );
}

#[test]
fn queues_are_purged_and_topology_is_listed() {
    check(
        &queues(),
        &[
            "rabbitmqctl delete_queue a --if-empty -u",
            "rabbitmqctl delete_queue nosuch",
            "rabbitmqctl purge_queue a",
            "rabbitmqctl list_bindings",
            "rabbitmqctl list_exchanges",
        ],
        expect![[r#"
            $ rabbitmqctl delete_queue a --if-empty -u
            Deleting queue 'a' on vhost '/' if queue is empty and if queue is unused ...
            Queue was successfully deleted with 2 ready messages
            > DELETE /api/queues/%2F/a?if-empty=true&if-unused=true
            $ rabbitmqctl delete_queue nosuch
            Deleting queue 'nosuch' on vhost '/' ...
            ! Error:
            ! No such queue was found
            exit 64
            $ rabbitmqctl purge_queue a
            Purging queue 'a' in vhost '/' ...
            > DELETE /api/queues/%2F/a/contents
            $ rabbitmqctl list_bindings
            Listing bindings for vhost /...
            source_name	source_kind	destination_name	destination_kind	routing_key	arguments
            	exchange	a	queue	a	[]
            x	exchange	a	queue	k.#	[]
            $ rabbitmqctl list_exchanges
            Listing exchanges for vhost / ...
            name	type
            	direct
            x	topic
        "#]],
    );
}

#[test]
fn conditions_of_deleting_are_told() {
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
        expect![[r#"
            $ rabbitmqctl delete_queue a -e
            Deleting queue 'a' on vhost '/' if queue is empty ...
            ! Error:
            ! The queue is not empty
            > DELETE /api/queues/%2F/a?if-empty=true
            exit 64
            $ rabbitmqctl delete_queue a -u -q
            ! Error:
            ! The queue is in use
            > DELETE /api/queues/%2F/a?if-unused=true
            exit 64
            $ rabbitmqctl delete_queue a -q
            ! Error:
            ! The queue is locked or protected from deletion
            > DELETE /api/queues/%2F/a
            exit 64
        "#]],
    );
}

#[test]
fn a_missing_queue_can_not_be_purged() {
    check(
        &Script::new().answer("DELETE /api/queues/%2F/a/contents", 404, Value::Null),
        &["rabbitmqctl purge_queue a"],
        expect![[r#"
            $ rabbitmqctl purge_queue a
            Purging queue 'a' in vhost '/' ...
            ! Error:
            ! not_found
            > DELETE /api/queues/%2F/a/contents
            exit 69
        "#]],
    );
}
