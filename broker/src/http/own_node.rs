//! Routes of our own about the process: its log, its listeners, and the life of the broker in it.
//!
//! | Route | Answer |
//! |---|---|
//! | `GET liebre/log?lines=50` | 200 `{"lines": […], "next": 17}`: the newest lines of the log |
//! | `GET liebre/log?since=17` | 200, the same: the lines since then |
//! | `PUT liebre/log-level` `{"level": "debug"}` | 204 |
//! | `GET liebre/process` | 200 `{"arguments": […], "variables": {…}, "threads": [{"name", "busy_nanos"}, …]}`; passwords are masked |
//! | `PUT liebre/listeners` `{"suspended": true}` | 204 when nobody listens for AMQP any more, or somebody does again |
//! | `PUT liebre/maintenance` `{"enabled": true}` | 204; the listeners are suspended and all connections closed |
//! | `POST liebre/stop-app` | 204; the broker then stops in order, and the process stays (`stopped` tells what it answers then) |
//! | `POST liebre/start-app` | 204: it runs |
//! | `POST liebre/reset` | 400: it must be stopped first |

use std::{env, sync::atomic::Ordering::Relaxed};

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    auth::Right,
    form,
    request::Request,
};
use crate::{
    limits::LOG_LINES_MAX,
    server::{
        HIDDEN,
        admission::Door,
        journal::{Excerpt, Journal, Level, LevelError},
        process,
    },
};

/// Lines of the log when the request does not say how many.
const LINES: usize = 50;

/// What connections are told when the node is drained.
const MAINTENANCE: &str = "Node was put into maintenance mode";

/// Which variables of the environment are told: the broker's own and RabbitMQ's.
const PREFIXES: [&str; 2] = ["LIEBRE_", "RABBITMQ_"];

pub(super) async fn answer(request: &Request, names: &[&str]) -> Answered {
    request.require(Right::Administrator)?;
    match (names, &request.method) {
        (["log"], &Method::GET) => log(&request.api.journal, &request.query),
        (["process"], &Method::GET) => Ok(Answer::Object(process_facts())),
        (["log-level"], &Method::PUT) => set_log_level(request),
        (["listeners"], &Method::PUT) => set_listeners(request).await,
        (["maintenance"], &Method::PUT) => set_maintenance(request).await,
        (["stop-app"], &Method::POST) => stop_app(request),
        (["start-app"], &Method::POST) => Ok(Answer::Done),
        (["reset"], &Method::POST) => Err(HttpError::bad_request("the broker must be stopped first")),
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// Lines of the log, as many as the query says.
pub(super) fn log(journal: &Journal, query: &str) -> Answered {
    let number = |name: &str| {
        let refused = |_| HttpError::bad_request(format!("'{name}' is a number"));
        form::value(query, name).map(|value| value.parse::<u64>().map_err(refused)).transpose()
    };
    let Excerpt { lines, next } = match (number("since")?, number("lines")?) {
        (Some(since), _) => journal.since(since),
        (None, lines) => {
            let count = lines.map_or(LINES, |lines| usize::try_from(lines).unwrap_or(LOG_LINES_MAX));
            journal.newest(count)
        }
    };
    Ok(Answer::Object(json!({ "lines": lines, "next": next })))
}

fn set_log_level(request: &Request) -> Answered {
    let fields = request.fields()?;
    fields.require(&["level"])?;
    let name = fields.text("level")?.unwrap_or_default();
    let level: Level = name.parse().map_err(|error: LevelError| HttpError::bad_request(error.to_string()))?;
    request.api.journal.set_level(level);
    tracing::info!("{} sets the log level to {name}", request.asker());
    Ok(Answer::Done)
}

async fn set_listeners(request: &Request) -> Answered {
    let is_suspended = flag(request, "suspended")?;
    let verb = if is_suspended { "suspends" } else { "resumes" };
    tracing::info!("{} {verb} the listeners", request.asker());
    set_door(request, is_suspended).await?;
    Ok(Answer::Done)
}

async fn set_maintenance(request: &Request) -> Answered {
    let is_on = flag(request, "enabled")?;
    let verb = if is_on { "puts the node into" } else { "takes the node out of" };
    tracing::info!("{} {verb} maintenance mode", request.asker());
    request.api.admission.set_draining(is_on);
    set_door(request, is_on).await?;
    if is_on {
        request.node().close_connections(MAINTENANCE, |_| true);
    }
    Ok(Answer::Done)
}

async fn set_door(request: &Request, is_closed: bool) -> Result<(), HttpError> {
    let door = if is_closed { Door::Closed } else { Door::Open };
    request.api.admission.set(door).await.map_err(HttpError::bad_request)
}

fn stop_app(request: &Request) -> Answered {
    tracing::info!("{} asks the broker to stop, and the process to stay", request.asker());
    request.api.keeps_process.store(true, Relaxed);
    request.api.stop.send_replace(true);
    Ok(Answer::Done)
}

fn process_facts() -> Value {
    let arguments = masked(env::args_os().map(|argument| argument.to_string_lossy().into_owned()));
    let is_ours = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let variables: Map<String, Value> = env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| is_ours(name))
        .map(|(name, value)| {
            let value = if is_secret(&name) { HIDDEN.to_owned() } else { value };
            (name, value.into())
        })
        .collect();
    let thread = |thread: process::ThreadUse| json!({"name": thread.name, "busy_nanos": thread.busy_nanos});
    let threads: Vec<Value> = process::threads().into_iter().map(thread).collect();
    json!({ "arguments": arguments, "variables": variables, "threads": threads })
}

/// Options without their values where these are secrets: `--default-pass VALUE` and `--default-pass=VALUE`.
fn masked(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut is_value_secret = false;
    let mask = |argument: String| {
        if std::mem::take(&mut is_value_secret) {
            return HIDDEN.to_owned();
        }
        if !argument.starts_with("--") || !is_secret(&argument) {
            return argument;
        }
        match argument.split_once('=') {
            Some((option, _)) => format!("{option}={HIDDEN}"),
            None => {
                is_value_secret = true;
                argument
            }
        }
    };
    arguments.map(mask).collect()
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["PASS", "COOKIE", "SECRET", "TOKEN"].iter().any(|sign| name.contains(sign))
}

fn flag(request: &Request, name: &str) -> Result<bool, HttpError> {
    let fields = request.fields()?;
    fields.require(&[name])?;
    fields.flag(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_told() {
        for name in ["RABBITMQ_DEFAULT_PASS", "LIEBRE_TLS_PASSWORD", "RABBITMQ_ERLANG_COOKIE"] {
            assert!(is_secret(name), "{name}");
        }
        assert!(!is_secret("LIEBRE_DATA_DIR"));
        let words = ["liebre", "--default-pass", "s3cret", "--default-pass=s3cret", "--heartbeat", "5"];
        let told = masked(words.into_iter().map(str::to_owned));
        assert_eq!(
            told,
            ["liebre", "--default-pass", HIDDEN, &format!("--default-pass={HIDDEN}"), "--heartbeat", "5"]
        );
    }
}
