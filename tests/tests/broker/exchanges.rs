//! Declaring and deleting exchanges; when they end by themselves.

use lapin::{
    Connection, ExchangeKind,
    options::{ExchangeBindOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeclareOptions},
    types::FieldTable,
};
use liebre_tests::{
    amqp::{bind, confirm, connect_channel, declare, drain, exception, publish},
    broker::Broker,
    unique,
};

async fn exists(connection: &Connection, exchange: &str) -> bool {
    let channel = connection.create_channel().await.unwrap();
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    // Passive: the kind does not matter.
    channel
        .exchange_declare(exchange.into(), ExchangeKind::Topic, options, FieldTable::default())
        .await
        .is_ok()
}

#[tokio::test]
async fn declare_and_delete() {
    let (connection, channel) = connect_channel(Broker::shared()).await;
    let x = unique("x");
    assert!(!exists(&connection, &x).await);
    for _ in 0..2 {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel
            .exchange_declare(x.as_str().into(), ExchangeKind::Direct, options, FieldTable::default())
            .await
            .unwrap();
    }
    assert!(exists(&connection, &x).await);
    for what in ["deleting it", "deleting what is not there"] {
        let deleted = channel.exchange_delete(x.as_str().into(), ExchangeDeleteOptions::default()).await;
        assert!(deleted.is_ok(), "{what} is fine");
    }
    assert!(!exists(&connection, &x).await);
}

#[tokio::test]
async fn delete_if_unused() {
    let (connection, channel) = connect_channel(Broker::shared()).await;
    let x = unique("x");
    liebre_tests::amqp::declare_exchange(&channel, &x, ExchangeKind::Direct).await;
    let queue = declare(&channel, "", QueueDeclareOptions::exclusive()).await;
    bind(&channel, queue.name().as_str(), &x, "k", FieldTable::default()).await;
    let unused = ExchangeDeleteOptions { if_unused: true, ..ExchangeDeleteOptions::default() };
    let refused = connection.create_channel().await.unwrap().exchange_delete(x.as_str().into(), unused).await;
    assert_eq!(exception(refused), "406 PRECONDITION_FAILED - exchange 'x' in vhost '/' in use");
    channel
        .queue_unbind(queue.name().clone(), x.as_str().into(), "k".into(), FieldTable::default())
        .await
        .unwrap();
    channel.exchange_delete(x.as_str().into(), unused).await.unwrap();
    assert!(!exists(&connection, &x).await);
}

#[tokio::test]
async fn auto_delete_ends_with_the_last_binding() {
    let (connection, channel) = connect_channel(Broker::shared()).await;
    let options = ExchangeDeclareOptions { auto_delete: true, ..ExchangeDeclareOptions::default() };
    let (x, y) = (unique("x"), unique("y"));
    for name in [&x, &y] {
        channel
            .exchange_declare(name.as_str().into(), ExchangeKind::Fanout, options, FieldTable::default())
            .await
            .unwrap();
    }
    // x feeds y, y feeds the queue: when the queue goes, y goes, and then x.
    channel
        .exchange_bind(
            y.as_str().into(),
            x.as_str().into(),
            "".into(),
            ExchangeBindOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    let queue = declare(&channel, "", QueueDeclareOptions::exclusive()).await;
    bind(&channel, queue.name().as_str(), &y, "", FieldTable::default()).await;
    assert!(exists(&connection, &x).await && exists(&connection, &y).await);
    channel.queue_delete(queue.name().clone(), Default::default()).await.unwrap();
    assert!(!exists(&connection, &y).await);
    assert!(!exists(&connection, &x).await);
}

#[tokio::test]
async fn internal_exchange_is_fed_by_exchanges_alone() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    confirm(&channel).await;
    let (inner, outer) = (unique("inner"), unique("outer"));
    let internal =
        ExchangeDeclareOptions { internal: true, auto_delete: true, ..ExchangeDeclareOptions::default() };
    let open = ExchangeDeclareOptions { auto_delete: true, ..ExchangeDeclareOptions::default() };
    for (name, options) in [(&inner, internal), (&outer, open)] {
        channel
            .exchange_declare(name.as_str().into(), ExchangeKind::Fanout, options, FieldTable::default())
            .await
            .unwrap();
    }
    channel
        .exchange_bind(
            inner.as_str().into(),
            outer.as_str().into(),
            "".into(),
            ExchangeBindOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    let queue = declare(&channel, "", QueueDeclareOptions::exclusive()).await;
    bind(&channel, queue.name().as_str(), &inner, "", FieldTable::default()).await;
    publish(&channel, &outer, "", "through").await;
    assert_eq!(drain(&channel, queue.name().as_str()).await, ["through"]);
}
