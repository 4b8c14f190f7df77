//! Plugins. What RabbitMQ has as plugins is built into the broker: it is always enabled, and nothing can be added.

use regex::Regex;
use serde_json::{Value, json};

use super::Outcome;
use crate::api::path;
use crate::arguments::Switch;
use crate::catalogue::{Command, Group, Scope};
use crate::commands::general::VERSION;
use crate::context::Context;
use crate::exit::{Code, Failure, Stop};
use crate::paths;

/// A plugin of RabbitMQ.
#[derive(Clone, Copy, Debug)]
struct Plugin {
    name: &'static str,
    about: &'static str,
    needs: &'static [&'static str],
}

/// The plugins whose work the broker does. Which of them are on, the broker says when it runs.
const BUILT_IN: &[Plugin] = &[
    Plugin {
        name: "rabbitmq_management",
        about: "RabbitMQ Management Console",
        needs: &["rabbitmq_management_agent", "rabbitmq_web_dispatch"],
    },
    Plugin { name: "rabbitmq_management_agent", about: "RabbitMQ Management Agent", needs: &[] },
    Plugin { name: "rabbitmq_web_dispatch", about: "RabbitMQ Web Dispatcher", needs: &[] },
];

const WHERE: [Switch; 3] = [Switch::flag("offline"), Switch::flag("online"), Switch::flag("all")];

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::Plugins,
        "list",
        "list [pattern] [--verbose] [--minimal] [--enabled] [--implicitly-enabled]",
        "Lists plugins and their state",
    )
    .scope(Scope::Plugins)
    .takes(0, 1)
    .switches(&[
        Switch::flag("verbose").or('v'),
        Switch::flag("minimal").or('m'),
        Switch::flag("enabled").or('E'),
        Switch::flag("implicitly-enabled").or('e'),
    ])
    .explained(&[
        ("<pattern>", "only list plugins that match a regular expression pattern"),
        ("--verbose", "output more information"),
        ("--minimal", "only print plugin names. Most useful in combination with --silent and --enabled."),
        ("--enabled", "only list enabled plugins"),
        ("--implicitly-enabled", "also list plugins that others have enabled"),
    ])
    .runs(list),
    Command::new(
        Group::Plugins,
        "enable",
        "enable <plugin1> [ <plugin2>] | --all [--offline] [--online]",
        "Enables one or more plugins",
    )
    .scope(Scope::Plugins)
    .switches(&WHERE)
    .runs(enable),
    Command::new(
        Group::Plugins,
        "disable",
        "disable <plugin1> [ <plugin2>] | --all [--offline] [--online]",
        "Disables one or more plugins",
    )
    .scope(Scope::Plugins)
    .switches(&WHERE)
    .runs(disable),
    Command::new(
        Group::Plugins,
        "set",
        "set <plugin1> [ <plugin2>] [--offline] [--online]",
        "Enables one or more plugins, disables the rest",
    )
    .scope(Scope::Plugins)
    .switches(&WHERE)
    .runs(enable),
    Command::new(
        Group::Monitoring,
        "is_enabled",
        "is_enabled <plugin1> [ <plugin2>] [--offline] [--online]",
        "Health check that exits with a non-zero code if provided plugins are not enabled on target node",
    )
    .scope(Scope::Plugins)
    .takes(1, usize::MAX)
    .switches(&WHERE)
    .runs(is_enabled),
    Command::new(
        Group::Monitoring,
        "directories",
        "directories [--offline] [--online]",
        "Displays plugin directory and enabled plugin file paths",
    )
    .scope(Scope::Plugins)
    .takes(0, 0)
    .switches(&WHERE)
    .runs(directories),
];

/// The plugins that are on.
struct Enabled {
    node: String,
    version: String,
    is_running: bool,
    /// Those the broker names.
    explicit: Vec<String>,
    /// Those and the ones they need, sorted.
    all: Vec<String>,
}

impl Enabled {
    /// Asks the broker. Without one, or with `--offline`, what is built in is told: images are built so.
    fn ask(context: &Context<'_>) -> Result<Self, Stop> {
        if context.options.has("offline") {
            return Ok(Self::offline(context));
        }
        let node = match context.broker.node() {
            Ok(node) => node,
            Err(failure) if failure.code == Code::Unavailable && !context.options.has("online") => {
                return Ok(Self::offline(context));
            }
            Err(failure) => return Err(failure.into()),
        };
        let facts = context.broker.find(&path(&["nodes", &node]))?.unwrap_or_default();
        let named = facts["enabled_plugins"].as_array().into_iter().flatten();
        let explicit: Vec<String> = named.filter_map(Value::as_str).map(String::from).collect();
        let version = context.broker.overview()?["rabbitmq_version"].as_str().unwrap_or(VERSION).to_string();
        Ok(Self::new(node, version, true, explicit))
    }

    fn offline(context: &Context<'_>) -> Self {
        let node = context.options.word("node").map_or_else(paths::usual_node, String::from);
        Self::new(node, VERSION.to_string(), false, vec!["rabbitmq_management".into()])
    }

    fn new(node: String, version: String, is_running: bool, explicit: Vec<String>) -> Self {
        let needed = BUILT_IN.iter().filter(|plugin| explicit.iter().any(|name| name == plugin.name));
        let needed = needed.flat_map(|plugin| plugin.needs).map(|name| name.to_string());
        let mut all: Vec<String> = explicit.iter().cloned().chain(needed).collect();
        all.sort_unstable();
        all.dedup();
        Self { node, version, is_running, explicit, all }
    }

    fn has(&self, name: &str) -> bool {
        self.all.iter().any(|plugin| plugin == name)
    }
}

fn list(context: &mut Context<'_>) -> Outcome {
    let pattern = context.arguments.first().map_or(".*", String::as_str).to_string();
    context.announce(&format!("Listing plugins with pattern \"{pattern}\" ..."))?;
    let pattern = Regex::new(&pattern)
        .map_err(|_| Failure::new(Code::Software, format!("\"{pattern}\" is not a regular expression")))?;
    let enabled = Enabled::ask(context)?;
    let is_explicit = |name: &String| enabled.explicit.contains(name);
    let only_explicit = context.options.has("enabled") && !context.options.has("implicitly-enabled");
    let shown: Vec<&String> = enabled
        .all
        .iter()
        .filter(|name| pattern.is_match(name) && (!only_explicit || is_explicit(name)))
        .collect();
    if context.view.formatter.is_json() {
        let plugin = |name: &&String| {
            let how = if is_explicit(name) { "enabled" } else { "implicit" };
            let (version, running) = (&enabled.version, enabled.is_running);
            json!({"name": name, "enabled": how, "running": running, "version": version, "running_version": version})
        };
        let plugins: Vec<_> = shown.iter().map(plugin).collect();
        let status = if enabled.is_running { "running" } else { "node_down" };
        return context.line(&json!({"status": status, "format": "normal", "plugins": plugins}).to_string());
    }
    if context.options.has("minimal") {
        return shown.iter().try_for_each(|name| context.line(name));
    }
    if !context.view.is_quiet {
        let status = if enabled.is_running { "* = running on " } else { "[failed to contact " };
        let end = if enabled.is_running { "" } else { " - status not shown]" };
        context.line(" Configured: E = explicitly enabled; e = implicitly enabled")?;
        context.line(&format!(" | Status: {status}{}{end}\n |/", enabled.node))?;
    }
    let width = shown.iter().map(|name| name.len()).max().unwrap_or(0);
    for name in shown {
        let sign = if is_explicit(name) { 'E' } else { 'e' };
        let running = if enabled.is_running { '*' } else { ' ' };
        if context.options.has("verbose") {
            context.line(&format!("[{sign}{running}] {name}\n{}", details(name, &enabled.version)))?;
        } else {
            context.line(&format!("[{sign}{running}] {name:width$} {}", enabled.version))?;
        }
    }
    Ok(())
}

fn enable(context: &mut Context<'_>) -> Outcome {
    let (enabled, names) = begin(context, "Enabling")?;
    let unknown: Vec<_> =
        names.iter().filter(|name| !enabled.has(name)).map(|name| format!(":{name}")).collect();
    if !unknown.is_empty() {
        let text = format!("{{:plugins_not_found, [{}]}}", unknown.join(", "));
        return Err(Failure::new(Code::Software, text).into());
    }
    unchanged(context, &enabled)
}

fn disable(context: &mut Context<'_>) -> Outcome {
    let (enabled, _) = begin(context, "Disabling")?;
    unchanged(context, &enabled)
}

/// Finds the plugins that are meant, and tells them.
fn begin(context: &mut Context<'_>, verb: &str) -> Result<(Enabled, Vec<String>), Stop> {
    let is_all = context.options.has("all");
    if context.arguments.is_empty() && !is_all {
        return Err(crate::exit::UsageError::not_enough().into());
    }
    let enabled = Enabled::ask(context)?;
    let names = if is_all { enabled.all.clone() } else { context.arguments.to_vec() };
    let which = if is_all { "ALL plugins".to_string() } else { format!("plugins on node {}:", enabled.node) };
    let announced = if is_all {
        format!("{verb} {which} on node {}", enabled.node)
    } else {
        format!("{verb} {which}\n{}", names.join("\n"))
    };
    context.announce(&announced)?;
    Ok((enabled, names))
}

fn unchanged(context: &mut Context<'_>, enabled: &Enabled) -> Outcome {
    let plugins: Vec<_> = enabled.all.iter().map(|name| format!("  {name}")).collect();
    let text = format!(
        "The following plugins have been configured:\n{}\nApplying plugin configuration to {}...\nPlugin \
         configuration unchanged.",
        plugins.join("\n"),
        enabled.node
    );
    context.finish(&text, json!({"result": "ok", "node": enabled.node, "set": enabled.all}))
}

fn is_enabled(context: &mut Context<'_>) -> Outcome {
    let enabled = Enabled::ask(context)?;
    let (node, names) = (&enabled.node, context.arguments.join(", "));
    let is_one = context.arguments.len() == 1;
    let (plugins, are) = if is_one { ("plugin", "is") } else { ("plugins", "are") };
    context.announce(&format!("Asking node {node} if {plugins} {names} {are} enabled..."))?;
    let missing: Vec<_> = context.arguments.iter().filter(|name| !enabled.has(name)).cloned().collect();
    if missing.is_empty() {
        let subject = if is_one { "Plugin" } else { "Plugins" };
        let text = format!("{subject} {names} {are} enabled on node {node}");
        return context.pass(&text, json!({"result": "ok", "message": text}));
    }
    let (subject, are) = if missing.len() == 1 { ("Plugin", "is") } else { ("Plugins", "are") };
    let text = format!(
        "{subject} {} {are} not enabled on node {node}. Enabled plugins and dependencies: {}",
        missing.join(", "),
        enabled.all.join(", ")
    );
    Err(context.fail(text, true))
}

fn directories(context: &mut Context<'_>) -> Outcome {
    let node = Enabled::ask(context)?.node;
    context.announce(&format!("Listing plugin directories used by node {node}"))?;
    let text = "Plugin archives directory: (none: all plugins are built in)\nPlugin expansion directory: (none)\n\
                Enabled plugins file: (none)";
    context.finish(text, json!({"plugins_dist_dir": "", "plugins_dir": "", "enabled_plugins_file": ""}))
}

fn details(name: &str, version: &str) -> String {
    let plugin = BUILT_IN.iter().find(|plugin| plugin.name == name);
    let needs = plugin.map(|plugin| plugin.needs.join(",")).unwrap_or_default();
    let about = plugin.map_or("", |plugin| plugin.about);
    format!("     Version:     \t{version}\n     Dependencies:\t[{needs}]\n     Description: \t{about}")
}
