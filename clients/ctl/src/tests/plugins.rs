//! Plugins.

use expect_test::expect;

use super::check;
use crate::testing::Script;

#[test]
fn plugins_are_listed_and_enabled() {
    check(
        &Script::new(),
        &[
            "rabbitmq-plugins list",
            "rabbitmq-plugins list -E -m",
            "rabbitmq-plugins list agent$ -v -q",
            "rabbitmq-plugins list '('",
            "rabbitmq-plugins list dispatch --formatter json",
            "rabbitmq-plugins enable rabbitmq_management",
        ],
        expect![[r#"
            $ rabbitmq-plugins list
            Listing plugins with pattern ".*" ...
             Configured: E = explicitly enabled; e = implicitly enabled
             | Status: * = running on rabbit@h
             |/
            [E*] rabbitmq_management       4.2.0
            [e*] rabbitmq_management_agent 4.2.0
            [e*] rabbitmq_web_dispatch     4.2.0
            $ rabbitmq-plugins list -E -m
            Listing plugins with pattern ".*" ...
            rabbitmq_management
            $ rabbitmq-plugins list agent$ -v -q
            [e*] rabbitmq_management_agent
                 Version:     	4.2.0
                 Dependencies:	[]
                 Description: 	RabbitMQ Management Agent
            $ rabbitmq-plugins list '('
            Listing plugins with pattern "(" ...
            ! Error:
            ! "(" is not a regular expression
            exit 70
            $ rabbitmq-plugins list dispatch --formatter json
            {"status":"running","format":"normal","plugins":[{"name":"rabbitmq_web_dispatch","enabled":"implicit","running":true,"version":"4.2.0","running_version":"4.2.0"}]}
            $ rabbitmq-plugins enable rabbitmq_management
            Enabling plugins on node rabbit@h:
            rabbitmq_management
            The following plugins have been configured:
              rabbitmq_management
              rabbitmq_management_agent
              rabbitmq_web_dispatch
            Applying plugin configuration to rabbit@h...
            Plugin configuration unchanged.
        "#]],
    );
}

#[test]
fn unknown_plugins_are_refused() {
    check(
        &Script::new(),
        &[
            "rabbitmq-plugins enable rabbitmq_management nosuch other",
            "rabbitmq-plugins enable",
            "rabbitmq-plugins disable --all",
            "rabbitmq-plugins is_enabled rabbitmq_management",
            "rabbitmq-plugins is_enabled rabbitmq_management rabbitmq_mqtt",
            "rabbitmq-plugins directories",
        ],
        expect![[r#"
            $ rabbitmq-plugins enable rabbitmq_management nosuch other
            Enabling plugins on node rabbit@h:
            rabbitmq_management
            nosuch
            other
            ! Error:
            ! {:plugins_not_found, [:nosuch, :other]}
            exit 70
            $ rabbitmq-plugins enable
            ! Error (argument validation): not enough arguments.
            ! Arguments given:
            ! 	enable
            ! 
            ! Usage
            ! 
            ! rabbitmq-plugins [--node <node>] [--longnames] [--quiet] enable <plugin1> [ <plugin2>] | --all [--offline] [--online]
            exit 64
            $ rabbitmq-plugins disable --all
            Disabling ALL plugins on node rabbit@h
            The following plugins have been configured:
              rabbitmq_management
              rabbitmq_management_agent
              rabbitmq_web_dispatch
            Applying plugin configuration to rabbit@h...
            Plugin configuration unchanged.
            $ rabbitmq-plugins is_enabled rabbitmq_management
            Asking node rabbit@h if plugin rabbitmq_management is enabled...
            Plugin rabbitmq_management is enabled on node rabbit@h
            $ rabbitmq-plugins is_enabled rabbitmq_management rabbitmq_mqtt
            Asking node rabbit@h if plugins rabbitmq_management, rabbitmq_mqtt are enabled...
            ! Error:
            ! Plugin rabbitmq_mqtt is not enabled on node rabbit@h. Enabled plugins and dependencies: rabbitmq_management, rabbitmq_management_agent, rabbitmq_web_dispatch
            exit 69
            $ rabbitmq-plugins directories
            Listing plugin directories used by node rabbit@h
            Plugin archives directory: (none: all plugins are built in)
            Plugin expansion directory: (none)
            Enabled plugins file: (none)
        "#]],
    );
}

#[test]
fn without_a_broker() {
    check(
        &Script::gone(),
        &[
            "rabbitmq-plugins enable rabbitmq_management -n rabbit@x",
            "rabbitmq-plugins enable rabbitmq_management --online",
        ],
        expect![[r#"
            $ rabbitmq-plugins enable rabbitmq_management -n rabbit@x
            Enabling plugins on node rabbit@x:
            rabbitmq_management
            The following plugins have been configured:
              rabbitmq_management
              rabbitmq_management_agent
              rabbitmq_web_dispatch
            Applying plugin configuration to rabbit@x...
            Plugin configuration unchanged.
            $ rabbitmq-plugins enable rabbitmq_management --online
            ! Error: no Liebre broker answers at /data/control.sock (No such file or directory): start it with 'liebre', or name another one with --data-dir or --host
            exit 69
        "#]],
    );
}
