//! Topics, the subscribing half: prints the lines whose routing key fits a pattern on its command line.
//!
//! In a pattern `*` stands for exactly one word, `#` for any number of words, also none. Put it in quotes, or
//! the shell takes it for file names.

use futures_lite::StreamExt;
use lapin::{
    Connection, ConnectionProperties, ExchangeKind,
    options::{BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};
use liebre_tutorials::{Result, broker_url, words_needed};

#[tokio::main]
async fn main() -> Result<()> {
    let binding_keys = words_needed("receive_logs_topic [binding_key]...");
    let connection = Connection::connect(&broker_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .exchange_declare(
            "topic_logs".into(),
            ExchangeKind::Topic,
            ExchangeDeclareOptions::default(),
            FieldTable::default(),
        )
        .await?;

    let queue =
        channel.queue_declare("".into(), QueueDeclareOptions::exclusive(), FieldTable::default()).await?;
    // A line that fits several patterns still arrives once: a queue gets one copy.
    for binding_key in &binding_keys {
        channel
            .queue_bind(
                queue.name().clone(),
                "topic_logs".into(),
                binding_key.as_str().into(),
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
