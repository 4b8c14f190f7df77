//! A consumer that asks for each message with `basic.get`.

use std::sync::Arc;

use lapin::{
    Channel, Connection,
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions},
};

use super::{
    history::{ChannelIndex, Event, MessageId, QueueIndex},
    random::Random,
    shared::Shared,
    workload::{self, queue},
};
use crate::wait::pause;

/// How long to wait when the queue was empty.
const EMPTY_PAUSE: std::time::Duration = std::time::Duration::from_millis(3);

/// Gets from a queue until the campaign stops or the broker dies.
pub async fn get(shared: Arc<Shared>, connection: Arc<Connection>, mut random: Random) -> lapin::Result<()> {
    while !shared.is_stopping() {
        let channel = connection.create_channel().await?;
        let mut getting = Getting::new(&shared, &channel, queue::GET);
        for _ in 0..random.between(1, 60) {
            if shared.is_stopping() {
                break;
            }
            if !getting.get_some(random.between(1, 20)).await? {
                pause(EMPTY_PAUSE).await;
            }
            getting.settle(&mut random).await?;
        }
        getting.close().await?;
    }
    Ok(())
}

/// One channel that gets from a queue.
#[derive(Debug)]
pub struct Getting<'a> {
    shared: &'a Shared,
    channel: &'a Channel,
    pub index: ChannelIndex,
    queue: QueueIndex,
    /// Unsettled, in the order of their tags.
    pub held: Vec<(u64, MessageId)>,
}

impl<'a> Getting<'a> {
    pub fn new(shared: &'a Shared, channel: &'a Channel, queue: QueueIndex) -> Getting<'a> {
        let index = shared.open(queue, true, false);
        Getting { shared, channel, index, queue, held: Vec::new() }
    }

    /// Gets up to `most`. False if the queue was empty at last.
    pub async fn get_some(&mut self, most: u64) -> lapin::Result<bool> {
        for _ in 0..most {
            let name = workload::name(self.queue);
            let got = self.channel.basic_get(name.into(), BasicGetOptions::default()).await?;
            let Some(got) = got else { return Ok(false) };
            if let Some(message) = self.shared.deliver(self.index, &got.delivery) {
                self.held.push((got.delivery.delivery_tag, message));
            }
        }
        Ok(true)
    }

    /// Acks everything with one frame, or gives everything back, or leaves it.
    async fn settle(&mut self, random: &mut Random) -> lapin::Result<()> {
        match random.between(1, 10) {
            1..=8 => self.ack_all().await,
            9 => {
                let Some((tag, _)) = self.held.last().copied() else { return Ok(()) };
                for (_, message) in self.held.drain(..) {
                    self.shared.observe(Event::RequeueSent { channel: self.index, message });
                }
                self.channel.basic_nack(tag, BasicNackOptions { requeue: true, multiple: true }).await
            }
            _ => Ok(()),
        }
    }

    /// Acks everything with one frame.
    pub async fn ack_all(&mut self) -> lapin::Result<()> {
        let Some((tag, _)) = self.held.last().copied() else { return Ok(()) };
        self.shared.thin(self.queue, i64::try_from(self.held.len()).expect("a few"));
        for (_, message) in self.held.drain(..) {
            self.shared.observe(Event::AckSent { channel: self.index, message });
        }
        self.channel.basic_ack(tag, BasicAckOptions { multiple: true }).await
    }

    /// Closes the channel; what it holds goes back.
    pub async fn close(self) -> lapin::Result<()> {
        self.shared.observe(Event::CloseSent { channel: self.index });
        self.channel.close(200, "bye".into()).await?;
        self.shared.answered(Event::Barrier { channel: self.index });
        Ok(())
    }
}
