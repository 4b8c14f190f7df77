//! Limits of vhosts and users.

use expect_test::expect;
use serde_json::{Value, json};

use super::check;
use crate::testing::Script;

fn limited() -> Script {
    let of_vhost = json!([{"vhost": "/", "value": {"max-connections": 5, "max-queues": -1}}]);
    let of_user = json!([{"user": "guest", "value": {"max-channels": 2}}]);
    Script::new()
        .answer("GET /api/vhost-limits", 200, of_vhost.clone())
        .answer("GET /api/vhost-limits/%2F", 200, of_vhost)
        .answer("GET /api/user-limits", 200, of_user.clone())
        .answer("GET /api/user-limits/guest", 200, of_user)
}

#[test]
fn limits_of_vhosts_are_set_as_a_whole() {
    check(
        &Script::new(),
        &[
            r#"rabbitmqctl set_vhost_limits '{"max-connections": 5, "max-queues": 2}'"#,
            r#"rabbitmqctl set_vhost_limits '{"max-connections": -1}'"#,
            r#"rabbitmqctl set_vhost_limits '{}'"#,
            r#"rabbitmqctl set_vhost_limits -p nowhere '{}'"#,
            "rabbitmqctl clear_vhost_limits",
            "rabbitmqctl list_vhost_limits",
        ],
        expect![[r#"
            $ rabbitmqctl set_vhost_limits '{"max-connections": 5, "max-queues": 2}'
            Setting vhost limits to "{"max-connections": 5, "max-queues": 2}" for vhost "/" ...
            > PUT /api/vhost-limits/%2F/max-connections {"value":5}
            > PUT /api/vhost-limits/%2F/max-queues {"value":2}
            $ rabbitmqctl set_vhost_limits '{"max-connections": -1}'
            Setting vhost limits to "{"max-connections": -1}" for vhost "/" ...
            > DELETE /api/vhost-limits/%2F/max-queues
            > PUT /api/vhost-limits/%2F/max-connections {"value":-1}
            $ rabbitmqctl set_vhost_limits '{}'
            Setting vhost limits to "{}" for vhost "/" ...
            > DELETE /api/vhost-limits/%2F/max-connections
            > DELETE /api/vhost-limits/%2F/max-queues
            $ rabbitmqctl set_vhost_limits -p nowhere '{}'
            Setting vhost limits to "{}" for vhost "nowhere" ...
            ! Virtual host 'nowhere' does not exist
            exit 65
            $ rabbitmqctl clear_vhost_limits
            Clearing vhost "/" limits ...
            ! Error:
            ! Parameter does not exist
            exit 69
            $ rabbitmqctl list_vhost_limits
            Listing limits for vhost "/" ...

        "#]],
    );
}

#[test]
fn limits_that_are_none_are_refused_before_any_is_set() {
    check(
        &Script::new(),
        &[
            r#"rabbitmqctl set_vhost_limits '{"max-connections": 5, "max-queues": "x"}'"#,
            r#"rabbitmqctl set_vhost_limits '{"max-connections": 1.5}'"#,
            r#"rabbitmqctl set_vhost_limits '{"max-nonsense": 5, "max-queues": 1}'"#,
            r#"rabbitmqctl set_vhost_limits '[]'"#,
            r#"rabbitmqctl set_vhost_limits 'nojson'"#,
            r#"rabbitmqctl set_user_limits guest '{"max-connections": null}'"#,
            r#"rabbitmqctl set_user_limits guest '{"max-queues": 5}'"#,
        ],
        expect![[r#"
            $ rabbitmqctl set_vhost_limits '{"max-connections": 5, "max-queues": "x"}'
            Setting vhost limits to "{"max-connections": 5, "max-queues": "x"}" for vhost "/" ...
            ! Error:
            ! Validation failed
            ! 
            ! max-queues should be a number, actually was <<"x">>
            ! 
            exit 69
            $ rabbitmqctl set_vhost_limits '{"max-connections": 1.5}'
            Setting vhost limits to "{"max-connections": 1.5}" for vhost "/" ...
            ! Error:
            ! Validation failed
            ! 
            ! max-connections should be a number, actually was 1.5
            ! 
            exit 69
            $ rabbitmqctl set_vhost_limits '{"max-nonsense": 5, "max-queues": 1}'
            Setting vhost limits to "{"max-nonsense": 5, "max-queues": 1}" for vhost "/" ...
            ! Error:
            ! Validation failed
            ! 
            ! Unrecognised terms [{<<"max-nonsense">>,5}] in limits
            ! 
            exit 69
            $ rabbitmqctl set_vhost_limits '[]'
            Setting vhost limits to "[]" for vhost "/" ...
            ! Error:
            ! JSON decoding error. Reason: badarg
            exit 69
            $ rabbitmqctl set_vhost_limits 'nojson'
            Setting vhost limits to "nojson" for vhost "/" ...
            ! Error:
            ! JSON decoding error. Reason: badarg
            exit 69
            $ rabbitmqctl set_user_limits guest '{"max-connections": null}'
            Setting user limits to "{"max-connections": null}" for user "guest" ...
            ! Error:
            ! max-connections should be a number, actually was null
            exit 69
            $ rabbitmqctl set_user_limits guest '{"max-queues": 5}'
            Setting user limits to "{"max-queues": 5}" for user "guest" ...
            ! Error:
            ! Unrecognised terms [{<<"max-queues">>,5}] in user-limits
            exit 69
        "#]],
    );
}

#[test]
fn limits_of_users_are_set_and_cleared_one_by_one() {
    check(
        &Script::new(),
        &[
            r#"rabbitmqctl set_user_limits guest '{"max-connections": 5, "max-channels": 2}'"#,
            r#"rabbitmqctl set_user_limits guest '{}'"#,
            r#"rabbitmqctl set_user_limits nobody '{"max-channels": 2}'"#,
            "rabbitmqctl clear_user_limits guest max-channels",
            "rabbitmqctl clear_user_limits guest all",
            "rabbitmqctl clear_user_limits nobody all",
            "rabbitmqctl clear_user_limits guest",
        ],
        expect![[r#"
            $ rabbitmqctl set_user_limits guest '{"max-connections": 5, "max-channels": 2}'
            Setting user limits to "{"max-connections": 5, "max-channels": 2}" for user "guest" ...
            > PUT /api/user-limits/guest/max-connections {"value":5}
            > PUT /api/user-limits/guest/max-channels {"value":2}
            $ rabbitmqctl set_user_limits guest '{}'
            Setting user limits to "{}" for user "guest" ...
            $ rabbitmqctl set_user_limits nobody '{"max-channels": 2}'
            Setting user limits to "{"max-channels": 2}" for user "nobody" ...
            ! Error:
            ! User "nobody" does not exist
            exit 67
            $ rabbitmqctl clear_user_limits guest max-channels
            Clearing "max-channels" limit for user "guest" ...
            > DELETE /api/user-limits/guest/max-channels
            $ rabbitmqctl clear_user_limits guest all
            Clearing all limits for user "guest" ...
            > DELETE /api/user-limits/guest/max-channels
            > DELETE /api/user-limits/guest/max-connections
            $ rabbitmqctl clear_user_limits nobody all
            Clearing all limits for user "nobody" ...
            ! Error:
            ! User "nobody" does not exist
            exit 67
            $ rabbitmqctl clear_user_limits guest
            ! Error (argument validation): not enough arguments.
            ! Arguments given:
            ! 	clear_user_limits guest
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] clear_user_limits <username> <limit_type> | all
            exit 64
        "#]],
    );
}

#[test]
fn limits_are_listed() {
    let script = limited().answer("GET /api/user-limits/ana", 200, json!([])).answer(
        "GET /api/user-limits/nobody",
        404,
        Value::Null,
    );
    check(
        &script,
        &[
            "rabbitmqctl list_vhost_limits",
            "rabbitmqctl list_vhost_limits --global",
            "rabbitmqctl list_vhost_limits --formatter json",
            "rabbitmqctl list_vhost_limits -p nowhere",
            "rabbitmqctl list_user_limits",
            "rabbitmqctl list_user_limits --global",
            "rabbitmqctl list_user_limits --user ana",
            "rabbitmqctl list_user_limits --user nobody",
            "rabbitmqctl clear_vhost_limits",
        ],
        expect![[r#"
            $ rabbitmqctl list_vhost_limits
            Listing limits for vhost "/" ...
            {"max-connections":5,"max-queues":-1}
            $ rabbitmqctl list_vhost_limits --global
            Listing limits for all vhosts ...
            vhost	limits
            /	{"max-connections":5,"max-queues":-1}
            $ rabbitmqctl list_vhost_limits --formatter json
            {"node":"rabbit@h","result":"ok","value":"{\"max-connections\":5,\"max-queues\":-1}"}
            $ rabbitmqctl list_vhost_limits -p nowhere
            Listing limits for vhost "nowhere" ...
            ! Virtual host 'nowhere' does not exist
            exit 65
            $ rabbitmqctl list_user_limits
            Listing limits for user "guest" ...
            {"max-channels":2}
            $ rabbitmqctl list_user_limits --global
            Listing limits for all users ...
            user	limits
            guest	{"max-channels":2}
            $ rabbitmqctl list_user_limits --user ana
            Listing limits for user "ana" ...
            {}
            $ rabbitmqctl list_user_limits --user nobody
            Listing limits for user "nobody" ...
            ! Error:
            ! User "nobody" does not exist
            exit 67
            $ rabbitmqctl clear_vhost_limits
            Clearing vhost "/" limits ...
            > DELETE /api/vhost-limits/%2F/max-connections
            > DELETE /api/vhost-limits/%2F/max-queues
        "#]],
    );
}
