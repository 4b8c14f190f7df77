//! Ack, nack, reject, recover: what becomes of deliveries.

use lapin::{
    Channel, Connection,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRecoverOptions,
        BasicRejectOptions, QueueDeclareOptions,
    },
};
use liebre_tests::{
    amqp::{
        ack, body, confirm, connect_channel, consume, counts, declare, drain, get, next, next_bodies,
        publish, wait_ready,
    },
    broker::Broker,
};

/// A private queue that holds `bodies`.
async fn queue_of(bodies: &[&str]) -> (Connection, Channel, String) {
    let (connection, channel) = connect_channel(Broker::shared()).await;
    confirm(&channel).await;
    let queue = declare(&channel, "", QueueDeclareOptions::exclusive()).await.name().to_string();
    for body in bodies {
        publish(&channel, "", &queue, body).await;
    }
    (connection, channel, queue)
}

#[tokio::test]
async fn get_one_by_one() {
    let (_connection, channel, queue) = queue_of(&["a", "b", "c"]).await;
    let first = get(&channel, &queue).await.expect("a message");
    assert_eq!(
        (body(&first.delivery).as_str(), first.message_count, first.delivery.redelivered),
        ("a", 2, false)
    );
    ack(&first.delivery).await;
    assert_eq!(drain(&channel, &queue).await, ["b", "c"]);
    assert!(get(&channel, &queue).await.is_none());
}

#[tokio::test]
async fn ack_multiple() {
    let (connection, channel, queue) = queue_of(&["a", "b", "c", "d"]).await;
    let reader = connection.create_channel().await.unwrap();
    for _ in 0..4 {
        get(&reader, &queue).await.expect("a message");
    }
    reader.basic_ack(3, BasicAckOptions { multiple: true }).await.unwrap();
    reader.close(200, "bye".into()).await.unwrap();
    wait_ready(&channel, &queue, 1).await;
    assert_eq!(drain(&channel, &queue).await, ["d"]);
}

#[tokio::test]
async fn ack_of_all_there_is() {
    let (connection, channel, queue) = queue_of(&["a", "b", "c"]).await;
    let reader = connection.create_channel().await.unwrap();
    for _ in 0..2 {
        get(&reader, &queue).await.expect("a message");
    }
    reader.basic_ack(0, BasicAckOptions { multiple: true }).await.unwrap();
    reader.close(200, "bye".into()).await.unwrap();
    wait_ready(&channel, &queue, 1).await;
    assert_eq!(drain(&channel, &queue).await, ["c"]);
}

#[tokio::test]
async fn requeued_messages_go_back_to_their_places() {
    let (connection, channel, queue) = queue_of(&["1", "2", "3", "4", "5"]).await;
    let reader = connection.create_channel().await.unwrap();
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(get(&reader, &queue).await.expect("a message").delivery);
    }
    // 3 first, then 1: what counts is where they were, not when they came back.
    taken[2].reject(BasicRejectOptions { requeue: true }).await.unwrap();
    wait_ready(&channel, &queue, 2).await;
    taken[0].nack(BasicNackOptions { requeue: true, multiple: false }).await.unwrap();
    wait_ready(&channel, &queue, 3).await;
    let mut seen = Vec::new();
    while let Some(message) = get(&channel, &queue).await {
        seen.push((body(&message.delivery), message.delivery.redelivered));
    }
    assert_eq!(seen, [("1".to_owned(), true), ("3".to_owned(), true), ("5".to_owned(), false)]);
}

#[tokio::test]
async fn nack_multiple_requeues_in_order() {
    let (connection, channel, queue) = queue_of(&["1", "2", "3", "4"]).await;
    let reader = connection.create_channel().await.unwrap();
    for _ in 0..3 {
        get(&reader, &queue).await.expect("a message");
    }
    reader.basic_nack(2, BasicNackOptions { multiple: true, requeue: true }).await.unwrap();
    wait_ready(&channel, &queue, 3).await;
    assert_eq!(drain(&channel, &queue).await, ["1", "2", "4"]);
}

#[tokio::test]
async fn discarded_messages_are_gone() {
    let (_connection, channel, queue) = queue_of(&["1", "2", "3", "4"]).await;
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(get(&channel, &queue).await.expect("a message").delivery);
    }
    taken[0].reject(BasicRejectOptions { requeue: false }).await.unwrap();
    channel.basic_nack(3, BasicNackOptions { multiple: true, requeue: false }).await.unwrap();
    assert_eq!(drain(&channel, &queue).await, ["4"]);
}

#[tokio::test]
async fn recover() {
    let (_connection, channel, queue) = queue_of(&["1", "2", "3"]).await;
    channel.basic_qos(2, BasicQosOptions::default()).await.unwrap();
    let mut consumer = consume(&channel, &queue, BasicConsumeOptions::default()).await;
    assert_eq!(next_bodies(&mut consumer, 2).await, ["1", "2"]);
    channel.basic_recover(BasicRecoverOptions { requeue: true }).await.unwrap();
    for expected in ["1", "2"] {
        let delivery = next(&mut consumer).await;
        assert_eq!((body(&delivery).as_str(), delivery.redelivered), (expected, true));
    }
    assert_eq!(counts(&channel, &queue).await, (1, 1));
}

/// Its unsettled deliveries go back when a channel closes, not only when a connection does.
#[tokio::test]
async fn a_closed_channel_gives_back() {
    let (connection, channel, queue) = queue_of(&["1", "2"]).await;
    let reader = connection.create_channel().await.unwrap();
    let mut consumer = consume(&reader, &queue, BasicConsumeOptions::default()).await;
    assert_eq!(next_bodies(&mut consumer, 2).await, ["1", "2"]);
    reader.close(200, "bye".into()).await.unwrap();
    wait_ready(&channel, &queue, 2).await;
    let message = get(&channel, &queue).await.expect("a message");
    assert_eq!((body(&message.delivery).as_str(), message.delivery.redelivered), ("1", true));
}
