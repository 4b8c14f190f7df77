//! From a publisher to consumers: whose turn it is, in which order, and what happens when a consumer dies.

use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use liebre_tests::{
    amqp::{
        ack, body, confirm, connect_channel, consume, counts, declare, next, next_bodies, next_body, publish,
        wait_ready,
    },
    broker::Broker,
    method,
    raw::Raw,
    unique,
};

#[tokio::test]
async fn hello_world() {
    let broker = Broker::shared();
    let queue = unique("hello");
    let (_sender, channel) = connect_channel(broker).await;
    declare(&channel, &queue, QueueDeclareOptions::default()).await;
    publish(&channel, "", &queue, "Hello World!").await;

    let (_receiver, channel) = connect_channel(broker).await;
    let mut consumer = consume(&channel, &queue, BasicConsumeOptions::default()).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(body(&delivery), "Hello World!");
    assert_eq!((delivery.exchange.as_str(), delivery.routing_key.as_str()), ("", queue.as_str()));
    assert!(!delivery.redelivered);
    ack(&delivery).await;
    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
}

#[tokio::test]
async fn bodies_of_all_sizes_arrive_whole() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    let queue = declare(&channel, "", QueueDeclareOptions::exclusive()).await;
    let name = queue.name().as_str();
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut consumer = consume(&channel, name, options).await;
    // Around the largest body frame (131,072 less 8), and several of them.
    for size in [0, 1, 4_096, 131_063, 131_064, 131_065, 262_128, 1_000_000] {
        let sent: Vec<u8> = (0..size).map(|index: u32| (index % 251) as u8).collect();
        let options = BasicPublishOptions::default();
        channel.basic_publish("".into(), name.into(), options, &sent, Default::default()).await.unwrap();
        let delivery = next(&mut consumer).await;
        assert!(delivery.data == sent, "a body of {size} bytes arrived as {} others", delivery.data.len());
    }
}

#[tokio::test]
async fn two_consumers_take_turns() {
    let broker = Broker::shared();
    let (_connection, channel) = connect_channel(broker).await;
    let queue = unique("turns");
    declare(&channel, &queue, QueueDeclareOptions::default().auto_delete()).await;
    let (_first, first) = connect_channel(broker).await;
    let mut first = consume(&first, &queue, BasicConsumeOptions::default()).await;
    let (_second, second) = connect_channel(broker).await;
    let mut second = consume(&second, &queue, BasicConsumeOptions::default()).await;
    for job in 1..=6 {
        publish(&channel, "", &queue, &job.to_string()).await;
    }
    assert_eq!(next_bodies(&mut first, 3).await, ["1", "3", "5"]);
    assert_eq!(next_bodies(&mut second, 3).await, ["2", "4", "6"]);
}

/// The worker's socket closes with nothing said: at once its jobs are the other worker's, in their order, ahead of
/// later ones.
#[tokio::test]
async fn jobs_of_a_dead_worker_go_to_another() {
    let broker = Broker::shared();
    let (_connection, channel) = connect_channel(broker).await;
    let queue = unique("jobs");
    declare(&channel, &queue, QueueDeclareOptions::default()).await;
    confirm(&channel).await;
    for job in ["1", "2", "3", "4"] {
        publish(&channel, "", &queue, job).await;
    }

    let mut doomed = Raw::with_channel(broker);
    doomed.say(&[method::qos(0, 2, false), method::basic_consume(&queue, "doomed", 0)]);
    doomed.expect("basic.qos-ok");
    doomed.expect("basic.consume-ok");
    for (tag, job) in [(1, "1"), (2, "2")] {
        doomed.expect(&format!("basic.deliver {tag} consumer=doomed redelivered=false"));
        doomed.expect("header");
        doomed.expect(&format!("body {job:?}"));
    }
    drop(doomed);

    wait_ready(&channel, &queue, 4).await;
    let (_worker, worker) = connect_channel(broker).await;
    let mut worker = consume(&worker, &queue, BasicConsumeOptions::default()).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let delivery = next(&mut worker).await;
        seen.push((body(&delivery), delivery.redelivered));
        ack(&delivery).await;
    }
    let expected = [("1", true), ("2", true), ("3", false), ("4", false)];
    assert_eq!(seen, expected.map(|(job, redelivered)| (job.to_owned(), redelivered)));
    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
}

/// With the other worker already waiting, nothing has to happen before the job moves.
#[tokio::test]
async fn a_waiting_worker_takes_over() {
    let broker = Broker::shared();
    let (_connection, channel) = connect_channel(broker).await;
    let queue = unique("takeover");
    declare(&channel, &queue, QueueDeclareOptions::default().auto_delete()).await;
    let mut doomed = Raw::with_channel(broker);
    doomed.ask(method::basic_consume(&queue, "doomed", 0), "basic.consume-ok");
    let (_worker, worker) = connect_channel(broker).await;
    let mut worker = consume(&worker, &queue, BasicConsumeOptions::default()).await;

    publish(&channel, "", &queue, "job").await;
    doomed.expect("basic.deliver 1 consumer=doomed redelivered=false");
    drop(doomed);
    let delivery = next(&mut worker).await;
    assert_eq!((body(&delivery).as_str(), delivery.redelivered), ("job", true));
}

#[tokio::test]
async fn prefetch_of_a_consumer() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    let queue = declare(&channel, "", QueueDeclareOptions::exclusive()).await;
    let name = queue.name().as_str();
    channel.basic_qos(2, BasicQosOptions::default()).await.unwrap();
    let mut consumer = consume(&channel, name, BasicConsumeOptions::default()).await;
    for job in 1..=5 {
        publish(&channel, "", name, &job.to_string()).await;
    }
    let first = next(&mut consumer).await;
    assert_eq!(next_body(&mut consumer).await, "2");
    wait_ready(&channel, name, 3).await;
    ack(&first).await;
    assert_eq!(next_body(&mut consumer).await, "3");
    wait_ready(&channel, name, 2).await;

    // Each new consumer has a credit of its own.
    let mut other = consume(&channel, name, BasicConsumeOptions::default()).await;
    assert_eq!(next_bodies(&mut other, 2).await, ["4", "5"]);
}

#[tokio::test]
async fn prefetch_of_a_channel() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    let queue = declare(&channel, "", QueueDeclareOptions::exclusive()).await;
    let name = queue.name().as_str();
    channel.basic_qos(3, BasicQosOptions { global: true }).await.unwrap();
    let mut first = consume(&channel, name, BasicConsumeOptions::default()).await;
    let mut second = consume(&channel, name, BasicConsumeOptions::default()).await;
    for job in 1..=5 {
        publish(&channel, "", name, &job.to_string()).await;
    }
    let one = next(&mut first).await;
    assert_eq!(body(&one), "1");
    assert_eq!(next_body(&mut second).await, "2");
    assert_eq!(next_body(&mut first).await, "3");
    wait_ready(&channel, name, 2).await;
    ack(&one).await;
    wait_ready(&channel, name, 1).await;
}

/// Without acks there is nothing to count, so prefetch does not hold anything back.
#[tokio::test]
async fn prefetch_without_acks() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    let queue = declare(&channel, "", QueueDeclareOptions::exclusive()).await;
    let name = queue.name().as_str();
    channel.basic_qos(1, BasicQosOptions::default()).await.unwrap();
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut consumer = consume(&channel, name, options).await;
    for job in ["1", "2", "3"] {
        publish(&channel, "", name, job).await;
    }
    assert_eq!(next_bodies(&mut consumer, 3).await, ["1", "2", "3"]);
    assert_eq!(counts(&channel, name).await, (0, 1));
}
