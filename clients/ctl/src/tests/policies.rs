//! Policies and operator policies.

use expect_test::expect;
use serde_json::json;

use super::check;
use crate::testing::Script;

#[test]
fn policies_are_set_and_cleared() {
    check(
        &Script::new().answer("DELETE /api/policies/%2F/gone", 404, json!({"reason": "Not Found"})),
        &[
            r#"rabbitmqctl set_policy ttl '^t\.' '{"message-ttl": 1000}' --apply-to queues"#,
            r#"rabbitmqctl set_policy -p curso --priority -1 ttl '^t\.' '{"message-ttl":1000}'"#,
            r#"rabbitmqctl set_operator_policy limit '' '{"max-length":5}' --priority 3"#,
            "rabbitmqctl clear_policy ttl",
            "rabbitmqctl clear_policy gone",
            "rabbitmqctl clear_operator_policy limit",
        ],
        expect![[r#"
            $ rabbitmqctl set_policy ttl '^t\.' '{"message-ttl": 1000}' --apply-to queues
            Setting policy "ttl" for pattern "^t\." to "{"message-ttl": 1000}" with priority "0" for vhost "/" ...
            > PUT /api/policies/%2F/ttl {"pattern":"^t\\.","definition":{"message-ttl":1000},"priority":0,"apply-to":"queues"}
            $ rabbitmqctl set_policy -p curso --priority -1 ttl '^t\.' '{"message-ttl":1000}'
            Setting policy "ttl" for pattern "^t\." to "{"message-ttl":1000}" with priority "-1" for vhost "curso" ...
            > PUT /api/policies/curso/ttl {"pattern":"^t\\.","definition":{"message-ttl":1000},"priority":-1,"apply-to":"all"}
            $ rabbitmqctl set_operator_policy limit '' '{"max-length":5}' --priority 3
            Setting operator policy override "limit" for pattern "" to "{"max-length":5}" with priority "3" for vhost "/" ...
            > PUT /api/operator-policies/%2F/limit {"pattern":"","definition":{"max-length":5},"priority":3,"apply-to":"all"}
            $ rabbitmqctl clear_policy ttl
            Clearing policy "ttl" on vhost "/" ...
            > DELETE /api/policies/%2F/ttl
            $ rabbitmqctl clear_policy gone
            Clearing policy "gone" on vhost "/" ...
            ! Error:
            ! Parameter does not exist
            > DELETE /api/policies/%2F/gone
            exit 70
            $ rabbitmqctl clear_operator_policy limit
            Clearing operator policy "limit" on vhost "/" ...
            > DELETE /api/operator-policies/%2F/limit
        "#]],
    );
}

#[test]
fn what_cannot_be_is_told() {
    let refused = json!({"error": "bad_request",
        "reason": "Validation failed\n\n[{&lt;&lt;\"foo\"&gt;&gt;,1}] are not recognised policy settings\n"});
    let missing = json!({"error": "not_found", "reason": "vhost_not_found"});
    check(
        &Script::new().answer("PUT /api/policies/%2F/p", 400, refused).answer(
            "PUT /api/policies/nope/p",
            404,
            missing,
        ),
        &[
            r#"rabbitmqctl set_policy p a '{"foo":1}'"#,
            r#"rabbitmqctl set_policy p a '{"foo":1'"#,
            r#"rabbitmqctl set_policy -p nope p a '{"max-length":1}'"#,
            r#"rabbitmqctl set_policy p a '{"max-length":1}' --priority high"#,
            "rabbitmqctl set_policy p a",
            "rabbitmqctl list_policies -p nope",
        ],
        expect![[r#"
            $ rabbitmqctl set_policy p a '{"foo":1}'
            Setting policy "p" for pattern "a" to "{"foo":1}" with priority "0" for vhost "/" ...
            ! Error:
            ! Validation failed
            ! 
            ! [{<<"foo">>,1}] are not recognised policy settings
            ! 
            > PUT /api/policies/%2F/p {"pattern":"a","definition":{"foo":1},"priority":0,"apply-to":"all"}
            exit 70
            $ rabbitmqctl set_policy p a '{"foo":1'
            Setting policy "p" for pattern "a" to "{"foo":1" with priority "0" for vhost "/" ...
            ! Error:
            ! JSON decoding error. Reason: EOF while parsing an object at line 1 column 8
            exit 70
            $ rabbitmqctl set_policy -p nope p a '{"max-length":1}'
            Setting policy "p" for pattern "a" to "{"max-length":1}" with priority "0" for vhost "nope" ...
            ! Virtual host 'nope' does not exist
            > PUT /api/policies/nope/p {"pattern":"a","definition":{"max-length":1},"priority":0,"apply-to":"all"}
            exit 65
            $ rabbitmqctl set_policy p a '{"max-length":1}' --priority high
            ! Error (argument validation): Invalid options for this command:
            ! --priority : high
            ! Arguments given:
            ! 	set_policy p a {"max-length":1} --priority high
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] set_policy [--vhost <vhost>] [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> <definition>
            exit 64
            $ rabbitmqctl set_policy p a
            ! Error (argument validation): not enough arguments.
            ! Arguments given:
            ! 	set_policy p a
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] set_policy [--vhost <vhost>] [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> <definition>
            exit 64
            $ rabbitmqctl list_policies -p nope
            Listing policies for vhost "nope" ...
            ! Virtual host 'nope' does not exist
            exit 65
        "#]],
    );
}

#[test]
fn policies_are_listed_by_priority() {
    let policy = |name: &str, priority: i64| {
        json!({"vhost": "/", "name": name, "pattern": "^t\\.", "apply-to": "all",
            "definition": {"max-length": 5, "overflow": "drop-head"}, "priority": priority})
    };
    check(
        &Script::new()
            .answer("GET /api/policies/%2F", 200, json!([policy("a", 7), policy("b", 0), policy("c", -1)]))
            .answer("GET /api/operator-policies/%2F", 200, json!([])),
        &[
            "rabbitmqctl list_policies",
            "rabbitmqctl list_policies --formatter json",
            "rabbitmq-diagnostics list_operator_policies",
        ],
        expect![[r#"
            $ rabbitmqctl list_policies
            Listing policies for vhost "/" ...
            vhost	name	pattern	apply-to	definition	priority
            /	c	^t\.	all	{"max-length":5,"overflow":"drop-head"}	-1
            /	b	^t\.	all	{"max-length":5,"overflow":"drop-head"}	0
            /	a	^t\.	all	{"max-length":5,"overflow":"drop-head"}	7
            $ rabbitmqctl list_policies --formatter json
            [
            {"vhost":"/","name":"c","pattern":"^t\\.","apply-to":"all","definition":"{\"max-length\":5,\"overflow\":\"drop-head\"}","priority":-1}
            ,{"vhost":"/","name":"b","pattern":"^t\\.","apply-to":"all","definition":"{\"max-length\":5,\"overflow\":\"drop-head\"}","priority":0}
            ,{"vhost":"/","name":"a","pattern":"^t\\.","apply-to":"all","definition":"{\"max-length\":5,\"overflow\":\"drop-head\"}","priority":7}
            ]
            $ rabbitmq-diagnostics list_operator_policies
            Listing operator policy overrides for vhost "/" ...

        "#]],
    );
}
