//! Publish/subscribe, the publishing half: sends one line to everybody who listens now.

use lapin::{
    BasicProperties, Connection, ConnectionProperties, ExchangeKind,
    options::{BasicPublishOptions, ExchangeDeclareOptions},
    types::FieldTable,
};
use liebre_tutorials::{Result, broker_url, words_or};

#[tokio::main]
async fn main() -> Result<()> {
    let line = words_or("info: Hello World!");
    let connection = Connection::connect(&broker_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;

    // A fanout exchange copies each message to every queue that is bound to it.
    channel
        .exchange_declare(
            "logs".into(),
            ExchangeKind::Fanout,
            ExchangeDeclareOptions::default(),
            FieldTable::default(),
        )
        .await?;

    // The routing key is empty: a fanout exchange does not look at it.
    channel
        .basic_publish(
            "logs".into(),
            "".into(),
            BasicPublishOptions::default(),
            line.as_bytes(),
            BasicProperties::default(),
        )
        .await?;
    println!(" [x] Sent \"{line}\"");

    Ok(connection.close(200, "OK".into()).await?)
}
