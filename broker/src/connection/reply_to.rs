//! Direct reply-to: consuming replies without a queue, and delivering them.
//!
//! A reply goes straight into the outbox of the connection that waits for it: nothing is stored, and no queue is
//! looked for.

use amq_protocol::protocol::{AMQPClass, basic, queue};

use super::{
    Connection,
    exception::{Exception, ReplyCode},
};
use crate::{
    model::{message::Message, name::Name},
    vhost::{
        declare::DeclareQueueError,
        reply_to::{REPLY_TO, ReplyAddress, ReplyConsumer, is_reply_name},
    },
    wire::{encode::write_method, frame::ChannelNumber},
};

impl Connection {
    /// `basic.consume` on the pseudo-queue: one consumer on each channel, and no permission is needed.
    pub(super) fn consume_replies(
        &mut self,
        number: ChannelNumber,
        consume: &basic::Consume,
        tag: Name,
    ) -> Result<(), Exception> {
        let refused = |text| Err(Exception::new(ReplyCode::PreconditionFailed, text));
        if !consume.no_ack {
            return refused("reply consumer cannot acknowledge");
        }
        let address = ReplyAddress::new(self.id, number);
        let channel = self.open_channel(number)?;
        if channel.reply_name.is_some() {
            return refused("reply consumer already set");
        }
        channel.reply_name = Some(address.name());
        let consumer = ReplyConsumer { tag: tag.clone(), address };
        self.outbox.with_channel(number, |deliveries| deliveries.set_reply_consumer(Some(consumer)));
        if !consume.nowait {
            let consume_ok = basic::ConsumeOk { consumer_tag: tag.as_str().into() };
            let consume_ok = AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(consume_ok));
            self.outbox.write(|bytes| write_method(bytes, number, &consume_ok));
        }
        Ok(())
    }

    /// Ends the channel's consumer of replies if it has this tag.
    pub(super) fn cancel_replies(&mut self, number: ChannelNumber, tag: &str) -> Result<(), Exception> {
        let has_ended = self.outbox.with_channel(number, |deliveries| {
            let is_meant = deliveries.reply_consumer().is_some_and(|consumer| &*consumer.tag == tag);
            if is_meant {
                deliveries.set_reply_consumer(None);
            }
            is_meant
        });
        if has_ended == Some(true) {
            self.open_channel(number)?.reply_name = None;
        }
        Ok(())
    }

    /// `queue.declare` of a name that is for replies, passive or not: says whether somebody waits for them.
    pub(super) fn declare_reply_queue(
        &mut self,
        number: ChannelNumber,
        queue_name: Name,
    ) -> Result<queue::DeclareOk, Exception> {
        let is_there = &*queue_name == REPLY_TO
            || ReplyAddress::parse(queue_name.as_bytes())
                .is_some_and(|address| self.awaits_replies(&address));
        if !is_there {
            let error = DeclareQueueError::NoQueue;
            return Err(Exception::of_queue(&error, &queue_name, self.vhost_name()));
        }
        let queue = queue_name.as_str().into();
        self.open_channel(number)?.last_queue = Some(queue_name);
        Ok(queue::DeclareOk { queue, message_count: 0, consumer_count: 1 })
    }

    /// Refuses bindings of what is no queue.
    pub(super) fn check_bindable(queue_name: &str) -> Result<(), Exception> {
        if is_reply_name(queue_name.as_bytes()) {
            let text = "cannot bind or unbind to a volatile (direct reply-to) queue";
            return Err(Exception::new(ReplyCode::AccessRefused, text));
        }
        Ok(())
    }

    /// Sends a message to the consumers of replies that it is for. Says whether any of them took it.
    pub(super) fn deliver_replies(&self, addresses: &[ReplyAddress], message: &Message) -> bool {
        let deliver = |address: &ReplyAddress| {
            let connection = self.node.connection(address.connection);
            connection.is_some_and(|info| info.outbox.deliver_reply(address, message).is_ok())
        };
        addresses.iter().filter(|address| deliver(address)).count() > 0
    }

    fn awaits_replies(&self, address: &ReplyAddress) -> bool {
        let is_there = self.node.connection(address.connection).and_then(|info| {
            info.outbox.with_channel(address.channel, |deliveries| deliveries.reply_tag(address).is_some())
        });
        is_there == Some(true)
    }
}
