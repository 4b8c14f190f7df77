//! Topics, the publishing half: sends one line with a routing key of several words.
//!
//! `emit_log_topic tank.north.error Empty`: the first word is the routing key.

use lapin::{
    BasicProperties, Connection, ConnectionProperties, ExchangeKind,
    options::{BasicPublishOptions, ExchangeDeclareOptions},
    types::FieldTable,
};
use liebre_tutorials::{Result, broker_url, key_and_words_or};

#[tokio::main]
async fn main() -> Result<()> {
    let (routing_key, line) = key_and_words_or("anonymous.info", "Hello World!");
    let connection = Connection::connect(&broker_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;

    // A topic exchange compares the words of the routing key, parted by dots, with patterns.
    channel
        .exchange_declare(
            "topic_logs".into(),
            ExchangeKind::Topic,
            ExchangeDeclareOptions::default(),
            FieldTable::default(),
        )
        .await?;

    channel
        .basic_publish(
            "topic_logs".into(),
            routing_key.as_str().into(),
            BasicPublishOptions::default(),
            line.as_bytes(),
            BasicProperties::default(),
        )
        .await?;
    println!(" [x] Sent {routing_key}:{line}");

    Ok(connection.close(200, "OK".into()).await?)
}
