//! What a restart leaves: durable definitions and persistent messages, nothing else; after an orderly stop and after
//! `kill -9` alike.

use lapin::{
    BasicProperties, Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use liebre_tests::{
    amqp::{
        ack, bind, body, confirm, connect_channel, declare, declare_exchange, drain, exists, get, publish,
        publish_with,
    },
    broker::Broker,
};

fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

async fn declare_durable_exchange(channel: &Channel, name: &str) {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel
        .exchange_declare(name.into(), ExchangeKind::Direct, options, FieldTable::default())
        .await
        .unwrap();
}

async fn fill(broker: &Broker) {
    let (_connection, channel) = connect_channel(broker).await;
    confirm(&channel).await;
    declare(&channel, "durable", QueueDeclareOptions::durable()).await;
    declare(&channel, "transient", QueueDeclareOptions::default()).await;
    declare_durable_exchange(&channel, "durable-x").await;
    declare_exchange(&channel, "transient-x", ExchangeKind::Direct).await;
    for exchange in ["durable-x", "transient-x"] {
        for queue in ["durable", "transient"] {
            bind(&channel, queue, exchange, "k", FieldTable::default()).await;
        }
    }
    for job in ["1", "2", "3"] {
        publish_with(&channel, "", "durable", job, persistent()).await;
    }
    publish(&channel, "", "durable", "not persistent").await;
    publish_with(&channel, "", "transient", "lost with its queue", persistent()).await;
    // One delivered and never settled, one settled.
    get(&channel, "durable").await.expect("a message");
    let second = get(&channel, "durable").await.expect("a message");
    ack(&second.delivery).await;
    // The broker answers in order: it has seen the ack when it answers this.
    channel.close(200, "bye".into()).await.unwrap();
}

async fn inspect(broker: &Broker) {
    let (connection, channel) = connect_channel(broker).await;
    confirm(&channel).await;
    assert!(exists(&connection, "durable").await);
    assert!(!exists(&connection, "transient").await);
    let first = get(&channel, "durable").await.expect("the unsettled message");
    assert_eq!((body(&first.delivery).as_str(), first.delivery.redelivered), ("1", true));
    ack(&first.delivery).await;
    assert_eq!(drain(&channel, "durable").await, ["3"]);

    publish(&channel, "durable-x", "k", "bound").await;
    assert_eq!(drain(&channel, "durable").await, ["bound"], "a binding between durable ends stays");
    let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    let probe = connection.create_channel().await.unwrap();
    let found =
        probe.exchange_declare("transient-x".into(), ExchangeKind::Direct, passive, FieldTable::default());
    assert!(found.await.is_err(), "a transient exchange goes");
}

#[tokio::test]
async fn orderly() {
    let Some(mut broker) = Broker::own() else { return };
    fill(&broker).await;
    broker.restart();
    inspect(&broker).await;
}

#[tokio::test]
async fn kill9() {
    let Some(mut broker) = Broker::own() else { return };
    fill(&broker).await;
    broker.kill9();
    broker.start_again();
    inspect(&broker).await;
}

/// What was deleted stays deleted; also what was purged.
#[tokio::test]
async fn deletions_survive_too() {
    let Some(mut broker) = Broker::own() else { return };
    {
        let (_connection, channel) = connect_channel(&broker).await;
        confirm(&channel).await;
        for queue in ["deleted", "purged", "declared again"] {
            declare(&channel, queue, QueueDeclareOptions::durable()).await;
            publish_with(&channel, "", queue, "old", persistent()).await;
        }
        for queue in ["deleted", "declared again"] {
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
        }
        declare(&channel, "declared again", QueueDeclareOptions::durable()).await;
        channel.queue_purge("purged".into(), Default::default()).await.unwrap();
    }
    broker.kill9();
    broker.start_again();
    let (connection, channel) = connect_channel(&broker).await;
    assert!(!exists(&connection, "deleted").await);
    assert_eq!(drain(&channel, "purged").await, [""; 0]);
    assert_eq!(drain(&channel, "declared again").await, [""; 0]);
}

/// One after the other, so that most syncs are over before anybody could have waited for them.
#[tokio::test]
async fn every_persistent_publish_is_confirmed() {
    let Some(broker) = Broker::own() else { return };
    let (_connection, channel) = connect_channel(&broker).await;
    confirm(&channel).await;
    declare(&channel, "durable", QueueDeclareOptions::durable()).await;
    for _ in 0..300 {
        publish_with(&channel, "", "durable", "m", persistent()).await;
    }
    assert_eq!(drain(&channel, "durable").await.len(), 300);
}

/// Connected peers are told why they are cut off.
#[tokio::test]
async fn an_orderly_stop_is_announced() {
    let Some(mut broker) = Broker::own() else { return };
    let mut raw = liebre_tests::raw::Raw::with_channel(&broker);
    let stopped = std::thread::spawn(move || broker.stop());
    let said = raw.outcome();
    assert_eq!(
        said,
        "connection.close 320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown' [0.0]"
    );
    stopped.join().unwrap();
}
