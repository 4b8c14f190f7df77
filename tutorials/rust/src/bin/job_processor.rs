//! The job queue, the working half: up to five jobs at a time; one that fails is tried three times.
//!
//! A failed job is rejected; the broker takes it to a queue in which it waits for its pause to end, and from there back.
//! At Ctrl-C or SIGTERM the processor finishes the jobs that it has, and leaves.

use std::{error::Error, process::ExitCode, time::Duration};

use futures_lite::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, ErrorKind,
    message::Delivery,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        BasicRejectOptions, ConfirmSelectOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use liebre_tutorials::{
    ended,
    jobs::{Job, Settings, TRIES_MAX, stop_asked, stopped},
};
use serde_json::{Map, Value};
use tokio::{sync::watch, task::JoinSet};

/// How many jobs the broker gives us before the first is acked: so many we work on at a time.
const PREFETCH: u16 = 5;

/// `delivery_mode` 2 asks the broker to keep the message over a restart.
const PERSISTENT: u8 = 2;

/// Before we connect again to a broker that has gone.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

const SECONDS_MAX: f64 = 3_600.0;

/// Why a try failed.
enum Failure {
    MayPass(String),
    ForGood(String),
}

#[tokio::main]
async fn main() -> ExitCode {
    ended(process().await)
}

async fn process() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_env()?;
    let mut stop = stop_asked()?;
    while let Err(error) = work(&settings, &mut stop).await {
        if is_refusal(&error) {
            return Err(error.into());
        }
        settings.log.error(format!("{}; once more in {CONNECT_PAUSE:?}", away(&settings, &error)));
        tokio::select! {
            () = stopped(&mut stop) => break,
            () = tokio::time::sleep(CONNECT_PAUSE) => {}
        }
    }
    settings.log.status("Bye");
    Ok(())
}

/// The broker says no, and would say it again. 320 says that it is being stopped.
fn is_refusal(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() != 320)
}

/// Somebody else may listen there: at another port, the broker itself.
fn away(settings: &Settings, error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ParsingError(_) => {
            let (host, port) = (&settings.host, settings.amqp_port);
            format!("what answers at {host}:{port} is not AMQP: is JOBS_AMQP_PORT right?")
        }
        _ => format!("the broker is away ({error})"),
    }
}

/// Works until the program is asked to stop. If the connection is lost, the broker gives the jobs in hand to the next one.
async fn work(settings: &Settings, stop: &mut watch::Receiver<bool>) -> lapin::Result<()> {
    let connection = Connection::connect_uri(settings.uri(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    // With confirms we know that a job is in the queue of the failed ones before we ack it.
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    declare_queues(settings, &channel).await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let queue = settings.queue.as_str().into();
    let options = BasicConsumeOptions::default();
    let mut consumer = channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?;

    settings.log.status("Waiting for jobs. To exit press CTRL+C");
    let mut in_hand = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(stop) => break,
            delivery = consumer.next() => match delivery {
                Some(delivery) => {
                    in_hand.spawn(take(settings.clone(), channel.clone(), delivery?));
                }
                // Somebody has deleted the queue.
                None => return Err(std::io::Error::other("the queue is gone").into()),
            },
            Some(settled) = in_hand.join_next() => settled.map_err(std::io::Error::other)??,
        }
    }

    settings.log.status(format!("Ending; jobs in hand: {}", in_hand.len()));
    // No more of them, please. What we have not begun goes back when the connection closes.
    channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
    while let Some(settled) = in_hand.join_next().await {
        settled.map_err(std::io::Error::other)??;
    }
    connection.close(200, "OK".into()).await
}

/// Makes the three queues. Those that are there already stay as they are.
async fn declare_queues(settings: &Settings, channel: &Channel) -> lapin::Result<()> {
    for (name, arguments) in settings.queues() {
        let options = QueueDeclareOptions::durable();
        channel.queue_declare(name.into(), options, table(&arguments)).await?;
    }
    Ok(())
}

/// Does one job and tells the broker how it went.
async fn take(settings: Settings, channel: Channel, delivery: Delivery) -> lapin::Result<()> {
    let log = settings.log;
    let attempt = 1 + rejections(&delivery, &settings.queue);
    let id = delivery.properties.message_id().as_ref().map_or("?", |id| id.as_str());
    log.info(format!("{id}: try {attempt} of {TRIES_MAX}"));
    let failure = match attempted(&delivery.data, attempt).await {
        Ok(data) => {
            log.debug(format!("{id}: {}", Value::Object(data)));
            log.info(format!("{id}: done"));
            return delivery.ack(BasicAckOptions::default()).await.map(drop);
        }
        Err(failure) => failure,
    };
    // Where the job goes now may have been deleted since we began.
    declare_queues(&settings, &channel).await?;
    let why = match failure {
        Failure::MayPass(why) if attempt < TRIES_MAX => {
            log.error(format!("{id}: failed ({why}); once more in {} ms", settings.pause_ms));
            // Not into the queue again, but where its arguments say: to the queue in which failed jobs pause.
            return delivery.reject(BasicRejectOptions { requeue: false }).await.map(drop);
        }
        Failure::MayPass(why) | Failure::ForGood(why) => why,
    };
    if give_up(&settings.failed_queue(), &channel, &delivery, &why).await? {
        log.error(format!("{id}: failed ({why}); given up"));
        delivery.ack(BasicAckOptions::default()).await.map(drop)
    } else {
        log.error(format!("{id}: {} does not take it", settings.failed_queue()));
        delivery.reject(BasicRejectOptions { requeue: false }).await.map(drop)
    }
}

/// The work itself: `seconds` of it, and as many of the first tries fail as `fails` says.
async fn attempted(body: &[u8], attempt: u64) -> Result<Map<String, Value>, Failure> {
    let job: Job =
        serde_json::from_slice(body).map_err(|error| Failure::ForGood(format!("no job: {error}")))?;
    let seconds = job.data.get("seconds").map_or(Some(1.0), Value::as_f64);
    let seconds = seconds.filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds));
    let Some(seconds) = seconds else {
        return Err(Failure::ForGood(format!("seconds must be a number from 0 to {SECONDS_MAX}")));
    };
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    match job.data.get("fails").and_then(Value::as_u64) {
        Some(fails) if attempt <= fails => Err(Failure::MayPass("as it was told to".to_owned())),
        _ => Ok(job.data),
    }
}

/// Publishes the job to the queue of the failed ones, with the reason. Whether it is there.
async fn give_up(queue: &str, channel: &Channel, delivery: &Delivery, why: &str) -> lapin::Result<bool> {
    let mut headers = FieldTable::default();
    headers.insert("error".into(), AMQPValue::LongString(why.into()));
    let mut properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers);
    if let Some(id) = delivery.properties.message_id() {
        properties = properties.with_message_id(id.clone());
    }
    // Mandatory: a job that fits no queue comes back.
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirm = channel.basic_publish("".into(), queue.into(), options, &delivery.data, properties).await?;
    let confirmation = confirm.await?;
    Ok(confirmation.is_ack() && confirmation.take_message().is_none())
}

/// How often the job was rejected: the broker counts in `x-death`, one entry for each queue and reason.
fn rejections(delivery: &Delivery, queue: &str) -> u64 {
    let headers = delivery.properties.headers().as_ref();
    let deaths = headers.and_then(|headers| headers.inner().get("x-death")).and_then(AMQPValue::as_array);
    let deaths = deaths.map_or(&[][..], |deaths| deaths.as_slice());
    let is = |death: &FieldTable, key: &str, text: &str| matches!(death.inner().get(key), Some(AMQPValue::LongString(value)) if value.as_bytes() == text.as_bytes());
    let mut deaths = deaths.iter().filter_map(AMQPValue::as_field_table);
    let rejected = deaths.find(|death| is(death, "queue", queue) && is(death, "reason", "rejected"));
    let count = rejected.and_then(|death| death.inner().get("count")).and_then(AMQPValue::as_long_long_int);
    count.and_then(|count| count.try_into().ok()).unwrap_or(0)
}

/// Arguments as AMQP writes them.
fn table(arguments: &Value) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments.as_object().into_iter().flatten() {
        let value = match value {
            Value::Number(number) => AMQPValue::LongLongInt(number.as_i64().unwrap_or(i64::MAX)),
            other => AMQPValue::LongString(other.as_str().unwrap_or_default().into()),
        };
        table.insert(name.as_str().into(), value);
    }
    table
}
