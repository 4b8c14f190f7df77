//! Definitions of RabbitMQ in and out, and what is said of those that can't be.

use axum::{
    body::{Body, to_bytes},
    http::header,
};
use expect_test::{expect, expect_file};
use serde_json::{Map, Value, json};

use super::bench::Bench;

/// Recorded from RabbitMQ 3.10.8: its HTTP API, its command line, and one of its vhosts. The last is of 4.2, by hand.
const RABBITMQ_3: &str = include_str!("../../../tests/definitions/rabbitmq-3.10.json");
const RABBITMQ_3_CTL: &str = include_str!("../../../tests/definitions/rabbitmq-3.10-ctl.json");
const RABBITMQ_3_VHOST: &str = include_str!("../../../tests/definitions/rabbitmq-3.10-vhost.json");
const RABBITMQ_4: &str = include_str!("../../../tests/definitions/rabbitmq-4.2.json");

impl Bench {
    pub(super) async fn import(&self, path: &str, definitions: &str) -> (u16, String) {
        let response = self.request("guest", "POST", path, Body::from(definitions.to_owned())).await;
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    pub(super) async fn export(&self, path: &str) -> Value {
        let (status, body) = self.send(&format!("control GET {path}")).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

/// The objects of a list that are not the bench's own, in an order that has nothing to do with who wrote them.
fn objects(definitions: &Value, list: &str) -> Vec<String> {
    let own = |object: &Value| {
        let is_of =
            |field: &str, names: &[&str]| object[field].as_str().is_some_and(|name| names.contains(&name));
        is_of("name", &["manager", "watcher", "nobody"]) || is_of("user", &["manager"])
    };
    let objects = definitions[list].as_array().unwrap_or_else(|| panic!("no {list}"));
    let mut texts: Vec<String> =
        objects.iter().filter(|object| !own(object)).map(|object| sorted(object).to_string()).collect();
    texts.sort();
    texts
}

/// The same value with sorted keys.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> =
                object.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(entries.into_iter().collect::<Map<_, _>>())
        }
        Value::Array(values) => values.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[tokio::test]
async fn what_rabbitmq_exported_comes_back_equal() {
    // The command line writes what an operator policy sets as pairs.
    let ctl = RABBITMQ_3_CTL.split_whitespace().collect::<Vec<_>>().join(" ");
    let ctl = ctl
        .replace(r#""definition": [ [ "max-length", 100000 ] ]"#, r#""definition": {"max-length": 100000}"#);
    assert!(ctl.contains("{\"max-length\": 100000}"));
    for (text, ctl) in [(RABBITMQ_3, RABBITMQ_3), (RABBITMQ_3_CTL, ctl.as_str())] {
        let bench = Bench::new().await;
        assert_eq!(bench.import("/definitions", text).await, (204, String::new()));
        let (before, after) =
            (serde_json::from_str::<Value>(ctl).unwrap(), bench.export("/definitions").await);
        let mut before = before;
        // The command line adds what follows from the arguments, and leaves out what all its exchanges are.
        let exchanges = before["exchanges"].as_array_mut().unwrap();
        exchanges.iter_mut().for_each(|exchange| {
            exchange.as_object_mut().unwrap().entry("internal").or_insert(false.into());
        });
        let queues = before["queues"].as_array_mut().unwrap();
        queues.iter_mut().for_each(|queue| drop(queue.as_object_mut().unwrap().remove("type")));
        for list in [
            "users",
            "permissions",
            "topic_permissions",
            "parameters",
            "global_parameters",
            "policies",
            "queues",
            "exchanges",
        ] {
            assert_eq!(objects(&before, list), objects(&after, list), "{list}");
        }
        // The command line leaves out internal exchanges, but not what is bound to them.
        let (mut bindings, exported) = (objects(&before, "bindings"), objects(&after, "bindings"));
        if text == RABBITMQ_3_CTL {
            bindings.retain(|binding| !binding.contains(r#""fanout""#));
            assert_eq!(bindings.len() + 2, objects(&before, "bindings").len());
        }
        assert_eq!(bindings, exported);
        let names = |definitions: &Value| {
            let vhosts = definitions["vhosts"].as_array().unwrap();
            let mut names: Vec<_> = vhosts.iter().map(|vhost| vhost["name"].to_string()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&before), names(&after));
    }
}

#[tokio::test]
async fn descriptions_and_tags_of_vhosts_are_read_where_rabbitmqs_command_line_writes_them() {
    let bench = Bench::new().await;
    bench.import("/definitions", RABBITMQ_3_CTL).await;
    bench
        .check(
            "
            control GET /vhosts/a?columns=description,tags,default_queue_type
            control GET /vhost-limits/a
            ",
            &expect![[r#"
                control GET /vhosts/a?columns=description,tags,default_queue_type
                  200 {"description":"A vhost","tags":["production","eu"],"default_queue_type":"classic"}
                control GET /vhost-limits/a
                  200 [{"vhost":"a","value":{"max-connections":20,"max-queues":50}}]
            "#]],
        )
        .await;
}

#[tokio::test]
async fn a_file_of_4_x_is_read_with_all_that_is_in_it() {
    let bench = Bench::new().await;
    assert_eq!(bench.import("/definitions", RABBITMQ_4).await, (204, String::new()));
    let export = serde_json::to_string_pretty(&bench.export("/definitions/shop").await).unwrap();
    expect_file!["../../../tests/definitions/exported-vhost.json"].assert_eq(&(export + "\n"));
    bench
        .check(
            "
            guest GET /cluster-name
            guest GET /users/app
            guest GET /queues/shop/slow.reports?columns=policy,operator_policy,effective_policy_definition
            guest GET /permissions/shop/app
            guest GET /topic-permissions/shop/app
            guest GET /parameters/shovel
            guest DELETE /parameters/shovel/shop/backup
            guest DELETE /vhosts/shop
            guest GET /parameters
            ",
            &expect![[r#"
                guest GET /cluster-name
                  200 {"name":"shop"}
                guest GET /users/app
                  200 {"name":"app","password_hash":"","hashing_algorithm":"rabbit_password_hashing_sha256","tags":[],"limits":{"max-connections":5}}
                guest GET /queues/shop/slow.reports?columns=policy,operator_policy,effective_policy_definition
                  200 {"policy":"lazy","operator_policy":"cap","effective_policy_definition":{"max-length":10,"queue-version":2}}
                guest GET /permissions/shop/app
                  200 {"user":"app","vhost":"shop","configure":"","write":"^orders$","read":""}
                guest GET /topic-permissions/shop/app
                  200 [{"user":"app","vhost":"shop","exchange":"events","write":"^{username}\\.","read":""}]
                guest GET /parameters/shovel
                  200 [{"value":{"src-uri":"amqp://","src-queue":"orders","dest-uri":["amqp://backup"],"dest-queue":"orders"},"vhost":"shop","component":"shovel","name":"backup"}]
                guest DELETE /parameters/shovel/shop/backup
                  204 
                guest DELETE /vhosts/shop
                  412 {"error":"precondition_failed","reason":"refusing to delete virtual host 'shop' because it is protected from deletion"}
                guest GET /parameters
                  200 [{"value":{"max-connections":10,"max-queues":100},"vhost":"shop","component":"vhost-limits","name":"limits"},{"value":{"pattern":".*","definition":{"max-length":100000},"priority":0,"apply-to":"queues"},"vhost":"shop","component":"operator_policy","name":"cap"},{"value":{"uri":"amqp://upstream","expires":3600000},"vhost":"shop","component":"federation-upstream","name":"up"}]
            "#]],
        )
        .await;
}

#[tokio::test]
async fn an_export_names_its_origin_first() {
    let bench = Bench::new().await;
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    let all = bench.export("/definitions").await;
    expect!["rabbit_version rabbitmq_version product_name product_version rabbitmq_definition_format original_cluster_name explanation users vhosts permissions topic_permissions parameters global_parameters policies queues exchanges bindings"].assert_eq(&keys(&all));
    expect!["rabbit_version rabbitmq_version product_name product_version rabbitmq_definition_format original_vhost_name explanation metadata description default_queue_type limits parameters policies queues exchanges bindings"].assert_eq(&keys(&bench.export("/definitions/%2F").await));
    assert_eq!(bench.export("/all-configuration").await, all);
    let response = bench.respond("guest GET /definitions?download=my%20file.json").await;
    assert_eq!(response.headers().get(header::CONTENT_DISPOSITION), None);
    let response = bench.respond("guest GET /definitions?download=my.json").await;
    assert_eq!(response.headers()[header::CONTENT_DISPOSITION], "attachment; filename=my.json");
}

#[tokio::test]
async fn definitions_of_one_vhost_are_imported_into_any() {
    let bench = Bench::new().await;
    bench.send("guest PUT /vhosts/other {}").await;
    assert_eq!(bench.import("/definitions/other", RABBITMQ_3_VHOST).await, (204, String::new()));
    let before: Value = serde_json::from_str(RABBITMQ_3_VHOST).unwrap();
    let after = bench.export("/definitions/other").await;
    for list in ["queues", "exchanges", "bindings"] {
        assert_eq!(objects(&before, list), objects(&after, list), "{list}");
    }
    assert!(after["queues"].as_array().unwrap().iter().all(|queue| queue.get("vhost").is_none()));
    assert_eq!(bench.import("/definitions/other", &after.to_string()).await, (204, String::new()));
    assert_eq!(bench.export("/definitions/other").await, after);
    let (status, _) = bench.send("guest GET /vhosts/a").await;
    assert_eq!(status, 404, "the vhosts of the file are not its business");
}

/// Other properties for what there is already.
fn definitions_of_what_is_there() -> Value {
    json!({
        "users": [{"name": "manager", "password_hash": "", "tags": ["monitoring"]}],
        "permissions": [{"user": "manager", "vhost": "/", "configure": "c", "write": "w", "read": "r"}],
        "policies": [{"vhost": "/", "name": "p", "pattern": "^q", "definition": {"max-length": 7}, "priority": 1}],
        "global_parameters": [{"name": "g", "value": 2}],
        "queues": [{"name": "q", "vhost": "/", "durable": true, "auto_delete": true, "arguments": {}}],
        "exchanges": [
            {"name": "x", "vhost": "/", "type": "fanout", "durable": true, "auto_delete": false, "internal": false},
            {"name": "amq.direct", "vhost": "/", "type": "fanout", "durable": true, "auto_delete": false},
            {"name": "", "vhost": "/", "type": "direct", "durable": true, "auto_delete": false},
            {"name": "amq.mine", "vhost": "/", "type": "direct", "durable": true, "auto_delete": false},
        ],
        "bindings": [
            {"source": "", "vhost": "/", "destination": "q", "destination_type": "queue", "routing_key": "q"},
            {"source": "x", "vhost": "/", "destination": "q", "destination_type": "queue"},
        ],
    })
}

#[tokio::test]
async fn what_is_there_stays_or_is_replaced() {
    let bench = Bench::new().await;
    let definitions = definitions_of_what_is_there();
    bench
        .check(
            r#"
            guest PUT /queues/%2F/q {"durable":true,"arguments":{"x-max-length":3}}
            guest PUT /exchanges/%2F/x {"type":"topic","durable":true}
            guest PUT /policies/%2F/p {"pattern":"^q","definition":{"max-length":5}}
            guest PUT /global-parameters/g {"value":1}
            "#,
            &expect![[r#"
                guest PUT /queues/%2F/q {"durable":true,"arguments":{"x-max-length":3}}
                  201 
                guest PUT /exchanges/%2F/x {"type":"topic","durable":true}
                  201 
                guest PUT /policies/%2F/p {"pattern":"^q","definition":{"max-length":5}}
                  201 
                guest PUT /global-parameters/g {"value":1}
                  201 
            "#]],
        )
        .await;
    assert_eq!(bench.import("/definitions", &definitions.to_string()).await, (204, String::new()));
    bench
        .check(
            "
            guest GET /queues/%2F?columns=name,auto_delete,arguments,effective_policy_definition
            guest GET /exchanges/%2F/x
            guest GET /exchanges/%2F/amq.direct?columns=type
            guest GET /exchanges/%2F/amq.mine
            guest GET /bindings/%2F?columns=source,destination,routing_key
            guest GET /users/manager
            guest GET /permissions/%2F/manager
            guest GET /global-parameters
            ",
            &expect![[r#"
                guest GET /queues/%2F?columns=name,auto_delete,arguments,effective_policy_definition
                  200 [{"name":"q","auto_delete":false,"arguments":{"x-max-length":3},"effective_policy_definition":{"max-length":7}}]
                guest GET /exchanges/%2F/x
                  200 {"name":"x","vhost":"/","type":"topic","durable":true,"auto_delete":false,"internal":false,"arguments":{},"incoming":[],"outgoing":[]}
                guest GET /exchanges/%2F/amq.direct?columns=type
                  200 {"type":"direct"}
                guest GET /exchanges/%2F/amq.mine
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /bindings/%2F?columns=source,destination,routing_key
                  200 [{"source":"","destination":"q","routing_key":"q"},{"source":"x","destination":"q","routing_key":""}]
                guest GET /users/manager
                  200 {"name":"manager","password_hash":"","hashing_algorithm":"rabbit_password_hashing_sha256","tags":["monitoring"],"limits":{}}
                guest GET /permissions/%2F/manager
                  200 {"user":"manager","vhost":"/","configure":"c","write":"w","read":"r"}
                guest GET /global-parameters
                  200 [{"name":"g","value":2}]
            "#]],
        )
        .await;
    let before = bench.export("/definitions").await;
    assert_eq!(bench.import("/definitions", &definitions.to_string()).await, (204, String::new()));
    assert_eq!(bench.export("/definitions").await, before, "a second time");
}

/// Lists of a file that also has a vhost and a user, both new, and in them what can't be.
const REFUSED: &[&str] = &[
    "",
    r#""queues":5"#,
    r#""queues":null"#,
    r#""queues":[5]"#,
    r#""queues":[{}]"#,
    r#""queues":[{"name":"q","vhost":"nowhere","durable":true,"auto_delete":false}]"#,
    r#""queues":[{"name":"q","vhost":"/"}]"#,
    r#""queues":[{"name":5,"vhost":"/","durable":true,"auto_delete":false}]"#,
    r#""queues":[{"name":"q","vhost":"/","durable":true,"auto_delete":false,"arguments":5}]"#,
    r#""queues":[{"name":"q","vhost":"/","durable":true,"auto_delete":false,"arguments":{"x":null}}]"#,
    r#""queues":[{"name":"q","vhost":"/","durable":true,"auto_delete":false,"arguments":{"x-max-length":-1}}]"#,
    r#""queues":[{"name":"q","vhost":"/","durable":true,"auto_delete":false,"arguments":{"x-queue-type":"stream"}}]"#,
    r#""queues":[{"name":"a","vhost":"/","durable":true,"auto_delete":false},{"name":"b","vhost":"/","durable":true,"auto_delete":false},{"name":"c","vhost":"/","durable":true,"auto_delete":false}]"#,
    r#""queues":[{"name":"q","vhost":"/","durable":"maybe","auto_delete":false}]"#,
    r#""exchanges":[{"name":"x","vhost":"/","type":"nope","durable":true,"auto_delete":false}]"#,
    r#""exchanges":[{"name":"x","vhost":"new","type":"topic","durable":true,"auto_delete":false,"arguments":{"alternate-exchange":5}}]"#,
    r#""bindings":[{"source":"x","vhost":"new","destination":"q","destination_type":"queue"}]"#,
    r#""bindings":[{"source":"amq.topic","vhost":"/","destination":"q","destination_type":"queue"}]"#,
    r#""bindings":[{"source":"amq.topic","vhost":"/","destination":"q","destination_type":"nope"}]"#,
    r#""bindings":[{"source":"amq.headers","vhost":"/","destination":"amq.topic","destination_type":"exchange","arguments":{"x-match":"nope"}}]"#,
    r#""permissions":[{"user":"nobody-at-all","vhost":"/","configure":"","write":"","read":""}]"#,
    r#""permissions":[{"user":"new","vhost":"new","configure":"[","write":"","read":""}]"#,
    r#""permissions":[{"user":"new","vhost":"new","write":"","read":""}]"#,
    r#""topic_permissions":[{"user":"new","vhost":"/","exchange":"x","write":"[","read":""}]"#,
    r#""parameters":[{"component":"nope","vhost":"new","name":"n","value":{}}]"#,
    r#""parameters":[{"component":"vhost-limits","vhost":"/","name":"limits","value":{"nope":1}}]"#,
    r#""parameters":[{"component":"operator_policy","vhost":"/","name":"o","value":{"pattern":"a","definition":{"max-length":1}}}]"#,
    r#""parameters":[{"component":"policy","vhost":"/","name":"o","value":{}}]"#,
    r#""policies":[{"vhost":"/","name":"p","pattern":"[","definition":{"max-length":1}}]"#,
    r#""policies":[{"vhost":"/","name":"p","pattern":"a","definition":{"nope":1}}]"#,
    r#""global_parameters":[{"value":1}]"#,
    r#""users":[{"name":"u"}]"#,
    r#""users":[{"tags":""}]"#,
    r#""users":[{"name":"u","tags":5}]"#,
    r#""users":[{"name":"u","tags":"a","password_hash":"x!"}]"#,
    r#""users":[{"name":"u","tags":"a","password_hash":"aaaa","hashing_algorithm":"nope"}]"#,
    r#""users":[{"name":"u","tags":"a","limits":{"nope":1}}]"#,
    r#""vhosts":[{}]"#,
    r#""vhosts":[{"name":"v","default_queue_type":"nope"}]"#,
    r#""vhosts":[{"name":"v","limits":{"max-queues":"x"}}]"#,
];

#[tokio::test]
async fn what_can_not_be_is_refused_and_nothing_has_happened() {
    let bench = Bench::new().await;
    bench.send(r#"guest PUT /vhost-limits/%2F/max-queues {"value":2}"#).await;
    let before = bench.export("/definitions").await;
    let mut transcript = String::new();
    for part in REFUSED {
        let good = match part.split(':').next() {
            Some(r#""users""#) => r#""vhosts":[{"name":"new"}]"#,
            Some(r#""vhosts""#) => r#""users":[{"name":"new","tags":""}]"#,
            _ => r#""vhosts":[{"name":"new"}],"users":[{"name":"new","tags":""}]"#,
        };
        let (status, body) = bench.import("/definitions", &format!("{{{good},{part}}}")).await;
        transcript.push_str(&format!("{part}\n  {status} {body}\n"));
        assert_eq!(bench.export("/definitions").await, before, "{part}");
    }
    expect_file!["../../../tests/definitions/refused.txt"].assert_eq(&transcript);
}

#[tokio::test]
async fn only_json_objects_are_definitions() {
    let bench = Bench::new().await;
    for text in ["null", "[]", "5", "\"x\"", "{bad", "{\"a\":1", " ", "{} {}", "{\"a\":1e400}"] {
        let (status, body) = bench.import("/definitions", text).await;
        assert_eq!(
            (status, body.as_str()),
            (400, r#"{"error":"bad_request","reason":"failed_to_parse_json"}"#),
            "{text}"
        );
    }
    for text in ["", "{}", "\u{feff}{}", r#"{"nope":[1],"rabbit_version":5}"#] {
        assert_eq!(bench.import("/definitions", text).await, (204, String::new()), "{text}");
    }
    bench
        .check(
            "
            guest GET /definitions/nowhere
            guest POST /definitions/nowhere {}
            manager GET /definitions
            watcher GET /definitions/%2F
            manager POST /definitions {}
            guest DELETE /definitions
            ",
            &expect![[r#"
                guest GET /definitions/nowhere
                  400 {"error":"bad_request","reason":"vhost_not_found"}
                guest POST /definitions/nowhere {}
                  404 {"error":"not_found","reason":"vhost_not_found"}
                manager GET /definitions
                  401 {"error":"not_authorised","reason":"Not administrator user"}
                watcher GET /definitions/%2F
                  401 {"error":"not_authorised","reason":"Not administrator user"}
                manager POST /definitions {}
                  401 {"error":"not_authorised","reason":"Not administrator user"}
                guest DELETE /definitions
                  405 
            "#]],
        )
        .await;
}

#[tokio::test]
async fn hashes_without_an_algorithm_are_of_the_versions_time() {
    for (version, algorithm) in [
        ("3.5.7", "rabbit_password_hashing_md5"),
        ("2.8.1", "rabbit_password_hashing_md5"),
        ("3.6.0", "rabbit_password_hashing_sha256"),
        ("4.2.1", "rabbit_password_hashing_sha256"),
    ] {
        let bench = Bench::new().await;
        let hash = if algorithm.ends_with("md5") {
            "kI3GCnqs5I3wWWxYHWiOeKJhEgg="
        } else {
            "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
        };
        let user = json!({"name": "u", "password_hash": hash, "tags": "administrator"});
        let definitions = json!({"rabbit_version": version, "users": [user]});
        assert_eq!(bench.import("/definitions", &definitions.to_string()).await, (204, String::new()));
        let user = bench.export("/users/u").await;
        assert_eq!((&user["hashing_algorithm"], &user["password_hash"]), (&json!(algorithm), &json!(hash)));
    }
}

#[tokio::test]
async fn unchanged_definitions_are_skipped_for_who_asks_for_that() {
    let bench = Bench::new().await;
    let definitions = r#"{"vhosts":[{"name":"v"}]}"#;
    let count = async || bench.export("/vhosts").await.as_array().unwrap().len();
    bench.import("/definitions?skip_if_unchanged=true", definitions).await;
    bench.send("guest DELETE /vhosts/v").await;
    let without = count().await;
    bench.import("/definitions?skip_if_unchanged=true", definitions).await;
    assert_eq!(count().await, without, "skipped");
    assert!(!bench.export("/definitions").await["global_parameters"].to_string().contains("hash"));
    bench.import("/definitions", definitions).await;
    assert_eq!(count().await, without + 1);
}

#[tokio::test]
async fn a_disk_that_fails_is_told_of() {
    let bench = Bench::new().await;
    bench.store.is_broken.store(true, std::sync::atomic::Ordering::Relaxed);
    let (status, body) = bench.import("/definitions", r#"{"vhosts":[{"name":"v"}]}"#).await;
    assert_eq!(status, 500, "{body}");
}
