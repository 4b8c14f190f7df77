//! Declaring, inspecting, purging and deleting queues; whose they are and when they end.

use lapin::{
    options::{
        BasicCancelOptions, BasicConsumeOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
    },
    types::{AMQPValue, FieldTable},
};
use liebre_tests::{
    amqp::{
        confirm, connect, connect_channel, consume, counts, declare, drain, exception, exists, get, publish,
        table, text, wait_gone,
    },
    broker::Broker,
    unique,
};

#[tokio::test]
async fn declare_counts_messages_and_consumers() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    confirm(&channel).await;
    let name = unique("q");
    let options = || QueueDeclareOptions::exclusive();
    let queue = declare(&channel, &name, options()).await;
    assert_eq!((queue.name().as_str(), queue.message_count(), queue.consumer_count()), (name.as_str(), 0, 0));
    publish(&channel, "", &name, "1").await;
    publish(&channel, "", &name, "2").await;
    let queue = declare(&channel, &name, options()).await;
    assert_eq!((queue.message_count(), queue.consumer_count()), (2, 0));
    // An unsettled message is not ready, so it does not count.
    get(&channel, &name).await.expect("a message");
    assert_eq!(counts(&channel, &name).await, (1, 0));
    let _consumer = consume(&channel, &name, BasicConsumeOptions::default()).await;
    assert_eq!(counts(&channel, &name).await, (0, 1));
}

#[tokio::test]
async fn declaring_again_the_same_way_is_fine() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    let name = unique("q");
    let arguments =
        || table([("x-message-ttl", AMQPValue::LongInt(60_000)), ("x-queue-type", text("classic"))]);
    let same = || table([("x-message-ttl", AMQPValue::LongLongInt(60_000))]);
    for arguments in [arguments(), arguments(), same()] {
        channel.queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), arguments).await.unwrap();
    }
    assert_eq!(channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.unwrap(), 0);
}

#[tokio::test]
async fn purge_takes_the_ready_and_leaves_the_unsettled() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    confirm(&channel).await;
    let name = unique("q");
    declare(&channel, &name, QueueDeclareOptions::exclusive()).await;
    for body in ["1", "2", "3"] {
        publish(&channel, "", &name, body).await;
    }
    let unsettled = get(&channel, &name).await.expect("a message");
    assert_eq!(channel.queue_purge(name.as_str().into(), QueuePurgeOptions::default()).await.unwrap(), 2);
    assert_eq!(counts(&channel, &name).await, (0, 0));
    unsettled.delivery.reject(lapin::options::BasicRejectOptions { requeue: true }).await.unwrap();
    assert_eq!(drain(&channel, &name).await, ["1"]);
}

#[tokio::test]
async fn delete() {
    let (connection, channel) = connect_channel(Broker::shared()).await;
    confirm(&channel).await;
    let name = unique("q");
    declare(&channel, &name, QueueDeclareOptions::default()).await;
    publish(&channel, "", &name, "1").await;
    publish(&channel, "", &name, "2").await;
    let delete = |options| channel.queue_delete(name.as_str().into(), options);
    let unused = QueueDeleteOptions { if_unused: true, ..QueueDeleteOptions::default() };
    assert_eq!(delete(unused).await.unwrap(), 2, "delete-ok says how many messages went with it");
    assert!(!exists(&connection, &name).await);
    assert_eq!(delete(QueueDeleteOptions::default()).await.unwrap(), 0, "deleting what is not there is fine");
}

#[tokio::test]
async fn exclusive_queue_ends_with_its_connection() {
    let broker = Broker::shared();
    let (owner, channel) = connect_channel(broker).await;
    let name = unique("q");
    declare(&channel, &name, QueueDeclareOptions::exclusive()).await;

    let (other, other_channel) = connect_channel(broker).await;
    let options = QueueDeclareOptions::default().passive();
    let refused = other_channel.queue_declare(name.as_str().into(), options, FieldTable::default()).await;
    let text = exception(refused);
    assert!(
        text.starts_with("405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q'"),
        "{text}"
    );

    // Its owner may use it on any channel, and keeps it when a channel closes.
    channel.close(200, "bye".into()).await.unwrap();
    assert!(exists(&owner, &name).await);
    owner.close(200, "bye".into()).await.unwrap();
    assert!(!exists(&other, &name).await, "an exclusive queue is gone before close-ok");
}

#[tokio::test]
async fn auto_delete_queue_ends_with_its_last_consumer() {
    let broker = Broker::shared();
    let connection = connect(broker).await;
    let (first, first_channel) = connect_channel(broker).await;
    let (_second, second_channel) = connect_channel(broker).await;
    let name = unique("q");
    declare(&first_channel, &name, QueueDeclareOptions::default().auto_delete()).await;
    assert!(exists(&connection, &name).await, "it does not end before it had a consumer");
    let _one = consume(&first_channel, &name, BasicConsumeOptions::default()).await;
    let two = consume(&second_channel, &name, BasicConsumeOptions::default()).await;
    first.close(200, "bye".into()).await.unwrap();
    assert!(exists(&connection, &name).await, "it has one consumer left");
    second_channel.basic_cancel(two.tag(), BasicCancelOptions::default()).await.unwrap();
    wait_gone(&connection, &name).await;
}

#[tokio::test]
async fn bindings_end_with_their_queue() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    confirm(&channel).await;
    let name = unique("q");
    for _ in 0..2 {
        declare(&channel, &name, QueueDeclareOptions::default()).await;
        publish(&channel, "amq.direct", &name, "unbound").await;
        assert_eq!(drain(&channel, &name).await, [""; 0], "a new queue has no bindings");
        liebre_tests::amqp::bind(&channel, &name, "amq.direct", &name, FieldTable::default()).await;
        channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    }
}
