//! Work queue, the sending half: hands in one job. Each dot in its text is one second of work.
//!
//! `new_task A hard job...` takes a worker three seconds.

use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicPublishOptions, QueueDeclareOptions},
    types::FieldTable,
};
use liebre_tutorials::{Result, broker_url, words_or};

/// `delivery_mode` 2 asks the broker to keep the message over a restart.
const PERSISTENT: u8 = 2;

#[tokio::main]
async fn main() -> Result<()> {
    let job = words_or("Hello World!");
    let connection = Connection::connect(&broker_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;

    // A durable queue outlives a restart of the broker.
    channel.queue_declare("task_queue".into(), QueueDeclareOptions::durable(), FieldTable::default()).await?;

    channel
        .basic_publish(
            "".into(),
            "task_queue".into(),
            BasicPublishOptions::default(),
            job.as_bytes(),
            BasicProperties::default().with_delivery_mode(PERSISTENT),
        )
        .await?;
    println!(" [x] Sent \"{job}\"");

    Ok(connection.close(200, "OK".into()).await?)
}
