//! The broker's process: its memory, threads, variables and arguments; and names and certificates around it.

use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Outcome;
use super::node::status::{Unit, memory_by_category, memory_total};
use crate::api::{Method, path};
use crate::arguments::Switch;
use crate::catalogue::{Command, Group, Scope};
use crate::context::Context;
use crate::exit::{Code, Failure, Stop, UsageError};

/// How long threads are watched by default, in seconds.
const SAMPLE_SECS: u64 = 5;
/// When certificates are about to expire.
const PERIOD: (u64, &str) = (4, "weeks");

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    diagnostics(
        Group::Monitoring,
        "memory_breakdown",
        "memory_breakdown [--unit <unit>]",
        "Provides a memory usage breakdown on the target node.",
    )
    .takes(0, 0)
    .timeout()
    .switches(&[Switch::word("unit")])
    .explained(&[("--unit <bytes | mb | gb>", "byte multiple (bytes, megabytes, gigabytes) to use")])
    .runs(memory_breakdown),
    diagnostics(
        Group::Configuration,
        "os_env",
        "os_env",
        "Lists RabbitMQ-specific environment variables set on target node",
    )
    .takes(0, 0)
    .here("Liebre's own variables, too; passwords are masked")
    .runs(os_env),
    diagnostics(
        Group::Configuration,
        "command_line_arguments",
        "command_line_arguments",
        "Displays target node's command-line arguments and flags as reported by the runtime",
    )
    .takes(0, 0)
    .runs(command_line_arguments),
    diagnostics(
        Group::Monitoring,
        "runtime_thread_stats",
        "runtime_thread_stats [--sample-interval <interval>]",
        "Provides a breakdown of runtime thread activity stats on the target node",
    )
    .takes(0, 0)
    .switches(&[Switch::number("sample-interval")])
    .explained(&[("--sample-interval <seconds>", "sampling interval to use in seconds, default is 5")])
    .here("The threads of the broker's process, how long they ran and how long they slept")
    .runs(runtime_thread_stats),
    diagnostics(
        Group::Configuration,
        "resolve_hostname",
        "resolve_hostname <hostname> [--address-family <ipv4 | ipv6>]",
        "Resolves a hostname to a set of addresses. Takes Erlang's inetrc file into account.",
    )
    .takes(1, 1)
    .switches(&[Switch::word("address-family"), Switch::flag("offline")])
    .explained(&[
        ("<hostname>", "hostname to resolve"),
        ("--address-family <ipv4 | ipv6>", "IPv4 or IPv6"),
        ("--offline", "accepted for compatibility"),
    ])
    .here("Resolved by the machine that the command runs on")
    .runs(resolve_hostname),
    diagnostics(
        Group::Configuration,
        "certificates",
        "certificates",
        "Displays certificates (public keys) for every listener on target node that is configured to use TLS",
    )
    .takes(0, 0)
    .here("This version has no TLS listeners")
    .runs(certificates),
    diagnostics(
        Group::Monitoring,
        "check_certificate_expiration",
        "check_certificate_expiration [--within <period>] [--unit <unit>]",
        "Checks the expiration date of every certificate (leaf, intermediary or any CA) in every certificate bundle \
         file used by the node",
    )
    .takes(0, 0)
    .switches(&[Switch::number("within"), Switch::word("unit")])
    .explained(&[
        ("--within <period>", "period of time to check; default is four"),
        ("--unit <days | weeks | months | years>", "time unit, default is weeks"),
    ])
    .here("This version has no TLS listeners")
    .runs(check_certificate_expiration),
];

const fn diagnostics(group: Group, name: &'static str, usage: &'static str, about: &'static str) -> Command {
    Command::new(group, name, usage, about).scope(Scope::Diagnostics)
}

fn memory_breakdown(context: &mut Context<'_>) -> Outcome {
    let unit = context.options.word("unit").unwrap_or("gb");
    let unit = Unit::parse(unit).ok_or_else(|| {
        UsageError::new(format!("\"unit '{unit}' is not supported. Please use one of: bytes, mb, gb\""))
    })?;
    let node = context.broker.node()?;
    context.announce(&format!("Reporting memory breakdown on node {node}..."))?;
    let facts = context.broker.get(&format!("{}?memory=true", path(&["nodes", &node])))?;
    let total = memory_total(&facts);
    let whole = "total".to_string();
    let mut categories = memory_by_category(&facts);
    if categories.is_empty() {
        categories.push((&whole, total));
    }
    let percent = |bytes: &Value| {
        let total = total.as_f64().filter(|total| *total > 0.0).unwrap_or(1.0);
        (bytes.as_f64().unwrap_or(0.0) * 1e4 / total).round() / 1e2
    };
    let line =
        |(name, bytes): &(&String, &Value)| format!("{name}: {} ({:?}%)", unit.text(bytes), percent(bytes));
    let lines: Vec<_> = categories.iter().map(line).collect();
    let object = |(name, bytes): &(&String, &Value)| {
        ((*name).clone(), json!({"bytes": bytes, "percentage": percent(bytes)}))
    };
    let objects: Map<_, _> = categories.iter().map(object).collect();
    context.finish(&format!("{}\n", lines.join("\n")), Value::Object(objects))
}

fn os_env(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context
        .announce(&format!("Listing RabbitMQ-specific environment variables defined on node {node}..."))?;
    let facts = process(context)?;
    let mut variables: Vec<(&String, &str)> = facts["variables"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name, value.as_str()?)))
        .collect();
    variables.sort_unstable();
    let lines: Vec<_> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    context.finish(&lines.join("\n"), facts["variables"].clone())
}

fn command_line_arguments(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Command line arguments of node {node} ..."))?;
    let facts = process(context)?;
    let arguments: Vec<_> =
        facts["arguments"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    context.finish(&arguments.join("\n"), facts["arguments"].clone())
}

fn runtime_thread_stats(context: &mut Context<'_>) -> Outcome {
    let secs = context.options.number("sample-interval").unwrap_or(SAMPLE_SECS).max(1);
    let node = context.broker.node()?;
    context.announce(&format!("Will collect runtime thread stats on {node} for {secs} seconds..."))?;
    let before = threads(context)?;
    context.broker.api().pause(Duration::from_secs(secs));
    let after = threads(context)?;
    if before.is_empty() {
        return Err(Failure::new(Code::Unavailable, "the broker's system does not tell of threads").into());
    }
    let busy = |(at, (name, nanos)): (usize, (String, u64))| {
        let earlier = before.get(at).filter(|(other, _)| *other == name).map_or(0, |(_, nanos)| *nanos);
        let share = nanos.saturating_sub(earlier) as f64 / (secs as f64 * 1e7);
        (name, share.min(100.0))
    };
    let shares: Vec<(String, f64)> = after.into_iter().enumerate().map(busy).collect();
    let mut lines = vec![format!("{:>16}     busy    sleep", "Thread"), String::new()];
    lines.extend(shares.iter().map(|(name, busy)| format!("{name:>16} {busy:7.2}% {:7.2}%", 100.0 - busy)));
    let object = |(name, busy): &(String, f64)| json!({"thread": name, "busy": busy, "sleep": 100.0 - busy});
    context.finish(&lines.join("\n"), shares.iter().map(object).collect())
}

fn resolve_hostname(context: &mut Context<'_>) -> Outcome {
    let (host, node) = (context.argument(0).to_string(), context.presumed_node());
    let family = context.options.word("address-family").unwrap_or("ipv4").to_lowercase();
    let is_wanted: fn(&IpAddr) -> bool = match family.as_str() {
        "ipv4" => IpAddr::is_ipv4,
        "ipv6" => IpAddr::is_ipv6,
        _ => {
            let text = format!("\"unsupported address family {family}. Please use one of: ipv4, ipv6\"");
            return Err(UsageError::new(text).into());
        }
    };
    let shown = if family == "ipv4" { "IPv4" } else { "IPv6" };
    context.announce(&format!("Asking node {node} to resolve hostname {host} to {shown} addresses..."))?;
    let found = (host.as_str(), 0).to_socket_addrs().map(Iterator::collect).unwrap_or_else(|_| Vec::new());
    let mut addresses: Vec<IpAddr> = found.iter().map(std::net::SocketAddr::ip).filter(is_wanted).collect();
    addresses.dedup();
    if addresses.is_empty() {
        let text = format!("Failed to resolve hostname {host} to {shown} addresses: nxdomain");
        return Err(Failure::new(Code::Software, text).into());
    }
    let lines: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
    context.finish(&lines.join("\n"), json!(lines))
}

fn certificates(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Certificates of node {node} ..."))?;
    context.finish("#{}", json!({}))
}

fn check_certificate_expiration(context: &mut Context<'_>) -> Outcome {
    let unit = context.options.word("unit").unwrap_or(PERIOD.1).to_string();
    if !["days", "weeks", "months", "years"].contains(&unit.as_str()) {
        let text =
            format!("\"unit '{unit}' is not supported. Please use one of: days, weeks, months, years\"");
        return Err(UsageError::new(text).into());
    }
    let node = context.broker.node()?;
    context.announce(&format!("Checking certificate expiration on node {node} ..."))?;
    context.broker.overview()?;
    let within = context.options.number("within").unwrap_or(PERIOD.0);
    let text = format!("No certificates are expiring within {within} {unit}.");
    context.pass(&text, json!({"result": "ok", "message": text}))
}

fn process(context: &Context<'_>) -> Result<Value, Failure> {
    context.broker.send_own(Method::Get, "/api/liebre/process", None)
}

/// Their names, and how long they have run so far, nanoseconds.
fn threads(context: &Context<'_>) -> Result<Vec<(String, u64)>, Stop> {
    let facts = process(context)?;
    let threads = facts["threads"].as_array().into_iter().flatten();
    let thread =
        |thread: &Value| Some((thread["name"].as_str()?.to_string(), thread["busy_nanos"].as_u64()?));
    Ok(threads.filter_map(thread).collect())
}
