//! What protects the API and its callers: limits of bodies, headers for browsers, secrets that stay secret.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{Method, Request, Response},
};
use tokio::time::timeout;

use super::bench::Bench;
use crate::{
    http::{
        routes::{Door, respond},
        table::ROUTES,
    },
    limits::{HTTP_BODY_MAX, HTTP_FIELDS_MAX, HTTP_FORM_MAX, HTTP_LARGE_ANSWERS, HTTP_LARGE_BYTES},
};

/// So long waits somebody who should not get an answer.
const MOMENT: Duration = Duration::from_millis(20);

/// A path of a route, whose names name nothing.
fn path(route: &str) -> String {
    let segment = |segment: &str| if segment.starts_with('{') { "x".to_owned() } else { segment.to_owned() };
    format!("/api/{}", route.split('/').map(segment).collect::<Vec<_>>().join("/"))
}

/// Over TCP, from this machine.
async fn send(bench: &Bench, request: Request<Body>) -> Response<Body> {
    let peer = "127.0.0.1:40000".parse().unwrap();
    respond(Arc::clone(&bench.api), Door::Tcp(Some(peer)), request).await
}

/// As guest, with more headers.
async fn send_with(bench: &Bench, method: &Method, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request =
        Request::builder().method(method).uri(path).header("authorization", "Basic Z3Vlc3Q6cHc=");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(bench, request.body(Body::empty()).unwrap()).await
}

/// A body that does not say how long it is.
fn stream(size: usize) -> Body {
    const PIECE: usize = 64 << 10;
    struct Pieces(usize);
    impl hyper::body::Body for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            let size = self.0.min(PIECE);
            self.0 -= size;
            let piece = (size > 0).then(|| Ok(hyper::body::Frame::data(Bytes::from(vec![b' '; size]))));
            std::task::Poll::Ready(piece)
        }
    }
    Body::new(Pieces(size))
}

#[tokio::test]
async fn bodies_are_limited_by_the_bytes_that_come() {
    let bench = Bench::new().await;
    let publish = ("POST", "/exchanges/%2F/amq.direct/publish", HTTP_BODY_MAX);
    for (method, path, max) in [("PUT", "/queues/%2F/q", HTTP_FIELDS_MAX), publish] {
        for (size, status) in [(max, 400), (max + 1, 413), (3 * max, 413)] {
            let response = bench.request("guest", method, path, stream(size)).await;
            assert_eq!(response.status(), status, "{path} {size}");
            let whole = bench.request("guest", method, path, Body::from(vec![b' '; size])).await;
            assert_eq!(whole.status(), status, "{path} {size}");
        }
    }
    let response = bench.request("anonymous", "POST", "/login", stream(HTTP_FORM_MAX + 1)).await;
    assert_eq!(response.status(), 413);
}

#[tokio::test]
async fn a_body_is_not_read_before_its_sender_is_known() {
    let bench = Bench::new().await;
    let response = bench.request("anonymous", "PUT", "/queues/%2F/q", stream(3 * HTTP_BODY_MAX)).await;
    assert_eq!(response.status(), 401);
}

/// Readers may be slow; what they have not taken does not add up.
#[tokio::test(start_paused = true)]
async fn large_answers_are_few_until_they_are_taken() {
    let bench = Bench::new().await;
    let name = "x".repeat(240);
    for queue in 0..1_000 {
        let (status, _) = bench.send(&format!("control PUT /queues/%2F/q{queue}{name} {{}}")).await;
        assert_eq!(status, 201);
    }
    let get = async |path: &str| bench.request("guest", "GET", path, Body::empty()).await;
    let large = ["/queues", "/bindings?page=1", "/definitions", "/queues/%2F"];
    for path in large {
        let mut open = Vec::new();
        for _ in 0..HTTP_LARGE_ANSWERS {
            open.push(get(path).await);
        }
        for path in large {
            assert_eq!(get(path).await.status(), 503, "{path}");
        }
        assert_eq!(bench.metrics("guest", "/metrics/per-object").await.0, 503);
        assert_eq!(bench.metrics("guest", "/metrics").await.0, 200, "sums are small");
        for path in ["/queues?page=1", "/vhosts", "/overview"] {
            assert_eq!(get(path).await.status(), 200, "{path}");
        }
        drop(open.pop());
        let taken = to_bytes(get(path).await.into_body(), usize::MAX).await.unwrap();
        assert!(taken.len() >= HTTP_LARGE_BYTES, "{path}: {}", taken.len());
        drop(taken);
        assert_eq!(get(path).await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn large_answers_are_made_where_no_health_check_waits() {
    let bench = Bench::new().await;
    let (go_on, told) = std::sync::mpsc::channel::<()>();
    let slow = bench.api.large_answers.aside(move || told.recv());
    let others = async {
        for path in ["/bindings", "/bindings/%2F", "/consumers", "/definitions", "/definitions/%2F"] {
            let large = timeout(MOMENT, bench.request("guest", "GET", path, Body::empty())).await;
            assert!(large.is_err(), "{path} waits for its turn");
        }
        for path in ["/metrics", "/metrics/per-object"] {
            assert!(
                timeout(MOMENT, bench.metrics("guest", path)).await.is_err(),
                "{path} waits for its turn"
            );
        }
        assert_eq!(bench.send("guest GET /health/checks/alarms").await.0, 200);
        assert_eq!(bench.send("guest GET /healthchecks/node").await.0, 200);
        drop(go_on);
    };
    tokio::join!(slow, others);
    assert_eq!(bench.send("guest GET /bindings").await.0, 200);
}

#[tokio::test]
async fn every_route_tells_its_methods_and_protects_browsers() {
    let bench = Bench::new().await;
    let pages = ["/", "/api", "/api/", "/cli", "/cli/rabbitmqadmin", "/nope", "/api/nope", "/api/index.html"];
    let paths = ROUTES.iter().map(|route| path(route.path)).chain(pages.map(str::to_owned));
    for path in paths {
        for method in [Method::OPTIONS, Method::HEAD, Method::GET, Method::POST, Method::PATCH] {
            let origin = [("origin", "http://evil.example"), ("access-control-request-method", "GET")];
            let response = send_with(&bench, &method, &path, &origin).await;
            let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
            let csp = header("content-security-policy").unwrap();
            assert!(
                csp.starts_with("default-src 'none'") && !csp.contains("unsafe"),
                "{method} {path}: {csp}"
            );
            assert_eq!(header("x-content-type-options"), Some("nosniff"), "{method} {path}");
            assert_eq!(header("x-frame-options"), Some("DENY"), "{method} {path}");
            assert_eq!(header("referrer-policy"), Some("no-referrer"), "{method} {path}");
            assert_eq!(header("cache-control"), Some("no-cache"), "{method} {path}");
            assert!(response.headers().keys().all(|name| !name.as_str().starts_with("access-control")));
            assert_eq!(header("set-cookie"), None, "{method} {path}");
        }
    }
    for route in ROUTES {
        let anonymous = Request::builder().method("OPTIONS").uri(path(route.path)).body(Body::empty());
        let response = send(&bench, anonymous.unwrap()).await;
        assert_eq!(response.status(), 200, "{}", route.path);
        assert_eq!(response.headers()["allow"], route.allow);
        let response = send_with(&bench, &Method::PATCH, &path(route.path), &[]).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &route.allow.parse().unwrap())
        );
    }
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let bench = Bench::new().await;
    let put = |headers: Vec<(&'static str, &'static str)>| {
        let bench = &bench;
        async move {
            let response = send_with(bench, &Method::PUT, "/api/queues/%2F/q", &headers).await;
            response.status().as_u16()
        }
    };
    assert_eq!(put(vec![("host", "broker:15672"), ("origin", "http://evil.example")]).await, 403);
    assert_eq!(put(vec![("host", "broker:15672"), ("origin", "null")]).await, 403);
    assert_eq!(put(vec![("host", "broker:15672"), ("origin", "http://broker:1567")]).await, 403);
    assert_eq!(put(vec![("host", "broker:15672"), ("origin", "http://broker:15672")]).await, 201);
    assert_eq!(put(vec![("host", "broker:15672")]).await, 204);
}

/// Where log lines are gathered.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn passwords_are_in_no_answer_and_no_log() {
    const SECRET: &str = "canary-7f3a";
    const SECRET_BASE64: &str = "Y2FuYXJ5LTdmM2E";
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let bench = Bench::new().await;
    bench
        .send(&format!(r#"control PUT /users/canary {{"password":"{SECRET}","tags":"administrator"}}"#))
        .await;
    bench.send(r#"control PUT /permissions/%2F/canary {"configure":".*","write":".*","read":".*"}"#).await;
    let caller = format!("canary:{SECRET}");
    let mut answers = String::new();
    for route in ROUTES {
        for method in ["GET", "PUT", "POST", "DELETE"].into_iter().filter(|name| route.allow.contains(name)) {
            if route.path.starts_with("liebre/stop") {
                continue;
            }
            let path = path(route.path).replace("/x", "/%2F");
            let body = format!(r#"{{"username":"canary","password":"{SECRET}","users":["{SECRET}x"]}}"#);
            let response =
                bench.request(&caller, method, path.trim_start_matches("/api"), Body::from(body)).await;
            answers.push_str(&format!("{:?}", response.headers()));
            let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            // What was asked for by its name may be named.
            answers.push_str(&String::from_utf8_lossy(&body).replace(&format!("{SECRET}x"), ""));
        }
    }
    // And of somebody who mistypes it.
    bench.send(&format!("canary:{SECRET}- GET /overview")).await;
    bench.send(&format!("canary GET /auth/hash_password/{SECRET}")).await;
    bench.send(&format!("anonymous POST /login username=canary&password={SECRET}-")).await;
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("HTTP access denied"), "the log was gathered: {log}");
    for text in [&answers, &log] {
        for secret in [SECRET, SECRET_BASE64] {
            let at = text.find(secret).map(|at| &text[at.saturating_sub(80)..]);
            assert_eq!(at.map(|text| &text[..text.len().min(200)]), None);
        }
    }
}
