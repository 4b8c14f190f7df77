//! Consumers that settle in different ways, and end their channels in different ways.

use std::{sync::Arc, time::Duration};

use futures_lite::{StreamExt, future::poll_once};
use lapin::{
    Channel, Connection, Consumer,
    message::Delivery,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
        BasicRejectOptions,
    },
    types::FieldTable,
};

use super::{
    history::{ChannelIndex, Event, MessageId, QueueIndex},
    random::Random,
    shared::Shared,
    workload,
};
use crate::wait::pause;

/// How a consumer settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Acks several at a time, and leaves some for later.
    Batches,
    /// Acks one by one.
    OneByOne,
    /// Acks some, gives some back.
    Requeue,
    /// Need not ack.
    NoAck,
}

/// One consumer of a queue.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    pub queue: QueueIndex,
    pub style: Style,
    /// Nobody else takes from the queue meanwhile.
    pub is_sole: bool,
}

/// Consumes until the campaign stops or the broker dies.
pub async fn consume(shared: Arc<Shared>, url: String, role: Role, mut random: Random) -> lapin::Result<()> {
    if random.chance(20) {
        // A queue that fills up first.
        pause(Duration::from_millis(random.between(1, 300))).await;
    }
    while !shared.is_stopping() {
        let connection = Connection::connect(&url, Default::default()).await?;
        let channels = random.between(1, 6);
        for left in (0..channels).rev() {
            let mut consuming = Consuming::open(&shared, &connection, role, &mut random).await?;
            consuming.take_turns(&mut random).await?;
            // The last channel may end with its connection.
            let with_connection = (left == 0 && random.chance(50)).then_some(&connection);
            consuming.end(&mut random, with_connection).await?;
            if with_connection.is_some() || shared.is_stopping() {
                break;
            }
        }
        if connection.status().connected() {
            connection.close(200, "bye".into()).await?;
        }
    }
    Ok(())
}

/// One channel that consumes.
struct Consuming<'a> {
    shared: &'a Shared,
    role: Role,
    channel: Channel,
    index: ChannelIndex,
    consumer: Consumer,
    /// Unsettled, in the order of their tags.
    held: Vec<(u64, MessageId)>,
}

impl<'a> Consuming<'a> {
    async fn open(
        shared: &'a Shared,
        connection: &Connection,
        role: Role,
        random: &mut Random,
    ) -> lapin::Result<Consuming<'a>> {
        let channel = connection.create_channel().await?;
        let prefetch = random.pick(&[1, 10, 100, 1_000, 1_000, 0]);
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let no_ack = role.style == Style::NoAck;
        let index = shared.open(role.queue, role.is_sole, no_ack);
        let options = BasicConsumeOptions { no_ack, ..BasicConsumeOptions::default() };
        let name = workload::name(role.queue);
        let consumer = channel.basic_consume(name.into(), "".into(), options, FieldTable::default()).await?;
        Ok(Consuming { shared, role, channel, index, consumer, held: Vec::new() })
    }

    /// Takes some batches.
    async fn take_turns(&mut self, random: &mut Random) -> lapin::Result<()> {
        let turns = random.between(1, 200);
        let is_slow = random.chance(20);
        for _ in 0..turns {
            if !self.take_batch(random.between(1, 200)).await? {
                break;
            }
            self.settle(random).await?;
            if is_slow {
                pause(Duration::from_millis(random.between(1, 5))).await;
            }
        }
        Ok(())
    }

    /// Waits for a delivery and takes what has come with it. False if the campaign stops.
    async fn take_batch(&mut self, most: u64) -> lapin::Result<bool> {
        let first = tokio::select! {
            first = self.consumer.next() => first,
            () = self.shared.stopping() => return Ok(false),
        };
        let Some(first) = first else { return Ok(false) };
        self.take(&first?);
        for _ in 1..most {
            let Some(Some(delivery)) = poll_once(self.consumer.next()).await else { break };
            self.take(&delivery?);
        }
        Ok(true)
    }

    fn take(&mut self, delivery: &Delivery) {
        let Some(message) = self.shared.deliver(self.index, delivery) else { return };
        if self.role.style == Style::NoAck {
            self.shared.thin(self.role.queue, 1);
        } else {
            self.held.push((delivery.delivery_tag, message));
        }
    }

    async fn settle(&mut self, random: &mut Random) -> lapin::Result<()> {
        match self.role.style {
            Style::NoAck => Ok(()),
            Style::Batches => {
                // With a prefetch count of 1 nothing may be left.
                let keep = if self.held.len() > 1 { random.between(0, 1) } else { 0 };
                let count = self.held.len() - usize::try_from(keep).expect("0 or 1");
                self.ack_up_to(count).await
            }
            Style::OneByOne => {
                for held in std::mem::take(&mut self.held) {
                    self.ack(held).await?;
                }
                Ok(())
            }
            Style::Requeue => self.settle_or_give_back(random).await,
        }
    }

    async fn settle_or_give_back(&mut self, random: &mut Random) -> lapin::Result<()> {
        if random.chance(5) {
            return self.give_all_back().await;
        }
        for (tag, message) in std::mem::take(&mut self.held) {
            match random.between(1, 100) {
                1..=80 => self.ack((tag, message)).await?,
                81..=90 => {
                    self.shared.observe(Event::RequeueSent { channel: self.index, message });
                    self.channel.basic_reject(tag, BasicRejectOptions { requeue: true }).await?;
                }
                _ => {
                    self.shared.observe(Event::RequeueSent { channel: self.index, message });
                    let options = BasicNackOptions { requeue: true, multiple: false };
                    self.channel.basic_nack(tag, options).await?;
                }
            }
        }
        Ok(())
    }

    async fn give_all_back(&mut self) -> lapin::Result<()> {
        let Some((tag, _)) = self.held.last().copied() else { return Ok(()) };
        for (_, message) in self.held.drain(..) {
            self.shared.observe(Event::RequeueSent { channel: self.index, message });
        }
        self.channel.basic_nack(tag, BasicNackOptions { requeue: true, multiple: true }).await
    }

    /// Acks the oldest `count` with one frame.
    async fn ack_up_to(&mut self, count: usize) -> lapin::Result<()> {
        let Some((tag, _)) = self.held[..count].last().copied() else { return Ok(()) };
        for (_, message) in self.held.drain(..count) {
            self.shared.observe(Event::AckSent { channel: self.index, message });
        }
        self.shared.thin(self.role.queue, i64::try_from(count).expect("a batch is small"));
        self.channel.basic_ack(tag, BasicAckOptions { multiple: true }).await
    }

    async fn ack(&mut self, (tag, message): (u64, MessageId)) -> lapin::Result<()> {
        self.shared.observe(Event::AckSent { channel: self.index, message });
        self.shared.thin(self.role.queue, 1);
        self.channel.basic_ack(tag, BasicAckOptions { multiple: false }).await
    }

    /// Ends the channel, after a `basic.cancel` or not, by itself or with its connection.
    async fn end(mut self, random: &mut Random, connection: Option<&Connection>) -> lapin::Result<()> {
        if self.role.style == Style::NoAck || random.chance(30) {
            let tag = self.consumer.tag();
            self.channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
            self.shared.answered(Event::Barrier { channel: self.index });
            // What came before cancel-ok is there still.
            while let Some(delivery) = self.consumer.next().await {
                self.take(&delivery?);
            }
            let count = self.held.len();
            self.ack_up_to(count).await?;
        }
        self.shared.observe(Event::CloseSent { channel: self.index });
        match connection {
            Some(connection) => connection.close(200, "bye".into()).await?,
            None => self.channel.close(200, "bye".into()).await?,
        }
        self.shared.answered(Event::Barrier { channel: self.index });
        Ok(())
    }
}
