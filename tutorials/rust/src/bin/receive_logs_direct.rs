//! Routing, the subscribing half: prints the lines of the severities named on its command line.

use futures_lite::StreamExt;
use lapin::{
    Connection, ConnectionProperties, ExchangeKind,
    options::{BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};
use liebre_tutorials::{Result, broker_url, words_needed};

#[tokio::main]
async fn main() -> Result<()> {
    let severities = words_needed("receive_logs_direct [info] [warning] [error]");
    let connection = Connection::connect(&broker_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .exchange_declare(
            "direct_logs".into(),
            ExchangeKind::Direct,
            ExchangeDeclareOptions::default(),
            FieldTable::default(),
        )
        .await?;

    let queue =
        channel.queue_declare("".into(), QueueDeclareOptions::exclusive(), FieldTable::default()).await?;
    // One binding for each severity: one queue may have many.
    for severity in &severities {
        channel
            .queue_bind(
                queue.name().clone(),
                "direct_logs".into(),
                severity.as_str().into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
    }

    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut consumer =
        channel.basic_consume(queue.name().clone(), "".into(), options, FieldTable::default()).await?;

    println!(" [*] Waiting for logs. To exit press CTRL+C");
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery?;
        println!(" [x] {}:{}", delivery.routing_key, String::from_utf8_lossy(&delivery.data));
    }
    Ok(())
}
