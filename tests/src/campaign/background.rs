//! What goes on beside publishers and consumers: purges, declares, deletes, and transactions.

use std::{sync::Arc, time::Duration};

use lapin::{
    Channel, Connection, ErrorKind,
    options::{BasicAckOptions, BasicPublishOptions, ConfirmSelectOptions, QueuePurgeOptions},
};

use super::{
    getter::Getting,
    history::{Event, MessageId},
    publishers::publish_some,
    random::Random,
    shared::Shared,
    topology::{
        bind, binding_entity, declare_exchange, declare_queue, delete_exchange, delete_queue, unbind,
    },
    workload::{name, publisher, queue, role},
};
use crate::wait::pause;

/// Purges a queue now and then.
pub async fn purge(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    mut random: Random,
) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    while !shared.is_stopping() {
        pause(Duration::from_millis(random.between(5, 200))).await;
        shared.observe(Event::PurgeSent { queue: queue::PURGED });
        channel.queue_purge(name(queue::PURGED).into(), QueuePurgeOptions::default()).await?;
        shared.answered(Event::Purged { queue: queue::PURGED });
        shared.set_crowd(queue::PURGED, 0);
    }
    channel.close(200, "bye".into()).await
}

/// Declares and deletes queues, exchanges and bindings, one of them with messages in it.
pub async fn churn(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    mut random: Random,
) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    while !shared.is_stopping() {
        match random.between(1, 4) {
            1 => churn_messages(&shared, &connection, &channel, &mut random).await?,
            2 => churn_exchange(&shared, &channel, &mut random).await?,
            _ => churn_queue(&shared, &channel, &mut random).await?,
        }
        pause(Duration::from_millis(random.between(0, 10))).await;
    }
    channel.close(200, "bye".into()).await
}

/// A queue that is filled, half emptied, and deleted with the rest.
async fn churn_messages(
    shared: &Shared,
    connection: &Connection,
    channel: &Channel,
    random: &mut Random,
) -> lapin::Result<()> {
    declare_queue(shared, channel, name(queue::CHURN), true).await?;
    publish_some(shared, channel, publisher::CHURN, random.between(1, 50)).await?;
    if random.chance(50) {
        let taking = connection.create_channel().await?;
        let mut getting = Getting::new(shared, &taking, queue::CHURN);
        getting.get_some(random.between(1, 30)).await?;
        if random.chance(70) {
            getting.ack_all().await?;
        }
        getting.close().await?;
    }
    if random.chance(40) {
        shared.observe(Event::DeleteSent { queue: queue::CHURN });
        delete_queue(shared, channel, name(queue::CHURN)).await?;
        shared.answered(Event::Deleted { queue: queue::CHURN });
        shared.set_crowd(queue::CHURN, 0);
    }
    Ok(())
}

async fn churn_exchange(shared: &Shared, channel: &Channel, random: &mut Random) -> lapin::Result<()> {
    let exchange = format!("campaign.extra-{}", random.between(1, 4));
    if random.chance(50) {
        declare_exchange(shared, channel, &exchange, "topic").await
    } else {
        delete_exchange(shared, channel, &exchange).await
    }
}

/// A queue with a binding, or without.
async fn churn_queue(shared: &Shared, channel: &Channel, random: &mut Random) -> lapin::Result<()> {
    let queue = format!("campaign.extra-{}", random.between(1, 6));
    let (exchange, key) = ("campaign.topic", "extra.key");
    if random.chance(60) {
        declare_queue(shared, channel, &queue, true).await?;
        if random.chance(70) {
            bind(shared, channel, exchange, &queue, key, true).await?;
        } else {
            unbind(shared, channel, exchange, &queue, key).await?;
        }
        return Ok(());
    }
    // The binding goes with its queue.
    let binding = binding_entity(exchange, &queue, key);
    shared.observe(Event::EntitySent { entity: binding.clone(), is_durable: true });
    delete_queue(shared, channel, &queue).await?;
    shared.answered(Event::EntityDone { entity: binding, is_there: false });
    Ok(())
}

/// Transactions that publish to two queues and ack from one of them. A broker without transactions is left alone.
pub async fn transact(shared: Arc<Shared>, url: String, mut random: Random) -> lapin::Result<()> {
    while !shared.is_stopping() && shared.has_transactions() {
        let connection = Connection::connect(&url, Default::default()).await?;
        let channel = connection.create_channel().await?;
        if let Err(error) = channel.tx_select().await {
            if matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == 540) {
                shared.forgo_transactions();
                return Ok(());
            }
            return Err(error);
        }
        let mut transacting = Transacting {
            shared: &shared,
            channel: &channel,
            getting: Getting::new(&shared, &channel, queue::TX_A),
        };
        let mut is_fresh = true;
        while is_fresh && !shared.is_stopping() {
            if !shared.wait_in_crowd(publisher::TX).await || random.chance(20) {
                is_fresh = transacting.run(&mut random).await?;
            }
        }
        transacting.getting.close().await?;
        connection.close(200, "bye".into()).await?;
    }
    Ok(())
}

/// One channel with transactions.
struct Transacting<'a> {
    shared: &'a Shared,
    channel: &'a Channel,
    getting: Getting<'a>,
}

impl Transacting<'_> {
    /// One transaction. False if the channel has to be closed, since it holds what it has acked in vain.
    async fn run(&mut self, random: &mut Random) -> lapin::Result<bool> {
        self.getting.get_some(random.between(0, 20)).await?;
        let mut publishes = Vec::new();
        for _ in 0..random.between(1, 20) {
            publishes.push(self.publish().await?);
        }
        for (tag, _) in &self.getting.held {
            self.channel.basic_ack(*tag, BasicAckOptions::default()).await?;
        }
        let acks: Vec<MessageId> = self.getting.held.drain(..).map(|(_, message)| message).collect();
        match random.between(1, 100) {
            1..=85 => {
                self.shared.thin(queue::TX_A, i64::try_from(acks.len()).expect("a few"));
                self.shared.observe(Event::CommitSent { publishes, channel: self.getting.index, acks });
                self.channel.tx_commit().await?;
                self.shared.answered(Event::Committed { publisher: publisher::TX });
                Ok(true)
            }
            86..=95 => {
                self.channel.tx_rollback().await?;
                Ok(false)
            }
            // Closed without a word: as good as rolled back.
            _ => Ok(false),
        }
    }

    async fn publish(&self) -> lapin::Result<MessageId> {
        let role = role(publisher::TX);
        let (message, content) = self.shared.publish_in_transaction(publisher::TX);
        let options = BasicPublishOptions::default();
        self.channel
            .basic_publish(
                role.exchange.into(),
                role.routing_key.into(),
                options,
                &content.body,
                content.properties,
            )
            .await?;
        Ok(message)
    }
}
