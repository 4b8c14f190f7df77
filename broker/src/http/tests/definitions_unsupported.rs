//! Files of RabbitMQ's with what this broker lacks: refused with a list of it, or imported without it.

use expect_test::expect;
use serde_json::{Value, json};

use super::bench::Bench;

/// A vhost of RabbitMQ's with a stream, plugins' exchanges and policies, and what is like others.
fn with_plugins() -> String {
    json!({
        "rabbit_version": "3.13.7",
        "vhosts": [{"name": "v", "description": null, "tags": null, "limits": null, "metadata": {"description": null},
                    "default_queue_type": "stream"}],
        "exchanges": [exchange("delayed", "x-delayed-message"), exchange("plain", "topic")],
        "policies": [
            {"vhost": "v", "name": "up", "pattern": "^up", "apply-to": "exchanges", "priority": 0,
             "definition": {"federation-upstream-set": "all"}},
            {"vhost": "v", "name": "both", "pattern": "^both", "apply-to": "queues", "priority": 0,
             "definition": {"federation-upstream": "u", "max-length": 5, "ha-mode": "all"}},
        ],
        "parameters": [
            {"vhost": "v", "component": "federation-upstream", "name": "u", "value": {"uri": "amqp://other"}},
            {"vhost": "v", "component": "operator_policy", "name": "o",
             "value": {"pattern": ".*", "apply-to": "queues", "priority": 0, "definition": {"ha-mode": "all", "max-length": 9}}},
            {"vhost": "v", "component": "operator_policy", "name": "mirrors",
             "value": {"pattern": ".*", "apply-to": "queues", "priority": 0, "definition": {"ha-mode": "all"}}},
        ],
        "queues": [queue("log", json!({"x-queue-type": "stream"})), queue("orders", json!({"x-queue-type": "quorum"}))],
        "bindings": [binding("plain", "log"), binding("delayed", "orders"), binding("plain", "orders")],
    })
    .to_string()
}

fn exchange(name: &str, kind: &str) -> Value {
    let arguments = json!({"x-delayed-type": "topic"});
    json!({"name": name, "vhost": "v", "type": kind, "durable": true, "auto_delete": false, "internal": false,
           "arguments": if kind == "topic" { json!({}) } else { arguments }})
}

fn queue(name: &str, arguments: Value) -> Value {
    json!({"name": name, "vhost": "v", "durable": true, "auto_delete": false, "arguments": arguments})
}

fn binding(source: &str, destination: &str) -> Value {
    json!({"source": source, "vhost": "v", "destination": destination, "destination_type": "queue", "routing_key": "k",
           "arguments": {}})
}

#[tokio::test]
async fn everything_that_is_not_supported_is_listed_at_once() {
    let bench = Bench::new().await;
    let before = bench.export("/definitions").await;
    let (status, body) = bench.import("/definitions", &with_plugins()).await;
    let reason: Value = serde_json::from_str(&body).unwrap();
    expect![[r#"
        400
        5 of the definitions can't be imported:
        vhosts[0] ('v'): default_queue_type: unsupported queue type 'stream'
        exchanges[0] ('delayed' in vhost 'v'): invalid exchange type 'x-delayed-message'
        policies[0] ('up' in vhost 'v'): federation-upstream-set: there is no federation here
        policies[1] ('both' in vhost 'v'): federation-upstream: there is no federation here
        queues[0] ('log' in vhost 'v'): invalid arg 'x-queue-type' for queue 'log' in vhost 'v': "unsupported queue type 'stream'"
        The rest can be imported without it: skip_unsupported (--skip-unsupported)"#]].assert_eq(&format!("{status}\n{}", reason["reason"].as_str().unwrap()));
    assert_eq!(bench.export("/definitions").await, before);
}

#[tokio::test]
async fn the_rest_is_imported_for_who_asks_for_that() {
    let bench = Bench::new().await;
    let before = bench.export("/definitions").await;
    let dry = bench.import("/liebre/definitions?dry_run=true&skip_unsupported=true", &with_plugins()).await;
    assert_eq!(bench.export("/definitions").await, before, "a dry run changes nothing");
    let (status, body) = bench.import("/liebre/definitions?skip_unsupported=true", &with_plugins()).await;
    assert_eq!(dry, (status, body.clone()));
    let skipped: Value = serde_json::from_str(&body).unwrap();
    let lines: Vec<&str> = skipped["skipped"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    expect![[r#"
        200
        vhosts[0] ('v'): default_queue_type: unsupported queue type 'stream'
        exchanges[0] ('delayed' in vhost 'v'): invalid exchange type 'x-delayed-message'
        policies[0] ('up' in vhost 'v'): federation-upstream-set: there is no federation here
        policies[1] ('both' in vhost 'v'): federation-upstream: there is no federation here
        queues[0] ('log' in vhost 'v'): invalid arg 'x-queue-type' for queue 'log' in vhost 'v': "unsupported queue type 'stream'"
        bindings[0] ('plain' in vhost 'v'): there is no 'log'
        bindings[1] ('delayed' in vhost 'v'): there is no 'delayed'"#]].assert_eq(&format!("{status}\n{}", lines.join("\n")));
    let after = bench.export("/definitions/v").await;
    let names = |list: &str| -> Vec<Value> {
        after[list].as_array().unwrap().iter().map(|object| object["name"].clone()).collect()
    };
    assert_eq!((names("queues"), names("exchanges")), (vec![json!("orders")], vec![json!("plain")]));
    assert_eq!(after["bindings"].as_array().unwrap().len(), 1);
    let policy = json!({"max-length": 5, "ha-mode": "all"});
    assert_eq!((names("policies"), &after["policies"][0]["definition"]), (vec![json!("both")], &policy));
    assert_eq!(bench.export("/operator-policies/v/o").await["definition"], json!({"max-length": 9}));
}

/// What is wrong stays wrong, and is not blamed on what depends on it.
#[tokio::test]
async fn mistakes_are_refused_all_the_same() {
    let bench = Bench::new().await;
    let file = json!({
        "users": [{"name": "u"}],
        "vhosts": [{"name": "v", "default_queue_type": "nope"}],
        "permissions": [{"user": "u", "vhost": "v", "configure": "", "write": "", "read": ""}],
        "queues": [queue("q", json!({"x-max-length": -1}))],
        "bindings": [binding("amq.topic", "q")],
    });
    let (status, body) = bench.import("/liebre/definitions?skip_unsupported=true", &file.to_string()).await;
    let reason: Value = serde_json::from_str(&body).unwrap();
    expect![[r#"
        400
        3 of the definitions can't be imported:
        users[0] ('u'): tags_not_present
        vhosts[0] ('v'): unsupported queue type 'nope'
        queues[0] ('q' in vhost 'v'): invalid arg 'x-max-length' for queue 'q' in vhost 'v': {value_negative,-1}"#]]
    .assert_eq(&format!("{status}\n{}", reason["reason"].as_str().unwrap()));
}

#[tokio::test]
async fn a_dry_run_tells_what_an_import_would() {
    let bench = Bench::new().await;
    let file = r#"{"queues":[{"name":"q","vhost":"nowhere","durable":true,"auto_delete":false}]}"#;
    let real = bench.import("/definitions", file).await;
    assert_eq!(real.0, 400);
    assert_eq!(bench.import("/liebre/definitions?dry_run=true", file).await, real);
    let good = r#"{"vhosts":[{"name":"v"}]}"#;
    let dry = bench.import("/liebre/definitions?dry_run=true&skip_if_unchanged=true", good).await;
    assert_eq!(dry, (200, r#"{"skipped":[]}"#.to_owned()));
    assert_eq!(bench.send("control GET /vhosts/v").await.0, 404);
    for query in
        ["dry_run", "dry_run=1", "dryrun=true", "dry_run=true&nope=true", "dry_run=true&skip_unsupported="]
    {
        let (status, body) = bench.import(&format!("/liebre/definitions?{query}"), good).await;
        assert_eq!(status, 400, "{query}: {body}");
    }
    assert_eq!(bench.send("control GET /vhosts/v").await.0, 404);
    bench
        .check(
            "
            manager POST /liebre/definitions {}
            guest GET /liebre/definitions
            ",
            &expect![[r#"
                manager POST /liebre/definitions {}
                  401 {"error":"not_authorised","reason":"Not administrator user"}
                guest GET /liebre/definitions
                  405 
            "#]],
        )
        .await;
}

#[tokio::test]
async fn unchanged_definitions_are_said_to_be() {
    let bench = Bench::new().await;
    let file = r#"{"vhosts":[{"name":"v"}]}"#;
    let import = async |query: &str| bench.import(&format!("/liebre/definitions?{query}"), file).await;
    let done = (200, r#"{"skipped":[]}"#.to_owned());
    assert_eq!(import("skip_if_unchanged=true&dry_run=false").await, done);
    let unchanged = (200, r#"{"skipped":[],"unchanged":true}"#.to_owned());
    assert_eq!(import("skip_if_unchanged=true").await, unchanged);
    assert_eq!(import("skip_if_unchanged=true&dry_run=true").await, done, "it is checked");
    assert_eq!(import("skip_if_unchanged=false").await, done);
}

/// Who took a part before has not taken the whole; who is content with a part has.
#[tokio::test]
async fn a_part_is_not_the_whole() {
    let bench = Bench::new().await;
    let file = with_plugins();
    let import = async |query: &str| bench.import(&format!("/liebre/definitions?{query}"), &file).await;
    let in_part = import("skip_unsupported=true&skip_if_unchanged=true").await;
    assert!(in_part.0 == 200 && !in_part.1.contains("unchanged"), "{in_part:?}");
    let whole = import("skip_if_unchanged=true").await;
    assert!(whole.0 == 400 && whole.1.contains("5 of the definitions can't be imported"), "{whole:?}");
    let unchanged = (200, r#"{"skipped":[],"unchanged":true}"#.to_owned());
    assert_eq!(import("skip_unsupported=true&skip_if_unchanged=true").await, unchanged);
    let good = r#"{"vhosts":[{"name":"w"}]}"#;
    bench.import("/liebre/definitions?skip_if_unchanged=true", good).await;
    let in_part = "/liebre/definitions?skip_if_unchanged=true&skip_unsupported=true";
    assert_eq!(bench.import(in_part, good).await, unchanged, "the whole is more than a part");
}

#[tokio::test]
async fn what_is_there_with_other_properties_is_named_and_stays() {
    let bench = Bench::new().await;
    let file = |max: u32| {
        json!({
            "vhosts": [{"name": "v"}],
            "exchanges": [exchange("e", if max == 5 { "topic" } else { "fanout" })],
            "queues": [queue("q", json!({"x-max-length": max})), queue("same", json!({}))],
        })
        .to_string()
    };
    assert_eq!(bench.import("/definitions", &file(5)).await, (204, String::new()));
    assert_eq!(bench.import("/liebre/definitions", &file(5)).await, (200, r#"{"skipped":[]}"#.to_owned()));
    let differs = bench.import("/liebre/definitions?dry_run=true", &file(7)).await;
    expect![[r#"{"skipped":[],"kept":["exchanges[0] ('e' in vhost 'v'): inequivalent arg 'type' for exchange 'e' in vhost 'v': received 'fanout' but current is 'topic'","queues[0] ('q' in vhost 'v'): inequivalent arg 'x-max-length' for queue 'q' in vhost 'v': received '7' but current is '5'"]}"#]].assert_eq(&differs.1);
    assert_eq!(bench.import("/liebre/definitions", &file(7)).await, differs);
    assert_eq!(bench.import("/definitions", &file(7)).await, (204, String::new()), "as RabbitMQ answers");
    assert_eq!(bench.export("/queues/v/q").await["arguments"], json!({"x-max-length": 5}));
}

#[tokio::test]
async fn exports_of_any_size_can_be_checked() {
    let bench = Bench::new().await;
    let file = format!(r#"{{"vhosts":[{{"name":"v"}}]{}}}"#, " ".repeat(300 << 10));
    let (status, body) = bench.import("/liebre/definitions?dry_run=true", &file).await;
    assert_eq!((status, body.as_str()), (200, r#"{"skipped":[]}"#));
    // Who may not import may not send so much either.
    let refused = bench.request("manager", "POST", "/liebre/definitions", axum::body::Body::from(file)).await;
    assert_eq!(refused.status(), 413);
}
