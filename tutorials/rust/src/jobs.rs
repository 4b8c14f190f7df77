//! What the two programs of the job queue share: the settings, the form of a job, the three queues, the log, the end.

use std::{env, error::Error, fmt::Display, io, str::FromStr};

use lapin::uri::AMQPUri;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

pub mod api;

/// A job that fails this often has failed for good.
pub const TRIES_MAX: u64 = 3;

/// One job; as JSON it is the body of a message.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    pub job_id: String,
    pub data: Map<String, Value>,
}

/// Where everything is; each from an environment variable, or as it is on this computer.
#[derive(Clone)]
pub struct Settings {
    pub host: String,
    pub amqp_port: u16,
    pub http_port: u16,
    pub user: String,
    pub password: String,
    pub vhost: String,
    /// The queue of the jobs; two more are named after it.
    pub queue: String,
    /// How long a job that has failed waits for its next try.
    pub pause_ms: u32,
    /// Where the producer listens.
    pub listen: String,
    pub log: Log,
}

impl Settings {
    /// A variable that is not set has its default; one that makes no sense is an error that names it.
    pub fn from_env() -> Result<Settings, Box<dyn Error>> {
        let log = text_or("JOBS_LOG", "info")?;
        let level = ["error", "info", "debug"].iter().position(|&name| name == log);
        Ok(Settings {
            host: text_or("JOBS_HOST", "127.0.0.1")?,
            amqp_port: number_or("JOBS_AMQP_PORT", 5672)?,
            http_port: number_or("JOBS_HTTP_PORT", 15672)?,
            user: text_or("JOBS_USER", "guest")?,
            password: text_or("JOBS_PASSWORD", "guest")?,
            vhost: text_or("JOBS_VHOST", "/")?,
            queue: text_or("JOBS_QUEUE", "jobs")?,
            pause_ms: number_or("JOBS_PAUSE_MS", 2_000)?,
            listen: with_host(text_or("JOBS_LISTEN", "127.0.0.1:8080")?),
            log: Log(level.ok_or("JOBS_LOG must be error, info or debug")?),
        })
    }

    /// The broker's AMQP address.
    pub fn uri(&self) -> AMQPUri {
        let mut uri = AMQPUri { vhost: self.vhost.clone(), ..AMQPUri::default() };
        uri.authority.host = self.host.clone();
        uri.authority.port = self.amqp_port;
        uri.authority.userinfo.username = self.user.clone();
        uri.authority.userinfo.password = self.password.clone();
        uri
    }

    /// Where jobs end that have failed for good.
    pub fn failed_queue(&self) -> String {
        format!("{}.failed", self.queue)
    }

    /// The queues with their arguments. A job that is rejected goes from the first to the second; when its pause is over,
    /// it goes back.
    pub fn queues(&self) -> [(String, Value); 3] {
        let retry = format!("{}.retry", self.queue);
        // The default exchange, "", takes a message to the queue that its routing key names.
        let to = |queue: &str| json!({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue});
        let mut waiting = to(&self.queue);
        waiting["x-message-ttl"] = self.pause_ms.into();
        [(self.queue.clone(), to(&retry)), (retry, waiting), (self.failed_queue(), json!({}))]
    }
}

/// Prints lines up to a level: 0 errors, 1 what happens, 2 everything.
#[derive(Clone, Copy)]
pub struct Log(usize);

impl Log {
    pub fn error(self, line: impl Display) {
        self.print(0, "!", line);
    }

    pub fn info(self, line: impl Display) {
        self.print(1, "x", line);
    }

    /// What the program itself does, not a job.
    pub fn status(self, line: impl Display) {
        self.print(1, "*", line);
    }

    pub fn debug(self, line: impl Display) {
        self.print(2, ".", line);
    }

    fn print(self, level: usize, mark: &str, line: impl Display) {
        if level <= self.0 {
            println!(" [{mark}] {line}");
        }
    }
}

/// Becomes true at Ctrl-C or SIGTERM.
pub fn stop_asked() -> io::Result<watch::Receiver<bool>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        sender.send_replace(true);
    });
    Ok(receiver)
}

/// Waits until the program is asked to stop.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody is left who could ask.
    stop.wait_for(|&is_asked| is_asked).await.ok();
}

fn text_or(name: &str, default: &str) -> Result<String, String> {
    match env::var(name) {
        Ok(text) if text.is_empty() => Err(format!("{name} must not be empty")),
        Ok(text) => Ok(text),
        Err(_) => Ok(default.to_owned()),
    }
}

/// A port alone is one of this computer, which nobody else can reach.
fn with_host(listen: String) -> String {
    match listen.trim_start_matches(':') {
        port if port.bytes().all(|byte| byte.is_ascii_digit()) => format!("127.0.0.1:{port}"),
        _ => listen,
    }
}

fn number_or<T: FromStr>(name: &str, default: T) -> Result<T, String> {
    match env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name} is no number that fits: {text}")),
        Err(_) => Ok(default),
    }
}
