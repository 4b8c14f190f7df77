//! What goes in comes out: lines, numbers, files, properties, as text and as JSON.

use liebre_tests::{amqp, broker::Broker, plain, unique};
use serde_json::{Value, json};

use super::running::{Cat, cat, cat_with_input};

#[test]
fn lines_go_through_a_queue() {
    let queue = unique("lines");
    let sent = cat_with_input(&["produce", "-q", &queue], "uno\nel tanque está lleno\n\ncuatro");
    assert_eq!(sent.code, Some(0), "{}", sent.err);
    assert!(sent.err.contains("4 messages sent: 4 accepted"), "{}", sent.err);
    assert_eq!(sent.out, "");

    let got = cat(&["consume", "-q", &queue, "-n", "4"]);
    assert_eq!(
        (got.code, got.out.as_str()),
        (Some(0), "uno\nel tanque está lleno\n\ncuatro\n"),
        "{}",
        got.err
    );
    assert!(got.err.contains("4 messages received: 4 acked"), "{}", got.err);
    assert_eq!(cat(&["get", "-q", &queue]).code, Some(66), "all were acked");
}

/// Far more than the window holds, in order.
#[test]
fn long_input_is_streamed() {
    let queue = unique("stream");
    let lines: String = (1..=3000).map(|number| format!("line {number}\n")).collect();
    let mut cat = Cat::start(&["produce", "-q", &queue, "--window", "10"]);
    cat.say(&lines);
    assert_eq!(cat.finish().code, Some(0));
    let got = self::cat(&["consume", "-q", &queue, "--idle", "2"]);
    assert_eq!(got.out, lines, "{}", got.err);
    assert!(got.err.contains("3000 messages received: 3000 acked"), "{}", got.err);
}

#[test]
fn numbered_messages_come_at_their_interval() {
    let queue = unique("numbered");
    let started = std::time::Instant::now();
    let sent = cat(&["produce", "-q", &queue, "-n", "3", "-i", "100", "-t", "número"]);
    assert!(started.elapsed().as_millis() >= 200, "the second and third come 100 ms later each");
    assert!(sent.err.contains("accepted: número 3"), "{}", sent.err);
    assert_eq!(cat(&["get", "-q", &queue, "-n", "9"]).out, "número 1\nnúmero 2\nnúmero 3\n");
}

#[test]
fn lines_are_typed_in_a_terminal_until_q() {
    let queue = unique("typed");
    let mut cat = Cat::start_in_terminal(&["produce", "-q", &queue]);
    cat.err.expect("> ");
    cat.say("hola\n");
    cat.err.expect("accepted: hola");
    cat.say("¿qué tal?\n\n");
    cat.err.expect("accepted: ¿qué tal?");
    cat.say("q\n");
    cat.err.expect("2 messages sent: 2 accepted");
    assert_eq!(cat.finish().code, Some(0));
    assert_eq!(self::cat(&["get", "-q", &queue, "-n", "9"]).out, "hola\n¿qué tal?\n");
}

/// Bytes that are no text, with the end of a line among them.
#[test]
fn files_are_whole_messages() {
    let queue = unique("files");
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("a"), dir.path().join("b"));
    let bytes = [0xff, 0, b'\n', 0x80];
    std::fs::write(&first, bytes).unwrap();
    std::fs::write(&second, "dos\nlíneas\n").unwrap();
    let paths = [first.to_str().unwrap(), second.to_str().unwrap()];
    assert_eq!(cat(&["produce", "-q", &queue, paths[0], paths[1]]).code, Some(0));
    let first: Value = serde_json::from_str(&cat(&["get", "-q", &queue, "--json"]).out).unwrap();
    assert_eq!(first["body_base64"], "/wAKgA==");
    assert_eq!(cat(&["get", "-q", &queue, "--raw"]).out, "dos\nlíneas\n");

    let missing = cat(&["produce", "-q", &queue, "--lines", paths[1], "no-such-file"]);
    assert_eq!(missing.code, Some(66));
    assert!(missing.err.contains("2 messages sent: 2 accepted") && missing.err.contains("no-such-file"));
}

#[test]
fn json_tells_everything() {
    let queue = unique("json");
    let words = ["-H", "n=5", "-H", "ciudad=León", "-H", "ok=true", "--content-type", "text/plain"];
    let ids = ["--priority", "3", "--correlation-id", "c1", "--reply-to", "back", "--message-id", "m1"];
    let all =
        [&["produce", "-q", &queue, "-t", "¡hola!", "--expiration", "600000"], &words[..], &ids[..]].concat();
    assert_eq!(cat(&all).code, Some(0));
    let looked = cat(&["get", "-q", &queue, "--requeue", "--json"]);
    let got = cat(&["consume", "-q", &queue, "-n", "1", "--json"]);
    let mut message = json!({
        "body": "¡hola!",
        "exchange": "",
        "routing_key": queue,
        "redelivered": false,
        "headers": { "n": 5, "ciudad": "León", "ok": true },
        "properties": {
            "content_type": "text/plain", "delivery_mode": 2, "priority": 3, "correlation_id": "c1",
            "reply_to": "back", "expiration": "600000", "message_id": "m1",
        },
    });
    assert_eq!(serde_json::from_str::<Value>(&looked.out).unwrap(), message);
    message["redelivered"] = true.into();
    assert_eq!(serde_json::from_str::<Value>(&got.out).unwrap(), message);
    assert_eq!(got.out.lines().count(), 1);
    assert!(got.err.contains("1 message received: 1 redelivered, 1 acked"), "{}", got.err);
}

/// Two hear everything that an exchange routes to their keys; nobody hears the rest.
#[test]
fn an_exchange_feeds_all_who_listen() {
    let key = unique("news");
    let listen = |keys: &[&str]| {
        let words = ["consume", "-e", "amq.topic", "-n", "2"];
        let cat = Cat::start(&[&words, keys].concat());
        cat.err.expect("waiting for messages from exchange 'amq.topic'");
        cat
    };
    let (warm, all) = (format!("{key}.warm"), format!("{key}.#"));
    let cold = format!("{key}.cold");
    let listeners = [listen(&["-k", &all]), listen(&["-k", &cold, "-k", &warm])];
    for (key, text) in [(&warm, "sol"), (&cold, "nieve")] {
        assert_eq!(cat(&["produce", "-e", "amq.topic", "-k", key, "-t", text]).code, Some(0));
    }
    for listener in listeners {
        assert_eq!(listener.finish().out, "sol\nnieve\n");
    }
    let nobody = cat(&["produce", "-e", "amq.topic", "-k", &warm, "-t", "lluvia"]);
    assert_eq!(nobody.code, Some(75), "the listeners are gone");
    assert!(plain(&nobody.err).contains("returned: exchange 'amq.topic' has no queue for key 'news.warm'"));
}

/// Every second one is given back, every third rejected; what is given back comes again.
#[test]
fn deliveries_can_be_refused() {
    let queue = unique("refused");
    cat_with_input(&["produce", "-q", &queue], "1\n2\n3\n4\n");
    let got = cat(&["consume", "-q", &queue, "-n", "6", "-p", "1", "--reject=3", "--nack-requeue=2"]);
    assert!(got.err.contains("6 messages received"), "{}", got.err);
    assert_eq!(got.out, "1\n2\n2\n3\n3\n4\n", "{}", got.err);
    // Deliveries: 1 acked, 2 given back, 2 rejected, 3 given back, 3 acked, 4 rejected.
    assert!(got.err.contains("2 acked, 2 rejected, 2 given back"), "{}", got.err);
    assert_eq!(cat(&["get", "-q", &queue]).code, Some(66));
}

/// A queue that is there is taken as it is; the broker alone knows its properties.
#[tokio::test]
async fn a_queue_is_declared_only_if_absent() {
    let (_connection, channel) = amqp::connect_channel(Broker::shared()).await;
    let transient = unique("transient");
    amqp::declare(&channel, &transient, Default::default()).await;
    assert_eq!(cat(&["produce", "-q", &transient, "-t", "x"]).code, Some(0));

    let durable = unique("durable");
    assert_eq!(cat(&["produce", "-q", &durable, "-t", "x"]).code, Some(0));
    let refused = cat(&["produce", "-q", &durable, "--transient-queue", "-t", "x"]);
    assert_eq!(refused.code, Some(65));
    assert!(refused.err.contains("inequivalent arg 'durable'"), "{}", refused.err);
    assert!(refused.err.contains("taken as it is"), "{}", refused.err);
}
