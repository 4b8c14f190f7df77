//! Subscribing and being unsubscribed.

use futures_lite::StreamExt;
use lapin::{
    options::{BasicCancelOptions, BasicConsumeOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use liebre_tests::{
    amqp::{ack, connect_channel, consume, counts, declare, exception, next, publish, within},
    broker::Broker,
    method::{self, queue},
    raw::Raw,
    unique,
};

#[tokio::test]
async fn cancel() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    let name = unique("q");
    declare(&channel, &name, QueueDeclareOptions::exclusive()).await;
    let mut consumer = consume(&channel, &name, BasicConsumeOptions::default()).await;
    assert!(consumer.tag().as_str().starts_with("amq.ctag-"), "{}", consumer.tag());
    publish(&channel, "", &name, "before").await;
    let delivery = next(&mut consumer).await;
    channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await.unwrap();
    assert!(within("the end of the consumer", consumer.next()).await.is_none());
    // What it had in hand is still in hand, and can be settled.
    publish(&channel, "", &name, "after").await;
    ack(&delivery).await;
    assert_eq!(counts(&channel, &name).await, (1, 0));
    channel.basic_cancel("nobody".into(), BasicCancelOptions::default()).await.unwrap();
}

#[tokio::test]
async fn the_broker_cancels_consumers_of_a_deleted_queue() {
    let broker = Broker::shared();
    let (_connection, channel) = connect_channel(broker).await;
    let name = unique("q");
    declare(&channel, &name, QueueDeclareOptions::default()).await;
    let mut consumer = consume(&channel, &name, BasicConsumeOptions::default()).await;
    let (_other, other) = connect_channel(broker).await;
    other.queue_delete(name.into(), QueueDeleteOptions::default()).await.unwrap();
    assert!(within("the end of the consumer", consumer.next()).await.is_none());
    assert!(channel.status().connected(), "the channel stays open");
}

#[tokio::test]
async fn exclusive_consumer() {
    let broker = Broker::shared();
    let (_connection, channel) = connect_channel(broker).await;
    let name = unique("q");
    declare(&channel, &name, QueueDeclareOptions::default().auto_delete()).await;
    let exclusive = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    let only = consume(&channel, &name, exclusive).await;
    for options in [exclusive, BasicConsumeOptions::default()] {
        let (_other, other) = connect_channel(broker).await;
        let refused =
            other.basic_consume(name.as_str().into(), "".into(), options, FieldTable::default()).await;
        assert_eq!(exception(refused), "403 ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use");
    }
    drop(only);
}

#[test]
fn a_tag_can_be_used_again_after_its_cancel() {
    let mut raw = Raw::with_channel(Broker::shared());
    raw.ask(method::queue_declare("", queue::EXCLUSIVE, &[]), "queue.declare-ok");
    for _ in 0..2 {
        raw.ask(method::basic_consume("", "t", 0), "basic.consume-ok");
        raw.ask(method::basic_cancel("t"), "basic.cancel-ok");
    }
    assert!(raw.is_alive(1));
}

/// A client that closes when it hears of the cancel must have heard the answer before. Durable or not.
#[test]
fn delete_is_answered_before_its_own_consumers_hear_of_it() {
    let mut raw = Raw::with_channel(Broker::shared());
    for bits in [0, queue::DURABLE] {
        let name = unique("q");
        raw.ask(method::queue_declare(&name, bits, &[]), "queue.declare-ok");
        raw.ask(method::basic_consume("", "t", 0), "basic.consume-ok");
        raw.ask(method::queue_delete(&name, 0), "queue.delete-ok");
        raw.expect("basic.cancel");
    }
}

/// The same tag on another channel is another consumer.
#[test]
fn tags_belong_to_their_channel() {
    let mut raw = Raw::with_channel(Broker::shared());
    raw.open_channel(2);
    raw.ask(method::queue_declare("", queue::EXCLUSIVE, &[]), "queue.declare-ok");
    raw.ask(method::basic_consume("", "t", 0), "basic.consume-ok");
    raw.say_on(2, &[method::queue_declare("", queue::EXCLUSIVE, &[]), method::basic_consume("", "t", 0)]);
    raw.expect("queue.declare-ok");
    raw.expect("basic.consume-ok");
}
