//! Hello world, the receiving half: prints what arrives in the queue `hello`, until Ctrl-C.

use futures_lite::StreamExt;
use lapin::{
    Connection, ConnectionProperties,
    options::{BasicConsumeOptions, QueueDeclareOptions},
    types::FieldTable,
};
use liebre_tutorials::{Result, broker_url};

#[tokio::main]
async fn main() -> Result<()> {
    let connection = Connection::connect(&broker_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.queue_declare("hello".into(), QueueDeclareOptions::default(), FieldTable::default()).await?;

    // no_ack: the broker forgets a message as soon as it is sent to us.
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut consumer =
        channel.basic_consume("hello".into(), "".into(), options, FieldTable::default()).await?;

    println!(" [*] Waiting for messages. To exit press CTRL+C");
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery?;
        println!(" [x] Received {}", String::from_utf8_lossy(&delivery.data));
    }
    Ok(())
}
