//! Looking around: a report for whoever helps, a view that keeps itself up to date, and questions about single queues.

use regex::Regex;
use serde_json::Value;

use super::{Outcome, observer, policies};
use crate::api::{Broker, CallError, Method, Request, path};
use crate::arguments::{Arguments, Switch};
use crate::catalogue::{Action, Command, Group, Scope, Tool};
use crate::context::{Context, View};
use crate::exit::{Code, Failure, Stop, UsageError};
use crate::format::Formatter;
use crate::listing::{Column, Listing};

const UNRESPONSIVE: Listing = Listing {
    columns: &[
        Column::plain("name"),
        Column::plain("durable"),
        Column::plain("auto_delete"),
        Column::arguments("arguments"),
        Column::atoms("pid"),
        Column::plain("recoverable_slaves"),
    ],
    shown: &["name"],
    is_ordered: false,
    is_whole: false,
};

/// What a report holds of the node. Of commands that list, all columns.
const OF_NODE: [&str; 6] = [
    "status",
    "cluster_status",
    "environment",
    "list_connections",
    "list_channels",
    "command_line_arguments",
];

/// What it holds of each vhost.
const OF_VHOST: [&str; 7] = [
    "list_queues",
    "list_exchanges",
    "list_bindings",
    "list_permissions",
    "list_policies",
    "list_global_parameters",
    "list_parameters",
];

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::Monitoring,
        "report",
        "report",
        "Generate a server status report containing a concatenation of all server status information for support \
         purposes",
    )
    .scope(Scope::CtlAndDiagnostics)
    .takes(0, 0)
    .timeout()
    .runs(report),
    Command::new(
        Group::Monitoring,
        "observer",
        "observer [--interval <seconds>] [--count <number>]",
        "Starts a CLI observer interface on the target node",
    )
    .scope(Scope::Diagnostics)
    .takes(0, 0)
    .switches(&[Switch::number("interval"), Switch::number("count")])
    .explained(&[
        ("--interval <seconds>", "update interval to use in seconds, default is 5"),
        ("--count <number>", "how many updates to show before it ends; for ever by default"),
    ])
    .here("Totals and rates of the broker, and its fullest queues; Ctrl-C ends it")
    .runs(observer::observe),
    Command::new(
        Group::Monitoring,
        "list_unresponsive_queues",
        "list_unresponsive_queues [--local] [--queue-timeout <seconds>] [<column> ...] [--no-table-headers]",
        "Tests queues to respond within timeout. Lists those which did not respond",
    )
    .scope(Scope::CtlAndDiagnostics)
    .timeout()
    .switches(&[Switch::flag("local"), Switch::number("queue-timeout")])
    .explained(&[
        ("--local", "only return queues hosted on the target node"),
        ("--queue-timeout <seconds>", "per-queue timeout to use when checking for responsiveness"),
    ])
    .lists(&UNRESPONSIVE)
    .runs(list_unresponsive_queues),
    Command::new(
        Group::Monitoring,
        "list_policies_that_match",
        "list_policies_that_match [--object-type <type>] <name>",
        "Lists all policies matching a queue/exchange (only the highest priority policy is active)",
    )
    .scope(Scope::Diagnostics)
    .takes(1, 1)
    .switches(&[Switch::word("object-type")])
    .explained(&[
        ("<name>", "The name of the queue/exchange"),
        ("--object-type <queue | exchange>", "the type of object to match (default: queue)"),
    ])
    .lists(&policies::LISTING)
    .shown_as(Formatter::PrettyTable)
    .runs(list_policies_that_match),
    Command::new(
        Group::Monitoring,
        "message_size_stats",
        "message_size_stats",
        "Displays message size distribution statistics aggregated across all cluster nodes",
    )
    .scope(Scope::CtlAndDiagnostics)
    .action(Action::Refused(
        "the broker does not keep a distribution of sizes. 'rabbitmqctl list_queues name messages message_bytes' shows \
         how many messages wait and what they take",
    )),
    Command::new(
        Group::Monitoring,
        "consume_event_stream",
        "consume_event_stream [--duration|-d <seconds>] [--pattern <pattern>]",
        "Streams internal events from a running node. Output is jq-compatible.",
    )
    .scope(Scope::Diagnostics)
    .action(Action::Refused(
        "the broker has no stream of internal events; 'rabbitmq-diagnostics log_tail_stream' follows its log",
    )),
];

fn report(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Reporting server status of node {node} ..."))?;
    context.line("")?;
    let vhosts = context.broker.list("/api/vhosts")?;
    OF_NODE.iter().try_for_each(|name| part(context, name, "/"))?;
    for vhost in vhosts.iter().filter_map(|vhost| vhost["name"].as_str()) {
        OF_VHOST.iter().try_for_each(|name| part(context, name, vhost))?;
    }
    Ok(())
}

/// Another command as a part of the report. One that fails says so in its place: the rest may help all the same.
fn part(context: &mut Context<'_>, name: &str, vhost: &str) -> Outcome {
    let found = Tool::Ctl.find(name).or_else(|| Tool::Diagnostics.find(name));
    let Some((command, Action::Run(run))) = found.map(|command| (command, command.action)) else {
        return Ok(());
    };
    let columns = match command.listing {
        Some(listing) if command.most == usize::MAX => {
            listing.columns.iter().map(|column| column.name.to_string()).collect()
        }
        _ => Vec::new(),
    };
    let words = ["--vhost".to_string(), vhost.to_string()];
    let options = Arguments::read(&words, &command.all_switches());
    let failure = {
        let mut part = Context {
            broker: Broker::new(context.broker.api(), name, context.timeout_ms()),
            options: &options,
            arguments: &columns,
            command,
            tool: context.tool,
            script: context.script,
            view: View { formatter: Formatter::Table, ..context.view },
            streams: context.streams.reborrow(),
        };
        match run(&mut part) {
            Ok(()) | Err(Stop::DryRun) => None,
            Err(Stop::Failure(failure)) => Some(failure.text()),
            Err(Stop::Usage(error)) => Some(error.problem),
            Err(output @ Stop::Output(_)) => return Err(output),
        }
    };
    context.line(&failure.unwrap_or_default())
}

fn list_unresponsive_queues(context: &mut Context<'_>) -> Outcome {
    let vhost = context.vhost().to_string();
    context.announce(&format!("Listing unresponsive queues for vhost {vhost} ..."))?;
    let queues = context.broker.list_in_vhost("queues", &vhost)?;
    let is_silent = |queue: &&Value| {
        let name = queue["name"].as_str().unwrap_or_default();
        let request =
            Request { method: Method::Get, path: path(&["queues", &vhost, name]), body: None, reason: None };
        matches!(context.broker.api().call(&request), Err(CallError::TimedOut))
    };
    let silent: Vec<Value> = queues.iter().filter(is_silent).cloned().collect();
    context.list(&silent)
}

fn list_policies_that_match(context: &mut Context<'_>) -> Outcome {
    let (name, vhost) = (context.argument(0).to_string(), context.vhost().to_string());
    let kind = context.options.word("object-type").unwrap_or("queue").to_string();
    let noun = match kind.as_str() {
        "queue" => "queues",
        "exchange" => "exchanges",
        _ => {
            let text =
                format!("\"object type '{kind}' is not supported. Please use one of: queue, exchange\"");
            return Err(UsageError::new(text).into());
        }
    };
    context.announce(&format!("Listing policies that match {kind} '{name}' in vhost '{vhost}' ..."))?;
    let object = context.broker.find(&path(&[noun, &vhost, &name]))?;
    let object = object.ok_or_else(|| Failure::new(Code::Unavailable, "not_found"))?;
    let mut policies = context.broker.list(&path(&["policies", &vhost]))?;
    policies.retain(|policy| matches(policy, noun, &object));
    policies.sort_by_key(|policy| std::cmp::Reverse(policy["priority"].as_i64()));
    for policy in &mut policies {
        policy["definition"] = policy["definition"].to_string().into();
    }
    context.list(&policies)
}

fn matches(policy: &Value, noun: &str, object: &Value) -> bool {
    let of_type = match object["type"].as_str() {
        Some("quorum") => "quorum_queues",
        Some("stream") => "streams",
        _ => "classic_queues",
    };
    let is_meant = match policy["apply-to"].as_str().unwrap_or("all") {
        "all" => true,
        apply_to if apply_to == noun => true,
        apply_to => noun == "queues" && apply_to == of_type,
    };
    let name = object["name"].as_str().unwrap_or_default();
    let pattern = Regex::new(policy["pattern"].as_str().unwrap_or_default());
    is_meant && pattern.is_ok_and(|pattern| pattern.is_match(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn policies_match_by_name_and_type() {
        let policy = |pattern: &str, apply_to: &str| json!({"pattern": pattern, "apply-to": apply_to});
        let queue = json!({"name": "orders", "type": "classic"});
        let quorum = json!({"name": "orders", "type": "quorum"});
        for (pattern, apply_to, noun, object, is_match) in [
            ("^ord", "all", "queues", &queue, true),
            ("^ord", "queues", "queues", &queue, true),
            ("^ord", "classic_queues", "queues", &queue, true),
            ("^ord", "quorum_queues", "queues", &queue, false),
            ("^ord", "quorum_queues", "queues", &quorum, true),
            ("^ord", "exchanges", "queues", &queue, false),
            ("^ord", "exchanges", "exchanges", &queue, true),
            ("^x", "all", "queues", &queue, false),
            ("(", "all", "queues", &queue, false),
        ] {
            assert_eq!(
                matches(&policy(pattern, apply_to), noun, object),
                is_match,
                "{pattern} {apply_to} {noun}"
            );
        }
    }
}
