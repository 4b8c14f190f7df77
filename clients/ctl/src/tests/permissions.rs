//! Vhosts and permissions.

use expect_test::expect;
use serde_json::{Value, json};

use super::check;
use crate::testing::Script;

#[test]
fn vhosts_come_and_go() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl add_vhost curso",
            "rabbitmqctl add_vhost curso --description 'a b' --tags 'x, y' --default-queue-type quorum",
            "rabbitmqctl add_vhost ''",
            "rabbitmqctl add_vhost curso --dry-run",
            "rabbitmqctl delete_vhost curso",
            "rabbitmqctl list_vhosts",
        ],
        expect![[r#"
            $ rabbitmqctl add_vhost curso
            Adding vhost "curso" ...
            > PUT /api/vhosts/curso {}
            $ rabbitmqctl add_vhost curso --description 'a b' --tags 'x, y' --default-queue-type quorum
            Adding vhost "curso" ...
            > PUT /api/vhosts/curso {"description":"a b","default_queue_type":"quorum","tags":"x,y"}
            $ rabbitmqctl add_vhost ''
            ! Error (argument validation): Bad argument: virtual host name cannot be an empty string
            ! Arguments given:
            ! 	add_vhost 
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] add_vhost <vhost> [--description <description> --tags "<tag1>,<tag2>,<...>" --default-queue-type <quorum|classic>]
            exit 65
            $ rabbitmqctl add_vhost curso --dry-run
            Adding vhost "curso" ...
            $ rabbitmqctl delete_vhost curso
            Deleting vhost "curso" ...
            > DELETE /api/vhosts/curso
            $ rabbitmqctl list_vhosts
            Listing vhosts ...
            name
            /
        "#]],
    );
}

#[test]
fn permissions_are_set_and_cleared() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl list_vhosts name cluster_state description",
            "rabbitmqctl set_permissions -p curso guest .* .* ''",
            "rabbitmqctl clear_permissions guest",
            "rabbitmqctl list_permissions -p nowhere",
            "rabbitmqctl list_user_permissions nobody",
        ],
        expect![[r#"
            $ rabbitmqctl list_vhosts name cluster_state description
            Listing vhosts ...
            name	cluster_state	description
            /	[{rabbit@h, running}]	
            $ rabbitmqctl set_permissions -p curso guest .* .* ''
            Setting permissions for user "guest" in vhost "curso" ...
            > PUT /api/permissions/curso/guest {"configure":".*","write":".*","read":""}
            $ rabbitmqctl clear_permissions guest
            Clearing permissions for user "guest" in vhost "/" ...
            > DELETE /api/permissions/%2F/guest
            $ rabbitmqctl list_permissions -p nowhere
            Listing permissions for vhost "nowhere" ...
            ! Virtual host 'nowhere' does not exist
            exit 65
            $ rabbitmqctl list_user_permissions nobody
            Listing permissions for user "nobody" ...
            ! Error:
            ! User "nobody" does not exist
            exit 67
        "#]],
    );
}

#[test]
fn a_missing_vhost_can_not_be_deleted() {
    check(
        &Script::new().answer("DELETE /api/vhosts/curso", 404, Value::Null),
        &["rabbitmqctl delete_vhost curso"],
        expect![[r#"
            $ rabbitmqctl delete_vhost curso
            Deleting vhost "curso" ...
            ! Virtual host 'curso' does not exist
            > DELETE /api/vhosts/curso
            exit 65
        "#]],
    );
}

#[test]
fn permissions_are_listed() {
    check(
        &Script::new().answer(
            "GET /api/vhosts/%2F/permissions",
            200,
            json!([{"user": "guest", "vhost": "/", "configure": ".*", "write": "^a", "read": ""}]),
        ),
        &["rabbitmqctl list_permissions", "rabbitmqctl list_permissions --formatter csv"],
        expect![[r#"
            $ rabbitmqctl list_permissions
            Listing permissions for vhost "/" ...
            user	configure	write	read
            guest	.*	^a	
            $ rabbitmqctl list_permissions --formatter csv
            "user","configure","write","read"
            "guest",".*","^a",""
        "#]],
    );
}

#[test]
fn an_empty_list_is_an_empty_line() {
    check(
        &Script::new().answer("GET /api/users/guest/permissions", 200, json!([])),
        &["rabbitmqctl list_user_permissions guest"],
        expect![[r#"
            $ rabbitmqctl list_user_permissions guest
            Listing permissions for user "guest" ...

        "#]],
    );
}

#[test]
fn refusals_name_the_missing_one() {
    check(
        &Script::new()
            .answer("PUT /api/permissions/%2F/nobody", 400, json!({"reason": "vhost_or_user_not_found"}))
            .answer("PUT /api/permissions/nowhere/guest", 400, json!({"reason": "vhost_or_user_not_found"}))
            .answer("PUT /api/permissions/%2F/guest", 400, json!({"reason": "bad pattern"})),
        &[
            "rabbitmqctl set_permissions nobody .* .* .*",
            "rabbitmqctl set_permissions -p nowhere guest .* .* .*",
            "rabbitmqctl set_permissions guest '*' .* .*",
        ],
        expect![[r#"
            $ rabbitmqctl set_permissions nobody .* .* .*
            Setting permissions for user "nobody" in vhost "/" ...
            ! Error:
            ! User nobody does not exist
            > PUT /api/permissions/%2F/nobody {"configure":".*","write":".*","read":".*"}
            exit 67
            $ rabbitmqctl set_permissions -p nowhere guest .* .* .*
            Setting permissions for user "guest" in vhost "nowhere" ...
            ! Error:
            ! Virtual host nowhere does not exist
            > PUT /api/permissions/nowhere/guest {"configure":".*","write":".*","read":".*"}
            exit 69
            $ rabbitmqctl set_permissions guest '*' .* .*
            Setting permissions for user "guest" in vhost "/" ...
            ! Error:
            ! bad pattern
            > PUT /api/permissions/%2F/guest {"configure":"*","write":".*","read":".*"}
            exit 69
        "#]],
    );
}

#[test]
fn topic_permissions_are_set() {
    check(
        &Script::new().answer(
            "PUT /api/topic-permissions/%2F/guest",
            400,
            json!({"reason": ["invalid_regexp", "(", "unclosed group"]}),
        ),
        &[
            "rabbitmqctl set_topic_permissions -p v ana amq.topic '^{username}\\.' ''",
            "rabbitmqctl set_topic_permissions guest amq.topic ( .*",
            "rabbitmqctl set_topic_permissions ana amq.topic .*",
        ],
        expect![[r#"
            $ rabbitmqctl set_topic_permissions -p v ana amq.topic '^{username}\.' ''
            Setting topic permissions on "amq.topic" for user "ana" in vhost "v" ...
            > PUT /api/topic-permissions/v/ana {"exchange":"amq.topic","write":"^{username}\\.","read":""}
            $ rabbitmqctl set_topic_permissions guest amq.topic ( .*
            Setting topic permissions on "amq.topic" for user "guest" in vhost "/" ...
            ! Error:
            ! invalid_regexp: (: unclosed group
            > PUT /api/topic-permissions/%2F/guest {"exchange":"amq.topic","write":"(","read":".*"}
            exit 69
            $ rabbitmqctl set_topic_permissions ana amq.topic .*
            ! Error (argument validation): not enough arguments.
            ! Arguments given:
            ! 	set_topic_permissions ana amq.topic .*
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] set_topic_permissions [--vhost <vhost>] <username> <exchange> <write> <read>
            exit 64
        "#]],
    );
}

#[test]
fn topic_permissions_are_listed() {
    let grant =
        json!({"user": "ana", "vhost": "v", "exchange": "amq.topic", "write": "^{username}\\.", "read": ""});
    check(
        &Script::new().answer("GET /api/vhosts/v/topic-permissions", 200, json!([grant])).answer(
            "GET /api/users/ana/topic-permissions",
            200,
            json!([grant]),
        ),
        &[
            "rabbitmqctl list_topic_permissions -p v",
            "rabbitmqctl list_topic_permissions -p nowhere",
            "rabbitmqctl list_user_topic_permissions ana",
            "rabbitmqctl list_user_topic_permissions nobody",
        ],
        expect![[r#"
            $ rabbitmqctl list_topic_permissions -p v
            Listing topic permissions for vhost "v" ...
            user	exchange	write	read
            ana	amq.topic	^{username}\.	
            $ rabbitmqctl list_topic_permissions -p nowhere
            Listing topic permissions for vhost "nowhere" ...
            ! Virtual host 'nowhere' does not exist
            exit 65
            $ rabbitmqctl list_user_topic_permissions ana
            Listing topic permissions for user "ana" ...
            vhost	exchange	write	read
            v	amq.topic	^{username}\.	
            $ rabbitmqctl list_user_topic_permissions nobody
            Listing topic permissions for user "nobody" ...
            ! Error:
            ! User "nobody" does not exist
            exit 67
        "#]],
    );
}

#[test]
fn topic_permissions_are_cleared() {
    check(
        &Script::new()
            .answer("DELETE /api/topic-permissions/%2F/nobody", 404, Value::Null)
            .answer("DELETE /api/topic-permissions/v/guest", 404, Value::Null)
            .answer("DELETE /api/topic-permissions/%2F/guest", 404, Value::Null),
        &[
            "rabbitmqctl clear_topic_permissions -p v ana",
            "rabbitmqctl clear_topic_permissions -p v ana 'a b'",
            "rabbitmqctl clear_topic_permissions -p v ana ''",
            "rabbitmqctl clear_topic_permissions nobody",
            "rabbitmqctl clear_topic_permissions -p v guest",
            "rabbitmqctl clear_topic_permissions guest",
        ],
        expect![[r#"
            $ rabbitmqctl clear_topic_permissions -p v ana
            Clearing topic permissions for user "ana" in vhost "v" ...
            > DELETE /api/topic-permissions/v/ana
            $ rabbitmqctl clear_topic_permissions -p v ana 'a b'
            Clearing topic permissions on "a b" for user "ana" in vhost "v" ...
            > DELETE /api/topic-permissions/v/ana/a%20b
            $ rabbitmqctl clear_topic_permissions -p v ana ''
            Clearing topic permissions on "" for user "ana" in vhost "v" ...
            > DELETE /api/topic-permissions/v/ana//
            $ rabbitmqctl clear_topic_permissions nobody
            Clearing topic permissions for user "nobody" in vhost "/" ...
            ! Error:
            ! User nobody does not exist
            > DELETE /api/topic-permissions/%2F/nobody
            exit 67
            $ rabbitmqctl clear_topic_permissions -p v guest
            Clearing topic permissions for user "guest" in vhost "v" ...
            ! Error:
            ! Virtual host v does not exist
            > DELETE /api/topic-permissions/v/guest
            exit 69
            $ rabbitmqctl clear_topic_permissions guest
            Clearing topic permissions for user "guest" in vhost "/" ...
            > DELETE /api/topic-permissions/%2F/guest
        "#]],
    );
}
