//! A script in the broker's place, and a run with its exit code, output and errors as one text.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{Api, CallError, Method, Request, Response};
use crate::context::Streams;
use crate::run;

/// Answers by method and path, and a log of the calls that changed something.
#[derive(Clone, Default)]
pub struct Script {
    answers: Vec<(String, u16, Value)>,
    calls: Rc<RefCell<Vec<String>>>,
    is_gone: Rc<RefCell<bool>>,
    closed_ports: BTreeSet<u16>,
    input: String,
}

impl Script {
    /// A broker with a node's name, two listeners, a user and a vhost.
    pub fn new() -> Self {
        let listener = |protocol: &str, address: &str, port: u16| {
            let node = "rabbit@h";
            json!({"node": node, "protocol": protocol, "ip_address": address, "port": port})
        };
        let overview = json!({
            "node": "rabbit@h",
            "rabbitmq_version": "4.2.0",
            "product_name": "Liebre",
            "product_version": "0.1.0",
            "object_totals": {"connections": 1, "queues": 2},
            "listeners": [listener("amqp", "::", 5672), listener("http", "127.0.0.1", 15672)],
        });
        let node = json!({
            "name": "rabbit@h", "os_pid": "42", "uptime": 61_500, "mem_used": 20_000_000, "mem_limit": 600_000_000,
            "mem_alarm": false, "disk_free": 5_000_000_000_u64, "disk_free_limit": 50_000_000,
            "disk_free_alarm": false, "enabled_plugins": ["rabbitmq_management"], "db_dir": "/data",
            "config_files": [], "log_files": ["<stdout>"], "mem_calculation_strategy": "rss",
            "memory": {"code": 5_000_000, "other": 15_000_000, "total": {"rss": 20_000_000}},
        });
        let guest = json!({
            "name": "guest", "password_hash": "HASH", "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": ["administrator"],
        });
        Self::default()
            .answer("GET /api/overview", 200, overview)
            .answer("GET /api/nodes/rabbit%40h", 200, node.clone())
            .answer("GET /api/nodes/rabbit%40h?memory=true", 200, node)
            .answer("GET /api/users/guest", 200, guest.clone())
            .answer("GET /api/users", 200, json!([guest]))
            .answer("GET /api/vhosts/%2F", 200, json!({"name": "/"}))
            .answer("GET /api/vhosts", 200, json!([{"name": "/", "cluster_state": {"rabbit@h": "running"}}]))
    }

    /// Nobody answers.
    pub fn gone() -> Self {
        let script = Self::default();
        *script.is_gone.borrow_mut() = true;
        script
    }

    /// Adds an answer; a later one for the same call takes the place of an earlier one.
    pub fn answer(mut self, call: &str, status: u16, body: Value) -> Self {
        self.answers.insert(0, (call.to_string(), status, body));
        self
    }

    /// Nobody listens on that port.
    pub fn closed_port(mut self, port: u16) -> Self {
        self.closed_ports.insert(port);
        self
    }

    /// What is typed.
    pub fn input(mut self, input: &str) -> Self {
        self.input = input.to_string();
        self
    }

    /// Runs a command line; words with spaces stand in single quotes.
    pub fn run(&self, line: &str) -> String {
        let words = split(line);
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let streams = Streams {
            input: &mut self.input.as_bytes(),
            output: &mut output,
            errors: &mut errors,
            is_input_terminal: false,
            is_output_terminal: false,
        };
        let api: Box<dyn Api> = Box::new(self.clone());
        let code = run(&words[0], &words[1..], streams, |_| Ok(api));
        let mut transcript = String::from_utf8(output).unwrap();
        for line in String::from_utf8(errors).unwrap().lines() {
            writeln!(transcript, "! {line}").unwrap();
        }
        for call in self.calls.borrow_mut().drain(..) {
            writeln!(transcript, "> {call}").unwrap();
        }
        if code as u8 != 0 {
            writeln!(transcript, "exit {}", code as u8).unwrap();
        }
        transcript
    }
}

impl Api for Script {
    fn call(&self, request: &Request) -> Result<Response, CallError> {
        if *self.is_gone.borrow() {
            return Err(CallError::Unreachable("No such file or directory".into()));
        }
        let method = match request.method {
            Method::Get => "GET",
            Method::Put => "PUT",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        };
        let call = format!("{method} {}", request.path);
        if request.method != Method::Get {
            let body = request.body.as_ref().map(|body| format!(" {body}")).unwrap_or_default();
            let reason = request.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            self.calls.borrow_mut().push(format!("{call}{body}{reason}"));
        }
        let is_stop = call == "POST /api/liebre/stop";
        if is_stop && !self.answers.iter().any(|(expected, _, _)| *expected == call) {
            *self.is_gone.borrow_mut() = true;
        }
        let answer = self.answers.iter().find(|(expected, _, _)| *expected == call);
        let (status, body) = match (answer, request.method) {
            (Some((_, status, body)), _) => (*status, body.clone()),
            (None, Method::Get) => (404, json!({"error": "Object Not Found", "reason": "Not Found"})),
            (None, _) => (204, Value::Null),
        };
        Ok(Response { status, body })
    }

    fn pause(&self, duration: Duration) {
        self.calls.borrow_mut().push(format!("pause {} ms", duration.as_millis()));
    }

    fn address(&self) -> String {
        "/data/control.sock".into()
    }

    fn host(&self) -> Option<String> {
        None
    }

    fn accepts_connections(&self, _: &str, port: u16) -> bool {
        !self.closed_ports.contains(&port)
    }
}

fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_string());
        } else {
            words.extend(part.split_whitespace().map(String::from));
        }
    }
    words
}
