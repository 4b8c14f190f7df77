//! Routing, the publishing half: sends one line with its severity as routing key.
//!
//! `emit_log_direct error The tank is empty`: the first word is the severity.

use lapin::{
    BasicProperties, Connection, ConnectionProperties, ExchangeKind,
    options::{BasicPublishOptions, ExchangeDeclareOptions},
    types::FieldTable,
};
use liebre_tutorials::{Result, broker_url, key_and_words_or};

#[tokio::main]
async fn main() -> Result<()> {
    let (severity, line) = key_and_words_or("info", "Hello World!");
    let connection = Connection::connect(&broker_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;

    // A direct exchange sends a message to the queues that are bound with exactly its routing key.
    channel
        .exchange_declare(
            "direct_logs".into(),
            ExchangeKind::Direct,
            ExchangeDeclareOptions::default(),
            FieldTable::default(),
        )
        .await?;

    channel
        .basic_publish(
            "direct_logs".into(),
            severity.as_str().into(),
            BasicPublishOptions::default(),
            line.as_bytes(),
            BasicProperties::default(),
        )
        .await?;
    println!(" [x] Sent {severity}:{line}");

    Ok(connection.close(200, "OK".into()).await?)
}
