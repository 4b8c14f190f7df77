//! Publishing and getting.

use expect_test::expect;
use serde_json::{Value, json};

use super::bench::Bench;
use crate::connection::alarm::Alarm;

/// Publishes a text with the routing key.
fn publish(key: &str, payload: &str) -> String {
    let message = json!({
        "properties": {}, "routing_key": key, "payload": payload, "payload_encoding": "string"
    });
    format!("guest POST /exchanges/%2F/amq.default/publish {message}")
}

/// Gets so many messages of a queue.
fn get(queue: &str, count: usize, ackmode: &str) -> String {
    let wish = json!({ "count": count, "ackmode": ackmode, "encoding": "auto" });
    format!("guest POST /queues/%2F/{queue}/get {wish}")
}

/// The payloads, and which of them are redelivered.
async fn got(bench: &Bench, queue: &str, count: usize, ackmode: &str) -> String {
    let (status, body) = bench.send(&get(queue, count, ackmode)).await;
    assert_eq!(status, 200, "{body}");
    let messages: Vec<Value> = serde_json::from_str(&body).unwrap();
    let text = |message: &Value| {
        let mark = if message["redelivered"] == true { "*" } else { "" };
        format!("{}{mark}", message["payload"].as_str().unwrap())
    };
    messages.iter().map(text).collect::<Vec<_>>().join(" ")
}

async fn with_messages(queue: &str, payloads: &[&str]) -> Bench {
    let bench = Bench::new().await;
    bench.send(&format!("guest PUT /queues/%2F/{queue} {{\"durable\":true}}")).await;
    for payload in payloads {
        assert_eq!(bench.send(&publish(queue, payload)).await, (200, r#"{"routed":true}"#.to_owned()));
    }
    bench
}

#[tokio::test]
async fn a_publish_says_whether_a_queue_has_the_message() {
    let bench = with_messages("q", &[]).await;
    bench
        .check(
            r#"
            guest POST /exchanges/%2F/amq.default/publish {"properties":{"delivery_mode":2},"routing_key":"q","payload":"hi","payload_encoding":"string"}
            guest POST /exchanges/%2F/amq.default/publish {"properties":[],"routing_key":"none","payload":"hi","payload_encoding":"string"}
            guest POST /exchanges/%2F/amq.fanout/publish {"properties":{},"routing_key":"q","payload":"aGk=","payload_encoding":"base64"}
            control POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"q","payload":"hi","payload_encoding":"string"}
            guest GET /queues/%2F/q?columns=messages
            guest GET /connections
            "#,
            &expect![[r#"
                guest POST /exchanges/%2F/amq.default/publish {"properties":{"delivery_mode":2},"routing_key":"q","payload":"hi","payload_encoding":"string"}
                  200 {"routed":true}
                guest POST /exchanges/%2F/amq.default/publish {"properties":[],"routing_key":"none","payload":"hi","payload_encoding":"string"}
                  200 {"routed":false}
                guest POST /exchanges/%2F/amq.fanout/publish {"properties":{},"routing_key":"q","payload":"aGk=","payload_encoding":"base64"}
                  200 {"routed":false}
                control POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"q","payload":"hi","payload_encoding":"string"}
                  200 {"routed":true}
                guest GET /queues/%2F/q?columns=messages
                  200 {"messages":2}
                guest GET /connections
                  200 []
            "#]],
        )
        .await;
}

#[tokio::test]
async fn what_amqp_refuses_is_refused() {
    let bench = with_messages("full", &[]).await;
    bench
        .check(
            r#"
            guest PUT /exchanges/%2F/internal {"type":"direct","internal":true}
            guest PUT /queues/%2F/one {"arguments":{"x-max-length":1,"x-overflow":"reject-publish"}}
            control PUT /users/topics {"tags":"management","password":"pw"}
            control PUT /permissions/%2F/topics {"configure":"","write":"^amq.topic$","read":""}
            control PUT /topic-permissions/%2F/topics {"exchange":"amq.topic","write":"^ok","read":""}
            guest POST /exchanges/%2F/internal/publish {"properties":{},"routing_key":"q","payload":"hi","payload_encoding":"string"}
            guest POST /exchanges/%2F/none/publish {"properties":{},"routing_key":"q","payload":"hi","payload_encoding":"string"}
            guest POST /exchanges/nope/none/publish {"properties":{},"routing_key":"q","payload":"hi","payload_encoding":"string"}
            guest POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"one","payload":"hi","payload_encoding":"string"}
            guest POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"one","payload":"hi","payload_encoding":"string"}
            guest POST /exchanges/%2F/amq.default/publish {"properties":{"user_id":"manager"},"routing_key":"one","payload":"hi","payload_encoding":"string"}
            guest POST /exchanges/%2F/amq.default/publish {"properties":{"expiration":"soon"},"routing_key":"one","payload":"hi","payload_encoding":"string"}
            guest POST /exchanges/%2F/amq.default/publish {"properties":{"reply_to":"amq.rabbitmq.reply-to"},"routing_key":"one","payload":"hi","payload_encoding":"string"}
            manager POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"q","payload":"hi","payload_encoding":"string"}
            topics POST /exchanges/%2F/amq.topic/publish {"properties":{},"routing_key":"ok.1","payload":"hi","payload_encoding":"string"}
            topics POST /exchanges/%2F/amq.topic/publish {"properties":{},"routing_key":"no.1","payload":"hi","payload_encoding":"string"}
            watcher POST /exchanges/%2F/amq.topic/publish {"properties":{},"routing_key":"no.1","payload":"hi","payload_encoding":"string"}
            "#,
            &expect![[r#"
                guest PUT /exchanges/%2F/internal {"type":"direct","internal":true}
                  201 
                guest PUT /queues/%2F/one {"arguments":{"x-max-length":1,"x-overflow":"reject-publish"}}
                  201 
                control PUT /users/topics {"tags":"management","password":"pw"}
                  201 
                control PUT /permissions/%2F/topics {"configure":"","write":"^amq.topic$","read":""}
                  201 
                control PUT /topic-permissions/%2F/topics {"exchange":"amq.topic","write":"^ok","read":""}
                  201 
                guest POST /exchanges/%2F/internal/publish {"properties":{},"routing_key":"q","payload":"hi","payload_encoding":"string"}
                  400 {"error":"bad_request","reason":"403 ACCESS_REFUSED - cannot publish to internal exchange 'internal' in vhost '/'"}
                guest POST /exchanges/%2F/none/publish {"properties":{},"routing_key":"q","payload":"hi","payload_encoding":"string"}
                  400 {"error":"bad_request","reason":"404 NOT_FOUND - no exchange 'none' in vhost '/'"}
                guest POST /exchanges/nope/none/publish {"properties":{},"routing_key":"q","payload":"hi","payload_encoding":"string"}
                  404 {"error":"not_found","reason":"vhost_not_found"}
                guest POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"one","payload":"hi","payload_encoding":"string"}
                  200 {"routed":true}
                guest POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"one","payload":"hi","payload_encoding":"string"}
                  400 {"error":"bad_request","reason":"rejected Unable to publish message. Check queue limits."}
                guest POST /exchanges/%2F/amq.default/publish {"properties":{"user_id":"manager"},"routing_key":"one","payload":"hi","payload_encoding":"string"}
                  400 {"error":"bad_request","reason":"406 PRECONDITION_FAILED - user_id property set to 'manager' but authenticated user was 'guest'"}
                guest POST /exchanges/%2F/amq.default/publish {"properties":{"expiration":"soon"},"routing_key":"one","payload":"hi","payload_encoding":"string"}
                  400 {"error":"bad_request","reason":"406 PRECONDITION_FAILED - invalid expiration 'soon': no_integer"}
                guest POST /exchanges/%2F/amq.default/publish {"properties":{"reply_to":"amq.rabbitmq.reply-to"},"routing_key":"one","payload":"hi","payload_encoding":"string"}
                  400 {"error":"bad_request","reason":"406 PRECONDITION_FAILED - fast reply consumer does not exist"}
                manager POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"q","payload":"hi","payload_encoding":"string"}
                  400 {"error":"bad_request","reason":"403 ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'manager'"}
                topics POST /exchanges/%2F/amq.topic/publish {"properties":{},"routing_key":"ok.1","payload":"hi","payload_encoding":"string"}
                  200 {"routed":false}
                topics POST /exchanges/%2F/amq.topic/publish {"properties":{},"routing_key":"no.1","payload":"hi","payload_encoding":"string"}
                  400 {"error":"bad_request","reason":"403 ACCESS_REFUSED - write access to topic 'no.1' in exchange 'amq.topic' in vhost '/' refused for user 'topics'"}
                watcher POST /exchanges/%2F/amq.topic/publish {"properties":{},"routing_key":"no.1","payload":"hi","payload_encoding":"string"}
                  401 {"error":"not_authorised","reason":"User not authorised to access virtual host"}
            "#]],
        )
        .await;
}

#[tokio::test]
async fn a_message_that_is_none_is_refused() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest POST /exchanges/%2F/amq.default/publish
            guest POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"q","payload":"hi"}
            guest POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"q","payload":5,"payload_encoding":"string"}
            guest POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"q","payload":"hi","payload_encoding":"gzip"}
            guest POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"q","payload":"!","payload_encoding":"base64"}
            guest POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":5,"payload":"","payload_encoding":"string"}
            guest POST /exchanges/%2F/amq.default/publish {"properties":7,"routing_key":"q","payload":"","payload_encoding":"string"}
            guest POST /exchanges/%2F/amq.default/publish []
            guest GET /exchanges/%2F/amq.default/publish
            "#,
            &expect![[r#"
                guest POST /exchanges/%2F/amq.default/publish
                  400 {"error":"bad_request","reason":"[{key_missing,routing_key},\n {key_missing,properties},\n {key_missing,payload},\n {key_missing,payload_encoding}]"}
                guest POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"q","payload":"hi"}
                  400 {"error":"bad_request","reason":"[{key_missing,payload_encoding}]"}
                guest POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"q","payload":5,"payload_encoding":"string"}
                  400 {"error":"bad_request","reason":"payload_not_string"}
                guest POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"q","payload":"hi","payload_encoding":"gzip"}
                  400 {"error":"bad_request","reason":["unsupported_encoding","gzip"]}
                guest POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"q","payload":"!","payload_encoding":"base64"}
                  400 {"error":"bad_request","reason":["not_base64","!"]}
                guest POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":5,"payload":"","payload_encoding":"string"}
                  400 {"error":"bad_request","reason":["not_string",5]}
                guest POST /exchanges/%2F/amq.default/publish {"properties":7,"routing_key":"q","payload":"","payload_encoding":"string"}
                  400 {"error":"bad_request","reason":["not_an_object",7]}
                guest POST /exchanges/%2F/amq.default/publish []
                  400 {"error":"bad_request","reason":"not_json"}
                guest GET /exchanges/%2F/amq.default/publish
                  405 
            "#]],
        )
        .await;
    let long = json!({
        "properties": {}, "routing_key": "k".repeat(256), "payload": "", "payload_encoding": "string"
    });
    let line = format!("guest POST /exchanges/%2F/amq.default/publish {long}");
    let expected = r#"{"error":"bad_request","reason":"the routing key is longer than 255 bytes"}"#;
    assert_eq!(bench.send(&line).await, (400, expected.to_owned()));
}

#[tokio::test]
async fn a_message_comes_back_as_it_went() {
    let bench = with_messages("q", &[]).await;
    bench
        .check(
            r#"
            guest POST /exchanges/%2F/amq.default/publish {"properties":{"priority":3,"headers":{"n":1,"t":true,"l":[1,"a"]},"content_type":"text/plain"},"routing_key":"q","payload":"añb","payload_encoding":"string"}
            guest POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"q","payload":"+vv8\n /f7/","payload_encoding":"base64"}
            guest POST /queues/%2F/q/get {"count":5,"ackmode":"ack_requeue_true","encoding":"auto"}
            guest POST /queues/%2F/q/get {"count":5,"ackmode":"ack_requeue_true","encoding":"base64"}
            guest POST /queues/%2F/q/get {"count":"2","ackmode":"ack_requeue_true","encoding":"auto","truncate":2}
            guest POST /queues/%2F/q/get {"count":0,"ackmode":"ack_requeue_true","encoding":"auto"}
            "#,
            &expect![[r#"
                guest POST /exchanges/%2F/amq.default/publish {"properties":{"priority":3,"headers":{"n":1,"t":true,"l":[1,"a"]},"content_type":"text/plain"},"routing_key":"q","payload":"añb","payload_encoding":"string"}
                  200 {"routed":true}
                guest POST /exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"q","payload":"+vv8\n /f7/","payload_encoding":"base64"}
                  200 {"routed":true}
                guest POST /queues/%2F/q/get {"count":5,"ackmode":"ack_requeue_true","encoding":"auto"}
                  200 [{"payload_bytes":4,"redelivered":false,"exchange":"","routing_key":"q","message_count":1,"properties":{"priority":3,"headers":{"l":[1,"a"],"n":1,"t":true},"content_type":"text/plain"},"payload":"añb","payload_encoding":"string"},{"payload_bytes":6,"redelivered":false,"exchange":"","routing_key":"q","message_count":0,"properties":[],"payload":"+vv8/f7/","payload_encoding":"base64"}]
                guest POST /queues/%2F/q/get {"count":5,"ackmode":"ack_requeue_true","encoding":"base64"}
                  200 [{"payload_bytes":4,"redelivered":true,"exchange":"","routing_key":"q","message_count":1,"properties":{"priority":3,"headers":{"l":[1,"a"],"n":1,"t":true},"content_type":"text/plain"},"payload":"YcOxYg==","payload_encoding":"base64"},{"payload_bytes":6,"redelivered":true,"exchange":"","routing_key":"q","message_count":0,"properties":[],"payload":"+vv8/f7/","payload_encoding":"base64"}]
                guest POST /queues/%2F/q/get {"count":"2","ackmode":"ack_requeue_true","encoding":"auto","truncate":2}
                  200 [{"payload_bytes":4,"redelivered":true,"exchange":"","routing_key":"q","message_count":1,"properties":{"priority":3,"headers":{"l":[1,"a"],"n":1,"t":true},"content_type":"text/plain"},"payload":"YcM=","payload_encoding":"base64"},{"payload_bytes":6,"redelivered":true,"exchange":"","routing_key":"q","message_count":0,"properties":[],"payload":"+vs=","payload_encoding":"base64"}]
                guest POST /queues/%2F/q/get {"count":0,"ackmode":"ack_requeue_true","encoding":"auto"}
                  200 []
            "#]],
        )
        .await;
}

#[tokio::test]
async fn every_ackmode_does_what_it_says() {
    let bench = with_messages("q", &["1", "2", "3", "4"]).await;
    assert_eq!(got(&bench, "q", 2, "ack_requeue_true").await, "1 2");
    assert_eq!(got(&bench, "q", 2, "reject_requeue_true").await, "1* 2*");
    assert_eq!(got(&bench, "q", 1, "ack_requeue_false").await, "1*");
    assert_eq!(got(&bench, "q", 1, "reject_requeue_false").await, "2*");
    assert_eq!(got(&bench, "q", 9, "ack_requeue_false").await, "3 4");
    assert_eq!(got(&bench, "q", 9, "ack_requeue_false").await, "");
}

#[tokio::test]
async fn a_rejected_message_is_dead_lettered() {
    let bench = Bench::new().await;
    bench.send("guest PUT /queues/%2F/dead {}").await;
    let arguments = r#"{"x-dead-letter-exchange":"","x-dead-letter-routing-key":"dead"}"#;
    bench.send(&format!("guest PUT /queues/%2F/q {{\"arguments\":{arguments}}}")).await;
    bench.send(&publish("q", "hi")).await;
    assert_eq!(got(&bench, "q", 1, "reject_requeue_true").await, "hi");
    assert_eq!(got(&bench, "dead", 1, "ack_requeue_true").await, "");
    assert_eq!(got(&bench, "q", 1, "reject_requeue_false").await, "hi*");
    assert_eq!(got(&bench, "dead", 1, "ack_requeue_true").await, "hi");
}

#[tokio::test]
async fn what_is_no_wish_for_messages_is_refused() {
    let bench = with_messages("myq", &[]).await;
    bench
        .check(
            r#"
            guest POST /queues/%2F/myq/get {}
            guest POST /queues/%2F/myq/get {"count":"x","ackmode":"ack_requeue_true","encoding":"auto"}
            guest POST /queues/%2F/myq/get {"count":1,"ackmode":"maybe","encoding":"auto"}
            guest POST /queues/%2F/myq/get {"count":1,"ackmode":"ack_requeue_true","encoding":"hex"}
            guest POST /queues/%2F/myq/get {"count":1,"ackmode":"ack_requeue_true","encoding":"auto","truncate":-1}
            guest POST /queues/%2F/none/get {"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}
            manager POST /queues/%2F/myq/get {"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}
            manager POST /queues/%2F/none/get {"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}
            guest DELETE /queues/%2F/myq/get
            "#,
            &expect![[r#"
                guest POST /queues/%2F/myq/get {}
                  400 {"error":"bad_request","reason":"[{key_missing,ackmode},{key_missing,count},{key_missing,encoding}]"}
                guest POST /queues/%2F/myq/get {"count":"x","ackmode":"ack_requeue_true","encoding":"auto"}
                  400 {"error":"bad_request","reason":["not_integer","x"]}
                guest POST /queues/%2F/myq/get {"count":1,"ackmode":"maybe","encoding":"auto"}
                  400 {"error":"bad_request","reason":["unknown_ackmode","maybe"]}
                guest POST /queues/%2F/myq/get {"count":1,"ackmode":"ack_requeue_true","encoding":"hex"}
                  400 {"error":"bad_request","reason":"Unsupported encoding. Please use auto or base64."}
                guest POST /queues/%2F/myq/get {"count":1,"ackmode":"ack_requeue_true","encoding":"auto","truncate":-1}
                  400 {"error":"bad_request","reason":["negative",-1]}
                guest POST /queues/%2F/none/get {"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}
                  404 {"error":"not_found","reason":"NOT_FOUND - no queue 'none' in vhost '/'"}
                manager POST /queues/%2F/myq/get {"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}
                  200 []
                manager POST /queues/%2F/none/get {"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}
                  401 {"error":"not_authorised","reason":"ACCESS_REFUSED - read access to queue 'none' in vhost '/' refused for user 'manager'"}
                guest DELETE /queues/%2F/myq/get
                  405 
            "#]],
        )
        .await;
}

#[tokio::test]
async fn nothing_is_published_while_an_alarm_is_on() {
    let bench = with_messages("q", &["before"]).await;
    assert!(bench.api.node.set_alarm(Alarm::Memory, true));
    let expected =
        r#"{"error":"service_unavailable","reason":"publishing is blocked: memory or disk runs low"}"#;
    assert_eq!(bench.send(&publish("q", "during")).await, (503, expected.to_owned()));
    assert_eq!(got(&bench, "q", 9, "ack_requeue_true").await, "before");
    assert!(bench.api.node.set_alarm(Alarm::Memory, false));
    assert_eq!(bench.send(&publish("q", "after")).await.0, 200);
    assert_eq!(got(&bench, "q", 9, "ack_requeue_true").await, "before* after");
}

#[tokio::test]
async fn an_answer_ends_before_it_is_too_large() {
    let payload = "x".repeat(4 << 20);
    let bench = with_messages("q", &[payload.as_str(); 12]).await;
    let (_, body) = bench.send(&get("q", 12, "ack_requeue_true")).await;
    let messages: Vec<Value> = serde_json::from_str(&body).unwrap();
    assert_eq!(messages.len(), 8);
    // What was not shown is still there, and what was went back.
    let (_, body) = bench.send("guest GET /queues/%2F/q?columns=messages_ready").await;
    assert_eq!(body, r#"{"messages_ready":12}"#);
}

#[tokio::test]
async fn aliveness_is_a_message_there_and_back() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest GET /aliveness-test/%2F
            guest GET /aliveness-test/%2F
            guest GET /queues/%2F/aliveness-test?columns=durable,messages
            guest GET /aliveness-test/nope
            manager GET /aliveness-test/%2F
            watcher GET /aliveness-test/%2F
            "#,
            &expect![[r#"
                guest GET /aliveness-test/%2F
                  200 {"status":"ok"}
                guest GET /aliveness-test/%2F
                  200 {"status":"ok"}
                guest GET /queues/%2F/aliveness-test?columns=durable,messages
                  200 {"durable":false,"messages":0}
                guest GET /aliveness-test/nope
                  404 {"error":"Object Not Found","reason":"Not Found"}
                manager GET /aliveness-test/%2F
                  401 {"error":"not_authorised","reason":"ACCESS_REFUSED - configure access to queue 'aliveness-test' in vhost '/' refused for user 'manager'"}
                watcher GET /aliveness-test/%2F
                  401 {"error":"not_authorised","reason":"User not authorised to access virtual host"}
            "#]],
        )
        .await;
}
