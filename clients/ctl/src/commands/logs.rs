//! The broker's log: where it goes, what it says, how much it says.

use std::time::Duration;

use serde_json::{Value, json};

use super::Outcome;
use crate::api::{Method, path};
use crate::arguments::Switch;
use crate::catalogue::{Action, Command, Group, Scope};
use crate::context::Context;
use crate::exit::{Code, Failure, Stop, UsageError};

/// Lines that `log_tail` shows by default.
const LINES: u64 = 50;
/// The pause between two looks for new lines.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The levels of RabbitMQ.
const LEVELS: [&str; 6] = ["debug", "info", "warning", "error", "critical", "none"];

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::Configuration,
        "log_location",
        "log_location [--all|-a]",
        "Shows log file location(s) on target node",
    )
    .scope(Scope::Diagnostics)
    .takes(0, 0)
    .timeout()
    .switches(&[Switch::flag("all").or('a')])
    .explained(&[("--all", "report all log file locations")])
    .runs(log_location),
    Command::new(
        Group::Monitoring,
        "log_tail",
        "log_tail [--number|-N <number>]",
        "Prints the last N lines of the log on the node",
    )
    .scope(Scope::Diagnostics)
    .takes(0, 0)
    .timeout()
    .switches(&[Switch::number("number").or('N')])
    .explained(&[("--number <number>", "number of lines to print, default is 50")])
    .here("The broker keeps its last 2,000 lines in memory, wherever its log goes")
    .runs(log_tail),
    Command::new(
        Group::Monitoring,
        "log_tail_stream",
        "log_tail_stream [--duration|-d <seconds>]",
        "Streams logs from a running node for a period of time",
    )
    .scope(Scope::Diagnostics)
    .takes(0, 0)
    .switches(&[Switch::number("duration").or('d')])
    .explained(&[("--duration <seconds>", "duration in seconds to stream log; for ever by default")])
    .runs(log_tail_stream),
    Command::new(Group::Nodes, "rotate_logs", "rotate_logs", "Does nothing [deprecated]")
        .takes(0, 0)
        .action(Action::Refused("\nThis command does not rotate logs anymore [deprecated]")),
    Command::new(
        Group::Configuration,
        "set_log_level",
        "set_log_level <log_level>",
        "Sets log level in the running node",
    )
    .takes(1, 1)
    .explained(&[("<log_level>", "debug, info, warning, error, critical or none")])
    .here("Until the broker's next start")
    .runs(set_log_level),
];

fn log_location(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Log file location(s) on node {node} ..."))?;
    // a broker that is stopped tells what is known of its process
    let facts = match context.broker.is_running()? {
        true => context.broker.get(&path(&["nodes", &node]))?,
        false => context.broker.get("/api/liebre/status")?,
    };
    let files: Vec<String> = facts["log_files"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(String::from)
        .collect();
    let shown = if context.options.has("all") { &files[..] } else { &files[..files.len().min(1)] };
    context.finish(&shown.join("\n"), json!(shown))
}

fn log_tail(context: &mut Context<'_>) -> Outcome {
    let count = context.options.number("number").unwrap_or(LINES);
    if count == 0 {
        return Err(UsageError::bad_argument("Argument must be a positive integer").into());
    }
    let node = context.broker.node()?;
    context.announce(&format!("Last {count} log lines on node {node} ..."))?;
    let (lines, _) = log(context, &format!("lines={count}"))?;
    context.finish(&lines.join("\n"), json!(lines))
}

fn log_tail_stream(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    let duration = context.options.number("duration");
    // before it is announced: what is logged from then on is shown
    let (_, mut next) = log(context, "lines=0")?;
    let how_long = duration.map_or_else(String::new, |secs| format!(" for {secs} seconds"));
    context.announce(&format!("Streaming logs from node {node}{how_long} ..."))?;
    let mut left = duration.map(|secs| secs.saturating_mul(1000) / LOOK_EVERY.as_millis() as u64);
    while left != Some(0) {
        context.broker.api().pause(LOOK_EVERY);
        left = left.map(|left| left - 1);
        let (lines, following) = log(context, &format!("since={next}"))?;
        lines.iter().try_for_each(|line| context.line(line))?;
        next = following;
    }
    Ok(())
}

fn set_log_level(context: &mut Context<'_>) -> Outcome {
    let level = match context.argument(0) {
        // its short name, which the broker's configuration takes, too
        "warn" => "warning".to_string(),
        level => level.to_string(),
    };
    if !LEVELS.contains(&level.as_str()) {
        let text = format!("level {level} is not supported. Try one of {}", LEVELS.join(", "));
        return Err(Failure::new(Code::Unavailable, text).into());
    }
    context.announce(&format!("Setting log level to \"{level}\" ..."))?;
    context.broker.send_own(Method::Put, "/api/liebre/log-level", Some(json!({"level": level})))?;
    context.done()
}

/// Lines of the log, and the number of the one after them.
fn log(context: &Context<'_>, which: &str) -> Result<(Vec<String>, u64), Stop> {
    let answer = context.broker.send_own(Method::Get, &format!("/api/liebre/log?{which}"), None)?;
    let lines = answer["lines"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Ok((lines.map(String::from).collect(), answer["next"].as_u64().unwrap_or(0)))
}
