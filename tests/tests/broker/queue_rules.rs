//! What the arguments of queues do: dead letters, limits, times to live, priorities, who is served.

use lapin::{
    BasicProperties, Channel, Confirmation,
    message::Delivery,
    options::{
        BasicConsumeOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions, BasicRejectOptions,
        QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use liebre_tests::{
    amqp::{
        ack, bind, body, confirm, connect_channel, consume, counts, declare, drain, exception, get, next,
        next_bodies, publish, publish_with, table, text, wait_ready, within,
    },
    broker::Broker,
    wait,
};

/// A queue with arguments; the broker names it if nobody else does.
async fn declare_with(
    channel: &Channel,
    name: &str,
    options: QueueDeclareOptions,
    arguments: FieldTable,
) -> String {
    let declared = channel.queue_declare(name.into(), options, arguments);
    within("queue.declare", declared).await.expect("the queue can be declared").name().to_string()
}

async fn private(channel: &Channel, arguments: FieldTable) -> String {
    declare_with(channel, "", QueueDeclareOptions::exclusive(), arguments).await
}

fn number(value: i32) -> AMQPValue {
    AMQPValue::LongInt(value)
}

fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

async fn reject(delivery: &Delivery) {
    delivery.reject(BasicRejectOptions { requeue: false }).await.expect("the channel stays open");
}

async fn requeue(delivery: &Delivery) {
    let options = BasicNackOptions { requeue: true, multiple: false };
    delivery.nack(options).await.expect("the channel stays open");
}

/// The next message of a queue, when it comes.
async fn wait_get(channel: &Channel, queue: &str) -> Delivery {
    wait_ready(channel, queue, 1).await;
    get(channel, queue).await.expect("a message").delivery
}

fn header<'a>(delivery: &'a Delivery, name: &str) -> Option<&'a AMQPValue> {
    delivery.properties.headers().as_ref()?.inner().get(name)
}

/// Reason, queue and count of each entry.
fn deaths(delivery: &Delivery) -> Vec<(String, String, i64)> {
    let Some(AMQPValue::FieldArray(deaths)) = header(delivery, "x-death") else { return Vec::new() };
    let show = |death: &AMQPValue| {
        let AMQPValue::FieldTable(death) = death else { panic!("{death:?}") };
        let field = |name: &str| death.inner()[name].clone();
        let text = |name: &str| match field(name) {
            AMQPValue::LongString(text) => text.to_string(),
            other => panic!("{other:?}"),
        };
        let AMQPValue::LongLongInt(count) = field("count") else { panic!("{death:?}") };
        (text("reason"), text("queue"), count)
    };
    deaths.as_slice().iter().map(show).collect()
}

fn death(reason: &str, queue: &str, count: i64) -> (String, String, i64) {
    (reason.to_owned(), queue.to_owned(), count)
}

fn dead_letters_to(queue: &str) -> FieldTable {
    table([("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text(queue))])
}

#[tokio::test]
async fn a_rejected_message_becomes_a_dead_letter() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    let graves = private(&channel, FieldTable::default()).await;
    let queue = private(&channel, dead_letters_to(&graves)).await;
    let properties = BasicProperties::default().with_expiration("60000".into()).with_app_id("app".into());
    publish_with(&channel, "", &queue, "m", properties).await;
    for count in 1..=2 {
        reject(&wait_get(&channel, &queue).await).await;
        let letter = wait_get(&channel, &graves).await;
        assert_eq!((body(&letter).as_str(), letter.routing_key.as_str()), ("m", graves.as_str()));
        assert_eq!(deaths(&letter), [death("rejected", &queue, count)]);
        assert_eq!(header(&letter, "x-first-death-queue"), Some(&text(&queue)));
        assert_eq!(letter.properties.expiration(), &None);
        assert_eq!(letter.properties.app_id().as_ref().unwrap().as_str(), "app");
        ack(&letter).await;
        // Published again with its headers its deaths are counted on.
        publish_with(&channel, "", &queue, "m", letter.properties.clone()).await;
    }
}

#[tokio::test]
async fn a_dead_letter_is_routed_by_its_own_keys() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    let queue = private(&channel, table([("x-dead-letter-exchange", text("amq.direct"))])).await;
    let graves = private(&channel, FieldTable::default()).await;
    bind(&channel, &graves, "amq.direct", &queue, FieldTable::default()).await;
    publish(&channel, "", &queue, "m").await;
    reject(&wait_get(&channel, &queue).await).await;
    let letter = wait_get(&channel, &graves).await;
    assert_eq!((letter.exchange.as_str(), letter.routing_key.as_str()), ("amq.direct", queue.as_str()));
    // Nobody is there any more: the message is gone.
    let lost = private(&channel, table([("x-dead-letter-exchange", text("no such exchange"))])).await;
    publish(&channel, "", &lost, "m").await;
    reject(&wait_get(&channel, &lost).await).await;
    assert_eq!(counts(&channel, &lost).await.0, 0);
}

#[tokio::test]
async fn what_goes_round_by_itself_ends() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    let graves = private(&channel, FieldTable::default()).await;
    let mut arguments = table([("x-message-ttl", number(1)), ("x-dead-letter-exchange", text("amq.direct"))]);
    let first = private(&channel, arguments.clone()).await;
    arguments.insert("x-max-length".into(), number(9));
    let second = private(&channel, arguments).await;
    bind(&channel, &second, "amq.direct", &first, FieldTable::default()).await;
    bind(&channel, &first, "amq.direct", &first, FieldTable::default()).await;
    bind(&channel, &graves, "amq.direct", &first, FieldTable::default()).await;
    publish(&channel, "", &first, "m").await;
    // From the first queue, and from the second.
    wait_ready(&channel, &graves, 2).await;
    let letters = [wait_first(&channel, &graves).await, wait_first(&channel, &graves).await];
    assert_eq!(deaths(&letters[0]), [death("expired", &first, 1)]);
    assert_eq!(deaths(&letters[1]), [death("expired", &second, 1), death("expired", &first, 1)]);
    assert_eq!((counts(&channel, &first).await.0, counts(&channel, &second).await.0), (0, 0));
}

async fn wait_first(channel: &Channel, queue: &str) -> Delivery {
    get(channel, queue).await.expect("a message").delivery
}

/// Confirmed means that it is in the other queue, whatever happens then.
#[tokio::test]
async fn dead_letters_survive_a_kill() {
    let Some(mut broker) = Broker::own() else { return };
    {
        let (_connection, channel) = connect_channel(&broker).await;
        confirm(&channel).await;
        declare(&channel, "graves", QueueDeclareOptions::durable()).await;
        let mut arguments = dead_letters_to("graves");
        arguments.insert("x-max-length".into(), number(1));
        declare_with(&channel, "short", QueueDeclareOptions::durable(), arguments).await;
        for job in ["1", "2", "3"] {
            publish_with(&channel, "", "short", job, persistent()).await;
        }
        reject(&wait_get(&channel, "short").await).await;
        // The broker answers in order, and answers this when the reject is safe.
        channel.close(200, "bye".into()).await.unwrap();
    }
    broker.kill9();
    broker.start_again();
    let (_connection, channel) = connect_channel(&broker).await;
    assert_eq!(drain(&channel, "graves").await, ["1", "2", "3"]);
    assert_eq!(drain(&channel, "short").await, [""; 0]);
}

#[tokio::test]
async fn a_full_queue_drops_its_next_message() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    confirm(&channel).await;
    let graves = private(&channel, FieldTable::default()).await;
    let mut arguments = dead_letters_to(&graves);
    arguments.insert("x-max-length".into(), number(2));
    let queue = private(&channel, arguments).await;
    for job in ["1", "2", "3", "4", "5"] {
        publish(&channel, "", &queue, job).await;
    }
    assert_eq!(drain(&channel, &queue).await, ["4", "5"]);
    assert_eq!(deaths(&wait_first(&channel, &graves).await), [death("maxlen", &queue, 1)]);
    assert_eq!(drain(&channel, &graves).await, ["2", "3"]);
    let queue = private(&channel, table([("x-max-length-bytes", number(10))])).await;
    for job in ["1234", "5678", "abcd", "12345678901"] {
        publish(&channel, "", &queue, job).await;
        assert!(counts(&channel, &queue).await.0 <= 2);
    }
    assert_eq!(drain(&channel, &queue).await, [""; 0]);
}

async fn is_nacked(channel: &Channel, exchange: &str, key: &str, body: &str) -> bool {
    let options = BasicPublishOptions::default();
    let properties = BasicProperties::default();
    let published =
        channel.basic_publish(exchange.into(), key.into(), options, body.as_bytes(), properties).await;
    within("confirm", published.expect("the message can be sent")).await.expect("an answer").is_nack()
}

#[tokio::test]
async fn a_full_queue_refuses_new_messages_if_it_is_told_to() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    confirm(&channel).await;
    let graves = private(&channel, FieldTable::default()).await;
    for (overflow, letters) in [("reject-publish", 0), ("reject-publish-dlx", 2)] {
        let mut arguments = dead_letters_to(&graves);
        arguments.insert("x-max-length".into(), number(1));
        arguments.insert("x-overflow".into(), text(overflow));
        let queue = private(&channel, arguments).await;
        bind(&channel, &queue, "amq.fanout", "", FieldTable::default()).await;
        assert!(!is_nacked(&channel, "", &queue, "1").await);
        assert!(is_nacked(&channel, "", &queue, "2").await);
        assert!(is_nacked(&channel, "amq.fanout", "", "3").await);
        assert_eq!(drain(&channel, &queue).await, ["1"]);
        assert!(!is_nacked(&channel, "", &queue, "4").await);
        assert_eq!(drain(&channel, &graves).await.len(), letters);
    }
}

#[tokio::test]
async fn a_transaction_with_a_refused_message_does_not_count() {
    let (connection, channel) = connect_channel(Broker::shared()).await;
    let arguments = table([("x-max-length", number(1)), ("x-overflow", text("reject-publish"))]);
    let queue = private(&channel, arguments).await;
    let publisher = connection.create_channel().await.unwrap();
    publisher.tx_select().await.unwrap();
    for job in ["1", "2"] {
        publish(&publisher, "", &queue, job).await;
    }
    let refused = exception(publisher.tx_commit().await);
    assert_eq!(refused, "406 PRECONDITION_FAILED - partial tx completion");
    assert!(counts(&channel, &queue).await.0 <= 1);
}

#[tokio::test]
async fn messages_expire() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    confirm(&channel).await;
    let graves = private(&channel, FieldTable::default()).await;
    let mut arguments = dead_letters_to(&graves);
    arguments.insert("x-message-ttl".into(), number(60_000));
    let queue = private(&channel, arguments).await;
    publish_with(&channel, "", &queue, "short", BasicProperties::default().with_expiration("1".into())).await;
    let letter = wait_get(&channel, &graves).await;
    assert_eq!((body(&letter).as_str(), deaths(&letter)), ("short", vec![death("expired", &queue, 1)]));
    publish(&channel, "", &queue, "long").await;
    assert_eq!(drain(&channel, &queue).await, ["long"]);
}

#[tokio::test]
async fn without_time_to_live_a_message_is_for_who_is_there() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    confirm(&channel).await;
    let queue = private(&channel, table([("x-message-ttl", number(0))])).await;
    publish(&channel, "", &queue, "nobody").await;
    assert_eq!(counts(&channel, &queue).await.0, 0);
    let mut consumer = consume(&channel, &queue, BasicConsumeOptions::default()).await;
    publish(&channel, "", &queue, "somebody").await;
    assert_eq!(next_bodies(&mut consumer, 1).await, ["somebody"]);
}

#[tokio::test]
async fn times_to_live_and_priorities_survive_a_restart() {
    let Some(mut broker) = Broker::own() else { return };
    {
        let (_connection, channel) = connect_channel(&broker).await;
        confirm(&channel).await;
        declare(&channel, "graves", QueueDeclareOptions::durable()).await;
        declare_with(&channel, "plain", QueueDeclareOptions::durable(), dead_letters_to("graves")).await;
        let levels = table([("x-max-priority", number(3))]);
        declare_with(&channel, "ranked", QueueDeclareOptions::durable(), levels).await;
        // Long enough for the restart to come first, mostly.
        publish_with(&channel, "", "plain", "short", persistent().with_expiration("700".into())).await;
        publish_with(&channel, "", "plain", "long", persistent()).await;
        for (priority, job) in [(1, "low"), (2, "high")] {
            publish_with(&channel, "", "ranked", job, persistent().with_priority(priority)).await;
        }
    }
    broker.restart();
    let (_connection, channel) = connect_channel(&broker).await;
    assert_eq!(body(&wait_get(&channel, "graves").await), "short");
    assert_eq!(drain(&channel, "plain").await, ["long"]);
    assert_eq!(drain(&channel, "ranked").await, ["high", "low"]);
}

/// Nobody asks for the queue: a publish, which is no use of it, comes back when it is gone.
async fn wait_expired(channel: &Channel, queue: &str) {
    wait::until_async("the queue's end", async || {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = BasicProperties::default();
        let published =
            channel.basic_publish("".into(), queue.into(), options, b"m", properties).await.unwrap();
        let answer = within("confirm", published).await.unwrap();
        matches!(answer, Confirmation::Ack(Some(_))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_unused_queue_expires() {
    let Some(mut broker) = Broker::own() else { return };
    {
        let (_connection, channel) = connect_channel(&broker).await;
        confirm(&channel).await;
        let arguments = table([("x-expires", number(1_000))]);
        declare_with(&channel, "unused", QueueDeclareOptions::durable(), arguments.clone()).await;
        declare_with(&channel, "used", QueueDeclareOptions::durable(), arguments).await;
        let _consumer = consume(&channel, "used", BasicConsumeOptions::default()).await;
        wait_expired(&channel, "unused").await;
        assert_eq!(counts(&channel, "used").await.1, 1);
    }
    // Its consumer is gone.
    broker.restart();
    let (_connection, channel) = connect_channel(&broker).await;
    confirm(&channel).await;
    counts(&channel, "used").await;
    wait_expired(&channel, "used").await;
}

#[tokio::test]
async fn urgent_messages_come_first() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    confirm(&channel).await;
    let queue = private(&channel, table([("x-max-priority", number(5))])).await;
    publish(&channel, "", &queue, "none").await;
    for (priority, job) in [(0, "zero"), (3, "three"), (9, "nine"), (5, "five"), (3, "other three")] {
        publish_with(&channel, "", &queue, job, BasicProperties::default().with_priority(priority)).await;
    }
    requeue(&wait_first(&channel, &queue).await).await;
    wait_ready(&channel, &queue, 6).await;
    assert_eq!(drain(&channel, &queue).await, ["nine", "five", "three", "other three", "none", "zero"]);
}

#[tokio::test]
async fn consumers_have_priorities() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    confirm(&channel).await;
    let queue = private(&channel, FieldTable::default()).await;
    channel.basic_qos(1, BasicQosOptions::default()).await.unwrap();
    let mut consumers = Vec::new();
    for priority in [-1, 0, 5] {
        let options = BasicConsumeOptions::default();
        let arguments = table([("x-priority", number(priority))]);
        let consumed = channel.basic_consume(queue.as_str().into(), "".into(), options, arguments);
        consumers.push(within("basic.consume", consumed).await.unwrap());
    }
    for job in ["1", "2", "3"] {
        publish(&channel, "", &queue, job).await;
    }
    for (consumer, job) in consumers.iter_mut().rev().zip(["1", "2", "3"]) {
        assert_eq!(next_bodies(consumer, 1).await, [job]);
    }
    let options = BasicConsumeOptions::default();
    let arguments = table([("x-priority", text("a"))]);
    let refused =
        exception(channel.basic_consume(queue.as_str().into(), "".into(), options, arguments).await);
    assert!(refused.contains("invalid arg 'x-priority'"), "{refused}");
    assert!(refused.ends_with("\"expected integer, got longstr\""), "{refused}");
}

#[tokio::test]
async fn one_consumer_at_a_time() {
    let (connection, channel) = connect_channel(Broker::shared()).await;
    confirm(&channel).await;
    let queue = private(&channel, table([("x-single-active-consumer", AMQPValue::Boolean(true))])).await;
    let other = connection.create_channel().await.unwrap();
    let mut first = consume(&other, &queue, BasicConsumeOptions::default()).await;
    let mut second = consume(&channel, &queue, BasicConsumeOptions::default()).await;
    for job in ["1", "2"] {
        publish(&channel, "", &queue, job).await;
    }
    ack(&next(&mut first).await).await;
    assert_eq!(next_bodies(&mut first, 1).await, ["2"]);
    other.close(200, "bye".into()).await.unwrap();
    let back = next(&mut second).await;
    assert_eq!((body(&back).as_str(), back.redelivered), ("2", true));
    let exclusive = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    let refused = channel.basic_consume(queue.as_str().into(), "".into(), exclusive, FieldTable::default());
    let refused = exception(refused.await);
    assert!(refused.starts_with("403 ACCESS_REFUSED") && refused.ends_with("in exclusive use"), "{refused}");
}

#[tokio::test]
async fn a_message_comes_back_so_often() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    confirm(&channel).await;
    let graves = private(&channel, FieldTable::default()).await;
    let mut arguments = dead_letters_to(&graves);
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-delivery-limit".into(), number(2));
    let queue = format!("limited by {graves}");
    declare_with(&channel, &queue, QueueDeclareOptions::durable(), arguments).await;
    publish(&channel, "", &queue, "m").await;
    for count in [None, Some(1), Some(2)] {
        let delivery = wait_get(&channel, &queue).await;
        let counted = header(&delivery, "x-delivery-count");
        assert!(count.is_none() || counted == count.map(AMQPValue::LongLongInt).as_ref(), "{counted:?}");
        requeue(&delivery).await;
    }
    let letter = wait_get(&channel, &graves).await;
    assert_eq!(deaths(&letter), [death("delivery_limit", &queue, 1)]);
    assert_eq!(header(&letter, "x-delivery-count"), None);
    channel.queue_delete(queue.as_str().into(), Default::default()).await.unwrap();
}
