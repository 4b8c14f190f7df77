//! Remote procedure call, the calling half: asks for a Fibonacci number and waits for the answer.
//!
//! `rpc_client 10` asks for the tenth.

use futures_lite::StreamExt;
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions},
    types::FieldTable,
};
use liebre_tutorials::{Result, broker_url, words_or};

/// Any text will do that no other request of this program has.
const CORRELATION_ID: &str = "my first question";

#[tokio::main]
async fn main() -> Result<()> {
    let n = words_or("30");
    let connection = Connection::connect(&broker_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;

    // A queue of our own, for the answer.
    let answers =
        channel.queue_declare("".into(), QueueDeclareOptions::exclusive(), FieldTable::default()).await?;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut consumer =
        channel.basic_consume(answers.name().clone(), "".into(), options, FieldTable::default()).await?;

    println!(" [x] Requesting fib({n})");
    channel
        .basic_publish(
            "".into(),
            "rpc_queue".into(),
            BasicPublishOptions::default(),
            n.as_bytes(),
            BasicProperties::default()
                .with_reply_to(answers.name().clone())
                .with_correlation_id(CORRELATION_ID.into()),
        )
        .await?;

    while let Some(delivery) = consumer.next().await {
        let delivery = delivery?;
        let is_ours =
            delivery.properties.correlation_id().as_ref().is_some_and(|id| id.as_str() == CORRELATION_ID);
        if is_ours {
            println!(" [.] Got {}", String::from_utf8_lossy(&delivery.data));
            break;
        }
    }
    Ok(connection.close(200, "OK".into()).await?)
}
