//! The cluster, which is one node, and its feature flags.

use serde_json::{Map, Value, json};

use super::Outcome;
use super::health::{alarm_lines, listener_object, listeners_of};
use super::sections::{self, or_none, plain};
use crate::api::{Method, path};
use crate::arguments::Switch;
use crate::catalogue::{Command, Group, Scope};
use crate::context::{Context, View};
use crate::exit::{Code, Failure, UsageError};
use crate::format::{Formatter, erlang_settings};
use crate::listing::{Column, Listing};

const FLAGS: Listing = Listing {
    columns: &[
        Column::atoms("name"),
        Column::atoms("state"),
        Column::atoms("stability"),
        Column::atoms("provided_by"),
        Column::plain("desc"),
        Column::plain("doc_url"),
    ],
    shown: &["name", "state"],
    is_ordered: false,
    is_whole: true,
};

const DEPRECATED: Listing = Listing {
    columns: &[
        Column::atoms("name"),
        Column::atoms("deprecation_phase"),
        Column::atoms("provided_by"),
        Column::plain("desc"),
        Column::plain("doc_url"),
    ],
    shown: &["name", "deprecation_phase"],
    is_ordered: false,
    is_whole: true,
};

/// How long RabbitMQ waits for nodes, in seconds.
const NODES_SECS: u64 = 300;

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::Cluster,
        "cluster_status",
        "cluster_status",
        "Displays all the nodes in the cluster grouped by node type, together with the currently running nodes",
    )
    .scope(Scope::CtlAndDiagnostics)
    .takes(0, 0)
    .timeout()
    .runs(cluster_status),
    Command::new(
        Group::Cluster,
        "await_online_nodes",
        "await_online_nodes <count>",
        "Waits for <count> nodes to join the cluster",
    )
    .takes(1, 1)
    .timeout()
    .explained(&[("<count>", "how many cluster members must be up in order for this command to exit")])
    .here("There is one node: more of them are not waited for")
    .runs(await_online_nodes),
    Command::new(
        Group::Configuration,
        "set_cluster_name",
        "set_cluster_name <name>",
        "Sets the cluster name",
    )
    .takes(1, 1)
    .explained(&[("<name>", "New name to set")])
    .runs(set_cluster_name),
    Command::new(
        Group::FeatureFlags,
        "list_feature_flags",
        "list_feature_flags [<column> ...]",
        "Lists feature flags",
    )
    .scope(Scope::CtlAndDiagnostics)
    .timeout()
    .lists(&FLAGS)
    .runs(list_feature_flags),
    Command::new(
        Group::FeatureFlags,
        "enable_feature_flag",
        "enable_feature_flag [--opt-in] <all | feature_flag>",
        "Enables a feature flag or all supported feature flags on the target node",
    )
    .takes(1, 1)
    .switches(&[Switch::flag("opt-in"), Switch::flag("experimental")])
    .explained(&[
        ("<feature_flag>", "name of the feature flag to enable, or \"all\" to enable all supported feature flags"),
        ("--opt-in", "required to enable feature flags that vary in stability or maturity"),
    ])
    .here("All feature flags that it knows are enabled from the start")
    .runs(enable_feature_flag),
    Command::new(
        Group::FeatureFlags,
        "list_deprecated_features",
        "list_deprecated_features [--used] [<column> ...]",
        "Lists deprecated features",
    )
    .scope(Scope::CtlAndDiagnostics)
    .timeout()
    .switches(&[Switch::flag("used")])
    .explained(&[("--used", "returns deprecated features in use")])
    .lists(&DEPRECATED)
    .shown_as(Formatter::PrettyTable)
    .runs(list_deprecated_features),
    Command::new(
        Group::Monitoring,
        "check_if_any_deprecated_features_are_used",
        "check_if_any_deprecated_features_are_used",
        "Generate a report listing all deprecated features in use",
    )
    .scope(Scope::Diagnostics)
    .takes(0, 0)
    .runs(check_deprecated_features),
];

/// What `cluster_status` tells.
struct Facts {
    node_name: String,
    overview: Value,
    node: Value,
    flags: Vec<Value>,
}

fn cluster_status(context: &mut Context<'_>) -> Outcome {
    let node_name = context.broker.node()?;
    context.announce(&format!("Cluster status of node {node_name} ..."))?;
    let facts = Facts {
        overview: context.broker.overview()?.clone(),
        node: context.broker.get(&path(&["nodes", &node_name]))?,
        flags: feature_flags(context)?,
        node_name,
    };
    match context.view.formatter {
        Formatter::Json | Formatter::JsonStream => context.line(&facts.json().to_string()),
        Formatter::Erlang => {
            let fields = facts.json().as_object().cloned().unwrap_or_default();
            context.line(&erlang_settings("cluster_status", &fields))
        }
        _ => {
            let text = facts.text(&context.view);
            context.line(&text)
        }
    }
}

impl Facts {
    fn text(&self, view: &View) -> String {
        let name = &self.node_name;
        let cores = plain(&self.node["processors"]);
        let flag = |flag: &Value| format!("Flag: {}, state: {}", plain(&flag["name"]), plain(&flag["state"]));
        let tags = self.overview["cluster_tags"].as_object().into_iter().flatten();
        let tags = tags.map(|(name, value)| format!("{name}: {}", plain(value))).collect();
        let sections = [
            (
                "Basics",
                vec![
                    format!("Cluster name: {}", plain(&self.overview["cluster_name"])),
                    format!("Total CPU cores available cluster-wide: {cores}"),
                ],
            ),
            ("Cluster Tags", or_none(tags)),
            ("Disk Nodes", vec![name.clone()]),
            ("Running Nodes", vec![name.clone()]),
            ("Versions", vec![format!("{name}: {}", self.version())]),
            ("CPU Cores", vec![format!("Node: {name}, available CPU cores: {cores}")]),
            ("Maintenance status", vec![format!("Node: {name}, status: {}", self.maintenance())]),
            ("Alarms", or_none(alarm_lines(&self.node, name))),
            ("Network Partitions", or_none(Vec::new())),
            ("Listeners", self.listeners()),
            ("Feature flags", or_none(self.flags.iter().map(flag).collect())),
        ];
        sections::text(&sections, view)
    }

    fn json(&self) -> Value {
        let name = &self.node_name;
        let listeners: Vec<_> = listeners_of(&self.overview, name).into_iter().map(listener_object).collect();
        let flags: Vec<_> =
            self.flags.iter().map(|flag| json!({"name": flag["name"], "state": flag["state"]})).collect();
        let of_node = |value: Value| Value::Object(Map::from_iter([(name.clone(), value)]));
        json!({
            "cluster_name": self.overview["cluster_name"],
            "disk_nodes": [name],
            "ram_nodes": [],
            "running_nodes": [name],
            "versions": of_node(json!({
                "rabbitmq_name": "RabbitMQ",
                "rabbitmq_version": self.overview["rabbitmq_version"],
                "product_name": self.overview["product_name"],
                "product_version": self.overview["product_version"],
            })),
            "cpu_cores": of_node(self.node["processors"].clone()),
            "maintenance_status": of_node(self.maintenance().into()),
            "alarms": alarm_lines(&self.node, name),
            "partitions": {},
            "listeners": of_node(listeners.into()),
            "feature_flags": flags,
        })
    }

    /// RabbitMQ tells on which Erlang it runs.
    fn version(&self) -> String {
        let text = |field: &str| plain(&self.overview[field]);
        format!(
            "RabbitMQ {} on {} {}",
            text("rabbitmq_version"),
            text("product_name"),
            text("product_version")
        )
    }

    fn maintenance(&self) -> &'static str {
        if self.node["being_drained"] == true { "in maintenance" } else { "not under maintenance" }
    }

    fn listeners(&self) -> Vec<String> {
        let line = |listener: &&Value| {
            let listener = listener_object(listener);
            format!(
                "Node: {}, interface: {}, port: {}, protocol: {}, purpose: {}",
                self.node_name,
                plain(&listener["interface"]),
                listener["port"],
                plain(&listener["protocol"]),
                plain(&listener["purpose"])
            )
        };
        listeners_of(&self.overview, &self.node_name).iter().map(line).collect()
    }
}

fn await_online_nodes(context: &mut Context<'_>) -> Outcome {
    let count = context.argument(0).parse::<u64>().ok().filter(|count| *count > 0);
    let count = count.ok_or_else(|| UsageError::bad_argument("Argument must be a positive integer"))?;
    let node = context.broker.node()?;
    let secs = context.options.number("timeout").unwrap_or(NODES_SECS);
    context.announce(&format!(
        "Will wait for at least {count} nodes to join the cluster of {node}. Timeout: {secs} seconds."
    ))?;
    if count > 1 {
        let text = format!("{node} is a single node: {count} nodes will never be online");
        return Err(Failure::new(Code::Unavailable, text).into());
    }
    context.broker.overview()?;
    context.done()
}

fn set_cluster_name(context: &mut Context<'_>) -> Outcome {
    let name = context.argument(0).to_string();
    context.announce(&format!("Setting cluster name to {name} ..."))?;
    context.broker.send_own(Method::Put, "/api/cluster-name", Some(json!({"name": name})))?;
    context.done()
}

fn list_feature_flags(context: &mut Context<'_>) -> Outcome {
    context.announce("Listing feature flags ...")?;
    let flags = feature_flags(context)?;
    context.list(&flags)
}

fn enable_feature_flag(context: &mut Context<'_>) -> Outcome {
    let flag = context.argument(0).to_string();
    let announced = match flag.as_str() {
        "all" => "Enabling all feature flags ...".to_string(),
        flag => format!("Enabling feature flag \"{flag}\" ..."),
    };
    context.announce(&announced)?;
    if flag != "all" && !feature_flags(context)?.iter().any(|known| known["name"] == flag.as_str()) {
        let node = context.broker.node()?;
        let text = format!("This feature flag is not supported by node {node}");
        return Err(Failure::new(Code::Usage, text).into());
    }
    context.done()
}

fn list_deprecated_features(context: &mut Context<'_>) -> Outcome {
    let is_used = context.options.has("used");
    context.announce(if is_used {
        "Listing deprecated features in use ..."
    } else {
        "Listing deprecated features ..."
    })?;
    let path = if is_used { "/api/deprecated-features/used" } else { "/api/deprecated-features" };
    let features = context.broker.list(path)?;
    context.list(&features)
}

fn check_deprecated_features(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce("Checking if any deprecated features are used ...")?;
    let used = context.broker.list("/api/deprecated-features/used")?;
    let names: Vec<_> = used.iter().filter_map(|feature| feature["name"].as_str()).collect();
    if names.is_empty() {
        let text = "Cluster reported no deprecated features in use";
        return context.pass(text, json!({"result": "ok", "node": node}));
    }
    Err(context.fail(format!("Deprecated features in use: {}", names.join(", ")), true))
}

fn feature_flags(context: &Context<'_>) -> Result<Vec<Value>, Failure> {
    let mut flags = context.broker.list("/api/feature-flags")?;
    flags.sort_by(|one, other| one["name"].as_str().cmp(&other["name"].as_str()));
    Ok(flags)
}
