//! The broker itself: is it there, how is it, stop it.

use std::time::Duration;

use serde_json::{Value, json};

use super::Outcome;
use crate::api::{CallError, Method, Request, path};
use crate::arguments::Switch;
use crate::catalogue::{Command, Group, Scope};
use crate::context::Context;
use crate::exit::{Code, Failure, UsageError};
use crate::format::{Formatter, erlang_settings};

pub mod status;

use status::Unit;

/// How long `await_startup` waits by default, in seconds.
const STARTUP_SECS: u64 = 300;
/// How long `stop` and `shutdown` wait for the end by default, in seconds.
const SHUTDOWN_SECS: u64 = 120;
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::Monitoring,
        "ping",
        "ping",
        "Checks that the node OS process is up, registered with EPMD and CLI tools can authenticate with it",
    )
    .scope(Scope::CtlAndDiagnostics)
    .takes(0, 0)
    .timeout()
    .runs(ping),
    Command::new(Group::Monitoring, "status", "status [--unit <unit>]", "Displays status of a node")
        .scope(Scope::CtlAndDiagnostics)
        .takes(0, 0)
        .timeout()
        .switches(&[Switch::word("unit")])
        .explained(&[
            ("--unit <bytes | mb | gb>", "byte multiple (bytes, megabytes, gigabytes) to use"),
            ("--formatter <json | erlang>", "alternative formatter (JSON, Erlang terms)"),
        ])
        .runs(status),
    Command::new(
        Group::Nodes,
        "await_startup",
        "await_startup",
        "Waits for the RabbitMQ application to start on the target node",
    )
    .takes(0, 0)
    .runs(await_startup),
    Command::new(
        Group::Nodes,
        "stop",
        "stop [--idempotent] [<pidfile>]",
        "Stops RabbitMQ and its runtime (Erlang VM). Requires a local node pid file path to monitor progress.",
    )
    .takes(0, 1)
    .switches(&[Switch::flag("idempotent")])
    .explained(&[
        ("<pidfile>", "accepted for compatibility: the command waits for the end in any case"),
        ("--idempotent", "return success if target node is not running (cannot be contacted)"),
    ])
    .runs(stop),
    Command::new(
        Group::Nodes,
        "shutdown",
        "shutdown [--wait]",
        "Stops RabbitMQ and its runtime (Erlang VM). Monitors progress for local nodes. Does not require a PID file \
         path.",
    )
    .takes(0, 0)
    .timeout()
    .switches(&[Switch::flag("wait")])
    .explained(&[
        ("--wait", "if set, will wait for target node to terminate (the default)"),
        ("--no-wait", "if set, will not wait for target node to terminate"),
    ])
    .runs(shutdown),
    Command::new(
        Group::Configuration,
        "environment",
        "environment",
        "Displays the name and value of each variable in the application environment for each running application",
    )
    .scope(Scope::CtlAndDiagnostics)
    .takes(0, 0)
    .runs(environment),
];

fn ping(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    let timeout_ms = crate::timeout(context.options).as_millis();
    context.announce(&format!(
        "Will ping {node}. This only checks if the OS process is running and registered with epmd. Timeout: \
         {timeout_ms} ms."
    ))?;
    context.finish("Ping succeeded", json!({"message": "Ping succeeded"}))
}

fn status(context: &mut Context<'_>) -> Outcome {
    let unit = context.options.word("unit").unwrap_or("gb");
    let unit = Unit::parse(unit).ok_or_else(|| {
        UsageError::new(format!("\"unit '{unit}' is not supported. Please use one of: bytes, mb, gb\""))
    })?;
    let node = context.broker.node()?;
    context.announce(&format!("Status of node {node} ..."))?;
    let facts = status::Facts::ask(&context.broker)?;
    match context.view.formatter {
        Formatter::Json | Formatter::JsonStream => context.line(&facts.json().to_string()),
        Formatter::Erlang => {
            let facts = facts.json();
            let fields = facts.as_object().cloned().unwrap_or_default();
            context.line(&erlang_settings("status", &fields))
        }
        _ => {
            let text = facts.text(unit, &context.view);
            context.line(&text)
        }
    }
}

fn await_startup(context: &mut Context<'_>) -> Outcome {
    let secs = context.options.number("timeout").unwrap_or(STARTUP_SECS);
    let look = Request { method: Method::Get, path: "/api/overview".into(), body: None, reason: None };
    for _ in 0..looks(secs) {
        match context.broker.api().call(&look) {
            // a broker that is still starting may refuse
            Ok(response) if response.status < 500 => return Ok(crate::check_node(context)?),
            _ => context.broker.api().pause(LOOK_EVERY),
        }
    }
    let text = format!(
        "Error: operation await_startup on node {} timed out. Timeout value used: {}",
        context.broker.api().address(),
        secs * 1000
    );
    Err(Failure::bare(Code::Temporary, text).into())
}

fn stop(context: &mut Context<'_>) -> Outcome {
    let node = match context.broker.node() {
        Ok(node) => node,
        Err(failure) if failure.code == Code::Unavailable && context.options.has("idempotent") => {
            let text =
                format!("{} is not running, so there is nothing to stop", context.broker.api().address());
            return context.finish(&text, json!({"result": "ok", "message": text}));
        }
        Err(failure) => return Err(failure.into()),
    };
    context.announce(&format!("Stopping and halting node {node} ..."))?;
    ask_to_stop(context)?;
    wait_for_end(context)?;
    context.done()
}

fn shutdown(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    let found = match context.broker.is_running()? {
        true => context.broker.find(&path(&["nodes", &node]))?.unwrap_or_default(),
        // what is left of it does not tell
        false => Value::Null,
    };
    let pid = match found.get("os_pid") {
        Some(Value::String(pid)) => pid.clone(),
        Some(Value::Number(pid)) => pid.to_string(),
        _ => "unknown".to_string(),
    };
    context.announce(&format!("Shutting down RabbitMQ node {node} running at PID {pid}"))?;
    ask_to_stop(context)?;
    if context.options.word("wait") == Some("false") {
        return context.done();
    }
    if !context.view.formatter.is_json() {
        context.line(&format!("Waiting for PID {pid} to terminate"))?;
    }
    wait_for_end(context)?;
    let text = format!("RabbitMQ node {node} running at PID {pid} successfully shut down");
    context.finish(&text, json!({"node": node, "result": "ok", "message": text}))
}

fn environment(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Application environment of node {node} ..."))?;
    let environment = context.broker.send_own(Method::Get, "/api/liebre/environment", None)?;
    let settings = environment.as_object().cloned().unwrap_or_default();
    context.finish(&erlang_settings("liebre", &settings), json!({"liebre": environment}))
}

fn ask_to_stop(context: &Context<'_>) -> Outcome {
    context.broker.send_own(Method::Post, "/api/liebre/stop", None)?;
    Ok(())
}

/// Looks until nobody answers any more.
fn wait_for_end(context: &Context<'_>) -> Outcome {
    let secs = context.options.number("timeout").unwrap_or(SHUTDOWN_SECS);
    let look = Request { method: Method::Get, path: "/api/overview".into(), body: None, reason: None };
    for _ in 0..looks(secs) {
        if let Err(CallError::Unreachable(_)) = context.broker.api().call(&look) {
            return Ok(());
        }
        context.broker.api().pause(LOOK_EVERY);
    }
    let text =
        format!("Error: the broker has not ended within {secs} seconds; it may still be writing to disk");
    Err(Failure::bare(Code::Temporary, text).into())
}

fn looks(secs: u64) -> u64 {
    (secs.saturating_mul(1000) / LOOK_EVERY.as_millis() as u64).max(1)
}
