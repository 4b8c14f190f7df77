//! `basic.consume`, `cancel`, `get` and `qos`.

use std::sync::Arc;

use amq_protocol::protocol::{AMQPClass, basic};

use super::{
    Connection,
    exception::{Exception, ReplyCode},
};
use crate::{
    model::{name::Name, permission::Operation, queue::check_consumer},
    vhost::{
        broker::generated_name,
        declare::DeclareQueueError,
        deliveries::ChannelDeliveries,
        queue::{Deleted, Got, JoinError},
        reply_to::REPLY_TO,
        subscription::{Subscription, SubscriptionParts},
        ticket::Ticket,
    },
    wire::{encode::write_method, frame::ChannelNumber},
};

impl Connection {
    pub(super) fn handle_consume(
        &mut self,
        number: ChannelNumber,
        consume: basic::Consume,
    ) -> Result<(), Exception> {
        let name = self.queue_name(number, consume.queue.as_str())?;
        let tag = self.consumer_tag(number, consume.consumer_tag.as_str())?;
        if &*name == REPLY_TO {
            return self.consume_replies(number, &consume, tag);
        }
        self.authorize(&Operation::Consume { queue: &name })?;
        let queue = self.use_queue(&name)?;
        let arguments = consume.arguments.into();
        check_consumer(&arguments)
            .map_err(|error| Exception::of_queue_options(&error, &name, self.vhost_name()))?;
        let channel = self.open_channel(number)?;
        let (prefetch_count, channel_prefetch) = (channel.prefetch_count, Arc::clone(&channel.prefetch));
        let subscription = Arc::new(Subscription::from(SubscriptionParts {
            id: self.node.broker.next_consumer_id(),
            channel: number,
            tag: tag.clone(),
            queue: Arc::clone(&queue),
            outbox: Arc::clone(&self.outbox),
            is_no_ack: consume.no_ack,
            is_exclusive: consume.exclusive,
            is_cancel_notified: self.is_cancel_notified,
            arguments,
            prefetch_count,
            channel_prefetch,
        }));
        let reply = |bytes: &mut Vec<u8>| {
            if !consume.nowait {
                let consume_ok = basic::ConsumeOk { consumer_tag: tag.as_str().into() };
                write_method(bytes, number, &AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(consume_ok)));
            }
        };
        queue.consume(&subscription, reply).map_err(|error| match error {
            JoinError::InExclusiveUse => {
                let text = format!("queue '{name}' in vhost '{}' in exclusive use", self.vhost_name());
                Exception::new(ReplyCode::AccessRefused, text)
            }
            JoinError::Deleted => self.no_queue(&name),
        })
    }

    /// The tag a client chose, or one of ours.
    fn consumer_tag(&mut self, number: ChannelNumber, wanted: &str) -> Result<Name, Exception> {
        let tag = match wanted {
            "" => generated_name("amq.ctag-"),
            // A short string came in, so it fits a name.
            wanted => Name::parse(wanted).unwrap_or_else(|_| generated_name("amq.ctag-")),
        };
        let (is_used, count) = self
            .outbox
            .with_channel(number, |deliveries| (deliveries.has_tag(&tag), deliveries.consumer_count()))
            .unwrap_or_default();
        if is_used {
            let text = format!("attempt to reuse consumer tag '{tag}'");
            return Err(Exception::new(ReplyCode::NotAllowed, text));
        }
        let max = self.node.limits.consumers_per_channel_max;
        if count >= max {
            let text = format!("reached maximum ({max}) of consumers per channel");
            return Err(Exception::new(ReplyCode::NotAllowed, text));
        }
        Ok(tag)
    }

    /// Ends a consumer; an unknown tag is no error. What it holds stays unsettled.
    pub(super) fn handle_cancel(
        &mut self,
        number: ChannelNumber,
        cancel: basic::Cancel,
    ) -> Result<(), Exception> {
        self.open_channel(number)?;
        let tag = cancel.consumer_tag.as_str();
        let subscription =
            self.outbox.with_channel(number, |deliveries| deliveries.subscription(tag).cloned()).flatten();
        if let Some(subscription) = subscription {
            let is_unused = subscription.queue.cancel(subscription.id);
            self.outbox.remove_subscription(number, tag);
            if is_unused {
                self.end_unused_queue(&subscription.queue);
            }
        } else {
            self.cancel_replies(number, tag)?;
        }
        if !cancel.nowait {
            let cancel_ok =
                basic::AMQPMethod::CancelOk(basic::CancelOk { consumer_tag: cancel.consumer_tag });
            self.await_settled();
            self.reply(number, AMQPClass::Basic(cancel_ok), false);
        }
        Ok(())
    }

    pub(super) fn handle_get(&mut self, number: ChannelNumber, get: &basic::Get) -> Result<(), Exception> {
        let name = self.queue_name(number, get.queue.as_str())?;
        self.authorize(&Operation::Get { queue: &name })?;
        let queue = self.use_queue(&name)?;
        loop {
            match queue.get(&self.outbox, number, get.no_ack).map_err(|Deleted| self.no_queue(&name))? {
                Got::Message => {}
                Got::Nothing => {
                    self.outbox.with_channel(number, ChannelDeliveries::count_get_empty);
                    let empty = basic::AMQPMethod::GetEmpty(basic::GetEmpty {});
                    self.outbox.write_method(number, &AMQPClass::Basic(empty));
                }
                Got::NotYet(lsn) => match Ticket::synced(&**self.vhost()?.log(), lsn) {
                    Some(ticket) => self.get_later(number, get.clone(), ticket),
                    None => continue,
                },
            }
            return Ok(());
        }
    }

    /// RabbitMQ's meaning of `global`: <https://www.rabbitmq.com/docs/consumer-prefetch>.
    pub(super) fn handle_qos(
        &mut self,
        number: ChannelNumber,
        qos: &basic::Qos,
        prefetch_size: u32,
    ) -> Result<(), Exception> {
        let channel = self.open_channel(number)?;
        if prefetch_size != 0 {
            let text = format!("prefetch_size!=0 ({prefetch_size})");
            return Err(Exception::new(ReplyCode::NotImplemented, text));
        }
        if qos.global {
            channel.prefetch.set_limit(qos.prefetch_count);
        } else {
            channel.prefetch_count = qos.prefetch_count;
            self.info.update_channel(number, |facts| facts.prefetch_count = qos.prefetch_count);
        }
        let qos_ok = basic::AMQPMethod::QosOk(basic::QosOk {});
        self.outbox.write_method(number, &AMQPClass::Basic(qos_ok));
        if qos.global {
            // The answer first, then what it allows.
            self.resume_consumers(number);
        }
        Ok(())
    }

    fn no_queue(&self, name: &str) -> Exception {
        Exception::of_queue(&DeclareQueueError::NoQueue, name, self.vhost_name())
    }
}

/// `prefetch-size` of a `basic.qos`, which its parsed form leaves out: the first argument.
pub(super) fn prefetch_size(payload: &[u8]) -> u32 {
    payload.get(4..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}
