//! Health checks: the exit code is the answer.

use serde_json::{Value, json};

use super::Outcome;
use crate::api::path;
use crate::arguments::Switch;
use crate::catalogue::{Command, Group, Scope};
use crate::context::Context;
use crate::exit::{Stop, UsageError};

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    check(
        "check_running",
        "Health check that exits with a non-zero code if the RabbitMQ app on the target node is not running",
    )
    .runs(check_running),
    check("is_running", "Checks if RabbitMQ is fully booted and running on the target node").runs(is_running),
    check("is_booting", "Checks if RabbitMQ is still booting on the target node").runs(is_booting),
    check("check_port_connectivity", "Basic TCP connectivity health check for each listener's port on the target node")
        .usage("check_port_connectivity [--address <target address>]")
        .switches(&[Switch::word("address")])
        .explained(&[("--address", "hostname or IP address to connect to")])
        .runs(check_port_connectivity),
    check(
        "check_port_listener",
        "Health check that exits with a non-zero code if target node does not have an active listener for given port",
    )
    .usage("check_port_listener <port>")
    .takes(1, 1)
    .explained(&[("<port>", "Listener port to check")])
    .runs(check_port_listener),
    check(
        "check_protocol_listener",
        "Health check that exits with a non-zero code if target node does not have an active listener for given \
         protocol",
    )
    .usage("check_protocol_listener <protocol>")
    .takes(1, 1)
    .explained(&[("<protocol>", "Name of the protocol, as `listeners` prints it")])
    .runs(check_protocol_listener),
    check(
        "check_alarms",
        "Health check that exits with a non-zero code if the target node reports any alarms, local or cluster-wide.",
    )
    .runs(check_alarms),
    check(
        "check_local_alarms",
        "Health check that exits with a non-zero code if the target node reports any local alarms",
    )
    .runs(check_local_alarms),
    check(
        "check_if_metadata_store_initialized",
        "Health check that exits with a non-zero code if the metadata store on target node has not yet finished \
         initializing",
    )
    .here("Definitions are there before anybody can ask for them")
    .runs(check_metadata_store),
    check("check_virtual_hosts", "Health check that checks if all vhosts are running in the target node")
        .runs(check_virtual_hosts),
    check("alarms", "Lists resource alarms (local or cluster-wide) in effect on the target node").runs(alarms),
    check(
        "listeners",
        "Lists active connection listeners (bound interface, port, protocol) on the target node",
    )
    .runs(listeners),
    check("server_version", "Displays server version on the target node").runs(server_version),
];

const fn check(name: &'static str, about: &'static str) -> Command {
    Command::new(Group::Monitoring, name, name, about).scope(Scope::Diagnostics).takes(0, 0).timeout()
}

/// The listeners of a node, out of `/api/overview`.
pub fn listeners_of<'a>(overview: &'a Value, node: &str) -> Vec<&'a Value> {
    let listeners = overview["listeners"].as_array().into_iter().flatten();
    listeners.filter(|listener| listener["node"].as_str().is_none_or(|of| of == node)).collect()
}

/// `Interface: [::], port: 5672, protocol: amqp, purpose: AMQP 0-9-1`
pub fn listener_line(listener: &Value) -> String {
    let object = listener_object(listener);
    let text = |name| object[name].as_str().unwrap_or_default();
    format!(
        "Interface: {}, port: {}, protocol: {}, purpose: {}",
        text("interface"),
        object["port"],
        text("protocol"),
        text("purpose")
    )
}

/// A listener with its purpose.
pub fn listener_object(listener: &Value) -> Value {
    let protocol = listener["protocol"].as_str().unwrap_or_default();
    let address = listener["ip_address"].as_str().unwrap_or_default();
    let interface = if address.contains(':') { format!("[{address}]") } else { address.to_string() };
    let purpose = match protocol {
        "amqp" => "AMQP 0-9-1",
        "amqp/ssl" => "AMQP 0-9-1 over TLS",
        "http" => "HTTP API",
        "https" => "HTTP API over TLS (HTTPS)",
        "http/prometheus" => "Prometheus exporter API over HTTP",
        "clustering" => "inter-node and CLI tool communication",
        other => other,
    };
    json!({
        "interface": interface,
        "node": listener["node"],
        "port": listener["port"],
        "protocol": protocol,
        "purpose": purpose,
    })
}

/// The alarms of a node, a line each, out of `/api/nodes/{node}`.
pub fn alarm_lines(facts: &Value, node: &str) -> Vec<String> {
    let alarms = [("mem_alarm", "Memory alarm"), ("disk_free_alarm", "Free disk space alarm")];
    let is_on = |(field, _): &(&str, &str)| facts[*field] == Value::Bool(true);
    alarms.into_iter().filter(is_on).map(|(_, text)| format!("{text} on node {node}")).collect()
}

fn check_running(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Checking if RabbitMQ is running on node {node} ..."))?;
    if !context.broker.is_running()? {
        return Err(context.fail(not_running(&node), true));
    }
    let text = format!("RabbitMQ on node {node} is fully booted and running");
    context.pass(&text, json!({"result": "ok", "message": text}))
}

fn is_running(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Asking node {node} for its status ..."))?;
    let is_running = context.broker.is_running()?;
    let text = match is_running {
        true => format!("RabbitMQ on node {node} is fully booted and running"),
        false => not_running(&node),
    };
    context.finish(&text, json!({"message": text, "result": is_running}))
}

/// The API is served once the broker has booted.
fn is_booting(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Asking node {node} for its boot status ..."))?;
    let text = format!(
        "RabbitMQ on node {node} is fully booted (check with is_running), stopped or has not started booting yet"
    );
    context.finish(&text, json!({"message": text, "result": false}))
}

fn check_port_connectivity(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    let given = context.options.word("address").map(String::from);
    let using =
        given.as_ref().map_or_else(|| "hostname resolution".to_string(), |at| format!("address {at}"));
    context.announce(&format!(
        "Testing TCP connections to all active listeners on node {node} using {using} ..."
    ))?;
    let overview = context.broker.overview()?.clone();
    let listeners = listeners_of(&overview, &node);
    let api = context.broker.api();
    let host = given.clone().or_else(|| api.host());
    let is_open = |listener: &&Value| {
        let port = listener["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        port.is_some_and(|port| {
            hosts(host.as_deref(), listener).iter().any(|at| api.accepts_connections(at, port))
        })
    };
    let (open, closed): (Vec<&Value>, Vec<&Value>) = listeners.into_iter().partition(is_open);
    if closed.is_empty() {
        let how = given.map_or_else(|| "node hostname resolution".to_string(), |at| format!("address {at}"));
        let text = format!("Successfully connected to ports {} on node {node} (using {how})", ports(&open));
        let objects: Vec<_> = open.into_iter().map(listener_object).collect();
        return context.pass(&text, json!({"result": "ok", "node": node, "listeners": objects}));
    }
    let lines: Vec<_> = closed.into_iter().map(listener_line).collect();
    let text = format!(
        "Connection to ports of the following listeners on node {node} failed: \n{}",
        lines.join("\n")
    );
    Err(context.fail(text, true))
}

fn check_port_listener(context: &mut Context<'_>) -> Outcome {
    let port = context.argument(0).parse::<u64>().ok().filter(|port| *port > 0);
    let port = port.ok_or_else(|| UsageError::bad_argument("Argument must be a positive integer"))?;
    let node = context.broker.node()?;
    context.announce(&format!("Asking node {node} if there's an active listener on port {port} ..."))?;
    let overview = context.broker.overview()?;
    let listeners = listeners_of(overview, &node);
    if listeners.iter().any(|listener| listener["port"] == port) {
        let text = format!("A listener for port {port} is running on node {node}.");
        return context.pass(&text, json!({"result": "ok", "node": node, "port": port}));
    }
    let text = format!(
        "No listener for port {port} is active on node {node}. Found listeners that use the following ports: {}",
        ports(&listeners)
    );
    Err(context.fail(text, false))
}

fn check_protocol_listener(context: &mut Context<'_>) -> Outcome {
    let protocol = context.argument(0).to_string();
    let node = context.broker.node()?;
    context
        .announce(&format!("Asking node {node} if there's an active listener for protocol {protocol} ..."))?;
    let overview = context.broker.overview()?;
    let mut active: Vec<_> =
        listeners_of(overview, &node).iter().filter_map(|listener| listener["protocol"].as_str()).collect();
    let wanted = protocol.to_lowercase();
    // what people call the protocols
    let wanted = match wanted.as_str() {
        "amqp091" | "amqp0.9.1" | "amqp0-9-1" | "amqp0_9_1" => "amqp",
        "amqps" | "amqp/tls" | "amqp+ssl" => "amqp/ssl",
        other => other,
    };
    if active.contains(&wanted) {
        let text = format!("A listener for protocol {protocol} is running on node {node}.");
        return context.pass(&text, json!({"result": "ok", "node": node, "protocol": protocol}));
    }
    active.sort_unstable();
    active.dedup();
    let text = format!(
        "No listener for protocol {protocol} is active on node {node}. Found listeners for the following protocols: {}",
        active.join(", ")
    );
    Err(context.fail(text, true))
}

fn check_alarms(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Asking node {node} to report any local resource alarms ..."))?;
    let lines = alarms_on(context, &node)?;
    if lines.is_empty() {
        let text = format!("Node {node} reported no alarms, local or clusterwide");
        return context.pass(&text, json!({"result": "ok"}));
    }
    Err(context.fail(lines.join("\n"), true))
}

fn check_local_alarms(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Asking node {node} to report any local resource alarms ..."))?;
    let lines = alarms_on(context, &node)?;
    if lines.is_empty() {
        let text = format!("Node {node} reported no local alarms");
        return context.pass(&text, json!({"result": "ok"}));
    }
    Err(context.fail(lines.join("\n"), true))
}

fn alarms(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Asking node {node} to report any known resource alarms ..."))?;
    let lines = alarms_on(context, &node)?;
    let text = match lines.is_empty() {
        true => format!("Node {node} reported no alarms, local or clusterwide"),
        false => lines.join("\n"),
    };
    context.finish(&text, json!({"alarms": lines, "node": node, "result": "ok"}))
}

fn check_metadata_store(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Checking if metadata store on node {node} is initialized ..."))?;
    context.broker.overview()?;
    let text = format!("Metadata store on node {node} is initialized");
    context.pass(&text, json!({"result": "ok", "message": text}))
}

fn check_virtual_hosts(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Checking if all vhosts are running on node {node} ..."))?;
    let vhosts = context.broker.list("/api/vhosts")?;
    let is_down = |vhost: &&Value| {
        let states = vhost["cluster_state"].as_object();
        states.is_some_and(|states| states.values().any(|state| state != "running"))
    };
    let down: Vec<_> = vhosts.iter().filter(is_down).filter_map(|vhost| vhost["name"].as_str()).collect();
    if down.is_empty() {
        let text = format!("Node {node} reported all vhosts as running");
        return context.pass(&text, json!({"result": "ok"}));
    }
    Err(context.fail(format!("Some virtual hosts on node {node} are down:\n{}", down.join("\n")), true))
}

fn listeners(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Asking node {node} to report its protocol listeners ..."))?;
    let overview = context.broker.overview()?;
    let listeners = listeners_of(overview, &node);
    let lines: Vec<_> = listeners.iter().map(|listener| listener_line(listener)).collect();
    let objects: Vec<_> = listeners.into_iter().map(listener_object).collect();
    context.finish(&lines.join("\n"), json!({"listeners": objects, "node": node, "result": "ok"}))
}

fn server_version(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Asking node {node} for its RabbitMQ version..."))?;
    let version = context.broker.overview()?["rabbitmq_version"].as_str().unwrap_or_default().to_string();
    context.finish(&version, json!({"result": "ok", "value": version}))
}

fn not_running(node: &str) -> String {
    format!("RabbitMQ on node {node} is not running or has not fully booted yet (check with is_booting)")
}

fn alarms_on(context: &Context<'_>, node: &str) -> Result<Vec<String>, Stop> {
    Ok(alarm_lines(&context.broker.get(&path(&["nodes", node]))?, node))
}

/// Where a listener may be reached: the host asked for, else its own address; all addresses of a host include the
/// loopback ones.
fn hosts(given: Option<&str>, listener: &Value) -> Vec<String> {
    match (given, listener["ip_address"].as_str().unwrap_or_default()) {
        (Some(host), _) => vec![host.to_string()],
        (None, "0.0.0.0") => vec!["127.0.0.1".to_string()],
        (None, "::" | "") => vec!["127.0.0.1".to_string(), "::1".to_string()],
        (None, address) => vec![address.to_string()],
    }
}

fn ports(listeners: &[&Value]) -> String {
    let mut ports: Vec<_> = listeners.iter().filter_map(|listener| listener["port"].as_u64()).collect();
    ports.sort_unstable();
    ports.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}
