//! Hello world, the sending half: puts one message in the queue `hello` and ends.

use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicPublishOptions, QueueDeclareOptions},
    types::FieldTable,
};
use liebre_tutorials::{Result, broker_url};

#[tokio::main]
async fn main() -> Result<()> {
    let connection = Connection::connect(&broker_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;

    // Sender and receiver both declare the queue: whoever comes first creates it.
    channel.queue_declare("hello".into(), QueueDeclareOptions::default(), FieldTable::default()).await?;

    // The default exchange has no name; it takes the routing key for the name of a queue.
    channel
        .basic_publish(
            "".into(),
            "hello".into(),
            BasicPublishOptions::default(),
            b"Hello World!",
            BasicProperties::default(),
        )
        .await?;
    println!(" [x] Sent \"Hello World!\"");

    Ok(connection.close(200, "OK".into()).await?)
}
