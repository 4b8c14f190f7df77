//! A broker in memory, and a script of requests to its API.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    body::{Body, to_bytes},
    http::{Request, Response, header},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use expect_test::Expect;
use tokio::{runtime::Handle, sync::watch};

use crate::{
    connection::registry::Node,
    http::{
        Api,
        routes::{Door, respond},
    },
    limits::NodeLimits,
    model::definition::Change,
    server::{
        large_answers::LargeAnswers,
        resources::{Limits, Resources},
        watermark::DiskFreeLimit,
    },
    storage::{Completion, Loaded, MetadataStore, StoreError, queue_log::MemoryLog},
    vhost::broker::Broker,
    vhost::test_clock::TestClock,
};

/// The vhost `/`, the administrator `guest`, a user for each other tag and one without, all of whose passwords
/// are `pw`. `manager` may do everything with what begins with `my` in `/`, `watcher` and `nobody` nothing.
const USERS: &str = r#"
    control PUT /vhosts/%2F {"description":"Default virtual host"}
    control PUT /users/guest {"tags":"administrator","password":"pw"}
    control PUT /permissions/%2F/guest {"configure":".*","write":".*","read":".*"}
    control PUT /users/manager {"tags":"management","password":"pw"}
    control PUT /permissions/%2F/manager {"configure":"^my","write":"^my","read":"^my"}
    control PUT /users/watcher {"tags":"monitoring","password":"pw"}
    control PUT /users/nobody {"tags":"","password":"pw"}
"#;

/// No alarm is set by them.
const LIMITS: Limits = Limits { disk: DiskFreeLimit::Absolute(0), memory: None };

/// A broker and its API.
pub(super) struct Bench {
    pub(super) api: Arc<Api>,
    pub(super) store: Arc<MemoryStore>,
}

/// Where definitions are durable at once, or never.
#[derive(Debug, Default)]
pub(super) struct MemoryStore {
    last_id: AtomicU64,
    /// The disk is gone.
    pub(super) is_broken: AtomicBool,
}

impl MetadataStore for MemoryStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        Ok(Loaded::default())
    }

    fn submit(&self, _changes: Vec<Change>, done: Completion) {
        done.complete(if self.is_broken.load(Relaxed) { Err(StoreError::Closed) } else { Ok(()) });
    }

    fn next_queue_id(&self) -> Result<u64, StoreError> {
        Ok(self.last_id.fetch_add(1, Relaxed) + 1)
    }

    fn close(&self) {}
}

impl Bench {
    /// See [`USERS`].
    pub(super) async fn new() -> Self {
        let store = Arc::new(MemoryStore::default());
        let (broker, _) =
            Broker::load(Arc::clone(&store) as _, Arc::new(MemoryLog), Arc::new(TestClock::default()))
                .unwrap();
        let port = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let api = Arc::new(Api {
            node: Arc::new(Node::new(Arc::new(broker), "rabbit@test".to_owned(), NodeLimits::default())),
            amqp_addresses: vec![port(5672)],
            effective: Vec::new(),
            http_address: port(15672),
            prometheus_address: Some(port(15692)),
            runtime: Handle::current(),
            config_files: vec!["/etc/rabbitmq/rabbitmq.conf".to_owned()],
            data_dir: PathBuf::from("/"),
            unsafe_no_fsync: false,
            resources: Arc::new(Resources::new(Path::new("/"), LIMITS)),
            log: None,
            started_at: UNIX_EPOCH,
            clock: || UNIX_EPOCH + Duration::from_secs(90),
            stop: watch::Sender::new(false),
            keeps_process: Arc::default(),
            admission: Arc::default(),
            journal: Arc::default(),
            large_answers: LargeAnswers::default(),
            large_scrapes: LargeAnswers::default(),
        });
        let bench = Self { api, store };
        bench.run(USERS).await;
        bench
    }

    /// Sends the requests, a line each, and compares the lines `status body`.
    ///
    /// `manager GET /queues` is a request with the password `pw`, `control` one over the control socket, and
    /// `remote` and `anonymous` are `guest` from elsewhere and nobody. The path is below `/api`.
    pub(super) async fn check(&self, script: &str, expected: &Expect) {
        expected.assert_eq(&self.run(script).await);
    }

    async fn run(&self, script: &str) -> String {
        let mut transcript = String::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (status, body) = self.send(line).await;
            transcript.push_str(&format!("{line}\n  {status} {}\n", without_sizes(&body)));
        }
        transcript
    }

    /// Sends one request of a script.
    pub(super) async fn send(&self, line: &str) -> (u16, String) {
        let response = self.respond(line).await;
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// As [`Self::send`], with the headers.
    pub(super) async fn respond(&self, line: &str) -> Response<Body> {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let (caller, method, path, body) = (word(), word(), word(), word());
        self.request(&caller, &method, &path, Body::from(body)).await
    }

    /// Reads metrics.
    pub(super) async fn metrics(&self, caller: &str, path: &str) -> (u16, String) {
        let response = self.request_at(caller, "GET", path, Body::empty()).await;
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Sends one request.
    pub(super) async fn request(&self, caller: &str, method: &str, path: &str, body: Body) -> Response<Body> {
        self.request_at(caller, method, &format!("/api{path}"), body).await
    }

    async fn request_at(&self, caller: &str, method: &str, uri: &str, body: Body) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(uri);
        let (user, peer) = match caller {
            "remote" => ("guest", IpAddr::from([203, 0, 113, 7])),
            user => (user, IpAddr::from(Ipv4Addr::LOCALHOST)),
        };
        if !matches!(user, "control" | "anonymous") {
            let (user, password) = user.split_once(':').unwrap_or((user, "pw"));
            let login = BASE64_STANDARD.encode(format!("{user}:{password}"));
            request = request.header(header::AUTHORIZATION, format!("Basic {login}"));
        }
        let door = match caller {
            "control" => Door::Control,
            _ => Door::Tcp(Some(SocketAddr::from((peer, 40_000)))),
        };
        respond(Arc::clone(&self.api), door, request.body(body).unwrap()).await
    }

    /// What somebody who has not logged in finds at a path, which need not be below `/api`.
    pub(super) async fn page(&self, path: &str) -> Response<Body> {
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        respond(Arc::clone(&self.api), Door::Tcp(Some(peer)), request).await
    }

    /// The time the broker runs, for connections.
    pub(super) fn now(&self) -> SystemTime {
        (self.api.clock)()
    }
}

/// What a queue takes of memory depends on how large our structures are.
fn without_sizes(body: &str) -> String {
    let mut pieces = body.split("\"memory\":");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit());
        text.push_str("\"memory\":");
        text.push_str(if rest == piece { "" } else { "*" });
        text.push_str(rest);
    }
    text
}
