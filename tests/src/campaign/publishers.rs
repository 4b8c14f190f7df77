//! Publishers with confirms: a window of open publishes, sent in bursts.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_lite::future::poll_once;
use lapin::{
    Channel, Confirmation, Connection, PublisherConfirm,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};

use super::{
    content::message_of,
    history::{Event, MessageId, PublisherIndex},
    random::Random,
    shared::Shared,
    workload::{self, publisher},
};
use crate::wait::pause;

/// Open publishes of a publisher at full speed.
const FULL_SPEED_WINDOW: usize = 200;

/// Publishes until the campaign stops or the broker dies; then all that was open is told, too.
pub async fn publish(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    publisher: PublisherIndex,
    mut random: Random,
) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut open = Open { shared: &shared, publishes: VecDeque::new() };
    let result = publish_in_bursts(&shared, &channel, publisher, &mut random, &mut open).await;
    let settled = open.settle(0).await;
    result.and(settled)?;
    shared.observe(Event::AllConfirmed { publisher });
    channel.close(200, "bye".into()).await
}

/// Publishes without a pause, however full the queues are, until the campaign stops.
pub async fn publish_at_full_speed(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    publisher: PublisherIndex,
) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut open = Open { shared: &shared, publishes: VecDeque::new() };
    let mut result = Ok(());
    while result.is_ok() && !shared.is_stopping() {
        for _ in 0..FULL_SPEED_WINDOW / 2 {
            result = result.and(open.publish(&channel, publisher).await);
        }
        result = result.and(open.settle(FULL_SPEED_WINDOW / 2).await);
    }
    let settled = open.settle(0).await;
    result.and(settled)?;
    shared.observe(Event::AllConfirmed { publisher });
    channel.close(200, "bye".into()).await
}

/// One publish with its confirm.
pub async fn publish_one(shared: &Shared, channel: &Channel, publisher: PublisherIndex) -> lapin::Result<()> {
    let mut open = Open { shared, publishes: VecDeque::new() };
    open.publish(channel, publisher).await?;
    open.settle(0).await
}

/// Several publishes, then all their confirms.
pub async fn publish_some(
    shared: &Shared,
    channel: &Channel,
    publisher: PublisherIndex,
    count: u64,
) -> lapin::Result<()> {
    let mut open = Open { shared, publishes: VecDeque::new() };
    for _ in 0..count {
        open.publish(channel, publisher).await?;
    }
    open.settle(0).await
}

async fn publish_in_bursts(
    shared: &Shared,
    channel: &Channel,
    publisher: PublisherIndex,
    random: &mut Random,
    open: &mut Open<'_>,
) -> lapin::Result<()> {
    let (window, pace) = habits(publisher, random);
    while !shared.is_stopping() {
        if shared.wait_in_crowd(publisher).await {
            open.settle_ready().await?;
            continue;
        }
        let burst = random.between(1, (window / 2).max(1));
        for _ in 0..burst {
            open.publish(channel, publisher).await?;
        }
        open.settle_ready().await?;
        let room = usize::try_from(window - burst).expect("a window is small");
        open.settle(room).await?;
        if let Some(pace) = pace {
            pause(pace).await;
        }
    }
    Ok(())
}

/// How many publishes may be open, and the pause after a burst.
fn habits(publisher: PublisherIndex, random: &mut Random) -> (u64, Option<Duration>) {
    match publisher {
        publisher::LARGE => (random.pick(&[2, 10, 40]), Some(Duration::from_millis(random.between(1, 20)))),
        publisher::PURGED => (random.pick(&[10, 100]), Some(Duration::from_millis(random.between(1, 10)))),
        _ => (random.pick(&[1, 10, 100, 1_000, 1_000]), None),
    }
}

/// Publishes whose verdict has not been told.
struct Open<'a> {
    shared: &'a Shared,
    publishes: VecDeque<(MessageId, PublisherConfirm)>,
}

impl Open<'_> {
    async fn publish(&mut self, channel: &Channel, publisher: PublisherIndex) -> lapin::Result<()> {
        let role = workload::role(publisher);
        let (message, content) = self.shared.publish(publisher);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirm = channel
            .basic_publish(
                role.exchange.into(),
                role.routing_key.into(),
                options,
                &content.body,
                content.properties,
            )
            .await?;
        self.publishes.push_back((message, confirm));
        Ok(())
    }

    /// Waits until no more than `room` are open. Tells what it can of the others even if one has failed.
    async fn settle(&mut self, room: usize) -> lapin::Result<()> {
        let mut result = Ok(());
        while self.publishes.len() > room || result.is_err() {
            let Some((message, confirm)) = self.publishes.pop_front() else { break };
            match confirm.await {
                Ok(confirmation) => self.tell(message, confirmation),
                Err(error) => result = Err(error),
            }
        }
        result
    }

    /// Tells the verdicts that are there, from the oldest on.
    async fn settle_ready(&mut self) -> lapin::Result<()> {
        while let Some((message, confirm)) = self.publishes.front_mut() {
            let Some(confirmation) = poll_once(confirm).await else { break };
            let message = *message;
            self.publishes.pop_front();
            self.tell(message, confirmation?);
        }
        Ok(())
    }

    fn tell(&self, message: MessageId, confirmation: Confirmation) {
        let is_ack = confirmation.is_ack();
        // The client hands a return to some publish that is open, so what came back is told by its body.
        let returned = confirmation.take_message().and_then(|returned| message_of(&returned.delivery.data));
        if let Some(message) = returned {
            self.shared.observe(Event::Returned { message });
        }
        self.shared.observe(Event::Confirmed { message, is_ack });
    }
}
