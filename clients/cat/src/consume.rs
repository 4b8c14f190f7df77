//! `consume`: prints what arrives and settles it.
//!
//! A delivery is settled after it was printed: what was not printed is not lost. What was printed and could not be
//! settled, because the connection was lost, comes again, marked redelivered.

use std::fmt;

use futures_lite::StreamExt;
use futures_lite::future::pending;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    BasicRejectOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use tokio::time::sleep;

use crate::broker::{Broker, Link};
use crate::cli::{Consume, From};
use crate::exit::{Code, Failure, Interruption};
use crate::output::Output;
use crate::queue::declare_bound;
use crate::settling::Outcome;
use crate::stop::{Signals, Stop};

/// Prints until it is told to end, or has enough.
pub async fn consume(options: Consume, signals: Signals) -> Result<Code, Failure> {
    let status = options.shared.status;
    let stop = Stop::default();
    let mut subscriber = Subscriber {
        broker: Broker::new(options.shared.address.clone(), options.shared.patience, status),
        output: Output::new(options.form),
        counts: Counts::default(),
        options: &options,
        stop: &stop,
    };
    let outcome = stop.run(signals, options.shared.grace, subscriber.run()).await;
    if subscriber.counts.received > 0 || matches!(outcome, Some(Ok(()))) {
        status.say(subscriber.counts);
    }
    match outcome {
        Some(outcome) => outcome.map(|()| Code::Ok),
        None => Err(Failure::new(
            Code::Unavailable,
            "the broker did not answer in time: the last acks may not have arrived, and those messages come again",
        )),
    }
}

struct Subscriber<'a> {
    options: &'a Consume,
    stop: &'a Stop,
    broker: Broker,
    output: Output,
    counts: Counts,
}

/// How many deliveries were printed, and what was said about them.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    received: u64,
    redelivered: u64,
    accepted: u64,
    discarded: u64,
    requeued: u64,
    /// Sent to us with automatic acks beyond what was wanted.
    lost: u64,
}

/// Whether to go on.
#[derive(PartialEq)]
enum Flow {
    On,
    End,
}

impl Subscriber<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        while let Some(link) = self.connect().await? {
            let interruption = match self.serve(&link).await {
                Ok(()) => match link.close().await {
                    Ok(()) => return Ok(()),
                    Err(_) if self.options.is_auto_ack => return Ok(()),
                    Err(error) => return Err(self.unsettled(error)),
                },
                Err(interruption) => interruption,
            };
            let reason = self.broker.passing(interruption)?;
            let consequence = match self.options.from {
                From::Exchange { .. } => "What is published meanwhile is missed: the queue was ours alone",
                From::Queue(_) if self.options.is_auto_ack => "What was on the way is lost (--auto-ack)",
                From::Queue(_) => "What was not acked comes again, marked redelivered",
            };
            let status = self.options.shared.status;
            status.say(format_args!("connection lost: {reason}; connecting again. {consequence}"));
        }
        Ok(())
    }

    /// None if the program is to end.
    async fn connect(&mut self) -> Result<Option<Link>, Failure> {
        tokio::select! {
            biased;
            () = self.stop.asked() => Ok(None),
            link = self.broker.connect() => link.map(Some),
        }
    }

    async fn serve(&mut self, link: &Link) -> Result<(), Interruption> {
        let queue = self.queue(link).await?;
        let mut consumer = self.subscribe(&link.channel, &queue).await?;
        let status = self.options.shared.status;
        match &self.options.from {
            From::Queue(queue) => {
                status.say(format_args!("waiting for messages in queue '{}'; Ctrl-C ends", queue.name))
            }
            From::Exchange { name, .. } => {
                status.say(format_args!("waiting for messages from exchange '{name}'; Ctrl-C ends"));
            }
        }
        while !self.has_enough() {
            let delivery = tokio::select! {
                biased;
                () = self.stop.asked() => break,
                delivery = consumer.next() => delivery,
                () = self.idle() => {
                    status.say("nothing more has come");
                    break;
                }
            };
            let Some(delivery) = delivery else { return Err(cancelled(&queue).into()) };
            if self.take(delivery?, &mut consumer).await? == Flow::End {
                break;
            }
        }
        if self.options.is_auto_ack {
            self.empty(&link.channel, consumer).await?;
        }
        Ok(())
    }

    async fn queue(&self, link: &Link) -> lapin::Result<ShortString> {
        match &self.options.from {
            From::Queue(queue) => queue.declare(&link.connection).await.map(|()| queue.name.clone()),
            From::Exchange { name, keys } => declare_bound(&link.channel, name, keys).await,
        }
    }

    async fn subscribe(&self, channel: &Channel, queue: &ShortString) -> lapin::Result<Consumer> {
        channel.basic_qos(self.prefetch(), BasicQosOptions::default()).await?;
        let options =
            BasicConsumeOptions { no_ack: self.options.is_auto_ack, ..BasicConsumeOptions::default() };
        channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default()).await
    }

    /// Not far more than is wanted: what is fetched beyond goes back, but marked redelivered.
    fn prefetch(&self) -> u16 {
        let left = self.options.count.map(|count| count.saturating_sub(self.counts.received).max(1));
        let wanted = left.map_or(u16::MAX, |left| u16::try_from(left).unwrap_or(u16::MAX));
        match self.options.prefetch {
            0 if left.is_none() => 0,
            0 => wanted,
            prefetch => prefetch.min(wanted),
        }
    }

    fn has_enough(&self) -> bool {
        self.options.count.is_some_and(|count| self.counts.received >= count)
    }

    async fn idle(&self) {
        match self.options.idle {
            Some(idle) => sleep(idle).await,
            None => pending().await,
        }
    }

    async fn take(&mut self, delivery: Delivery, consumer: &mut Consumer) -> Result<Flow, Interruption> {
        self.print(&delivery)?;
        if self.options.is_auto_ack {
            return Ok(Flow::On);
        }
        if let Some(delay) = self.options.ack_delay {
            tokio::select! {
                biased;
                () = self.stop.asked() => {
                    self.options.shared.status.say("the message in hand was not acked: it goes back to the queue");
                    return Ok(Flow::End);
                }
                () = sleep(delay) => {}
            }
        }
        let outcome = self.options.plan.outcome(self.counts.received);
        let is_settled = match outcome {
            Outcome::Accept => delivery.ack(BasicAckOptions::default()).await,
            Outcome::Requeue => delivery.nack(BasicNackOptions { requeue: true, multiple: false }).await,
            Outcome::Discard => delivery.reject(BasicRejectOptions { requeue: false }).await,
        };
        match is_settled {
            Ok(true) => self.counts.settled(outcome),
            Ok(false) => return Err(why_ended(consumer).await),
            Err(error) => return Err(error.into()),
        }
        Ok(Flow::On)
    }

    fn print(&mut self, delivery: &Delivery) -> Result<(), Failure> {
        self.output.write(delivery)?;
        self.counts.received += 1;
        self.counts.redelivered += u64::from(delivery.redelivered);
        Ok(())
    }

    /// What is on the way with automatic acks is with nobody else: it is printed, or counted if there is enough.
    async fn empty(&mut self, channel: &Channel, mut consumer: Consumer) -> Result<(), Interruption> {
        channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        while let Some(delivery) = consumer.next().await {
            let delivery = delivery?;
            if self.has_enough() {
                self.counts.lost += 1;
            } else {
                self.print(&delivery)?;
            }
        }
        Ok(())
    }

    fn unsettled(&self, error: lapin::Error) -> Failure {
        let reason = self.broker.passing(error.into()).unwrap_or_else(|failure| failure.message);
        Failure::new(
            Code::Unavailable,
            format!("{reason}: the last acks may not have arrived, and those messages come again"),
        )
    }
}

impl Counts {
    fn settled(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Accept => self.accepted += 1,
            Outcome::Requeue => self.requeued += 1,
            Outcome::Discard => self.discarded += 1,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.received == 1 { "" } else { "s" };
        write!(f, "{} message{plural} received", self.received)?;
        let parts = [
            (self.redelivered, "redelivered"),
            (self.accepted, "acked"),
            (self.discarded, "rejected"),
            (self.requeued, "given back"),
            (self.lost, "sent beyond that and lost (--auto-ack)"),
        ];
        for (index, (count, what)) in parts.iter().filter(|(count, _)| *count > 0).enumerate() {
            write!(f, "{} {count} {what}", if index == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

/// The library knows that the delivery can no longer be settled; the reason comes behind what it has read already.
async fn why_ended(consumer: &mut Consumer) -> Interruption {
    while let Some(delivery) = consumer.next().await {
        if let Err(error) = delivery {
            return error.into();
        }
    }
    cancelled(&consumer.queue()).into()
}

fn cancelled(queue: &ShortString) -> Failure {
    Failure::new(
        Code::Unavailable,
        format!("the broker ended the subscription: queue '{queue}' was deleted, or its node went away"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_counted() {
        assert_eq!(Counts::default().to_string(), "0 messages received");
        let mut counts = Counts { received: 1, redelivered: 1, ..Counts::default() };
        counts.settled(Outcome::Accept);
        assert_eq!(counts.to_string(), "1 message received: 1 redelivered, 1 acked");
        counts.settled(Outcome::Discard);
        counts.settled(Outcome::Requeue);
        counts.received = 3;
        assert_eq!(
            counts.to_string(),
            "3 messages received: 1 redelivered, 1 acked, 1 rejected, 1 given back"
        );
    }
}
