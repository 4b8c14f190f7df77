//! The management API as the commands see it.
//!
//! Most calls are those of RabbitMQ's management API, so that the program also works against RabbitMQ over TCP. What
//! that API lacks, the broker serves on routes of its own:
//!
//! | Route | Answer |
//! |---|---|
//! | `POST /api/liebre/authenticate` with `{"username": "u", "password": "p"}` | 200 `{"authenticated": true}`, or `false` for a wrong password and for an unknown user alike. The call needs an administrator or the control socket. |
//! | `POST /api/liebre/stop` (empty body) | 204 at once; the broker then ends in order. The caller polls `GET /api/overview` until nobody answers. |
//! | `PUT /api/liebre/disk-free-limit`, `PUT /api/liebre/vm-memory-high-watermark` with `{"absolute": "2GB"}` or `{"relative": 0.4}` | 204; 400 with the reason for a value that can't be. |
//! | `GET /api/liebre/environment` | 200, an object of the settings in force, by their names in `rabbitmq.conf`: `{"listeners.tcp": ["127.0.0.1:5672"], "heartbeat": 60, …}`; values are strings, numbers, booleans, arrays or objects. Secrets are left out. |
//! | `POST /api/liebre/definitions?dry_run=true`, `?skip_unsupported=true`, `?skip_if_unchanged=true` with definitions | 200 `{"skipped": ["…"]}`, a line for each thing that was left out, `"kept": ["…"]` with one for each that is there with other properties, if there are any, and `"unchanged": true` when it was the last import's file and nothing was done; 400 with the reason. |
//! | `GET /api/liebre/log?lines=N`, `?since=NUMBER` | 200 `{"lines": ["…"], "next": NUMBER}`: lines of the log. |
//! | `PUT /api/liebre/log-level` with `{"level": "debug"}` | 204; 400 with the levels there are. |
//! | `GET /api/liebre/process` | 200 `{"arguments": […], "variables": {…}, "threads": [{"name": "…", "busy_nanos": 1}]}`. |
//! | `PUT /api/liebre/listeners` with `{"suspended": true}`, `PUT /api/liebre/maintenance` with `{"enabled": true}` | 204 when it is so. |
//! | `POST /api/liebre/stop-app`, `start-app`, `reset` | 204. After `stop-app` the control socket answers all but these, `stop`, `log` and `status` with 503 `{"error": "not_running", "node": "rabbit@host"}`. |
//! | `GET /api/liebre/status` | 200 `{"os": "Linux", "runtime": "Liebre 0.1.0, tokio with 4 threads", "memory_high_watermark": {"relative": 0.6}, "tags": {}, "unsafe_no_fsync": false}`: what `status` prints beyond `/api/overview` and `/api/nodes`. `memory_high_watermark` is `{"relative": fraction}` or `{"absolute": bytes}`. Every field may be missing. |
//!
//! and fields of its own in RabbitMQ's objects, all texts of the form `<rabbit@host.1.N.0>`, absent or null where there
//! is none: `pid` in connections and in channels, `owner_pid` and `exclusive_consumer_pid` in queues (the connection's
//! and the channel's `pid`).
//!
//! Of the standard objects, these fields are read where RabbitMQ's documentation leaves it open: `node` and `listeners`
//! of `/api/overview`; `os_pid`, `uptime`, `mem_alarm`, `disk_free_alarm`, `being_drained` of `/api/nodes/{node}`, and
//! with `?memory=true` its `memory` (category to bytes, `total` an object or a number).

use std::cell::OnceCell;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::exit::{Code, Failure};

/// A node that does not tell its name.
const UNNAMED: &str = "rabbit@localhost";

/// What stays as it is in a path segment.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The method of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Make or replace.
    Put,
    /// Do.
    Post,
    /// Delete.
    Delete,
}

/// A call.
#[derive(Clone, Debug)]
pub struct Request {
    /// GET, PUT, POST or DELETE.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path: String,
    /// The JSON body, if any.
    pub body: Option<Value>,
    /// The `X-Reason` header, if any.
    pub reason: Option<String>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body; null when there is none.
    pub body: Value,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// Nobody answers there.
    Unreachable(String),
    /// The time given is over.
    TimedOut,
    /// What answers is not the management API.
    NotTheApi(String),
}

/// The way to a broker; tests put a script in its place.
pub trait Api {
    /// Sends a call and waits for the answer.
    fn call(&self, request: &Request) -> Result<Response, CallError>;
    /// Waits.
    fn pause(&self, duration: Duration);
    /// The socket's path or the URL, for messages.
    fn address(&self) -> String;
    /// The host whose ports are to be tested: that of the URL, or this one.
    fn host(&self) -> Option<String>;
    /// Can a TCP connection to that address be opened?
    fn accepts_connections(&self, host: &str, port: u16) -> bool;
}

/// The broker that the commands speak to.
#[expect(missing_debug_implementations, reason = "streams and sockets have nothing to show")]
pub struct Broker<'a> {
    api: &'a dyn Api,
    command: String,
    timeout_ms: u64,
    overview: OnceCell<Value>,
    /// The node's name, once it has said that the broker in it is stopped.
    stopped: OnceCell<String>,
}

/// What is answered for a broker that is stopped while its process waits to start it again.
const NOT_RUNNING: &str = "Error: this command requires the 'rabbit' app to be running on the target node. Start it \
                           with 'rabbitmqctl start_app'.";

impl<'a> Broker<'a> {
    /// A broker for one command; the command's name and the timeout stand in messages.
    pub fn new(api: &'a dyn Api, command: &str, timeout_ms: u64) -> Self {
        Self {
            api,
            command: command.to_string(),
            timeout_ms,
            overview: OnceCell::new(),
            stopped: OnceCell::new(),
        }
    }

    /// The way to it.
    pub fn api(&self) -> &dyn Api {
        self.api
    }

    /// `/api/overview`, asked once.
    pub fn overview(&self) -> Result<&Value, Failure> {
        if let Some(overview) = self.overview.get() {
            return Ok(overview);
        }
        let overview = self.get("/api/overview")?;
        Ok(self.overview.get_or_init(|| overview))
    }

    /// The node's name, such as `rabbit@host`; also that of one whose broker is stopped.
    pub fn node(&self) -> Result<String, Failure> {
        match self.overview() {
            Ok(overview) => Ok(overview.get("node").and_then(Value::as_str).unwrap_or(UNNAMED).to_string()),
            Err(failure) => self.stopped.get().cloned().ok_or(failure),
        }
    }

    /// Does the broker run? If not, its process is there, and waits to start it again.
    pub fn is_running(&self) -> Result<bool, Failure> {
        match self.overview() {
            Ok(_) => Ok(true),
            Err(failure) => self.stopped.get().map(|_| false).ok_or(failure),
        }
    }

    /// Reads something that must be there.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        self.find(path)?.ok_or_else(|| Failure::new(Code::Unavailable, format!("{path} was not found")))
    }

    /// Reads something that may be missing.
    pub fn find(&self, path: &str) -> Result<Option<Value>, Failure> {
        self.send(Method::Get, path, None)
    }

    /// Reads a list; empty when what holds it is missing.
    pub fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        Ok(items(self.find(path)?.unwrap_or_default()))
    }

    /// Reads the list of what is in a vhost.
    pub fn list_in_vhost(&self, noun: &str, vhost: &str) -> Result<Vec<Value>, Failure> {
        let found = self.find(&path(&[noun, vhost]))?;
        found.map(items).ok_or_else(|| Failure::no_such_vhost(vhost))
    }

    /// Sends a call. No answer and refusals are failures, "not found" is `None`.
    pub fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Option<Value>, Failure> {
        self.send_request(&Request { method, path: path.to_string(), body, reason: None })
    }

    /// Calls a route of the broker's own.
    pub fn send_own(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        let response = self.call(&Request { method, path: path.to_string(), body, reason: None })?;
        match response.status {
            200..=299 => Ok(response.body),
            404 | 405 => {
                let text = format!(
                    "what answers at {} is not a Liebre broker: it has no {path}",
                    self.api.address()
                );
                Err(Failure::new(Code::Unavailable, text))
            }
            _ => Err(Failure::new(Code::Unavailable, refusal(&response))),
        }
    }

    /// As [`Broker::send`], with all parts of the call.
    pub fn send_request(&self, request: &Request) -> Result<Option<Value>, Failure> {
        let response = self.call(request)?;
        match response.status {
            200..=299 => Ok(Some(response.body)),
            404 => Ok(None),
            _ => Err(Failure::new(Code::Unavailable, refusal(&response))),
        }
    }

    /// Sends a call and gives back whatever is answered.
    pub fn call(&self, request: &Request) -> Result<Response, Failure> {
        let response = self.api.call(request).map_err(|error| self.unanswered(&error))?;
        match stopped_node(&response) {
            Some(node) => {
                self.stopped.get_or_init(|| node.to_string());
                Err(Failure::misuse(NOT_RUNNING))
            }
            None => Ok(response),
        }
    }

    fn unanswered(&self, error: &CallError) -> Failure {
        let address = self.api.address();
        match error {
            CallError::Unreachable(reason) => Failure::bare(
                Code::Unavailable,
                format!(
                    "Error: no Liebre broker answers at {address} ({reason}): start it with 'liebre', or name \
                     another one with --data-dir or --host"
                ),
            ),
            CallError::TimedOut => Failure::bare(
                Code::Temporary,
                format!(
                    "Error: operation {} on node {address} timed out. Timeout value used: {}",
                    self.command, self.timeout_ms
                ),
            ),
            CallError::NotTheApi(reason) => Failure::bare(
                Code::Unavailable,
                format!("Error: what answers at {address} is not a broker's management API: {reason}"),
            ),
        }
    }
}

/// The node whose broker is stopped, if that is what was answered.
pub fn stopped_node(response: &Response) -> Option<&str> {
    let is_stopped = response.status == 503 && response.body.get("error")? == "not_running";
    is_stopped.then(|| response.body.get("node").and_then(Value::as_str).unwrap_or(UNNAMED))
}

/// `/api/` and the names, each encoded.
pub fn path(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| utf8_percent_encode(name, IN_PATH).to_string()).collect();
    format!("/api/{}", names.join("/"))
}

/// The items of a list, plain or paged.
fn items(list: Value) -> Vec<Value> {
    match list {
        Value::Array(items) => items,
        Value::Object(mut page) => page.remove("items").map(items).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// The API's words for why it refused.
pub fn refusal(response: &Response) -> String {
    let field = |name| response.body.get(name).filter(|value| !value.is_null()).map(words);
    let reason = field("reason").or_else(|| field("error"));
    reason.unwrap_or_else(|| format!("the broker answered with HTTP status {}", response.status))
}

/// A reason made of parts, such as `["invalid_regexp", "(", "unclosed group"]`, as one text.
fn words(reason: &Value) -> String {
    match reason {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(words).collect::<Vec<_>>().join(": "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_encoded_in_paths() {
        assert_eq!(path(&["queues", "/", "a b/c%"]), "/api/queues/%2F/a%20b%2Fc%25");
        assert_eq!(path(&["users", "señor.x-y_z~"]), "/api/users/se%C3%B1or.x-y_z~");
    }

    #[test]
    fn refusals_are_told_in_the_brokers_words() {
        let cases = [
            (json!({"error": "bad_request", "reason": "no"}), "no"),
            (json!({"error": "bad_request", "reason": ["invalid_regexp", "(", 1]}), "invalid_regexp: (: 1"),
            (json!({"error": "not_authorised"}), "not_authorised"),
            (Value::Null, "the broker answered with HTTP status 400"),
        ];
        for (body, text) in cases {
            assert_eq!(refusal(&Response { status: 400, body }), text);
        }
    }
}
