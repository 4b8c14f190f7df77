//! Transactions: everything of one or nothing of it, also after `kill -9`.

use lapin::{
    BasicProperties, Channel,
    options::{
        BasicAckOptions, BasicNackOptions, BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
};
use liebre_tests::{
    amqp::{
        body, confirm, connect, connect_channel, declare, drain, exception, get, publish, publish_with,
        wait_ready,
    },
    broker::Broker,
};

fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

/// Without waiting for an answer: there is none.
async fn publish_unconfirmed(channel: &Channel, queue: &str, body: &str) {
    let options = BasicPublishOptions::default();
    channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), persistent()).await.unwrap();
}

/// Durable queues `from`, with the jobs 1 to 3, and `to`, empty.
async fn fill(broker: &Broker) {
    let (_connection, channel) = connect_channel(broker).await;
    confirm(&channel).await;
    for queue in ["from", "to"] {
        declare(&channel, queue, QueueDeclareOptions::durable()).await;
    }
    for job in ["1", "2", "3"] {
        publish_with(&channel, "", "from", job, persistent()).await;
    }
}

/// Moves two of the jobs in a transaction that is not committed yet; puts the third back.
async fn move_jobs(channel: &Channel) {
    channel.tx_select().await.unwrap();
    for _ in 0..3 {
        let job = get(channel, "from").await.expect("a job").delivery;
        publish_unconfirmed(channel, "to", &format!("done {}", body(&job))).await;
        match job.delivery_tag {
            2 => channel.basic_nack(2, BasicNackOptions { requeue: true, ..Default::default() }).await,
            tag => channel.basic_ack(tag, BasicAckOptions::default()).await,
        }
        .unwrap();
    }
}

async fn left(broker: &Broker) -> (Vec<String>, Vec<String>) {
    let (_connection, channel) = connect_channel(broker).await;
    (drain(&channel, "from").await, drain(&channel, "to").await)
}

fn is_all((from, to): &(Vec<String>, Vec<String>)) -> bool {
    from == &["2"] && to == &["done 1", "done 2", "done 3"]
}

fn is_nothing((from, to): &(Vec<String>, Vec<String>)) -> bool {
    from == &["1", "2", "3"] && to.is_empty()
}

#[tokio::test]
async fn everything_is_there_after_the_commit_also_after_kill9() {
    let Some(mut broker) = Broker::own() else { return };
    fill(&broker).await;
    let (_connection, channel) = connect_channel(&broker).await;
    move_jobs(&channel).await;
    channel.tx_commit().await.unwrap();
    broker.kill9();
    broker.start_again();
    let left = left(&broker).await;
    assert!(is_all(&left), "{left:?}");
}

#[tokio::test]
async fn nothing_is_there_before_the_commit_also_after_kill9() {
    let Some(mut broker) = Broker::own() else { return };
    fill(&broker).await;
    let (_connection, channel) = connect_channel(&broker).await;
    move_jobs(&channel).await;
    broker.kill9();
    broker.start_again();
    let left = left(&broker).await;
    assert!(is_nothing(&left), "{left:?}");
}

/// Killed while commits run: of each transaction either all or nothing is there, and all that were answered.
#[tokio::test]
async fn a_kill_in_the_middle_leaves_whole_transactions() {
    let Some(mut broker) = Broker::own() else { return };
    {
        let (_connection, channel) = connect_channel(&broker).await;
        for queue in ["one", "other"] {
            declare(&channel, queue, QueueDeclareOptions::durable()).await;
        }
    }
    let (_connection, channel) = connect_channel(&broker).await;
    channel.tx_select().await.unwrap();
    let (sender, answered) = tokio::sync::watch::channel(0);
    let committing = tokio::spawn(async move {
        for turn in 1.. {
            for queue in ["one", "other", "one"] {
                let options = BasicPublishOptions::default();
                let body = format!("{turn}");
                let published =
                    channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), persistent());
                if published.await.is_err() {
                    return;
                }
            }
            if channel.tx_commit().await.is_err() {
                return;
            }
            sender.send_replace(turn);
        }
    });
    let mut enough = answered.clone();
    enough.wait_for(|turn| *turn >= 50).await.unwrap();
    broker.kill9();
    committing.await.unwrap();
    broker.start_again();
    let (_connection, channel) = connect_channel(&broker).await;
    let (one, other) = (drain(&channel, "one").await, drain(&channel, "other").await);
    let turns: Vec<String> = (1..=other.len()).map(|turn| turn.to_string()).collect();
    let twice: Vec<String> = turns.iter().flat_map(|turn| [turn.clone(), turn.clone()]).collect();
    assert_eq!((&other, &one), (&turns, &twice));
    assert!(other.len() >= *answered.borrow(), "{} of {} answered", other.len(), *answered.borrow());
}

#[tokio::test]
async fn rolled_back_is_as_if_it_never_was() {
    let (connection, channel) = connect_channel(Broker::shared()).await;
    let queue = declare(&channel, "", QueueDeclareOptions::exclusive()).await.name().to_string();
    let publisher = connection.create_channel().await.unwrap();
    confirm(&publisher).await;
    publish(&publisher, "", &queue, "job").await;
    channel.tx_select().await.unwrap();
    get(&channel, &queue).await.expect("the job");
    channel.basic_ack(1, BasicAckOptions::default()).await.unwrap();
    publish_unconfirmed(&channel, &queue, "result").await;
    channel.tx_rollback().await.unwrap();
    assert!(get(&channel, &queue).await.is_none(), "the job is still with the channel");
    channel.basic_ack(1, BasicAckOptions::default()).await.unwrap();
    channel.tx_commit().await.unwrap();
    channel.close(200, "bye".into()).await.unwrap();
    assert!(get(&publisher, &queue).await.is_none());
}

#[tokio::test]
async fn a_connection_that_ends_rolls_back() {
    let (_connection, channel) = connect_channel(Broker::shared()).await;
    confirm(&channel).await;
    let queue = liebre_tests::unique("tx-ends");
    declare(&channel, &queue, QueueDeclareOptions::default()).await;
    publish(&channel, "", &queue, "job").await;
    let other = connect(Broker::shared()).await;
    let worker = other.create_channel().await.unwrap();
    worker.tx_select().await.unwrap();
    get(&worker, &queue).await.expect("the job");
    worker.basic_ack(1, BasicAckOptions::default()).await.unwrap();
    publish_unconfirmed(&worker, &queue, "result").await;
    other.close(200, "bye".into()).await.unwrap();
    wait_ready(&channel, &queue, 1).await;
    let job = get(&channel, &queue).await.expect("the job");
    assert_eq!((body(&job.delivery).as_str(), job.delivery.redelivered), ("job", true));
    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
}

#[tokio::test]
async fn modes_do_not_mix() {
    let connection = connect(Broker::shared()).await;
    let channel = connection.create_channel().await.unwrap();
    assert_eq!(
        exception(channel.tx_commit().await),
        "406 PRECONDITION_FAILED - channel is not transactional"
    );
    let channel = connection.create_channel().await.unwrap();
    confirm(&channel).await;
    assert_eq!(
        exception(channel.tx_select().await),
        "406 PRECONDITION_FAILED - cannot switch from confirm to tx mode"
    );
}
