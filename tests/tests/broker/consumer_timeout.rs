//! Deliveries that nobody acknowledges in time: their channel closes, and they go back.

use std::time::{Duration, Instant};

use lapin::{
    Channel, Connection,
    options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use liebre_tests::{
    amqp::{
        ack, body, confirm, connect, consume, counts, declare, exception, get, next, next_body, publish,
        table, within,
    },
    broker::Broker,
    wait,
};

/// What the channel was closed with, once it is.
async fn end(channel: &Channel) -> String {
    wait::until_async("the end of the channel", async || (!channel.status().connected()).then_some(())).await;
    let published = channel.basic_get("any".into(), Default::default()).await;
    published.expect_err("the channel is closed").to_string()
}

fn log_line(broker: &Broker, what: &str) -> String {
    wait::until("a line in the log", || {
        broker.log().lines().find(|line| line.contains(what)).map(str::to_owned)
    })
}

async fn open(connection: &Connection) -> Channel {
    let channel = connection.create_channel().await.unwrap();
    confirm(&channel).await;
    channel
}

async fn declare_with(channel: &Channel, name: &str, timeout: AMQPValue) -> lapin::Result<lapin::Queue> {
    let arguments = table([("x-consumer-timeout", timeout)]);
    let declared = channel.queue_declare(name.into(), QueueDeclareOptions::default(), arguments);
    within("queue.declare", declared).await
}

/// Waits until nobody holds the message: it is ready, flagged redelivered, its body being this.
async fn is_back(connection: &Connection, queue: &str, expected: &str) {
    let channel = open(connection).await;
    wait::until_async("the message", async || (counts(&channel, queue).await == (1, 0)).then_some(())).await;
    let message = get(&channel, queue).await.expect("a message");
    assert_eq!((body(&message.delivery).as_str(), message.delivery.redelivered), (expected, true));
    ack(&message.delivery).await;
}

#[tokio::test]
async fn a_consumer_that_never_acks_loses_its_channel() {
    let Some(broker) = Broker::own_with(&["--consumer-timeout=500"]) else { return };
    let connection = connect(&broker).await;
    let channel = open(&connection).await;
    declare(&channel, "q", QueueDeclareOptions::default()).await;
    publish(&channel, "", "q", "slow").await;
    let began = Instant::now();
    let consuming = open(&connection).await;
    let mut consumer = consume(&consuming, "q", BasicConsumeOptions::default()).await;
    assert_eq!(next_body(&mut consumer).await, "slow");
    end(&consuming).await;
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
    let line = log_line(&broker, "channel exception");
    let expected = "PRECONDITION_FAILED - delivery acknowledgement on channel 2 timed out. Timeout value used: 500 ms. \
                    This timeout value can be configured, see consumers doc guide to learn more";
    assert!(line.contains(expected), "{line}");
    assert!(broker.log().contains("of queue 'q' in vhost '/' did not acknowledge delivery 1 within 500 ms"));
    is_back(&connection, "q", "slow").await;
    // The connection and its other channels go on.
    assert_eq!(counts(&channel, "q").await, (0, 0));
}

#[tokio::test]
async fn acks_in_time_keep_a_channel_open() {
    let Some(broker) = Broker::own_with(&["--consumer-timeout=400"]) else { return };
    let connection = connect(&broker).await;
    let channel = open(&connection).await;
    declare(&channel, "q", QueueDeclareOptions::default()).await;
    channel.basic_qos(3, BasicQosOptions::default()).await.unwrap();
    let mut consumer = consume(&channel, "q", BasicConsumeOptions::default()).await;
    for number in 0..40 {
        publish(&channel, "", "q", &number.to_string()).await;
        let delivery = next(&mut consumer).await;
        wait::pause(Duration::from_millis(50)).await;
        ack(&delivery).await;
    }
    // Nobody waits for acks of what needs none.
    let no_ack = open(&connection).await;
    declare(&no_ack, "no-ack", QueueDeclareOptions::default()).await;
    publish(&no_ack, "", "no-ack", "gone").await;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut gone = consume(&no_ack, "no-ack", options).await;
    assert_eq!(next_body(&mut gone).await, "gone");
    wait::pause(Duration::from_secs(1)).await;
    assert_eq!(counts(&channel, "q").await, (0, 1));
    assert_eq!(counts(&no_ack, "no-ack").await, (0, 1));
}

#[tokio::test]
async fn messages_of_a_get_are_waited_for_no_longer() {
    let Some(broker) = Broker::own_with(&["--consumer-timeout=300"]) else { return };
    let connection = connect(&broker).await;
    let channel = open(&connection).await;
    declare(&channel, "q", QueueDeclareOptions::default()).await;
    publish(&channel, "", "q", "got").await;
    get(&channel, "q").await.expect("a message");
    end(&channel).await;
    assert!(broker.log().contains("basic.get of queue 'q' in vhost '/' did not acknowledge delivery 1"));
    is_back(&connection, "q", "got").await;
}

#[tokio::test]
async fn a_queue_may_have_its_own_patience() {
    let Some(broker) = Broker::own() else { return };
    let connection = connect(&broker).await;
    let channel = open(&connection).await;
    declare_with(&channel, "patient", AMQPValue::LongInt(600_000)).await.unwrap();
    declare_with(&channel, "impatient", AMQPValue::LongInt(200)).await.unwrap();
    for queue in ["patient", "impatient"] {
        publish(&channel, "", queue, queue).await;
    }
    let patient = open(&connection).await;
    let mut consumer = consume(&patient, "patient", BasicConsumeOptions::default()).await;
    let held = next(&mut consumer).await;
    let both = open(&connection).await;
    let mut consumer = consume(&both, "impatient", BasicConsumeOptions::default()).await;
    assert_eq!(next_body(&mut consumer).await, "impatient");
    end(&both).await;
    assert!(log_line(&broker, "channel exception").contains("Timeout value used: 200 ms"));
    is_back(&connection, "impatient", "impatient").await;
    wait::pause(Duration::from_millis(1_500)).await;
    ack(&held).await;
    assert_eq!(counts(&patient, "patient").await, (0, 1));
}

/// A policy counts at once, also for what is out already.
#[tokio::test]
async fn a_policy_may_have_its_own_patience() {
    let Some(broker) = Broker::own() else { return };
    let admin = broker.admin().unwrap();
    let connection = connect(&broker).await;
    let channel = open(&connection).await;
    declare(&channel, "q", QueueDeclareOptions::default()).await;
    publish(&channel, "", "q", "slow").await;
    let consuming = open(&connection).await;
    let mut consumer = consume(&consuming, "q", BasicConsumeOptions::default()).await;
    assert_eq!(next_body(&mut consumer).await, "slow");
    admin.output(r#"rabbitmqctl set_policy patience ^q$ '{"consumer-timeout": 300}'"#);
    end(&consuming).await;
    assert!(log_line(&broker, "channel exception").contains("Timeout value used: 300 ms"));
    is_back(&connection, "q", "slow").await;
}

#[tokio::test]
async fn it_can_be_off() {
    let Some(broker) = Broker::own_with(&["--consumer-timeout=off"]) else { return };
    let admin = broker.admin().unwrap();
    assert!(admin.output("rabbitmqctl environment").contains(r#"{consumer_timeout,"off"}"#));
    let Some(broker) = Broker::own() else { return };
    let admin = broker.admin().unwrap();
    assert!(admin.output("rabbitmqctl environment").contains("{consumer_timeout,1800000}"));
}

#[tokio::test]
async fn timeouts_that_are_none_are_refused() {
    let broker = Broker::shared();
    if broker.is_external() {
        return;
    }
    for (timeout, reason) in [
        (AMQPValue::LongInt(-1), "{value_negative,-1}"),
        (AMQPValue::LongInt(0), "{value_zero,0}"),
        (AMQPValue::LongLongInt(315_360_000_001), "{value_too_large,315360000001}"),
        (AMQPValue::LongString("soon".into()), "\"expected integer, got longstr\""),
    ] {
        let connection = connect(broker).await;
        let channel = connection.create_channel().await.unwrap();
        let refused = exception(declare_with(&channel, "consumer-timeout", timeout).await);
        let expected = format!(
            "406 PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for queue 'consumer-timeout' in vhost '/': \
             {reason}"
        );
        assert_eq!(refused, expected);
        let options = QueueDeclareOptions::default().passive();
        let channel = connection.create_channel().await.unwrap();
        let found = channel.queue_declare("consumer-timeout".into(), options, FieldTable::default()).await;
        assert!(exception(found).starts_with("404 "));
    }
}
