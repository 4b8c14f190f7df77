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
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] add_vhost <vhost> [--description <description> --tags "<tag1>,<tag2>,<...>" --default-queue-type <quorum|classic|stream>]
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
