//! Queues that hold more than fits in memory: most of it is on disk, and nobody notices but the machine.

use lapin::{
    BasicProperties, Channel,
    options::{
        BasicConsumeOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions, QueueDeclareOptions,
        QueuePurgeOptions,
    },
};
use liebre_tests::{
    amqp::{ack, body, confirm, connect_channel, consume, counts, declare, next, next_bodies, within},
    broker::Broker,
};

/// 4,000 messages of 16 KiB: twice what a queue keeps in memory.
const COUNT: usize = 4_000;
const BODY_SIZE: usize = 16 << 10;
/// So many are published before their confirms are waited for.
const WINDOW: usize = 500;

/// The nth message: `n`, then dots.
fn text(number: usize) -> String {
    format!("{number:.<BODY_SIZE$}")
}

fn number(body: &str) -> usize {
    let (number, dots) = body.split_at(body.find('.').unwrap());
    assert!(body.len() == BODY_SIZE && dots.bytes().all(|byte| byte == b'.'), "damaged: {number}");
    number.parse().unwrap()
}

/// Every third is transient when `is_mixed`.
async fn fill(channel: &Channel, queue: &str, is_mixed: bool) {
    confirm(channel).await;
    for window in (0..COUNT).collect::<Vec<usize>>().chunks(WINDOW) {
        let mut confirms = Vec::new();
        for &number in window {
            let is_transient = is_mixed && number % 3 == 2;
            let properties = BasicProperties::default().with_delivery_mode(if is_transient { 1 } else { 2 });
            let (body, options) = (text(number), BasicPublishOptions::default());
            let published =
                channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties);
            confirms.push(published.await.unwrap());
        }
        for confirmed in confirms {
            assert!(within("confirm", confirmed).await.unwrap().is_ack());
        }
    }
}

#[tokio::test]
async fn comes_back_in_order_with_requeued_messages_at_their_place() {
    let Some(broker) = Broker::own() else { return };
    let (_connection, channel) = connect_channel(&broker).await;
    declare(&channel, "deep", QueueDeclareOptions::durable()).await;
    fill(&channel, "deep", true).await;
    assert_eq!(counts(&channel, "deep").await, (u32::try_from(COUNT).unwrap(), 0));
    channel.basic_qos(10, BasicQosOptions::default()).await.unwrap();
    let mut consumer = consume(&channel, "deep", BasicConsumeOptions::default()).await;
    let mut expected = 0;
    while expected < COUNT {
        let delivery = next(&mut consumer).await;
        assert_eq!(number(&body(&delivery)), expected);
        if expected % 1_000 == 999 && !delivery.redelivered {
            // It and the nine behind it come again.
            let nack = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
            delivery.acker.nack(nack).await.unwrap();
            let held = if expected + 1 == COUNT { 0 } else { 9 };
            let mut behind = Vec::new();
            while behind.len() < held {
                let delivery = next(&mut consumer).await;
                behind.push(number(&body(&delivery)));
                ack(&delivery).await;
            }
            assert_eq!(behind, (expected + 1..=expected + held).collect::<Vec<usize>>());
            let again = next(&mut consumer).await;
            assert_eq!((number(&body(&again)), again.redelivered), (expected, true));
            ack(&again).await;
            expected += held;
        } else {
            ack(&delivery).await;
        }
        expected += 1;
    }
}

#[tokio::test]
async fn survives_a_stop_and_a_kill() {
    let Some(mut broker) = Broker::own() else { return };
    let (_connection, channel) = connect_channel(&broker).await;
    declare(&channel, "deep", QueueDeclareOptions::durable()).await;
    fill(&channel, "deep", false).await;
    let (first, prefetch) = (1_500, 100);
    channel.basic_qos(prefetch, BasicQosOptions::default()).await.unwrap();
    let mut consumer = consume(&channel, "deep", BasicConsumeOptions::default()).await;
    for expected in 0..first {
        let delivery = next(&mut consumer).await;
        assert_eq!((number(&body(&delivery)), delivery.redelivered), (expected, false));
        ack(&delivery).await;
    }
    // The broker has seen the acks when it answers.
    channel.close(200, "bye".into()).await.unwrap();
    broker.restart();
    {
        let (_connection, channel) = connect_channel(&broker).await;
        assert_eq!(counts(&channel, "deep").await, (u32::try_from(COUNT - first).unwrap(), 0));
    }
    broker.kill9();
    broker.start_again();
    // That something was handed out before the kill is not forgotten by stopping in order.
    broker.restart();
    let (_connection, channel) = connect_channel(&broker).await;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut consumer = consume(&channel, "deep", options).await;
    for expected in first..COUNT {
        let delivery = next(&mut consumer).await;
        let was_prefetched = expected < first + usize::from(prefetch);
        assert_eq!((number(&body(&delivery)), delivery.redelivered), (expected, was_prefetched));
    }
}

#[tokio::test]
async fn is_purged_and_goes_on() {
    let Some(broker) = Broker::own() else { return };
    let (_connection, channel) = connect_channel(&broker).await;
    declare(&channel, "transient", QueueDeclareOptions::default()).await;
    fill(&channel, "transient", true).await;
    let purged = channel.queue_purge("transient".into(), QueuePurgeOptions::default());
    assert_eq!(within("purge", purged).await.unwrap(), u32::try_from(COUNT).unwrap());
    fill(&channel, "transient", true).await;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut consumer = consume(&channel, "transient", options).await;
    let bodies = next_bodies(&mut consumer, COUNT).await;
    let numbers: Vec<usize> = bodies.iter().map(|body| number(body)).collect();
    assert_eq!(numbers, (0..COUNT).collect::<Vec<usize>>());
}
