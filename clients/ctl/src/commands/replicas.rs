//! Replicas of quorum queues and streams: of `rabbitmq-queues`, `rabbitmq-streams` and `rabbitmq-upgrade`. The broker is a
//! single node, on which every queue has one copy; the commands tell so in RabbitMQ's words where it has some.

use serde_json::{Value, json};

use super::Outcome;
use crate::api::path;
use crate::arguments::Switch;
use crate::catalogue::{Action, Command, Group, Scope};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::format::Formatter;
use crate::listing::{Column, Listing};

const ONE_COPY: &str = "One copy of each queue, on the one node";

const NO_STREAMS: &str = "this version has no streams";

const QUEUE: (&str, &str) = ("<queue>", "queue name");
const NODE: (&str, &str) = ("<node>", "node name");

const PATTERNS: [Switch; 2] = [Switch::word("vhost-pattern"), Switch::word("queue-pattern")];

const WITH_PATTERNS: [Switch; 4] =
    [PATTERNS[0], PATTERNS[1], Switch::word("membership"), Switch::flag("errors-only")];

const STATUS: Listing = Listing {
    columns: &[
        Column::atoms("Node Name").from("node"),
        Column::atoms("Raft State").from("state"),
        Column::atoms("Membership").from("membership"),
        Column::plain("Messages").from("messages"),
    ],
    shown: &["Node Name", "Raft State", "Membership", "Messages"],
    is_ordered: true,
    is_whole: true,
};

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    check(
        Scope::QueuesAndDiagnostics,
        "check_if_node_is_quorum_critical",
        "Health check that exits with a non-zero code if there are queues/streams with minimum online quorum \
         (queues/streams that will lose their quorum if the target node is shut down)",
    ),
    check(
        Scope::QueuesAndDiagnostics,
        "check_if_node_is_mirror_sync_critical",
        "DEPRECATED. Mirrored queues were removed in RabbitMQ 4.0. This command is a no-op.",
    ),
    check(
        Scope::Queues,
        "check_if_new_quorum_queue_replicas_have_finished_initial_sync",
        "Health check that exits with a non-zero code if there are queues that run promotable replicas on the current \
         node.",
    ),
    check(
        Scope::Upgrade,
        "await_online_quorum_plus_one",
        "Waits for all quorum queues and streams to have an above minimum online quorum. This makes sure that no \
         queues/streams would lose their quorum if the target node is shut down",
    ),
    check(
        Scope::Upgrade,
        "await_online_synchronized_mirror",
        "Waits for all classic mirrored queues hosted on the target node to have at least one synchronized mirror \
         online",
    ),
    check(
        Scope::Upgrade,
        "has_reached_target_cluster_size",
        "Health check that exits with a non-zero code if the cluster has not yet reached its target size",
    ),
    check(Scope::Upgrade, "post_upgrade", "Runs post-upgrade tasks"),
    check(
        Scope::Diagnostics,
        "check_for_quorum_queues_without_an_elected_leader",
        "Checks that quorum queue have elected and available leader replicas",
    )
    .usage("check_for_quorum_queues_without_an_elected_leader [--vhost <vhost>] [--across-all-vhosts] <pattern>")
    .takes(0, 1)
    .switches(&[Switch::flag("across-all-vhosts")]),
    check(Scope::Diagnostics, "discover_peers", "Performs peer discovery and lists discovered nodes, if any")
        .here("It is a single node: no peers are looked for"),
    replicas(
        Scope::Queues,
        "rebalance",
        "rebalance < all | quorum | stream > [--vhost-pattern <pattern>] [--queue-pattern <pattern>]",
        "Re-balances leaders of replicated queues across up-and-running cluster nodes",
    )
    .takes(1, 1)
    .switches(&PATTERNS)
    .runs(single_node),
    replicas(
        Scope::Queues,
        "reclaim_quorum_memory",
        "reclaim_quorum_memory [--vhost <vhost>] <quorum queue>",
        "Requests a full sweep GC on all of a quorum queue's Erlang processes",
    )
    .takes(1, 1)
    .here("Memory of a queue is given back as it is consumed")
    .runs(single_node),
    replicas(
        Scope::Queues,
        "force_checkpoint",
        "force_checkpoint [--vhost-pattern <pattern>] [--queue-pattern <pattern>]",
        "Forces checkpoints for all matching quorum queues",
    )
    .takes(0, 0)
    .switches(&WITH_PATTERNS)
    .here("The message log is shared by all queues and writes its checkpoints by itself")
    .runs(single_node),
    replicas(
        Scope::QueuesAndDiagnostics,
        "quorum_status",
        "quorum_status [--vhost <vhost>] <queue>",
        "Displays the quorum status of a queue",
    )
    .takes(1, 1)
    .timeout()
    .explained(&[QUEUE])
    .shown_as(Formatter::PrettyTable)
    .runs(quorum_status),
    replicas(
        Scope::Queues,
        "add_member",
        "add_member [--vhost <vhost>] <queue> <node> [--membership <promotable|voter>]",
        "Adds a queue member/replica on the given node.",
    )
    .takes(2, 2)
    .switches(&WITH_PATTERNS)
    .explained(&[QUEUE, NODE])
    .runs(member),
    replicas(
        Scope::Queues,
        "delete_member",
        "delete_member [--vhost <vhost>] <queue> <node>",
        "Removes a queue member (replica) on the given node.",
    )
    .takes(2, 2)
    .explained(&[QUEUE, NODE])
    .runs(member),
    replicas(
        Scope::Queues,
        "transfer_leadership",
        "transfer_leadership [--vhost <vhost>] <queue> <node>",
        "Transfers the leadership of a quorum queue to the given node.",
    )
    .takes(2, 2)
    .explained(&[QUEUE, NODE])
    .runs(member),
    replicas(
        Scope::Queues,
        "grow",
        "grow <node> <all | even> [--vhost-pattern <pattern>] [--queue-pattern <pattern>] [--membership \
         <promotable|voter>]",
        "Grows all matching queues by adding a member (replica) on the specified node",
    )
    .takes(2, 2)
    .switches(&WITH_PATTERNS)
    .runs(single_node),
    replicas(
        Scope::Queues,
        "grow_to_count",
        "grow_to_count <node_count> <all | even> [--vhost-pattern <pattern>] [--queue-pattern <pattern>] [--membership \
         <promotable|voter>]",
        "Grows quorum queue clusters by adding member replicas on the specified number of nodes for all matching queues",
    )
    .takes(2, 2)
    .switches(&WITH_PATTERNS)
    .runs(single_node),
    replicas(
        Scope::Queues,
        "shrink",
        "shrink <node> [--errors-only]",
        "Shrinks queue clusters by removing any members (replicas) on the given node.",
    )
    .takes(1, 1)
    .switches(&WITH_PATTERNS)
    .runs(single_node),
    replicas(
        Scope::Queues,
        "peek",
        "peek [--vhost <vhost>] <queue> <position>",
        "Peeks at the given position of a quorum queue",
    )
    .action(Action::Refused(
        "messages can't be looked at in their places here. 'liebre-cat get' takes the first one, and the management \
         API's /api/queues/VHOST/QUEUE/get puts it back (ackmode ack_requeue_true)",
    )),
    no_mirrors("list_policies_with_classic_queue_mirroring", "List all policies that enable classic queue mirroring"),
    no_mirrors(
        "list_operator_policies_with_classic_queue_mirroring",
        "List all operator policies that enable classic queue mirroring",
    ),
    streams("add_replica", "add_replica [--vhost <vhost>] <stream> <node>", "Adds a stream replica on the given node"),
    streams("coordinator_status", "coordinator_status", "Displays raft status of the stream coordinator"),
    streams(
        "delete_replica",
        "delete_replica [--vhost <vhost>] <queue> <node>",
        "Removes a stream queue replica on the given node.",
    ),
    streams(
        "grow",
        "grow <node> <all | even> [--vhost-pattern <pattern>] [--queue-pattern <pattern>] [--errors-only]",
        "Grows stream clusters by adding a replica on the specified node for all matching streams",
    ),
    streams(
        "restart_stream",
        "restart_stream [--vhost <vhost>] <stream> [--preferred-leader-node <node>]",
        "Restarts a stream.",
    ),
    streams(
        "set_stream_retention_policy",
        "set_stream_retention_policy [--vhost <vhost>] <name> <policy>",
        "Sets the retention policy of a stream queue",
    ),
    streams(
        "shrink",
        "shrink <node> [--errors-only]",
        "Shrinks stream clusters by removing any replicas on the given node.",
    ),
    streams(
        "stream_status",
        "stream_status [--vhost <vhost>] [--tracking] <stream>",
        "Displays the status of a stream",
    )
    .scope(Scope::StreamsAndDiagnostics),
    streams(
        "transfer_leadership",
        "transfer_leadership [--vhost <vhost>] <stream> <node>",
        "Transfers the leadership of a stream to the given node.",
    ),
];

const fn replicas(scope: Scope, name: &'static str, usage: &'static str, about: &'static str) -> Command {
    Command::new(Group::Replication, name, usage, about).scope(scope).here(ONE_COPY)
}

const fn check(scope: Scope, name: &'static str, about: &'static str) -> Command {
    let group = match scope {
        Scope::Upgrade => Group::Upgrade,
        _ => Group::Monitoring,
    };
    Command::new(group, name, name, about).scope(scope).takes(0, 0).here(ONE_COPY).runs(single_node)
}

const fn streams(name: &'static str, usage: &'static str, about: &'static str) -> Command {
    Command::new(Group::Replication, name, usage, about)
        .scope(Scope::Streams)
        .action(Action::Refused(NO_STREAMS))
}

const fn no_mirrors(name: &'static str, about: &'static str) -> Command {
    Command::new(Group::Policies, name, name, about).scope(Scope::Queues).action(Action::Nothing(
        "There are no mirrored queues on this broker: no policy has an effect of that kind",
    ))
}

/// What a command is about to do, and what became of it on a single node.
struct Told {
    command: &'static str,
    banner: &'static str,
    answer: &'static str,
}

/// RabbitMQ's answers on a single node. `{node}` and `{0}` stand for the node and the first argument.
const TOLD: &[Told] = &[
    Told {
        command: "check_if_node_is_quorum_critical",
        banner: "Checking if node {node} is critical for quorum of any quorum queues ...",
        answer: "Node {node} seems to be the only one in a single node cluster, the check does not apply",
    },
    Told {
        command: "check_if_node_is_mirror_sync_critical",
        banner: "Checking if node {node} is critical for data safety of any classic mirrored queues ...",
        answer: "Node {node} seems to be the only one in a single node cluster, the check does not apply",
    },
    Told {
        command: "check_if_new_quorum_queue_replicas_have_finished_initial_sync",
        banner: "Checking if node {node} runs promotable replicas of any queues ...",
        answer: "Node {node} reported no queues with promotable replicas",
    },
    Told {
        command: "check_for_quorum_queues_without_an_elected_leader",
        banner: "Checking for quorum queues without an elected leader ...",
        answer: "Node {node} reported all quorum queue as having responsive leader replicas",
    },
    Told { command: "discover_peers", banner: "Discovering peers nodes ...", answer: "No peers discovered" },
    Told {
        command: "await_online_quorum_plus_one",
        banner: "Will wait for a quorum + 1 of nodes to be online for all quorum queues for 120 seconds...",
        answer: "Target node seems to be the only one in a single node cluster, the command does not apply",
    },
    Told {
        command: "await_online_synchronized_mirror",
        banner: "Will wait for all classic mirrored queues to have at least one in-sync mirror online for 120 seconds...",
        answer: "Target node seems to be the only one in a single node cluster, the command does not apply",
    },
    Told {
        command: "has_reached_target_cluster_size",
        banner: "Asking node {node} whether its cluster has reached its target size ...",
        answer: "Node {node} is a single node, its cluster has reached its target size",
    },
    Told {
        command: "post_upgrade",
        banner: "Executing post upgrade tasks...",
        answer: "There is nothing to do after an upgrade of this broker",
    },
    Told {
        command: "rebalance",
        banner: "Re-balancing leaders of {0} queues...",
        answer: "All queues are led by {node}, the only node",
    },
    Told {
        command: "reclaim_quorum_memory",
        banner: "Will flush Raft WAL of quorum queue {0} ...",
        answer: "There is nothing to reclaim on this broker",
    },
    Told {
        command: "force_checkpoint",
        banner: "Forcing checkpoint for all matching quorum queues...",
        answer: "There is nothing to force on this broker: the message log writes its checkpoints by itself",
    },
    Told { command: "grow", banner: "Growing all quorum queues on {0}...", answer: "" },
    Told { command: "grow_to_count", banner: "Growing quorum queues to {0} members...", answer: "" },
    Told {
        command: "shrink",
        banner: "Shrinking quorum queues on {0}...",
        answer: "No queue was changed: the last node cannot be removed",
    },
];

fn single_node(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.broker.overview()?;
    let name = context.command.name;
    let Some(told) = TOLD.iter().find(|told| told.command == name) else { return context.done() };
    let filled = |text: &str| text.replace("{node}", &node).replace("{0}", context.argument(0));
    let (banner, answer) = (filled(told.banner), filled(told.answer));
    context.announce(&banner)?;
    context.pass(&answer, json!({"result": "ok", "message": answer}))
}

fn quorum_status(context: &mut Context<'_>) -> Outcome {
    let (queue, vhost, node) =
        (context.argument(0).to_string(), context.vhost().to_string(), context.broker.node()?);
    context.announce(&format!("Status of quorum queue {queue} on node {node} ..."))?;
    let found = context.broker.find(&path(&["queues", &vhost, &queue]))?.ok_or_else(not_found)?;
    if found.get("type") != Some(&Value::from("quorum")) {
        let text = "Cannot get quorum status of a classic queue";
        return Err(Failure::new(Code::Unavailable, text).into());
    }
    let row = json!({"node": node, "state": "leader", "membership": "voter", "messages": found["messages"]});
    let table = STATUS.table(&STATUS.select(&[])?, &[row]);
    context.table(&table)
}

/// Where a queue's copy is can't be changed.
fn member(context: &mut Context<'_>) -> Outcome {
    let [queue, target] = [context.argument(0).to_string(), context.argument(1).to_string()];
    let vhost = context.vhost().to_string();
    let banner = match context.command.name {
        "add_member" => format!("Adding a replica for queue {queue} on node {target}..."),
        "delete_member" => format!("Removing a replica of queue {queue} on node {target}..."),
        _ => format!("Transferring leadership of queue {queue} to node {target}..."),
    };
    context.announce(&banner)?;
    context.broker.find(&path(&["queues", &vhost, &queue]))?.ok_or_else(not_found)?;
    let node = context.broker.node()?;
    let text = format!("{node} is a single node: a queue has one copy, and it is there");
    Err(Failure::new(Code::Unavailable, text).into())
}

fn not_found() -> Failure {
    Failure::new(Code::Unavailable, "not_found")
}
