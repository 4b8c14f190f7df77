//! Runtime parameters, and global ones.

use expect_test::expect;
use serde_json::json;

use super::check;
use crate::testing::Script;

#[test]
fn parameters_are_set_cleared_and_listed() {
    let parameters = json!([
        {"value": {"max-queues": 5}, "vhost": "/", "component": "vhost-limits", "name": "limits"},
        {"value": {"max-queues": 7}, "vhost": "other", "component": "vhost-limits", "name": "limits"},
    ]);
    check(
        &Script::new().answer("GET /api/parameters", 200, parameters).answer(
            "DELETE /api/parameters/c/%2F/gone",
            404,
            json!({"reason": "Not Found"}),
        ),
        &[
            r#"rabbitmqctl set_parameter -p curso vhost-limits limits '{"max-queues": 7}'"#,
            "rabbitmqctl clear_parameter vhost-limits limits",
            "rabbitmqctl clear_parameter c gone",
            "rabbitmqctl list_parameters",
            "rabbitmqctl list_parameters --formatter json",
            "rabbitmqctl list_parameters -p nowhere",
        ],
        expect![[r#"
            $ rabbitmqctl set_parameter -p curso vhost-limits limits '{"max-queues": 7}'
            Setting runtime parameter "limits" for component "vhost-limits" to "{"max-queues": 7}" in vhost "curso" ...
            > PUT /api/parameters/vhost-limits/curso/limits {"component":"vhost-limits","vhost":"curso","name":"limits","value":{"max-queues":7}}
            $ rabbitmqctl clear_parameter vhost-limits limits
            Clearing runtime parameter "limits" for component "vhost-limits" on vhost "/" ...
            > DELETE /api/parameters/vhost-limits/%2F/limits
            $ rabbitmqctl clear_parameter c gone
            Clearing runtime parameter "gone" for component "c" on vhost "/" ...
            ! Error:
            ! Parameter does not exist
            > DELETE /api/parameters/c/%2F/gone
            exit 69
            $ rabbitmqctl list_parameters
            Listing runtime parameters for vhost "/" ...
            component	name	value
            vhost-limits	limits	{"max-queues":5}
            $ rabbitmqctl list_parameters --formatter json
            [
            {"component":"vhost-limits","name":"limits","value":"{\"max-queues\":5}"}
            ]
            $ rabbitmqctl list_parameters -p nowhere
            Listing runtime parameters for vhost "nowhere" ...
            ! Virtual host 'nowhere' does not exist
            exit 65
        "#]],
    );
}

#[test]
fn global_parameters_are_set_cleared_and_listed() {
    let parameters = json!([{"name": "a", "value": {"b": 1}}, {"name": "cluster_name", "value": "shop"}]);
    check(
        &Script::new().answer("GET /api/global-parameters", 200, parameters).answer(
            "DELETE /api/global-parameters/gone",
            404,
            json!({"reason": "Not Found"}),
        ),
        &[
            r#"rabbitmqctl set_global_parameter a '{"b":1}'"#,
            "rabbitmqctl clear_global_parameter a",
            "rabbitmqctl clear_global_parameter gone",
            "rabbitmqctl list_global_parameters",
            "rabbitmqctl list_global_parameters --formatter json",
        ],
        expect![[r#"
            $ rabbitmqctl set_global_parameter a '{"b":1}'
            Setting global runtime parameter "a" to "{"b":1}" ...
            > PUT /api/global-parameters/a {"name":"a","value":{"b":1}}
            $ rabbitmqctl clear_global_parameter a
            Clearing global runtime parameter "a" ...
            > DELETE /api/global-parameters/a
            $ rabbitmqctl clear_global_parameter gone
            Clearing global runtime parameter "gone" ...
            ! Error:
            ! Parameter does not exist
            > DELETE /api/global-parameters/gone
            exit 69
            $ rabbitmqctl list_global_parameters
            Listing global runtime parameters ...
            name	value
            a	{"b":1}
            cluster_name	"shop"
            $ rabbitmqctl list_global_parameters --formatter json
            [
            {"name":"a","value":"{\"b\":1}"}
            ,{"name":"cluster_name","value":"\"shop\""}
            ]
        "#]],
    );
}

#[test]
fn what_cannot_be_set_is_told() {
    let refused =
        json!({"error": "bad_request", "reason": "Validation failed\n\ncomponent &lt;x&gt; not found\n"});
    let missing = json!({"error": "not_found", "reason": "vhost_not_found"});
    check(
        &Script::new().answer("PUT /api/parameters/x/%2F/n", 400, refused).answer(
            "PUT /api/parameters/x/nowhere/n",
            404,
            missing,
        ),
        &[
            "rabbitmqctl set_parameter x n 1",
            "rabbitmqctl set_parameter -p nowhere x n 1",
            "rabbitmqctl set_parameter x n {bad",
            "rabbitmqctl set_global_parameter n {bad",
        ],
        expect![[r#"
            $ rabbitmqctl set_parameter x n 1
            Setting runtime parameter "n" for component "x" to "1" in vhost "/" ...
            ! Error:
            ! Validation failed
            ! 
            ! component <x> not found
            ! 
            > PUT /api/parameters/x/%2F/n {"component":"x","vhost":"/","name":"n","value":1}
            exit 69
            $ rabbitmqctl set_parameter -p nowhere x n 1
            Setting runtime parameter "n" for component "x" to "1" in vhost "nowhere" ...
            ! Virtual host 'nowhere' does not exist
            > PUT /api/parameters/x/nowhere/n {"component":"x","vhost":"nowhere","name":"n","value":1}
            exit 65
            $ rabbitmqctl set_parameter x n {bad
            Setting runtime parameter "n" for component "x" to "{bad" in vhost "/" ...
            ! Error:
            ! JSON decoding error. Reason: badarg
            exit 69
            $ rabbitmqctl set_global_parameter n {bad
            Setting global runtime parameter "n" to "{bad" ...
            ! Error:
            ! JSON decoding error. Reason: badarg
            exit 69
        "#]],
    );
}

#[test]
fn usage_errors() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl set_parameter x",
            "rabbitmqctl set_parameter a b c d",
            "rabbitmqctl clear_parameter a",
            "rabbitmqctl list_global_parameters x",
        ],
        expect![[r#"
            $ rabbitmqctl set_parameter x
            ! Error (argument validation): not enough arguments.
            ! Arguments given:
            ! 	set_parameter x
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] set_parameter [--vhost <vhost>] <component_name> <name> <value>
            exit 64
            $ rabbitmqctl set_parameter a b c d
            ! Error (argument validation): too many arguments.
            ! Arguments given:
            ! 	set_parameter a b c d
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] set_parameter [--vhost <vhost>] <component_name> <name> <value>
            exit 64
            $ rabbitmqctl clear_parameter a
            ! Error (argument validation): not enough arguments.
            ! Arguments given:
            ! 	clear_parameter a
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] clear_parameter [--vhost <vhost>] <component_name> <name>
            exit 64
            $ rabbitmqctl list_global_parameters x
            ! Error (argument validation): too many arguments.
            ! Arguments given:
            ! 	list_global_parameters x
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] list_global_parameters [--no-table-headers] [--timeout <timeout>]
            exit 64
        "#]],
    );
}
