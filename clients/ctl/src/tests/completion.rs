//! Completion of command lines.

use expect_test::expect;
use serde_json::json;

use super::{check, queues};
use crate::testing::Script;

#[test]
fn what_the_last_word_may_become() {
    let script = queues()
        .answer("GET /api/vhosts?columns=name", 200, json!([{"name": "/"}, {"name": "curso"}]))
        .answer("GET /api/users?columns=name", 200, json!([{"name": "ana"}, {"name": "guest"}]))
        .answer(
            "GET /api/queues/curso?columns=name",
            200,
            json!([{"name": "orders"}, {"name": "orders.dead"}]),
        );
    check(
        &script,
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
            activate_free_disk_space_monitoring
            add_user
            add_vhost
            authenticate_user
            autocomplete
            await_online_nodes
            await_startup
            cancel_sync_queue
            change_cluster_node_type
            change_password
            clear_global_parameter
            clear_operator_policy
            clear_parameter
            clear_password
            clear_permissions
            clear_policy
            clear_topic_permissions
            clear_user_limits
            clear_vhost_limits
            close_all_connections
            close_all_user_connections
            close_connection
            cluster_status
            completion
            deactivate_free_disk_space_monitoring
            decode
            decrypt_conf_value
            delete_queue
            delete_user
            delete_vhost
            disable_vhost_deletion_protection
            enable_feature_flag
            enable_vhost_deletion_protection
            encode
            encrypt_conf_value
            environment
            eval
            eval_file
            exec
            export_definitions
            force_boot
            force_gc
            force_reset
            force_standalone_khepri_boot
            forget_cluster_node
            hash_password
            help
            hipe_compile
            import_definitions
            join_cluster
            list_bindings
            list_channels
            list_ciphers
            list_connections
            list_consumers
            list_deprecated_features
            list_exchanges
            list_feature_flags
            list_global_parameters
            list_hashes
            list_node_auth_attempt_stats
            list_operator_policies
            list_parameters
            list_permissions
            list_policies
            list_queues
            list_topic_permissions
            list_unresponsive_queues
            list_user_limits
            list_user_permissions
            list_user_topic_permissions
            list_users
            list_vhost_limits
            list_vhosts
            message_size_stats
            node_health_check
            ping
            purge_queue
            reconcile_vhosts
            remove_classic_queue_mirroring_from_policies
            rename_cluster_node
            report
            reset
            restart_vhost
            resume_listeners
            rotate_logs
            schema_info
            set_cluster_name
            set_disk_free_limit
            set_global_parameter
            set_log_level
            set_operator_policy
            set_parameter
            set_permissions
            set_permissions_globally
            set_policy
            set_topic_permissions
            set_user_limits
            set_user_tags
            set_vhost_limits
            set_vhost_tags
            set_vm_memory_high_watermark
            shutdown
            start_app
            status
            stop
            stop_app
            suspend_listeners
            sync_queue
            trace_off
            trace_on
            update_cluster_nodes
            update_vhost_metadata
            version
            wait
            $ rabbitmq-upgrade -q autocomplete -- d
            drain
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
