//! Work queue, the working half: takes one job at a time and acks it when it is done.
//!
//! Stop it between `Received` and `Done`, and the broker gives the job to another worker.

use std::time::Duration;

use futures_lite::StreamExt;
use lapin::{
    Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions},
    types::FieldTable,
};
use liebre_tutorials::{Result, broker_url};

#[tokio::main]
async fn main() -> Result<()> {
    let connection = Connection::connect(&broker_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.queue_declare("task_queue".into(), QueueDeclareOptions::durable(), FieldTable::default()).await?;

    // One job in hand at most: the next one goes to whoever is free.
    channel.basic_qos(1, BasicQosOptions::default()).await?;
    let mut consumer = channel
        .basic_consume("task_queue".into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await?;

    println!(" [*] Waiting for messages. To exit press CTRL+C");
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery?;
        let job = String::from_utf8_lossy(&delivery.data);
        let again = if delivery.redelivered { " (redelivered)" } else { "" };
        println!(" [x] Received {job}{again}");

        let dots = job.matches('.').count() as u64;
        tokio::time::sleep(Duration::from_secs(dots)).await;

        println!(" [x] Done");
        // Only now does the broker forget the job.
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}
