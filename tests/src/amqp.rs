//! The stock client in few words, with a deadline on everything that waits.

use futures_lite::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ErrorKind, ExchangeKind, Queue,
    message::{BasicGetMessage, Delivery},
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
        ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};

use crate::{PATIENCE, broker::Broker, plain, wait};

/// Connects as guest to the tests' vhost.
pub async fn connect(broker: &Broker) -> Connection {
    within("connect", Connection::connect(&broker.url(), ConnectionProperties::default()))
        .await
        .expect("connects")
}

/// A connection and a channel of it; the connection must live as long as the channel.
pub async fn connect_channel(broker: &Broker) -> (Connection, Channel) {
    let connection = connect(broker).await;
    let channel = connection.create_channel().await.expect("a channel opens");
    (connection, channel)
}

/// `future`, if it ends in time.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// A field table.
pub fn table<const N: usize>(fields: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in fields {
        table.insert(name.into(), value);
    }
    table
}

/// A table value that is a long string.
pub fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// Declares a queue without arguments.
pub async fn declare(channel: &Channel, name: &str, options: QueueDeclareOptions) -> Queue {
    let declared = channel.queue_declare(name.into(), options, FieldTable::default());
    within("queue.declare", declared).await.expect("the queue can be declared")
}

/// Declares a transient exchange without arguments.
pub async fn declare_exchange(channel: &Channel, name: &str, kind: ExchangeKind) {
    let options = ExchangeDeclareOptions::default();
    let declared = channel.exchange_declare(name.into(), kind, options, FieldTable::default());
    within("exchange.declare", declared).await.expect("the exchange can be declared");
}

/// Binds a queue to an exchange.
pub async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str, arguments: FieldTable) {
    let bound =
        channel.queue_bind(queue.into(), exchange.into(), key.into(), QueueBindOptions::default(), arguments);
    within("queue.bind", bound).await.expect("the queue can be bound");
}

/// Publishes one message without properties.
pub async fn publish(channel: &Channel, exchange: &str, key: &str, body: &str) {
    publish_with(channel, exchange, key, body, BasicProperties::default()).await;
}

/// Publishes one message with properties; waits for its confirm if the channel has them.
pub async fn publish_with(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &str,
    properties: BasicProperties,
) {
    let options = BasicPublishOptions::default();
    let published =
        channel.basic_publish(exchange.into(), key.into(), options, body.as_bytes(), properties).await;
    let confirmation = within("confirm", published.expect("the message can be sent")).await;
    assert!(!confirmation.expect("the channel stays open").is_nack(), "the broker refused {body}");
}

/// Turns confirms on, so that [`publish`] returns when the broker has the message.
pub async fn confirm(channel: &Channel) {
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms can be turned on");
}

/// Subscribes; the broker names the consumer.
pub async fn consume(channel: &Channel, queue: &str, options: BasicConsumeOptions) -> Consumer {
    let consumed = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    within("basic.consume", consumed).await.expect("the queue can be consumed from")
}

/// The next delivery of a consumer.
pub async fn next(consumer: &mut Consumer) -> Delivery {
    let delivery = within("a delivery", consumer.next()).await;
    delivery.expect("the consumer was not cancelled").expect("the channel stays open")
}

/// The body of the next delivery, which stays unsettled.
pub async fn next_body(consumer: &mut Consumer) -> String {
    body(&next(consumer).await)
}

/// The bodies of the next `count` deliveries, which stay unsettled.
pub async fn next_bodies(consumer: &mut Consumer, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    for _ in 0..count {
        bodies.push(next_body(consumer).await);
    }
    bodies
}

/// A delivery's body as text.
pub fn body(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.data).into_owned()
}

/// Acks one delivery.
pub async fn ack(delivery: &Delivery) {
    delivery.ack(BasicAckOptions::default()).await.expect("the channel stays open");
}

/// `basic.get`, unsettled.
pub async fn get(channel: &Channel, queue: &str) -> Option<BasicGetMessage> {
    let got = channel.basic_get(queue.into(), BasicGetOptions::default());
    within("basic.get", got).await.expect("the queue can be read")
}

/// Takes and forgets everything that is ready; the bodies in their order.
pub async fn drain(channel: &Channel, queue: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    while let Some(message) = get(channel, queue).await {
        ack(&message.delivery).await;
        bodies.push(body(&message.delivery));
    }
    bodies
}

/// How many messages are ready, and how many consumers there are.
pub async fn counts(channel: &Channel, queue: &str) -> (u32, u32) {
    let queue = declare(channel, queue, QueueDeclareOptions::default().passive()).await;
    (queue.message_count(), queue.consumer_count())
}

/// Waits until as many messages are ready as that.
pub async fn wait_ready(channel: &Channel, queue: &str, ready: u32) {
    let what = format!("{ready} ready messages in {queue}");
    wait::until_async(&what, async || (counts(channel, queue).await.0 == ready).then_some(())).await;
}

/// Whether a queue exists. Uses a channel of its own, since a missing queue closes it.
pub async fn exists(connection: &Connection, queue: &str) -> bool {
    let channel = connection.create_channel().await.expect("a channel opens");
    let options = QueueDeclareOptions::default().passive();
    let is_there = channel.queue_declare(queue.into(), options, FieldTable::default()).await.is_ok();
    if is_there {
        // In words, not by drop: a connection cannot be closed well while a dropped channel is closing.
        channel.close(200, "bye".into()).await.expect("the channel closes");
    }
    is_there
}

/// Waits until a queue is gone.
pub async fn wait_gone(connection: &Connection, queue: &str) {
    let what = format!("end of queue {queue}");
    wait::until_async(&what, async || (!exists(connection, queue).await).then_some(())).await;
}

/// The exception that an operation ended in, as the broker worded it.
pub fn exception<T: std::fmt::Debug>(result: lapin::Result<T>) -> String {
    let error = result.expect_err("the broker was to refuse this");
    match error.kind() {
        ErrorKind::ProtocolError(error) => plain(&format!("{} {}", error.get_id(), error.get_message())),
        kind => panic!("expected an exception, got {kind:?}"),
    }
}
