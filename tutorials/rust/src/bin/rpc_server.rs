//! Remote procedure call, the serving half: answers each request with a Fibonacci number.

use futures_lite::StreamExt;
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, QueueDeclareOptions,
    },
    types::FieldTable,
};
use liebre_tutorials::{Result, broker_url};

/// The answer to a request: `fib(n)`, or what is wrong with `n`. From 94 on the number has more than 64 bits.
fn answer(request: &str) -> String {
    match request.parse() {
        Ok(n @ 0..=93) => fib(n).to_string(),
        _ => "error: a whole number from 0 to 93, please".to_owned(),
    }
}

fn fib(n: u64) -> u64 {
    let (mut this, mut next) = (0_u64, 1);
    for _ in 0..n {
        (this, next) = (next, this.wrapping_add(next));
    }
    this
}

#[tokio::main]
async fn main() -> Result<()> {
    let connection = Connection::connect(&broker_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.queue_declare("rpc_queue".into(), QueueDeclareOptions::default(), FieldTable::default()).await?;

    // A work queue, really: with several servers each takes one request at a time.
    channel.basic_qos(1, BasicQosOptions::default()).await?;
    let mut consumer = channel
        .basic_consume("rpc_queue".into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await?;

    println!(" [x] Awaiting RPC requests");
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery?;
        let request = String::from_utf8_lossy(&delivery.data);
        println!(" [.] fib({request})");

        // The client said where the answer goes, and how it will know which request this is the answer to.
        if let Some(reply_to) = delivery.properties.reply_to() {
            let correlation_id = delivery.properties.correlation_id().clone().unwrap_or_default();
            channel
                .basic_publish(
                    "".into(),
                    reply_to.clone(),
                    BasicPublishOptions::default(),
                    answer(&request).as_bytes(),
                    BasicProperties::default().with_correlation_id(correlation_id),
                )
                .await?;
        }
        // Only now: a server that is stopped before leaves the request to another one.
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}
