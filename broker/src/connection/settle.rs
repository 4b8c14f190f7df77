//! `basic.ack`, `nack`, `reject` and `recover`: ending deliveries, in runs.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use amq_protocol::protocol::{AMQPClass, basic};

use super::{
    Connection, Phase,
    exception::{Exception, ReplyCode},
};
use crate::{
    model::queue::Outcome,
    storage::record::Lsn,
    vhost::{
        deliveries::{ChannelDeliveries, Origin, Overdue, SettleRun, UnknownTag},
        subscription::Subscription,
    },
    wire::{frame::ChannelNumber, method::MethodId},
};

impl Connection {
    /// Closes the channels with deliveries that were unsettled for too long
    /// (<https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout>).
    pub(super) fn close_overdue(&mut self, now: Instant) {
        if !self.info.has_overdue.swap(false, Relaxed) || self.phase != Phase::Running {
            return;
        }
        for (number, overdue) in self.outbox.overdue(self.node.limits.consumer_timeout, now) {
            let Overdue { tag, origin, timeout } = overdue;
            let timeout = timeout.as_millis();
            let consumer = match &origin {
                Origin::Consumer(subscription) => format!("consumer '{}'", subscription.tag),
                Origin::Get(_) => "basic.get".to_owned(),
            };
            tracing::warn!(
                connection = %self.info.name(), channel = number.0,
                "{consumer} of queue '{}' in vhost '{}' did not acknowledge delivery {tag} within {timeout} ms",
                origin.queue().name, self.vhost_name(),
            );
            let text = format!(
                "delivery acknowledgement on channel {} timed out. Timeout value used: {timeout} ms. This timeout \
                 value can be configured, see consumers doc guide to learn more",
                number.0
            );
            let exception = Exception::new(ReplyCode::PreconditionFailed, text);
            self.raise(number, exception, MethodId::NONE, now);
        }
    }

    /// Takes deliveries off the channel; their queues hear of it when the run ends.
    pub(super) fn handle_settle(
        &mut self,
        number: ChannelNumber,
        (delivery_tag, multiple): (u64, bool),
        outcome: Outcome,
    ) -> Result<(), Exception> {
        if self.open_channel(number)?.transaction.is_some() {
            return self.hold_settle(number, (delivery_tag, multiple), outcome);
        }
        let settles = &mut self.settles;
        let settled = self
            .outbox
            .with_channel(number, |deliveries| deliveries.settle(delivery_tag, multiple, outcome, settles));
        match settled {
            Some(Err(UnknownTag)) => Err(unknown_tag(delivery_tag)),
            Some(Ok(())) => {
                self.note_settled(number);
                // What goes back goes out again before anything that is published after it.
                if outcome == Outcome::Requeue {
                    self.flush();
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// `basic.recover`: everything unsettled on the channel goes back.
    pub(super) fn handle_recover(
        &mut self,
        number: ChannelNumber,
        requeue: bool,
        is_async: bool,
    ) -> Result<(), Exception> {
        self.open_channel(number)?;
        if !requeue {
            return Err(Exception::new(ReplyCode::NotImplemented, "requeue=false"));
        }
        if !is_async {
            // Before the messages themselves come again.
            let recover_ok = basic::AMQPMethod::RecoverOk(basic::RecoverOk {});
            self.outbox.write_method(number, &AMQPClass::Basic(recover_ok));
        }
        let settles = &mut self.settles;
        self.outbox.with_channel(number, |deliveries| deliveries.recover(settles));
        self.note_settled(number);
        self.flush_settles();
        Ok(())
    }

    /// Tells the queues what was settled; consumers that got credit back get more.
    pub(super) fn flush_settles(&mut self) {
        if self.settles.is_empty() {
            return;
        }
        let settled = settle_all(&mut self.settles);
        self.last_settled = self.last_settled.max(settled);
        let mut freed_channels = std::mem::take(&mut self.freed_channels);
        freed_channels.sort_unstable();
        freed_channels.dedup();
        for number in freed_channels {
            self.resume_consumers(number);
        }
    }

    /// Channel-wide credit that one queue's messages free is for consumers of other queues, too.
    fn note_settled(&mut self, number: ChannelNumber) {
        let has_limit = self.channel(number).is_some_and(|channel| channel.prefetch.limit() > 0);
        if has_limit && self.freed_channels.last() != Some(&number) {
            self.freed_channels.push(number);
        }
    }

    /// Lets all consumers of a channel ask for messages again, in turn.
    pub(super) fn resume_consumers(&self, number: ChannelNumber) {
        let round = self.outbox.with_channel(number, ChannelDeliveries::next_round);
        for subscription in round.unwrap_or_default() {
            subscription.queue.resume(subscription.id);
        }
    }
}

/// What a run of settles is gathered in.
pub(super) type Settles = Vec<SettleRun>;

/// Tells the queues of runs that these have ended; says where the log has the last of it.
pub(super) fn settle_all(runs: &mut Settles) -> Option<Lsn> {
    runs.drain(..).map(|mut run| Arc::clone(run.origin.queue()).settle(&mut run)).max().flatten()
}

pub(super) fn unknown_tag(delivery_tag: u64) -> Exception {
    Exception::new(ReplyCode::PreconditionFailed, format!("unknown delivery tag {delivery_tag}"))
}

/// Room was made in an outbox: the consumers that waited for it may go on.
pub fn resume(waiting: Vec<Arc<Subscription>>) {
    for subscription in waiting {
        subscription.queue.resume(subscription.id);
    }
}
