//! Commands of RabbitMQ's tools that do not run here: those that have nothing to do on this broker, and those that can't
//! be.

use crate::catalogue::{Action, Command, Group, Scope};

/// Where [`evaluated`] points when it knows nothing nearer.
const EVAL: &str = "there is no Erlang here to evaluate code with. Settings are shown by 'rabbitmqctl environment', the \
                    broker's state by 'rabbitmqctl status' and the list commands";

const NO_ERLANG: &str = "there is no Erlang here; 'rabbitmqctl status' tells what the broker runs on";

const SINGLE: &str = "This command is a no-op on this broker: it is a single node";

const NO_CLUSTER: &str = "this broker is a single node: it can't join others, nor forget them";

const NO_MIRRORS: &str = "This command is a no-op on this broker: there are no mirrored queues";

const NOT_ENCRYPTED: &str = "values of the configuration are not encrypted here; keep its file readable for the broker's \
                             user alone";

const NO_TLS: &str = "this version has no TLS";

/// Whom a piece of code asks, and the command that tells the same here.
const NEAREST: [(&str, &str); 15] = [
    ("application:get_env", "rabbitmqctl environment"),
    ("application:set_env", "rabbitmqctl environment"),
    ("rabbit_amqqueue", "rabbitmqctl list_queues"),
    ("rabbit_exchange", "rabbitmqctl list_exchanges"),
    ("rabbit_binding", "rabbitmqctl list_bindings"),
    ("rabbit_channel", "rabbitmqctl list_channels"),
    ("rabbit_networking", "rabbitmqctl list_connections"),
    ("rabbit_connection", "rabbitmqctl list_connections"),
    ("rabbit_vhost", "rabbitmqctl list_vhosts"),
    ("rabbit_auth", "rabbitmqctl list_users"),
    ("rabbit_policy", "rabbitmqctl list_policies"),
    ("rabbit_plugins", "rabbitmq-plugins list"),
    ("memory", "rabbitmq-diagnostics memory_breakdown"),
    ("log", "rabbitmqctl set_log_level"),
    ("node()", "rabbitmqctl cluster_status"),
];

/// The commands of this module.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    ctl(Group::Operations, "eval", "eval <expression>", "Evaluates a snippet of Erlang code on the target node").action(Action::RefusedFor(evaluated)),
    ctl(Group::Operations, "eval_file", "eval_file <file path>", "Evaluates a file that contains a snippet of Erlang code on the target node").action(Action::RefusedFor(evaluated)),
    ctl(Group::Operations, "exec", "exec <expression> [--offline]", "Evaluates a snippet of Elixir code on the CLI node").action(Action::RefusedFor(evaluated)),
    nothing(Group::Replication, "sync_queue", "sync_queue [--vhost <vhost>] <queue>", "Instructs a mirrored queue with unsynchronised mirrors (follower replicas) to synchronise them", NO_MIRRORS),
    nothing(Group::Replication, "cancel_sync_queue", "cancel_sync_queue [--vhost <vhost>] <queue>", "Instructs a synchronising mirrored queue to stop synchronising itself", NO_MIRRORS),
    nothing(Group::Operations, "remove_classic_queue_mirroring_from_policies", "remove_classic_queue_mirroring_from_policies", "Removes keys that enable classic queue mirroring from all regular and operator policies", NO_MIRRORS),
    nothing(Group::Cluster, "change_cluster_node_type", "change_cluster_node_type <disc | ram>", "Changes the type of the cluster node", "This command is a no-op on this broker: every node keeps its data on disk"),
    nothing(Group::Cluster, "update_cluster_nodes", "update_cluster_nodes <seed_node>", "Instructs a cluster member node to sync the list of known cluster members from <seed_node>", SINGLE),
    nothing(Group::Cluster, "rename_cluster_node", "rename_cluster_node <oldnode1> <newnode1> [oldnode2] [newnode2] ...", "DEPRECATED. This command is a no-op.", SINGLE),
    nothing(Group::Cluster, "force_boot", "force_boot", "Forces node to start even if it cannot contact or rejoin any of its previously known peers", "This command is a no-op on this broker: it always starts by itself"),
    nothing(Group::Cluster, "force_standalone_khepri_boot", "force_standalone_khepri_boot", "Forces node to start as a standalone node", SINGLE),
    refused(Group::Cluster, "join_cluster", "join_cluster [--disc] <existing_cluster_member>", "Instructs the node to become a member of the cluster that the specified node is in", NO_CLUSTER),
    refused(Group::Cluster, "forget_cluster_node", "forget_cluster_node [--offline] <existing_cluster_member_node>", "Removes a node from the cluster", NO_CLUSTER),
    nothing(Group::Deprecated, "hipe_compile", "hipe_compile <directory>", "DEPRECATED. This command is a no-op. HiPE is no longer supported by modern Erlang versions", "This command is a no-op. HiPE is no longer supported by modern Erlang versions"),
    nothing(Group::Deprecated, "node_health_check", "node_health_check", "DEPRECATED. This command is a no-op. See 'rabbitmq-diagnostics help' for health checks", "This command is a no-op. Use the health checks of rabbitmq-diagnostics instead").scope(Scope::CtlAndDiagnostics),
    nothing(Group::Operations, "force_gc", "force_gc", "Makes all Erlang processes on the target node perform/schedule a full sweep garbage collection", "This command is a no-op on this broker: nothing is collected as garbage"),
    nothing(Group::Operations, "activate_free_disk_space_monitoring", "activate_free_disk_space_monitoring", "[Re-]activates free disk space monitoring on a node", "Free disk space is monitored as long as the broker runs"),
    refused(Group::Operations, "deactivate_free_disk_space_monitoring", "deactivate_free_disk_space_monitoring", "Deactivates free disk space monitoring on a node", "free disk space is monitored as long as the broker runs; 'rabbitmqctl set_disk_free_limit 0' sets off no alarm"),
    refused(Group::Configuration, "encode", "encode value passphrase [--cipher <cipher>] [--hash <hash>] [--iterations <iterations>]", "Encrypts a sensitive configuration value to be used in the advanced.config file", NOT_ENCRYPTED),
    refused(Group::Configuration, "decode", "decode value passphrase [--cipher <cipher>] [--hash <hash>] [--iterations <iterations>]", "Decrypts an encrypted advanced.config value", NOT_ENCRYPTED),
    refused(Group::Configuration, "encrypt_conf_value", "encrypt_conf_value value passphrase [--cipher <cipher>] [--hash <hash>] [--iterations <iterations>]", "Encrypts a sensitive configuration value to be used in the advanced.config file", NOT_ENCRYPTED),
    refused(Group::Configuration, "decrypt_conf_value", "decrypt_conf_value value passphrase [--cipher <cipher>] [--hash <hash>] [--iterations <iterations>]", "Decrypts an encrypted configuration value", NOT_ENCRYPTED),
    refused(Group::Monitoring, "list_ciphers", "list_ciphers", "Lists cipher suites supported by encoding commands", NOT_ENCRYPTED).scope(Scope::CtlAndDiagnostics),
    refused(Group::Monitoring, "list_hashes", "list_hashes", "Lists hash functions supported by encoding commands", NOT_ENCRYPTED).scope(Scope::CtlAndDiagnostics),
    refused(Group::Monitoring, "schema_info", "schema_info [--no-table-headers] [<column> ...]", "Lists schema database tables and their properties", "there is no Mnesia here; 'rabbitmqctl export_definitions -' shows all that is defined").scope(Scope::CtlAndDiagnostics),
    diagnostics(Group::Monitoring, "check_if_cluster_has_classic_queue_mirroring_policy", "check_if_cluster_has_classic_queue_mirroring_policy", "Health check that exits with a non-zero code if there are policies that enable classic queue mirroring", Action::Nothing("There are no mirrored queues on this broker: no policy has an effect of that kind")),
    diagnostics(Group::Monitoring, "cipher_suites", "cipher_suites [--format <openssl | erlang | map>] [--all]", "Lists cipher suites enabled by default. To list all available cipher suites, add the --all argument.", Action::Refused(NO_TLS)),
    diagnostics(Group::Monitoring, "tls_versions", "tls_versions", "Lists TLS versions supported (but not necessarily allowed) on the target node", Action::Refused(NO_TLS)),
    diagnostics(Group::Configuration, "erlang_cookie_hash", "erlang_cookie_hash", "Displays a hash of the Erlang cookie (shared secret) used by the target node", Action::Refused("there is no Erlang cookie here: who may enter the data directory may use the tools")),
    diagnostics(Group::Configuration, "erlang_cookie_sources", "erlang_cookie_sources", "Display Erlang cookie source (e.g. $HOME/.erlang.cookie file) information useful for troubleshooting", Action::Refused("there is no Erlang cookie here: who may enter the data directory may use the tools")),
    diagnostics(Group::Monitoring, "erlang_version", "erlang_version", "Displays Erlang/OTP version on the target node", Action::Refused(NO_ERLANG)),
    diagnostics(Group::Monitoring, "maybe_stuck", "maybe_stuck", "Detects Erlang processes (\"lightweight threads\") potentially not making progress on the target node", Action::Refused("there are no Erlang processes here; 'rabbitmq-diagnostics runtime_thread_stats' shows what the threads do")),
    diagnostics(Group::Monitoring, "metadata_store_status", "metadata_store_status", "Displays quorum status of Khepri metadata store", Action::Refused("there is no Khepri here: definitions are stored twice on this one node")),
    diagnostics(Group::Monitoring, "remote_shell", "remote_shell", "Starts an interactive Erlang shell on the target node", Action::Refused(NO_ERLANG)),
    diagnostics(Group::Configuration, "resolver_info", "resolver_info", "Displays effective hostname resolver (inetrc) configuration on target node", Action::Refused("names are resolved by the operating system: see /etc/resolv.conf and /etc/nsswitch.conf")),
];

/// Why a piece of code is not evaluated, and the command that is nearest to it.
fn evaluated(arguments: &[String]) -> String {
    let code = arguments.join(" ");
    match NEAREST.iter().find(|(sign, _)| code.contains(sign)) {
        Some((_, command)) => {
            format!(
                "there is no Erlang here to evaluate code with. What comes nearest to this is '{command}'"
            )
        }
        None => EVAL.to_string(),
    }
}

const fn ctl(group: Group, name: &'static str, usage: &'static str, about: &'static str) -> Command {
    Command::new(group, name, usage, about)
}

const fn diagnostics(
    group: Group,
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    action: Action,
) -> Command {
    ctl(group, name, usage, about).scope(Scope::Diagnostics).action(action)
}

const fn refused(
    group: Group,
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    answer: &'static str,
) -> Command {
    ctl(group, name, usage, about).action(Action::Refused(answer))
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
