//! Publisher confirms: three ways to wait until the broker has answered, and what each costs.
//!
//! `publisher_confirms 1000` publishes a thousand messages each way instead of fifty thousand.

use std::time::Instant;

use futures_lite::future::try_zip;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, PublisherConfirm,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::FieldTable,
};
use liebre_tutorials::{Result, broker_url, words_or};

const BATCH: u64 = 100;

/// How many messages may be published and not yet confirmed.
const WINDOW: usize = 1_000;

#[tokio::main]
async fn main() -> Result<()> {
    let count: u64 = words_or("50000").parse().unwrap_or_else(|_| {
        eprintln!("Usage: publisher_confirms [number of messages]");
        std::process::exit(1);
    });
    let connection = Connection::connect(&broker_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    // From now on the broker answers every publish on this channel with an ack or a nack.
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let declared =
        channel.queue_declare("".into(), QueueDeclareOptions::exclusive(), FieldTable::default()).await?;
    let queue = declared.name().as_str();

    let begin = Instant::now();
    individually(&channel, queue, count).await?;
    report("individually", count, begin);

    let begin = Instant::now();
    in_batches(&channel, queue, count).await?;
    report("in batch", count, begin);

    let begin = Instant::now();
    asynchronously(&channel, queue, count).await?;
    report("and handled confirms asynchronously", count, begin);

    // Mandatory: if no queue takes the message, we want it back. The confirm comes all the same.
    check(publish(&channel, "nowhere", "lost").await?.await?);
    Ok(connection.close(200, "OK".into()).await?)
}

/// Safe, simple, slow: each message waits for the confirm of the one before.
async fn individually(channel: &Channel, queue: &str, count: u64) -> Result<()> {
    for n in 0..count {
        check(publish(channel, queue, &n.to_string()).await?.await?);
    }
    Ok(())
}

/// Much faster: one wait for a hundred messages. But if something goes wrong, it was one of a hundred.
async fn in_batches(channel: &Channel, queue: &str, count: u64) -> Result<()> {
    for first in (0..count).step_by(BATCH as usize) {
        let mut batch = Vec::new();
        for n in first..count.min(first + BATCH) {
            batch.push(publish(channel, queue, &n.to_string()).await?);
        }
        for confirm in batch {
            check(confirm.await?);
        }
    }
    Ok(())
}

/// Publishing goes on while the confirms are looked at as they come.
async fn asynchronously(channel: &Channel, queue: &str, count: u64) -> Result<()> {
    let (sender, mut unconfirmed) = tokio::sync::mpsc::channel::<PublisherConfirm>(WINDOW);
    let publishing = async move {
        for n in 0..count {
            let confirm = publish(channel, queue, &n.to_string()).await?;
            // Waits while the window is full. Whoever has stopped checking says why.
            if sender.send(confirm).await.is_err() {
                break;
            }
        }
        Result::Ok(())
    };
    let checking = async move {
        while let Some(confirm) = unconfirmed.recv().await {
            check(confirm.await?);
        }
        Result::Ok(())
    };
    try_zip(publishing, checking).await?;
    Ok(())
}

async fn publish(channel: &Channel, queue: &str, body: &str) -> lapin::Result<PublisherConfirm> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), BasicProperties::default()).await
}

/// What a program does that means it: look at the answer.
fn check(confirmation: Confirmation) {
    if confirmation.is_nack() {
        println!("Not taken by the broker: publish it again");
    }
    if let Some(returned) = confirmation.take_message() {
        println!(
            "Returned: {} {} (routing key {})",
            returned.reply_code, returned.reply_text, returned.routing_key
        );
    }
}

fn report(how: &str, count: u64, begin: Instant) {
    println!(
        "Published {} messages {how} in {} ms",
        thousands(count),
        thousands(begin.elapsed().as_millis() as u64)
    );
}

/// 50000 is `50,000`.
fn thousands(number: u64) -> String {
    if number < 1_000 {
        number.to_string()
    } else {
        format!("{},{:03}", thousands(number / 1_000), number % 1_000)
    }
}
