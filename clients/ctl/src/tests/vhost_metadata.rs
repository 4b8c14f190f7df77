//! What vhosts carry besides objects.

use expect_test::expect;
use serde_json::json;

use super::check;
use crate::testing::Script;

#[test]
fn metadata_that_is_not_named_stays() {
    let vhost = json!({"name": "v", "description": "d", "tags": ["a", "b"], "default_queue_type": "classic"});
    check(
        &Script::new().answer("GET /api/vhosts/v", 200, vhost),
        &[
            "rabbitmqctl set_vhost_tags v c d",
            "rabbitmqctl set_vhost_tags nowhere c",
            "rabbitmqctl update_vhost_metadata v --description new --tags 'x, y'",
            "rabbitmqctl update_vhost_metadata v --default-queue-type quorum --protected-from-deletion=true",
            "rabbitmqctl update_vhost_metadata v --default-queue-type odd",
            "rabbitmqctl update_vhost_metadata v",
            "rabbitmqctl enable_vhost_deletion_protection v",
            "rabbitmqctl disable_vhost_deletion_protection v",
        ],
        expect![[r#"
            $ rabbitmqctl set_vhost_tags v c d
            Setting tags for virtual host "v" to [c, d] ...
            > PUT /api/vhosts/v {"description":"d","tags":"c,d","default_queue_type":"classic"}
            $ rabbitmqctl set_vhost_tags nowhere c
            Setting tags for virtual host "nowhere" to [c] ...
            ! Error:
            ! Virtual host "nowhere" does not exist
            exit 65
            $ rabbitmqctl update_vhost_metadata v --description new --tags 'x, y'
            Updating metadata of vhost "v" ...
            > PUT /api/vhosts/v {"description":"new","tags":"x,y","default_queue_type":"classic"}
            $ rabbitmqctl update_vhost_metadata v --default-queue-type quorum --protected-from-deletion=true
            Updating metadata of vhost "v" ...
            > POST /api/vhosts/v/deletion/protection
            > PUT /api/vhosts/v {"description":"d","tags":"a,b","default_queue_type":"quorum"}
            $ rabbitmqctl update_vhost_metadata v --default-queue-type odd
            ! Error (argument validation): Bad argument: Default queue type must be one of: quorum, classic. Provided: odd
            ! Arguments given:
            ! 	update_vhost_metadata v --default-queue-type odd
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] update_vhost_metadata <vhost> [--description=<description>] [--tags="<tag1>,<tag2>,<...>"] [--default-queue-type=<quorum|classic>] [--protected-from-deletion=<true|false>]
            exit 65
            $ rabbitmqctl update_vhost_metadata v
            ! Error (argument validation): not enough arguments.
            ! Arguments given:
            ! 	update_vhost_metadata v
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] update_vhost_metadata <vhost> [--description=<description>] [--tags="<tag1>,<tag2>,<...>"] [--default-queue-type=<quorum|classic>] [--protected-from-deletion=<true|false>]
            exit 64
            $ rabbitmqctl enable_vhost_deletion_protection v
            Protecting virtual host 'v' from removal...
            > POST /api/vhosts/v/deletion/protection
            $ rabbitmqctl disable_vhost_deletion_protection v
            Removing deletion protection from virtual host 'v'...
            > DELETE /api/vhosts/v/deletion/protection
        "#]],
    );
}

#[test]
fn vhosts_run() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl restart_vhost",
            "rabbitmqctl restart_vhost -p nowhere",
            "rabbitmqctl reconcile_vhosts",
            "rabbitmqctl trace_on",
            "rabbitmqctl trace_off",
        ],
        expect![[r#"
            $ rabbitmqctl restart_vhost
            Trying to restart vhost '/' on node 'rabbit@h' ...
            Vhost '/' is already running on node 'rabbit@h'
            $ rabbitmqctl restart_vhost -p nowhere
            Trying to restart vhost 'nowhere' on node 'rabbit@h' ...
            ! Error:
            ! Failed to start vhost 'nowhere' on node 'rabbit@h'Reason: {:no_such_vhost, "nowhere"}
            exit 70
            $ rabbitmqctl reconcile_vhosts
            Will try to initiate virtual host reconciliation on all reachable cluster nodes...
            $ rabbitmqctl trace_on
            ! Error: this version has no firehose. To see what passes an exchange, bind a queue of your own to it; 'liebre-cat consume' does both
            exit 69
            $ rabbitmqctl trace_off
            Stopping tracing for vhost "/" ...
            Trace disabled for vhost /
        "#]],
    );
}
