//! A channel: its life, and what it remembers between methods.
//!
//! ```text
//!  (none) ── channel.open ──> Open ── channel.close / close-ok ──> (none)
//!                               └── exception: close ──> Closing ── close-ok ──> (none)
//! ```

use std::sync::{Arc, atomic::Ordering::Relaxed};

use amq_protocol::protocol::{AMQPClass, channel};

use super::{
    Connection,
    confirms::Confirms,
    content::Content,
    exception::{Exception, ReplyCode},
    settle::settle_all,
    statistics::Tally,
    transaction::Transaction,
};
use crate::{
    model::name::Name,
    vhost::{
        Route,
        deliveries::{ChannelDeliveries, SettleRun},
        queue::SharedQueue,
        statistics::PublishCounts,
        subscription::{Prefetch, Subscription},
    },
    wire::{frame::ChannelNumber, method::MethodId},
};

/// A channel of a connection.
#[derive(Debug)]
pub struct Channel {
    /// Its number.
    pub number: ChannelNumber,
    /// We sent `channel.close` and wait for `close-ok`: everything else is ignored.
    pub is_closing: bool,
    /// The message that is arriving.
    pub content: Content,
    /// Since `confirm.select`.
    pub confirms: Option<Confirms>,
    /// Since `tx.select`; never together with `confirms`.
    pub transaction: Option<Box<Transaction>>,
    /// What is published on it, for tools.
    pub published: Arc<PublishCounts>,
    /// What its exchange is yet to be told.
    pub(super) tally: Tally,
    /// The last route.
    pub memo: Option<Memo>,
    /// `basic.qos`: of consumers to come.
    pub prefetch_count: u16,
    /// `basic.qos` with `global`: of all consumers together.
    pub prefetch: Arc<Prefetch>,
    /// The queue that an empty name stands for (AMQP 0-9-1 `queue.declare`).
    pub last_queue: Option<Name>,
    /// What its consumer of replies is called in `reply-to`.
    pub reply_name: Option<Name>,
}

/// Where the last message went: the next one with the same exchange and key goes there, too.
#[derive(Debug)]
pub struct Memo {
    /// Exchange and key, two short strings.
    pub place: Vec<u8>,
    /// Where to.
    pub route: Route,
    /// The permissions under which it was allowed.
    pub access_epoch: u64,
}

impl Channel {
    /// Whether it waits for the disk to confirm what was published on it.
    pub(super) fn waits(&self) -> bool {
        self.confirms.as_ref().is_some_and(|confirms| confirms.last_waiting().is_some())
    }

    fn new(number: ChannelNumber) -> Self {
        Self {
            number,
            is_closing: false,
            content: Content::default(),
            confirms: None,
            transaction: None,
            published: Arc::default(),
            tally: Tally::default(),
            memo: None,
            prefetch_count: 0,
            prefetch: Arc::default(),
            last_queue: None,
            reply_name: None,
        }
    }
}

impl Connection {
    /// The channel, if it is open.
    pub(super) fn channel(&mut self, number: ChannelNumber) -> Option<&mut Channel> {
        self.channels.get_mut(usize::from(number.0))?.as_deref_mut()
    }

    /// The channel of a method that is not `channel.open`.
    pub(super) fn open_channel(&mut self, number: ChannelNumber) -> Result<&mut Channel, Exception> {
        self.channel(number).ok_or_else(|| Exception::new(ReplyCode::ChannelError, "expected 'channel.open'"))
    }

    pub(super) fn handle_channel(
        &mut self,
        number: ChannelNumber,
        method: channel::AMQPMethod,
    ) -> Result<(), Exception> {
        if !matches!(method, channel::AMQPMethod::Open(_) | channel::AMQPMethod::CloseOk(_)) {
            self.open_channel(number)?;
        }
        match method {
            channel::AMQPMethod::Open(_) => self.handle_channel_open(number),
            channel::AMQPMethod::Close(_) => {
                self.flush();
                self.drop_channel(number);
                self.await_settled();
                let close_ok = channel::AMQPMethod::CloseOk(channel::CloseOk {});
                self.reply(number, AMQPClass::Channel(close_ok), false);
                Ok(())
            }
            channel::AMQPMethod::Flow(channel::Flow { active: true }) => {
                let flow_ok = channel::AMQPMethod::FlowOk(channel::FlowOk { active: true });
                self.outbox.write_method(number, &AMQPClass::Channel(flow_ok));
                Ok(())
            }
            channel::AMQPMethod::Flow(_) => Err(Exception::new(ReplyCode::NotImplemented, "active=false")),
            // Our close and the peer's crossed: the channel went when the peer's came.
            channel::AMQPMethod::CloseOk(_) if self.channel(number).is_none() => Ok(()),
            channel::AMQPMethod::CloseOk(_)
            | channel::AMQPMethod::OpenOk(_)
            | channel::AMQPMethod::FlowOk(_) => Err(unimplemented_method()),
        }
    }

    fn handle_channel_open(&mut self, number: ChannelNumber) -> Result<(), Exception> {
        if self.channel(number).is_some() {
            return Err(Exception::new(ReplyCode::ChannelError, "second 'channel.open' seen"));
        }
        let (count, channel_max) = (self.channel_count(), usize::from(self.tuning.channel_max));
        if channel_max > 0 && count >= channel_max {
            let text = format!(
                "number of channels opened ({count}) has reached the negotiated channel_max ({channel_max})"
            );
            return Err(Exception::new(ReplyCode::NotAllowed, text));
        }
        self.take_channel()?;
        let channel = Channel::new(number);
        let (prefetch, published) = (Arc::clone(&channel.prefetch), Arc::clone(&channel.published));
        self.info.add_channel(number, Arc::clone(&published));
        self.outbox.open_channel(number, ChannelDeliveries::new(prefetch, published));
        let index = usize::from(number.0);
        if self.channels.len() <= index {
            self.channels.resize_with(index + 1, || None);
        }
        self.channels[index] = Some(Box::new(channel));
        self.node.churn.channels_created.fetch_add(1, Relaxed);
        let open_ok = channel::AMQPMethod::OpenOk(channel::OpenOk {});
        self.outbox.write_method(number, &AMQPClass::Channel(open_ok));
        Ok(())
    }

    fn channel_count(&self) -> usize {
        self.channels.iter().flatten().count()
    }

    /// Closes a channel because of an exception; its messages go back and the client is told.
    pub(super) fn close_channel(&mut self, number: ChannelNumber, exception: &Exception, id: MethodId) {
        self.drop_channel(number);
        let mut closing = Channel::new(number);
        closing.is_closing = true;
        if let Some(place) = self.channels.get_mut(usize::from(number.0)) {
            *place = Some(Box::new(closing));
        }
        let close = channel::Close {
            reply_code: exception.code as u16,
            reply_text: exception.reply_text().as_str().into(),
            class_id: id.class,
            method_id: id.method,
        };
        self.outbox.write_method(number, &AMQPClass::Channel(channel::AMQPMethod::Close(close)));
    }

    /// Forgets a channel: its consumers end and what it holds goes back.
    pub(super) fn drop_channel(&mut self, number: ChannelNumber) {
        let place = self.channels.get_mut(usize::from(number.0));
        // One that is closing was counted when it began to.
        if place.and_then(Option::take).is_some_and(|channel| !channel.is_closing) {
            self.node.churn.channels_closed.fetch_add(1, Relaxed);
            if let Some(seat) = &mut self.seat {
                seat.leave_channel();
            }
        }
        if let Some(deliveries) = self.outbox.close_channel(number) {
            self.release(vec![deliveries]);
        }
        self.info.remove_channel(number);
    }

    /// Ends the consumers of channels and puts what they hold back in its place; queues that were to go
    /// with their last consumer go.
    pub(super) fn release(&mut self, channels: Vec<ChannelDeliveries>) {
        let mut unused = Vec::new();
        for deliveries in &channels {
            if let Some(vhost) = &self.vhost {
                vhost.statistics().end_channel(deliveries.statistics());
            }
            for subscription in deliveries.subscriptions() {
                let Subscription { id, queue, .. } = &**subscription;
                if queue.cancel(*id) {
                    unused.push(Arc::clone(queue));
                }
            }
        }
        for mut deliveries in channels {
            let mut runs: Vec<SettleRun> = Vec::new();
            deliveries.take_all(&mut runs);
            let settled = settle_all(&mut runs);
            self.last_settled = self.last_settled.max(settled);
        }
        for queue in unused {
            self.end_unused_queue(&queue);
        }
    }

    /// Ends an auto-delete queue whose last consumer went.
    pub(super) fn end_unused_queue(&mut self, queue: &Arc<SharedQueue>) {
        let Some(vhost) = &self.vhost else { return };
        vhost.end_queue(queue, true);
        if queue.owner.is_some() {
            self.exclusive_queues.retain(|own| !own.is_deleted());
        }
    }
}

/// A method that only the other side may send, or that makes no sense on a channel.
pub(super) fn unimplemented_method() -> Exception {
    Exception::new(ReplyCode::CommandInvalid, "unimplemented method")
}
