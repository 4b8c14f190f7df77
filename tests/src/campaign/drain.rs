//! Reading every queue to its end: then nothing is open any more, and all can be judged.

use std::{sync::Arc, time::Duration};

use futures_lite::StreamExt;
use lapin::{
    Channel, Connection,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::{task::JoinSet, time::timeout};

use super::{
    history::{Event, MessageId, QueueIndex},
    shared::Shared,
    topology::{Seen, ready},
    workload::{name, queues},
};

/// After so long without a delivery the broker is asked whether there is any.
const SILENCE: Duration = Duration::from_millis(60);

/// So many silences while messages are ready mean that the queue is stuck.
const SILENCES_MAX: u32 = 300;

/// Reads all queues that are there to their ends, on one connection, and tells so.
pub async fn drain(shared: &Arc<Shared>, url: &str, seen: &Seen) -> lapin::Result<()> {
    let connection = Arc::new(Connection::connect(url, Default::default()).await?);
    let mut tasks = JoinSet::new();
    for queue in queues().filter(|queue| seen.has_queue(*queue)) {
        tasks.spawn(take(shared.clone(), connection.clone(), queue, u64::MAX));
    }
    while let Some(drained) = tasks.join_next().await {
        drained.expect("draining does not panic")?;
    }
    connection.close(200, "bye".into()).await?;
    shared.observe(Event::Drained);
    Ok(())
}

/// Takes messages off a queue for good: at least so many, or all there are.
pub async fn take(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    queue: QueueIndex,
    least: u64,
) -> lapin::Result<()> {
    let mut taken = 0;
    loop {
        let channel = connection.create_channel().await?;
        taken += take_on(&shared, &channel, queue, least - taken).await?;
        // What was on its way when the channel was closed is in the queue again.
        let counting = connection.create_channel().await?;
        let left = ready(&counting, queue).await?;
        counting.close(200, "bye".into()).await?;
        if taken >= least || left == 0 {
            return Ok(());
        }
    }
}

/// Takes messages on one channel until so many have come, or nothing is ready any more. How many it were.
async fn take_on(shared: &Shared, channel: &Channel, queue: QueueIndex, least: u64) -> lapin::Result<u64> {
    channel.basic_qos(1_000, BasicQosOptions::default()).await?;
    let index = shared.open(queue, true, false);
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = channel.basic_consume(name(queue).into(), "".into(), options, arguments).await?;
    let mut held: Vec<(u64, MessageId)> = Vec::new();
    let (mut silences, mut taken) = (0, 0);
    while silences < SILENCES_MAX && taken < least {
        match timeout(SILENCE, consumer.next()).await {
            Ok(None) => break,
            Ok(Some(delivery)) => {
                let delivery = delivery?;
                silences = 0;
                taken += 1;
                if let Some(message) = shared.deliver(index, &delivery) {
                    held.push((delivery.delivery_tag, message));
                }
                if held.len() < 200 && taken < least {
                    continue;
                }
            }
            Err(_) if held.is_empty() && ready(channel, queue).await? == 0 => break,
            Err(_) => silences += 1,
        }
        shared.thin(queue, i64::try_from(held.len()).expect("a batch is small"));
        ack(shared, channel, index, &mut held).await?;
    }
    if silences == SILENCES_MAX {
        shared.observe(Event::GaveUp { what: format!("{} does not empty", name(queue)) });
    }
    shared.observe(Event::CloseSent { channel: index });
    channel.close(200, "bye".into()).await?;
    shared.answered(Event::Barrier { channel: index });
    Ok(taken)
}

async fn ack(
    shared: &Shared,
    channel: &Channel,
    index: super::history::ChannelIndex,
    held: &mut Vec<(u64, MessageId)>,
) -> lapin::Result<()> {
    let Some((tag, _)) = held.last().copied() else { return Ok(()) };
    for (_, message) in held.drain(..) {
        shared.observe(Event::AckSent { channel: index, message });
    }
    channel.basic_ack(tag, BasicAckOptions { multiple: true }).await
}
