//! Which queues a message reaches: the four exchange kinds, exchange to exchange, alternate exchanges.

use lapin::{
    BasicProperties, Channel, ExchangeKind,
    options::{ExchangeBindOptions, ExchangeDeclareOptions, ExchangeUnbindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use liebre_tests::{
    amqp::{
        bind, confirm, connect_channel, declare, declare_exchange, drain, publish, publish_with, table, text,
    },
    broker::Broker,
    unique,
};

/// A server-named queue that ends with its connection.
async fn private_queue(channel: &Channel) -> String {
    declare(channel, "", QueueDeclareOptions::exclusive()).await.name().to_string()
}

/// Declares a queue per binding of `exchange`, and says which of them each key reaches.
async fn reached(
    channel: &Channel,
    exchange: &str,
    binding_keys: &[&str],
    routing_keys: &[&str],
) -> Vec<String> {
    let mut queues = Vec::new();
    for key in binding_keys {
        let queue = private_queue(channel).await;
        bind(channel, &queue, exchange, key, FieldTable::default()).await;
        queues.push((key, queue));
    }
    let mut lines = Vec::new();
    for routing_key in routing_keys {
        publish(channel, exchange, routing_key, routing_key).await;
        let mut line = format!("{routing_key:?} ->");
        for (binding_key, queue) in &queues {
            let copies = drain(channel, queue).await;
            assert!(copies.len() <= 1, "{binding_key:?} brought {copies:?}");
            if copies == [*routing_key] {
                line += &format!(" {binding_key:?}");
            }
        }
        lines.push(line);
    }
    lines
}

async fn exchange(kind: ExchangeKind) -> (lapin::Connection, Channel, String) {
    let (connection, channel) = connect_channel(Broker::shared()).await;
    confirm(&channel).await;
    let name = unique("x");
    let options = ExchangeDeclareOptions { auto_delete: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(name.as_str().into(), kind, options, FieldTable::default()).await.unwrap();
    (connection, channel, name)
}

#[tokio::test]
async fn fanout_to_server_named_queues() {
    let (_connection, channel, x) = exchange(ExchangeKind::Fanout).await;
    let queues = [private_queue(&channel).await, private_queue(&channel).await];
    assert_ne!(queues[0], queues[1]);
    for queue in &queues {
        let random = queue.strip_prefix("amq.gen-").expect("the broker's names begin with amq.gen-");
        assert_eq!(random.len(), 22, "{queue}");
        bind(&channel, queue, &x, "ignored", FieldTable::default()).await;
    }
    publish(&channel, &x, "any key", "for all").await;
    for queue in &queues {
        assert_eq!(drain(&channel, queue).await, ["for all"]);
    }
}

#[tokio::test]
async fn direct() {
    let (_connection, channel, x) = exchange(ExchangeKind::Direct).await;
    let lines = reached(&channel, &x, &["red", "green", "red.*", ""], &["red", "green", "blue", ""]).await;
    assert_eq!(lines, [r#""red" -> "red""#, r#""green" -> "green""#, r#""blue" ->"#, r#""" -> """#]);
}

#[tokio::test]
async fn topic() {
    let (_connection, channel, x) = exchange(ExchangeKind::Topic).await;
    let binding_keys = ["#", "*", "a.*", "a.#", "*.b", "#.b", "a.#.b", "a.b", "#.#", "*.*", "a.*.#", "x*"];
    let lines =
        reached(&channel, &x, &binding_keys, &["a", "a.b", "a.x.b", "b", "", "a.", "xy", "a.x.y.b"]).await;
    assert_eq!(
        lines,
        [
            r##""a" -> "#" "*" "a.#" "#.#""##,
            r##""a.b" -> "#" "a.*" "a.#" "*.b" "#.b" "a.#.b" "a.b" "#.#" "*.*" "a.*.#""##,
            r##""a.x.b" -> "#" "a.#" "#.b" "a.#.b" "#.#" "a.*.#""##,
            r##""b" -> "#" "*" "#.b" "#.#""##,
            r##""" -> "#" "#.#""##,
            r##""a." -> "#" "a.*" "a.#" "#.#" "*.*" "a.*.#""##,
            r##""xy" -> "#" "*" "#.#""##,
            r##""a.x.y.b" -> "#" "a.#" "#.b" "a.#.b" "#.#" "a.*.#""##,
        ]
    );
}

#[tokio::test]
async fn a_queue_gets_one_copy_however_many_bindings_match() {
    let (_connection, channel, x) = exchange(ExchangeKind::Topic).await;
    let queue = private_queue(&channel).await;
    for key in ["#", "a.*", "*.b", "a.b"] {
        bind(&channel, &queue, &x, key, FieldTable::default()).await;
    }
    publish(&channel, &x, "a.b", "once").await;
    assert_eq!(drain(&channel, &queue).await, ["once"]);
    channel
        .queue_unbind(queue.as_str().into(), x.as_str().into(), "#".into(), FieldTable::default())
        .await
        .unwrap();
    publish(&channel, &x, "c", "never").await;
    assert_eq!(drain(&channel, &queue).await, [""; 0]);
}

#[tokio::test]
async fn headers() {
    let (_connection, channel, x) = exchange(ExchangeKind::Headers).await;
    let number = AMQPValue::LongInt;
    let bindings = [
        ("all", table([("x-match", text("all")), ("colour", text("red")), ("size", number(3))])),
        ("default", table([("colour", text("red")), ("size", number(3))])),
        ("any", table([("x-match", text("any")), ("colour", text("red")), ("size", number(3))])),
        (
            "all, x- does not count",
            table([("x-match", text("all")), ("colour", text("red")), ("x-key", text("k"))]),
        ),
        ("any, x- does not count", table([("x-match", text("any")), ("x-key", text("k"))])),
        (
            "all-with-x",
            table([("x-match", text("all-with-x")), ("colour", text("red")), ("x-key", text("k"))]),
        ),
        (
            "any-with-x",
            table([("x-match", text("any-with-x")), ("colour", text("blue")), ("x-key", text("k"))]),
        ),
        ("all of nothing", table([("x-match", text("all"))])),
        ("any of nothing", table([("x-match", text("any"))])),
        ("there at all", table([("x-match", text("all")), ("size", AMQPValue::Void)])),
    ];
    let mut queues = Vec::new();
    for (what, arguments) in bindings {
        let queue = private_queue(&channel).await;
        bind(&channel, &queue, &x, "", arguments).await;
        queues.push((what, queue));
    }
    let messages = [
        ("red 3", table([("colour", text("red")), ("size", number(3))])),
        ("red", table([("colour", text("red"))])),
        ("red k", table([("colour", text("red")), ("x-key", text("k"))])),
        ("blue k", table([("colour", text("blue")), ("x-key", text("k"))])),
        ("text 3", table([("size", text("3"))])),
        ("nothing", FieldTable::default()),
    ];
    let mut lines = Vec::new();
    for (what, headers) in messages {
        publish_with(&channel, &x, "", what, BasicProperties::default().with_headers(headers)).await;
        let mut reached = Vec::new();
        for (binding, queue) in &queues {
            if drain(&channel, queue).await == [what] {
                reached.push(*binding);
            }
        }
        lines.push(format!("{what} -> {}", reached.join("; ")));
    }
    assert_eq!(
        lines,
        [
            "red 3 -> all; default; any; all, x- does not count; all of nothing; there at all",
            "red -> any; all, x- does not count; all of nothing",
            "red k -> any; all, x- does not count; all-with-x; any-with-x; all of nothing",
            "blue k -> any-with-x; all of nothing",
            "text 3 -> all of nothing; there at all",
            "nothing -> all of nothing",
        ]
    );
}

/// A cycle of exchanges must neither hang nor multiply.
#[tokio::test]
async fn exchange_to_exchange() {
    let (_connection, channel, x) = exchange(ExchangeKind::Fanout).await;
    let (_other, _, y) = exchange(ExchangeKind::Topic).await;
    let queue = private_queue(&channel).await;
    bind(&channel, &queue, &y, "a.*", FieldTable::default()).await;
    bind(&channel, &queue, &x, "", FieldTable::default()).await;
    for (destination, source) in [(&y, &x), (&x, &y)] {
        let options = ExchangeBindOptions::default();
        let (destination, source) = (destination.as_str().into(), source.as_str().into());
        channel
            .exchange_bind(destination, source, "a.*".into(), options, FieldTable::default())
            .await
            .unwrap();
    }
    publish(&channel, &x, "a.b", "around").await;
    assert_eq!(drain(&channel, &queue).await, ["around"]);
    publish(&channel, &y, "a.c", "and around").await;
    assert_eq!(drain(&channel, &queue).await, ["and around"]);

    let options = ExchangeUnbindOptions::default();
    let (destination, source) = (x.as_str().into(), y.as_str().into());
    channel.exchange_unbind(destination, source, "a.*".into(), options, FieldTable::default()).await.unwrap();
    publish(&channel, &y, "b", "nowhere").await;
    assert_eq!(drain(&channel, &queue).await, [""; 0]);
}

#[tokio::test]
async fn alternate_exchange() {
    let (_connection, channel, alternate) = exchange(ExchangeKind::Fanout).await;
    let queue = private_queue(&channel).await;
    bind(&channel, &queue, &alternate, "", FieldTable::default()).await;
    let x = unique("with-alternate");
    let arguments = table([("alternate-exchange", text(&alternate))]);
    let options = ExchangeDeclareOptions::default();
    channel.exchange_declare(x.as_str().into(), ExchangeKind::Direct, options, arguments).await.unwrap();
    publish(&channel, &x, "no such key", "caught").await;
    assert_eq!(drain(&channel, &queue).await, ["caught"]);
    channel.exchange_delete(x.into(), Default::default()).await.unwrap();
}

#[tokio::test]
async fn predeclared_exchanges() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    let kinds = [
        ("amq.direct", ExchangeKind::Direct),
        ("amq.fanout", ExchangeKind::Fanout),
        ("amq.topic", ExchangeKind::Topic),
        ("amq.headers", ExchangeKind::Headers),
        ("amq.match", ExchangeKind::Headers),
    ];
    for (name, kind) in kinds {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await.unwrap();
    }
    let gone = unique("x");
    declare_exchange(&channel, &gone, ExchangeKind::Fanout).await;
    channel.exchange_delete(gone.into(), Default::default()).await.unwrap();
}
