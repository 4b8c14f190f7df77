//! The life of the broker in its process: stop it, reset it, start it; close its listeners for a while; wait until it is
//! there.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use serde_json::json;

use super::Outcome;
use crate::api::{CallError, Method, Request, stopped_node};
use crate::arguments::Switch;
use crate::catalogue::{Command, Group, Scope};
use crate::context::Context;
use crate::exit::{Code, Failure, Stop, UsageError};

/// What is answered to `reset` while the broker runs.
const RUNNING: &str = "Error: this command requires the 'rabbit' app to be stopped on the target node. Stop it with \
                       'rabbitmqctl stop_app'.";
/// What is answered to `stop_app` from afar.
const ONLY_HERE: &str = "Error: stop_app works only where the broker runs, without --host and --port: a stopped broker \
                         answers nobody from afar, not even start_app. To end it, use 'stop'.";
/// How long `wait` waits by default, in seconds.
const WAIT_SECS: u64 = 10;
/// How long `start_app` and `stop_app` wait by default, in seconds.
const CHANGE_SECS: u64 = 300;
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::Nodes,
        "stop_app",
        "stop_app",
        "Stops the RabbitMQ application, leaving the runtime (Erlang VM) running",
    )
    .takes(0, 0)
    .here("The broker stops in order; its process stays and waits for start_app, reset or stop at the control socket")
    .runs(stop_app),
    Command::new(
        Group::Nodes,
        "start_app",
        "start_app",
        "Starts the RabbitMQ application but leaves the runtime (Erlang VM) running",
    )
    .takes(0, 0)
    .timeout()
    .runs(start_app),
    Command::new(
        Group::Nodes,
        "reset",
        "reset",
        "Instructs a RabbitMQ node to leave the cluster and return to its virgin state",
    )
    .takes(0, 0)
    .here("All definitions and messages are removed; the broker must have been stopped with stop_app")
    .runs(|context| reset(context, "Resetting")),
    Command::new(
        Group::Cluster,
        "force_reset",
        "force_reset",
        "Forcefully returns a RabbitMQ node to its virgin state",
    )
    .takes(0, 0)
    .here("The same as reset")
    .runs(|context| reset(context, "Forcefully resetting")),
    Command::new(
        Group::Nodes,
        "wait",
        "wait [<pidfile>] [--pid|-P <pid>]",
        "Waits for RabbitMQ node startup by monitoring a local PID file. See also 'rabbitmqctl await_online_nodes'",
    )
    .scope(Scope::CtlAndDiagnostics)
    .takes(0, 1)
    .timeout()
    .switches(&[Switch::number("pid").or('P')])
    .explained(&[
        ("<pidfile>", "node PID file to monitor"),
        ("--pid <pid>", "node PID to monitor"),
    ])
    .here("The broker writes its PID into the file 'lock' in its data directory")
    .runs(wait),
    Command::new(
        Group::Operations,
        "suspend_listeners",
        "suspend_listeners",
        "Suspends client connection listeners so that no new client connections are accepted",
    )
    .takes(0, 0)
    .here("Of AMQP; the management API goes on")
    .runs(|context| set_listeners(context, true)),
    Command::new(
        Group::Operations,
        "resume_listeners",
        "resume_listeners",
        "Resumes client connection listeners making them accept client connections again",
    )
    .takes(0, 0)
    .runs(|context| set_listeners(context, false)),
    Command::new(
        Group::Upgrade,
        "drain",
        "drain",
        "Puts the node in maintenance mode. Such nodes will not serve any client traffic or host any primary queue \
         replicas",
    )
    .scope(Scope::Upgrade)
    .takes(0, 0)
    .here("AMQP listeners are suspended and AMQP connections closed")
    .runs(|context| set_maintenance(context, true)),
    Command::new(
        Group::Upgrade,
        "revive",
        "revive",
        "Puts the node out of maintenance and into regular operating mode. Such nodes will again serve client traffic \
         and host primary queue replicas",
    )
    .scope(Scope::Upgrade)
    .takes(0, 0)
    .runs(|context| set_maintenance(context, false)),
];

fn stop_app(context: &mut Context<'_>) -> Outcome {
    if context.options.names_host() {
        return Err(Failure::misuse(ONLY_HERE).into());
    }
    let node = context.broker.node()?;
    context.announce(&format!("Stopping rabbit application on node {node} ..."))?;
    if context.broker.is_running()? {
        context.broker.send_own(Method::Post, "/api/liebre/stop-app", None)?;
        look_until(context, Look::Stopped)?;
    }
    context.done()
}

fn start_app(context: &mut Context<'_>) -> Outcome {
    let node = context.broker.node()?;
    context.announce(&format!("Starting node {node} ..."))?;
    if !context.broker.is_running()? {
        context.broker.send_own(Method::Post, "/api/liebre/start-app", None)?;
        look_until(context, Look::Running)?;
    }
    context.done()
}

fn reset(context: &mut Context<'_>, verb: &str) -> Outcome {
    let node = context.broker.node()?;
    if context.broker.is_running()? {
        return Err(Failure::misuse(RUNNING).into());
    }
    context.announce(&format!("{verb} node {node} ..."))?;
    context.broker.send_own(Method::Post, "/api/liebre/reset", None)?;
    context.done()
}

fn set_listeners(context: &mut Context<'_>, is_suspended: bool) -> Outcome {
    let node = context.broker.node()?;
    let (verb, effect) = match is_suspended {
        true => ("suspend", "no longer accept client connections!"),
        false => ("resume", "now accept client connections"),
    };
    context.announce(&format!(
        "Will {verb} client connection listeners on node {node}. The node will {effect}"
    ))?;
    let body = json!({"suspended": is_suspended});
    context.broker.send_own(Method::Put, "/api/liebre/listeners", Some(body))?;
    context.done()
}

fn set_maintenance(context: &mut Context<'_>, is_on: bool) -> Outcome {
    let node = context.broker.node()?;
    let text = if is_on {
        format!(
            "Will put node {node} into maintenance mode. The node will no longer serve any client traffic!"
        )
    } else {
        format!(
            "Will put node {node} back into regular operating mode. The node will again serve client traffic and host \
             primary queue replicas."
        )
    };
    context.announce(&text)?;
    context.broker.send_own(Method::Put, "/api/liebre/maintenance", Some(json!({"enabled": is_on})))?;
    context.done()
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Running,
    Stopped,
}

/// Looks until the broker is so; its control socket is gone for a moment in between.
fn look_until(context: &Context<'_>, wanted: Look) -> Outcome {
    let secs = context.options.number("timeout").unwrap_or(CHANGE_SECS);
    for _ in 0..looks(secs) {
        if look(context) == Some(wanted) {
            return Ok(());
        }
        context.broker.api().pause(LOOK_EVERY);
    }
    Err(timed_out(context, secs))
}

fn look(context: &Context<'_>) -> Option<Look> {
    let request = Request { method: Method::Get, path: "/api/overview".into(), body: None, reason: None };
    match context.broker.api().call(&request) {
        Ok(response) if response.status == 200 => Some(Look::Running),
        Ok(response) => stopped_node(&response).map(|_| Look::Stopped),
        Err(CallError::Unreachable(_) | CallError::TimedOut | CallError::NotTheApi(_)) => None,
    }
}

fn wait(context: &mut Context<'_>) -> Outcome {
    let file = context.arguments.first().cloned();
    let given = context.options.number("pid");
    if file.is_none() && given.is_none() {
        return Err(UsageError::new("\"No pid or pidfile specified\"").into());
    }
    if file.is_some() && given.is_some() {
        return Err(UsageError::new("\"Cannot specify both pid and pidfile\"").into());
    }
    let secs = context.options.number("timeout").unwrap_or(WAIT_SECS);
    let mut left = looks(secs);
    let pid = match (given, file) {
        (Some(pid), _) => pid,
        (None, file) => pid_in(context, &file.unwrap_or_default(), secs, &mut left)?,
    };
    tell(context, &format!("pid is {pid}"))?;
    let node = context.presumed_node();
    tell(
        context,
        &format!("Waiting for erlang distribution on node '{node}' while OS process '{pid}' is running"),
    )?;
    wait_for(context, secs, &mut left, |context| {
        if !is_alive(pid) {
            return Err(Failure::new(Code::Software, "process_not_running").into());
        }
        Ok(look(context))
    })?;
    tell(context, &format!("Waiting for applications 'rabbit_and_plugins' to start on node '{node}'"))?;
    wait_for(context, secs, &mut left, |context| Ok(look(context).filter(|look| *look == Look::Running)))?;
    crate::check_node(context)?;
    tell(context, &format!("Applications 'rabbit_and_plugins' are running on node '{node}'"))
}

/// The number in the file, once it is there.
fn pid_in(context: &mut Context<'_>, file: &str, secs: u64, left: &mut u64) -> Result<u64, Stop> {
    context.announce(&format!("Waiting for pid file '{file}' to appear"))?;
    wait_for(context, secs, left, |_| match fs::read_to_string(file) {
        Ok(text) => match text.trim().parse() {
            Ok(pid) => Ok(Some(pid)),
            // it is being written
            Err(_) if text.trim().is_empty() => Ok(None),
            Err(_) => Err(Failure::new(Code::Software, format!("{file} does not hold a PID")).into()),
        },
        Err(_) => Ok(None),
    })
}

fn wait_for<T>(
    context: &Context<'_>,
    secs: u64,
    left: &mut u64,
    find: impl Fn(&Context<'_>) -> Result<Option<T>, Stop>,
) -> Result<T, Stop> {
    loop {
        if let Some(found) = find(context)? {
            return Ok(found);
        }
        *left = left.checked_sub(1).ok_or_else(|| timed_out(context, secs))?;
        context.broker.api().pause(LOOK_EVERY);
    }
}

/// A line about the progress.
fn tell(context: &mut Context<'_>, text: &str) -> Outcome {
    if context.view.is_quiet { Ok(()) } else { context.line(text) }
}

fn is_alive(pid: u64) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // another user's process is alive, too
    pid.is_some_and(|pid| !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH)))
}

fn timed_out(context: &Context<'_>, secs: u64) -> Stop {
    let text = format!(
        "Error: operation {} on node {} timed out. Timeout value used: {}",
        context.command.name,
        context.presumed_node(),
        secs * 1000
    );
    Failure::bare(Code::Temporary, text).into()
}

fn looks(secs: u64) -> u64 {
    (secs.saturating_mul(1000) / LOOK_EVERY.as_millis() as u64).max(1)
}
