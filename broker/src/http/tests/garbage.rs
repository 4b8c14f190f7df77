//! Whatever is sent is answered: with no status of 500 or more, and no panic.

use std::sync::LazyLock;

use axum::body::Body;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::bench::Bench;
use crate::http::table::{ROUTES, Route};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap());
static BENCH: LazyLock<Bench> = LazyLock::new(|| RUNTIME.block_on(Bench::new()));

/// Those that change what the others may answer: an alarm, or the end.
const EXCEPT: [&str; 7] = [
    "liebre/stop",
    "liebre/stop-app",
    "liebre/disk-free-limit",
    "liebre/vm-memory-high-watermark",
    "liebre/listeners",
    "liebre/maintenance",
    "liebre/log-level",
];

/// Fields of requests.
const FIELDS: &str = "arguments durable auto_delete internal type routing_key properties payload payload_encoding \
    count ackmode encoding truncate configure write read exchange password password_hash \
    hashing_algorithm tags limits value pattern definition priority apply-to description \
    default_queue_type users action name component vhost";
/// Values that some of them have.
const VALUES: &[&str] = &[
    "\"string\"",
    "\"base64\"",
    "\"auto\"",
    "\"ack_requeue_true\"",
    "\"reject_requeue_false\"",
    "\"q\"",
    "\"\"",
    "{\"x-max-length\":1}",
    "{\"headers\":{\"a\":[{}]},\"delivery_mode\":2}",
    "{\"x-queue-type\":\"quorum\"}",
    "{\"max-length\":-1}",
    "\"topic\"",
    "\".*\"",
    "\"(\"",
    "[\"administrator\"]",
    "{}",
    "[]",
    "1",
];

fn route() -> impl Strategy<Value = Route> {
    let routes: Vec<Route> = ROUTES.iter().filter(|route| !EXCEPT.contains(&route.path)).copied().collect();
    prop::sample::select(routes)
}

/// A name as it may stand in a path: of something that is there, strange, or no name at all.
fn segment() -> impl Strategy<Value = String> {
    let quoted = |bytes: &[u8]| percent_encode(bytes, NON_ALPHANUMERIC).to_string();
    prop_oneof![
        4 => prop::sample::select(vec![
            "%2F", "q", "amq.default", "amq.topic", "guest", "rabbit@test", "e", "~", "0", "max-queues", "max-channels",
        ]).prop_map(str::to_owned),
        2 => any::<String>().prop_map(move |name| quoted(name.as_bytes())),
        1 => prop::collection::vec(any::<u8>(), 0..300).prop_map(move |bytes| quoted(&bytes)),
        1 => "[!-~&&[^/?#%]]{0,20}",
        1 => prop::sample::select(vec!["%", "%2", "%zz", "..", ".", "%2e%2e", "%00", "+", ""]).prop_map(str::to_owned),
    ]
}

fn path() -> impl Strategy<Value = (Route, String)> {
    (route(), prop::collection::vec(segment(), 6)).prop_map(|(route, names)| {
        let mut names = names.into_iter();
        let segments = route.path.split('/').map(|segment| match segment.starts_with('{') {
            true => names.next().unwrap(),
            false => segment.to_owned(),
        });
        (route, format!("/{}", segments.collect::<Vec<_>>().join("/")))
    })
}

fn query() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "page",
        "page_size",
        "name",
        "use_regex",
        "pagination",
        "columns",
        "sort",
        "sort_reverse",
        "if-unused",
        "memory",
        "disable_stats",
        "enable_queue_totals",
        "msg_rates_age",
        "lengths_incr",
        "x",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "0",
            "1",
            "-1",
            "501",
            "99999999999999999999",
            "true",
            "a.b.c",
            "(",
            "%ff",
            "%"
        ])
        .prop_map(str::to_owned),
        any::<String>().prop_map(|text| percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string()),
    ];
    prop::collection::vec((name, value), 0..4).prop_map(|pairs| {
        pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    })
}

/// JSON of the fields that requests have, with values that may not be theirs.
fn object() -> impl Strategy<Value = String> {
    let fields = prop::sample::select(FIELDS.split(' ').collect::<Vec<_>>());
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>()
            .prop_filter("a number", |value| value.is_finite())
            .prop_map(|value| format!("{value:e}")),
        any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        prop::sample::select(VALUES).prop_map(str::to_owned),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec(("[a-z-]{0,12}", inner), 0..4).prop_map(|fields| {
                let fields: Vec<String> =
                    fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    });
    prop::collection::vec((fields, value), 0..8).prop_map(|fields| {
        let fields: Vec<String> =
            fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => object().prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..64),
        1 => (1..2_000_usize).prop_map(|depth| vec![b'['; depth]),
        1 => Just(Vec::new()),
    ]
}

fn method() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO"])
}

/// Sends it; gives the status and what was answered.
fn send(caller: &str, method: &str, path: &str, body: Vec<u8>) -> Result<u16, TestCaseError> {
    // What can't be the target of a request never gets past the parser of HTTP.
    if format!("/api{path}").parse::<axum::http::Uri>().is_err() {
        return Ok(400);
    }
    let status = RUNTIME.block_on(BENCH.request(caller, method, path, Body::from(body))).status().as_u16();
    // A check that does not pass.
    let is_unhealthy = status == 503 && path.starts_with("/health/checks/");
    prop_assert!(status < 500 || is_unhealthy, "{method} {path}: {status}");
    Ok(status)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_route_has_an_answer_for_everything(
        (_, path) in path(), is_known in any::<bool>(), query in query(), method in method(), body in body(),
        caller in prop::sample::select(vec!["guest", "control", "manager", "watcher", "anonymous"]),
    ) {
        let target = if is_known { path } else { format!("{path}?{query}") };
        send(caller, method, &target, body)?;
    }

    #[test]
    fn every_path_has_an_answer(path in "(/[!-~&&[^?#]]{0,12}){0,6}", method in method()) {
        send("guest", method, &path, Vec::new())?;
    }

    #[test]
    fn every_name_is_a_name(bytes in prop_oneof![
        any::<String>().prop_map(String::into_bytes),
        prop::sample::select(vec![
            "a/b", "..", ".", "a\\b", "\0", "\u{202e}oof", "%2F", "a b+c", "<script>", "a\"b'c", "ñ", "q?x=1#y",
        ]).prop_map(|name| name.as_bytes().to_vec()),
    ]) {
        prop_assume!(!bytes.is_empty() && bytes.len() <= 255 && !bytes.starts_with(b"amq."));
        let name = percent_encode(&bytes, NON_ALPHANUMERIC).to_string();
        let path = format!("/queues/%2F/{name}");
        let status = send("guest", "PUT", &path, b"{}".to_vec())?;
        prop_assert!(matches!(status, 201 | 204), "{status}");
        prop_assert_eq!(send("guest", "GET", &path, Vec::new())?, 200);
        prop_assert_eq!(send("guest", "GET", &format!("{path}/bindings"), Vec::new())?, 200);
        prop_assert_eq!(send("guest", "DELETE", &path, Vec::new())?, 204);
        prop_assert_eq!(send("guest", "GET", &path, Vec::new())?, 404);
    }
}
