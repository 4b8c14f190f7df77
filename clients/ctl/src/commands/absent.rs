//! Commands of RabbitMQ's tools that do not run here: those that this version does not have yet, those that have
//! nothing to do on this broker, and those that can't be.

use crate::catalogue::{Action, Command, Group, Scope};

const ERLANG: &str = "there is no Erlang here to evaluate code with. Settings are shown by 'rabbitmqctl environment', \
                      the broker's state by 'rabbitmqctl status' and the list commands";

/// The commands of this module.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    refused("eval", "eval <expression>", "Evaluates a snippet of Erlang code on the target node"),
    refused("eval_file", "eval_file <file path>", "Evaluates a file that contains a snippet of Erlang code on the target node"),
    refused("exec", "exec <expression> [--offline]", "Evaluates a snippet of Elixir code on the CLI node"),
    nothing(Group::Replication, "sync_queue", "sync_queue [--vhost <vhost>] <queue>", "Instructs a mirrored queue with unsynchronised mirrors (follower replicas) to synchronise them",
        "This command is a no-op on this broker: there are no mirrored queues"),
    nothing(Group::Replication, "cancel_sync_queue", "cancel_sync_queue [--vhost <vhost>] <queue>", "Instructs a synchronising mirrored queue to stop synchronising itself",
        "This command is a no-op on this broker: there are no mirrored queues"),
    nothing(Group::Cluster, "change_cluster_node_type", "change_cluster_node_type <disc | ram>", "Changes the type of the cluster node",
        "This command is a no-op on this broker: every node keeps its data on disk"),
    nothing(Group::Cluster, "update_cluster_nodes", "update_cluster_nodes <seed_node>", "Instructs a cluster member node to sync the list of known cluster members from <seed_node>",
        "This command is a no-op on this broker: it is a single node"),
    nothing(Group::Cluster, "rename_cluster_node", "rename_cluster_node <oldnode1> <newnode1> [oldnode2] [newnode2] ...", "DEPRECATED. This command is a no-op.",
        "This command is a no-op on this broker: it is a single node"),
    nothing(Group::Deprecated, "hipe_compile", "hipe_compile <directory>", "DEPRECATED. This command is a no-op. HiPE is no longer supported by modern Erlang versions",
        "This command is a no-op. HiPE is no longer supported by modern Erlang versions"),
    nothing(Group::Deprecated, "node_health_check", "node_health_check", "DEPRECATED. This command is a no-op. See 'rabbitmq-diagnostics help' for health checks",
        "This command is a no-op. Use the health checks of rabbitmq-diagnostics instead").scope(Scope::CtlAndDiagnostics),
    ctl(Group::Operations, "activate_free_disk_space_monitoring", "activate_free_disk_space_monitoring", "[Re-]activates free disk space monitoring on a node"),
    ctl(Group::Cluster, "await_online_nodes", "await_online_nodes <count>", "Waits for <count> nodes to join the cluster"),
    ctl(Group::Operations, "close_all_user_connections", "close_all_user_connections <username> <explanation>", "Instructs the broker to close all connections of the specified user"),
    both(Group::Cluster, "cluster_status", "cluster_status", "Displays all the nodes in the cluster grouped by node type, together with the currently running nodes"),
    ctl(Group::Operations, "deactivate_free_disk_space_monitoring", "deactivate_free_disk_space_monitoring", "Deactivates free disk space monitoring on a node"),
    ctl(Group::Configuration, "decode", "decode value passphrase [--cipher <cipher>] [--hash <hash>] [--iterations <iterations>]", "Decrypts an encrypted advanced.config value"),
    ctl(Group::Configuration, "decrypt_conf_value", "decrypt_conf_value value passphrase [--cipher <cipher>] [--hash <hash>] [--iterations <iterations>]", "Decrypts an encrypted configuration value"),
    ctl(Group::VirtualHosts, "disable_vhost_deletion_protection", "disable_vhost_deletion_protection <vhost>", "Removes deletion protection from a virtual host (so that it can be deleted)"),
    ctl(Group::FeatureFlags, "enable_feature_flag", "enable_feature_flag [--opt-in] <all | feature_flag>", "Enables a feature flag or all supported feature flags on the target node"),
    ctl(Group::VirtualHosts, "enable_vhost_deletion_protection", "enable_vhost_deletion_protection <vhost>", "Protects a virtual host from deletion (until the protection is removed)"),
    ctl(Group::Configuration, "encode", "encode value passphrase [--cipher <cipher>] [--hash <hash>] [--iterations <iterations>]", "Encrypts a sensitive configuration value to be used in the advanced.config file"),
    ctl(Group::Configuration, "encrypt_conf_value", "encrypt_conf_value value passphrase [--cipher <cipher>] [--hash <hash>] [--iterations <iterations>]", "Encrypts a sensitive configuration value to be used in the advanced.config file"),
    ctl(Group::Cluster, "force_boot", "force_boot", "Forces node to start even if it cannot contact or rejoin any of its previously known peers"),
    ctl(Group::Operations, "force_gc", "force_gc", "Makes all Erlang processes on the target node perform/schedule a full sweep garbage collection"),
    ctl(Group::Cluster, "force_reset", "force_reset", "Forcefully returns a RabbitMQ node to its virgin state"),
    ctl(Group::Cluster, "force_standalone_khepri_boot", "force_standalone_khepri_boot", "Forces node to start as a standalone node"),
    ctl(Group::Cluster, "forget_cluster_node", "forget_cluster_node [--offline] <existing_cluster_member_node>", "Removes a node from the cluster"),
    ctl(Group::Users, "hash_password", "hash_password <cleartext_password> [--hashing-algorithm <algorithm>]", "Hashes a plaintext password"),
    ctl(Group::Cluster, "join_cluster", "join_cluster [--disc] <existing_cluster_member>", "Instructs the node to become a member of the cluster that the specified node is in"),
    both(Group::Monitoring, "list_ciphers", "list_ciphers", "Lists cipher suites supported by encoding commands"),
    ctl(Group::FeatureFlags, "list_deprecated_features", "list_deprecated_features [--used] [<column> ...]", "Lists deprecated features"),
    both(Group::FeatureFlags, "list_feature_flags", "list_feature_flags [<column> ...]", "Lists feature flags"),
    both(Group::Monitoring, "list_hashes", "list_hashes", "Lists hash functions supported by encoding commands"),
    both(Group::Monitoring, "list_unresponsive_queues", "list_unresponsive_queues [--local] [--queue-timeout <seconds>] [<column> ...] [--no-table-headers]", "Tests queues to respond within timeout. Lists those which did not respond"),
    ctl(Group::VirtualHosts, "reconcile_vhosts", "reconcile_vhosts", "Makes sure all virtual hosts were initialized on all reachable cluster nodes"),
    ctl(Group::Operations, "remove_classic_queue_mirroring_from_policies", "remove_classic_queue_mirroring_from_policies", "Removes keys that enable classic queue mirroring from all regular and operator policies"),
    both(Group::Monitoring, "report", "report", "Generate a server status report containing a concatenation of all server status information for support purposes"),
    ctl(Group::Nodes, "reset", "reset", "Instructs a RabbitMQ node to leave the cluster and return to its virgin state"),
    ctl(Group::VirtualHosts, "restart_vhost", "restart_vhost [--vhost <vhost>]", "Restarts a failed vhost data stores and queues"),
    ctl(Group::Operations, "resume_listeners", "resume_listeners", "Resumes client connection listeners making them accept client connections again"),
    ctl(Group::Nodes, "rotate_logs", "rotate_logs", "Does nothing [deprecated]"),
    ctl(Group::Configuration, "set_cluster_name", "set_cluster_name <name>", "Sets the cluster name"),
    ctl(Group::Configuration, "set_log_level", "set_log_level <log_level>", "Sets log level in the running node"),
    ctl(Group::AccessControl, "set_permissions_globally", "set_permissions_globally <username> <conf> <write> <read>", "Sets user permissions for all virtual hosts."),
    ctl(Group::VirtualHosts, "set_vhost_tags", "set_vhost_tags <vhost> <tag> [...]", "Sets virtual host tags"),
    ctl(Group::Nodes, "start_app", "start_app", "Starts the RabbitMQ application but leaves the runtime (Erlang VM) running"),
    ctl(Group::Nodes, "stop_app", "stop_app", "Stops the RabbitMQ application, leaving the runtime (Erlang VM) running"),
    ctl(Group::Operations, "suspend_listeners", "suspend_listeners", "Suspends client connection listeners so that no new client connections are accepted"),
    ctl(Group::VirtualHosts, "trace_off", "trace_off [--vhost <vhost>]", "Turns the firehose off for a vhost"),
    ctl(Group::VirtualHosts, "trace_on", "trace_on [--vhost <vhost>]", "Turns the firehose on for a vhost"),
    ctl(Group::VirtualHosts, "update_vhost_metadata", "update_vhost_metadata <vhost> [--description=<description>] [--tags=\"<tag1>,<tag2>,<...>\"] [--default-queue-type=<quorum|classic|stream>] [--protected-from-deletion=<true|false>]", "Updates metadata (tags, description, default queue type, protection from deletion) a virtual host"),
    both(Group::Nodes, "wait", "wait [<pidfile>] [--pid|-P <pid>]", "Waits for RabbitMQ node startup by monitoring a local PID file. See also 'rabbitmqctl await_online_nodes'"),
    diagnostics(Group::Configuration, "certificates", "certificates", "Displays certificates (public keys) for every listener on target node that is configured to use TLS"),
    diagnostics(Group::Monitoring, "check_certificate_expiration", "check_certificate_expiration [--within <period>] [--unit <unit>]", "Checks the expiration date of every certificate (leaf, intermediary or any CA) in every certificate bundle file used by the node"),
    diagnostics(Group::Monitoring, "check_for_quorum_queues_without_an_elected_leader", "check_for_quorum_queues_without_an_elected_leader [--vhost <vhost>] [--across-all-vhosts] <pattern>", "Checks that quorum queue have elected and available leader replicas"),
    diagnostics(Group::Monitoring, "check_if_any_deprecated_features_are_used", "check_if_any_deprecated_features_are_used", "Generate a report listing all deprecated features in use"),
    diagnostics(Group::Monitoring, "check_if_cluster_has_classic_queue_mirroring_policy", "check_if_cluster_has_classic_queue_mirroring_policy", "Health check that exits with a non-zero code if there are policies that enable classic queue mirroring"),
    diagnostics(Group::Monitoring, "check_if_metadata_store_initialized", "check_if_metadata_store_initialized", "Health check that exits with a non-zero code if the metadata store on target node has not yet finished initializing"),
    diagnostics(Group::Monitoring, "cipher_suites", "cipher_suites [--format <openssl | erlang | map>] [--all]", "Lists cipher suites enabled by default. To list all available cipher suites, add the --all argument."),
    diagnostics(Group::Configuration, "command_line_arguments", "command_line_arguments", "Displays target node's command-line arguments and flags as reported by the runtime"),
    diagnostics(Group::Monitoring, "consume_event_stream", "consume_event_stream [--duration|-d <seconds>] [--pattern <pattern>]", "Streams internal events from a running node. Output is jq-compatible."),
    diagnostics(Group::Configuration, "disable_track_auth_attempt_source", "disable_track_auth_attempt_source", "Disables the tracking of peer IP address and username of authentication attempts"),
    diagnostics(Group::Monitoring, "discover_peers", "discover_peers", "Performs peer discovery and lists discovered nodes, if any"),
    diagnostics(Group::Configuration, "enable_auth_attempt_source_tracking", "enable_auth_attempt_source_tracking", "Enables the tracking of peer IP address and username of authentication attempts"),
    diagnostics(Group::Configuration, "erlang_cookie_hash", "erlang_cookie_hash", "Displays a hash of the Erlang cookie (shared secret) used by the target node"),
    diagnostics(Group::Configuration, "erlang_cookie_sources", "erlang_cookie_sources", "Display Erlang cookie source (e.g. $HOME/.erlang.cookie file) information useful for troubleshooting"),
    diagnostics(Group::Monitoring, "erlang_version", "erlang_version", "Displays Erlang/OTP version on the target node"),
    diagnostics(Group::Monitoring, "list_network_interfaces", "list_network_interfaces", "Lists network interfaces (NICs) on the target node"),
    diagnostics(Group::Monitoring, "list_node_auth_attempts", "list_node_auth_attempts [--by-source]", "Lists authentication attempts on the target node"),
    diagnostics(Group::Monitoring, "list_policies_that_match", "list_policies_that_match [--object-type <type>] <name>", "Lists all policies matching a queue/exchange (only the highest priority policy is active)"),
    diagnostics(Group::Configuration, "log_location", "log_location [--all|-a]", "Shows log file location(s) on target node"),
    diagnostics(Group::Monitoring, "log_tail", "log_tail [--number|-N <number>]", "Prints the last N lines of the log on the node"),
    diagnostics(Group::Monitoring, "log_tail_stream", "log_tail_stream [--duration|-d <seconds>]", "Streams logs from a running node for a period of time"),
    diagnostics(Group::Monitoring, "maybe_stuck", "maybe_stuck", "Detects Erlang processes (\"lightweight threads\") potentially not making progress on the target node"),
    diagnostics(Group::Monitoring, "memory_breakdown", "memory_breakdown [--unit <unit>]", "Provides a memory usage breakdown on the target node."),
    diagnostics(Group::Monitoring, "message_size_stats", "message_size_stats", "Displays message size distribution statistics aggregated across all cluster nodes"),
    diagnostics(Group::Monitoring, "metadata_store_status", "metadata_store_status", "Displays quorum status of Khepri metadata store"),
    diagnostics(Group::Monitoring, "observer", "observer [--interval <seconds>]", "Starts a CLI observer interface on the target node"),
    diagnostics(Group::Configuration, "os_env", "os_env", "Lists RabbitMQ-specific environment variables set on target node"),
    diagnostics(Group::Monitoring, "remote_shell", "remote_shell", "Starts an interactive Erlang shell on the target node"),
    diagnostics(Group::Configuration, "reset_node_auth_attempt_metrics", "reset_node_auth_attempt_metrics", "Resets auth attempt metrics on the target node"),
    diagnostics(Group::Configuration, "resolve_hostname", "resolve_hostname <hostname> [--address-family <ipv4 | ipv6>]", "Resolves a hostname to a set of addresses. Takes Erlang's inetrc file into account."),
    diagnostics(Group::Configuration, "resolver_info", "resolver_info", "Displays effective hostname resolver (inetrc) configuration on target node"),
    diagnostics(Group::Monitoring, "runtime_thread_stats", "runtime_thread_stats [--sample-interval <interval>]", "Provides a breakdown of runtime thread activity stats on the target node"),
    diagnostics(Group::Monitoring, "tls_versions", "tls_versions", "Lists TLS versions supported (but not necessarily allowed) on the target node"),
];

const fn ctl(group: Group, name: &'static str, usage: &'static str, about: &'static str) -> Command {
    Command::new(group, name, usage, about)
}

const fn both(group: Group, name: &'static str, usage: &'static str, about: &'static str) -> Command {
    ctl(group, name, usage, about).scope(Scope::CtlAndDiagnostics)
}

const fn diagnostics(group: Group, name: &'static str, usage: &'static str, about: &'static str) -> Command {
    ctl(group, name, usage, about).scope(Scope::Diagnostics)
}

const fn refused(name: &'static str, usage: &'static str, about: &'static str) -> Command {
    ctl(Group::Operations, name, usage, about).action(Action::Refused(ERLANG))
}

const fn nothing(
    group: Group,
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    answer: &'static str,
) -> Command {
    ctl(group, name, usage, about).action(Action::Nothing(answer))
}
