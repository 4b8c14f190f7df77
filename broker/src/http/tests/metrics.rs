//! Every line of every endpoint is what the text format allows, whatever things are called.

use std::collections::{BTreeMap, BTreeSet};

use super::bench::Bench;

/// Names of queues that would end a label, a line or an escape.
const NAMES: [&str; 4] = ["a%22b", "c%5C", "d%0Ae", "%7Bf%3D%22g%22%7D%201"];

/// What a text says: for each metric its kind, for each line its labels and number.
#[derive(Debug, Default)]
struct Parsed {
    kinds: BTreeMap<String, String>,
    numbers: BTreeMap<(String, Vec<(String, String)>), f64>,
}

impl Parsed {
    /// The number of a metric with these labels.
    fn number(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let key = (name.to_owned(), labels);
        *self.numbers.get(&key).unwrap_or_else(|| panic!("no {key:?} in {:?}", self.numbers.keys()))
    }
}

/// A metric is TYPE, HELP, then its numbers; no metric comes twice, no number either.
fn parse(text: &str) -> Parsed {
    assert!(text.ends_with('\n'));
    let (mut parsed, mut current, mut helped) = (Parsed::default(), String::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            let (name, kind) = head.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram", "untyped"].contains(&kind), "{line}");
            assert!(parsed.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            current = name.to_owned();
        } else if let Some(head) = line.strip_prefix("# HELP ") {
            let (name, help) = head.split_once(' ').unwrap();
            assert!(name == current && !help.is_empty() && helped.insert(name.to_owned()), "{line}");
        } else {
            let (name, labels, number) = parse_number(line);
            let is_histogram = parsed.kinds.get(&current).is_some_and(|kind| kind == "histogram");
            let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{line} in {current}"));
            assert!(suffix.is_empty() != is_histogram, "{line}");
            let is_counter = parsed.kinds[&current] == "counter";
            assert_eq!(is_counter, name.ends_with("_total"), "{line}");
            assert!(parsed.numbers.insert((name, labels), number).is_none(), "twice: {line}");
        }
    }
    parsed
}

fn parse_number(line: &str) -> (String, Vec<(String, String)>, f64) {
    let name_end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap();
    let (name, mut rest) = line.split_at(name_end);
    assert!(name.starts_with(|c: char| c.is_ascii_alphabetic()), "{line}");
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, value) = rest.split_once("=\"").unwrap();
            assert!(label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
            let (value, after) = unescape(value);
            labels.push((label.to_owned(), value));
            match after.strip_prefix(',') {
                Some(after) => rest = after,
                None => {
                    rest = after.strip_prefix('}').unwrap();
                    break;
                }
            }
        }
    }
    let number = rest.strip_prefix(' ').unwrap();
    (name.to_owned(), labels, number.parse().unwrap_or_else(|_| panic!("{line}")))
}

/// The value up to its closing quote, and what is behind that.
fn unescape(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return (value, &text[index + 1..]),
            '\\' => value.push(match chars.next().unwrap().1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                other => panic!("\\{other}"),
            }),
            c => value.push(c),
        }
    }
    panic!("no end of {text}")
}

async fn bench() -> Bench {
    let bench = Bench::new().await;
    bench.send("control PUT /vhosts/other {}").await;
    bench.send("control PUT /queues/other/q {}").await;
    for name in NAMES {
        let (status, body) = bench.send(&format!("control PUT /queues/%2F/{name} {{}}")).await;
        assert_eq!(status, 201, "{name}: {body}");
    }
    bench
}

async fn scrape(bench: &Bench, path: &str) -> Parsed {
    let (status, body) = bench.metrics("guest", path).await;
    assert_eq!(status, 200, "{path}: {body}");
    parse(&body)
}

#[tokio::test]
async fn sums_have_rabbitmqs_names() {
    let bench = bench().await;
    let parsed = scrape(&bench, "/metrics").await;
    assert_eq!(parsed.number("rabbitmq_queues", &[]), 5.0);
    assert_eq!(parsed.number("rabbitmq_queues_created_total", &[]), 5.0);
    assert_eq!(parsed.number("rabbitmq_queue_messages_ready", &[]), 0.0);
    assert_eq!(parsed.number("rabbitmq_channel_messages_published_total", &[]), 0.0);
    assert_eq!(parsed.number("rabbitmq_erlang_uptime_seconds", &[]), 90.0);
    assert_eq!(parsed.number("rabbitmq_auth_attempts_succeeded_total", &[("protocol", "http")]), 1.0);
    assert_eq!(parsed.number("rabbitmq_global_messages_received_total", &[("protocol", "amqp091")]), 0.0);
    assert_eq!(parsed.kinds["rabbitmq_identity_info"], "untyped");
}

#[tokio::test]
async fn objects_are_told_apart_whatever_they_are_called() {
    let bench = bench().await;
    let parsed = scrape(&bench, "/metrics/per-object").await;
    for name in ["a\"b", "c\\", "d\ne", "{f=\"g\"} 1"] {
        assert_eq!(parsed.number("rabbitmq_queue_messages", &[("vhost", "/"), ("queue", name)]), 0.0);
    }
    assert_eq!(parsed.number("rabbitmq_queue_consumers", &[("vhost", "other"), ("queue", "q")]), 0.0);
}

#[tokio::test]
async fn details_are_those_of_the_families_and_vhosts_that_are_asked_for() {
    let bench = bench().await;
    let path = "/metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count&vhost=other";
    let parsed = scrape(&bench, path).await;
    let metrics: Vec<&str> = parsed.kinds.keys().map(String::as_str).collect();
    assert_eq!(
        metrics,
        [
            "rabbitmq_build_info",
            "rabbitmq_detailed_queue_consumers",
            "rabbitmq_detailed_queue_messages",
            "rabbitmq_detailed_queue_messages_ready",
            "rabbitmq_detailed_queue_messages_unacked",
            "rabbitmq_identity_info",
        ]
    );
    let vhosts: BTreeSet<&str> = parsed
        .numbers
        .keys()
        .flat_map(|(_, labels)| labels.iter().filter(|(name, _)| name == "vhost"))
        .map(|(_, vhost)| vhost.as_str())
        .collect();
    assert_eq!(vhosts, BTreeSet::from(["other"]));
}

#[tokio::test]
async fn who_monitors_may_read_them_on_the_port_of_the_api() {
    let bench = bench().await;
    for (caller, status) in [("watcher", 200), ("control", 200), ("manager", 401), ("anonymous", 401)] {
        assert_eq!(bench.metrics(caller, "/metrics").await.0, status, "{caller}");
    }
    assert_eq!(bench.metrics("guest", "/metrics/nope").await.0, 404);
}
