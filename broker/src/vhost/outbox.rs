//! What a connection has yet to send, and what it has sent and not yet heard of.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use amq_protocol::protocol::{AMQPClass, basic};

use super::{
    buffer::Buffer,
    deliveries::{ChannelDeliveries, Overdue, Unsettled},
    reply_to::ReplyAddress,
    subscription::Subscription,
};
use crate::{
    limits::{OUTBOX_BYTES_MAX, REPLIES_BYTES_MAX},
    model::{message::Message, queue::Delivery},
    wire::{self, frame::ChannelNumber},
};

/// Tells the task of a connection that its outbox is no longer empty.
pub trait Wake: Send + Sync + fmt::Debug {
    /// May be called from any thread, with locks held.
    fn wake(&self);
}

/// Everything that goes to a peer goes through here, so that the order on the wire is the order of the
/// decisions. Shared by the connection's own task and by every queue that one of its consumers reads.
///
/// Its lock is the last one: whoever holds it takes no other.
#[derive(Debug)]
pub struct Outbox {
    wake: Arc<dyn Wake>,
    /// Bytes promised to deliveries or written, and not yet taken by the socket.
    unsent: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    buffer: Buffer,
    frame_max: u32,
    channels: Vec<Option<Box<ChannelDeliveries>>>,
    /// Consumers that found no room, to be resumed when there is some: each once, and only those that their
    /// channel knows.
    waiting: Vec<Arc<Subscription>>,
    /// Consumers whose queue is to go on, whether they have room or not.
    resumable: Vec<Arc<Subscription>>,
    /// The peer is gone or going: no more deliveries.
    is_closed: bool,
    /// The connection's task is up and will look here before it waits again.
    is_attended: bool,
}

/// Frames around a message and the delivery's own fields, for reckoning room, bytes.
const DELIVERY_OVERHEAD: usize = 128;

/// What reserving room said.
#[derive(Debug, PartialEq, Eq)]
enum Room {
    Reserved,
    Full,
}

impl Outbox {
    /// An empty outbox.
    #[must_use]
    pub fn new(wake: Arc<dyn Wake>) -> Self {
        let state = State {
            buffer: Buffer::default(),
            frame_max: 0,
            channels: Vec::new(),
            waiting: Vec::new(),
            resumable: Vec::new(),
            is_closed: false,
            is_attended: false,
        };
        Self { wake, unsent: AtomicUsize::new(0), state: Mutex::new(state) }
    }

    /// Makes the connection's task look whether there is anything to do.
    pub fn wake(&self) {
        self.wake.wake();
    }

    /// The connection's task is about to do something that may be answered, and [`Outbox::swap`]s after it:
    /// until it finds nothing more to send, nobody needs to wake it for what there is to send.
    ///
    /// No wake-up is lost: this ends under the lock under which `swap` finds nothing, so whatever comes after
    /// wakes the task, and whatever came before is in what it takes. Wake-ups for other reasons
    /// ([`Outbox::wake`], room) are never held back.
    pub fn attend(&self) {
        self.lock().is_attended = true;
    }

    /// The negotiated size of frames.
    pub fn set_frame_max(&self, frame_max: u32) {
        self.lock().frame_max = frame_max;
    }

    /// Sends a method.
    pub fn write_method(&self, channel: ChannelNumber, method: &AMQPClass) {
        self.write(|bytes| wire::encode::write_method(bytes, channel, method));
    }

    /// Sends what `write` writes: whole frames.
    pub fn write(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.update(|state| self.count(state.buffer.write_reply(write)));
    }

    /// Sends a method with content (`basic.return`).
    pub fn write_content(
        &self,
        channel: ChannelNumber,
        message: &Message,
        method: impl FnOnce(&mut Vec<u8>),
    ) {
        self.update(|state| self.count(state.write_content(channel, message, method)));
    }

    /// Takes everything to send, and gives the old buffer back for what comes next. An idle connection keeps
    /// no memory for either.
    pub fn swap(&self, buffer: &mut Buffer) {
        debug_assert!(buffer.is_empty(), "sent before swapped");
        let mut state = self.lock();
        if state.buffer.is_empty() {
            state.is_attended = false;
            state.buffer.shrink();
            buffer.shrink();
        }
        std::mem::swap(&mut state.buffer, buffer);
    }

    /// `cost` was sent. Says which consumers waited for the room.
    #[must_use]
    pub fn sent(&self, cost: usize) -> Vec<Arc<Subscription>> {
        self.unsent.fetch_sub(cost, Relaxed);
        if self.has_room_again() { self.lock().take_waiting() } else { Vec::new() }
    }

    /// Lets the connection's task resume the consumer: its queue waited for something.
    pub(super) fn resume_soon(&self, subscription: &Arc<Subscription>) {
        let mut state = self.lock();
        if state.has(subscription) {
            state.resumable.push(Arc::clone(subscription));
            drop(state);
            self.wake.wake();
        }
    }

    /// The consumers that can go on.
    #[must_use]
    pub fn take_resumable(&self) -> Vec<Arc<Subscription>> {
        let mut state = self.lock();
        let mut resumable = std::mem::take(&mut state.resumable);
        if self.has_room_again() {
            resumable.extend(state.take_waiting());
        }
        resumable
    }

    fn has_room_again(&self) -> bool {
        self.unsent.load(Relaxed) <= OUTBOX_BYTES_MAX / 2
    }

    /// Bytes not yet taken by the socket.
    #[must_use]
    pub fn unsent_bytes(&self) -> usize {
        self.unsent.load(Relaxed)
    }

    /// Whether the peer reads so little of what it asked for that nothing more should be asked.
    #[must_use]
    pub fn is_full_of_replies(&self) -> bool {
        self.unsent.load(Relaxed) > OUTBOX_BYTES_MAX && self.lock().buffer.reply_size() > OUTBOX_BYTES_MAX
    }

    /// Makes a channel known.
    pub fn open_channel(&self, channel: ChannelNumber, deliveries: ChannelDeliveries) {
        let mut state = self.lock();
        let index = usize::from(channel.0);
        if state.channels.len() <= index {
            state.channels.resize_with(index + 1, || None);
        }
        state.channels[index] = Some(Box::new(deliveries));
    }

    /// Forgets a channel: no more deliveries go to it. Gives what it had.
    #[must_use]
    pub fn close_channel(&self, channel: ChannelNumber) -> Option<ChannelDeliveries> {
        let mut state = self.lock();
        state.waiting.retain(|waiting| waiting.channel != channel);
        state.channels.get_mut(usize::from(channel.0))?.take().map(|deliveries| *deliveries)
    }

    /// No more deliveries: the connection ends. Gives what its channels had.
    #[must_use]
    pub fn close(&self) -> Vec<ChannelDeliveries> {
        let mut state = self.lock();
        state.is_closed = true;
        state.waiting = Vec::new();
        state.resumable = Vec::new();
        std::mem::take(&mut state.channels).into_iter().flatten().map(|deliveries| *deliveries).collect()
    }

    /// Runs `f` on every channel's deliveries.
    pub fn each_channel(&self, mut f: impl FnMut(ChannelNumber, &mut ChannelDeliveries)) {
        for (channel, number) in self.lock().channels.iter_mut().zip(0..) {
            if let Some(deliveries) = channel {
                f(ChannelNumber(number), deliveries);
            }
        }
    }

    /// The channels with a delivery that was unsettled for too long; see [`ChannelDeliveries::overdue`].
    #[must_use]
    pub fn overdue(&self, otherwise: Option<Duration>, now: Instant) -> Vec<(ChannelNumber, Overdue)> {
        let mut state = self.lock();
        let channels = state.channels.iter_mut().zip(0..);
        channels
            .filter_map(|(channel, number)| {
                Some((ChannelNumber(number), channel.as_mut()?.overdue(otherwise, now)?))
            })
            .collect()
    }

    /// Runs `f` on a channel's deliveries.
    pub fn with_channel<R>(
        &self,
        channel: ChannelNumber,
        f: impl FnOnce(&mut ChannelDeliveries) -> R,
    ) -> Option<R> {
        self.lock().channel(channel).map(f)
    }

    /// Registers a consumer and sends what `reply` writes (`basic.consume-ok`), in this order for the
    /// peer: consume-ok, then deliveries. Nothing happens when the channel is gone.
    pub fn add_subscription(&self, subscription: &Arc<Subscription>, reply: impl FnOnce(&mut Vec<u8>)) {
        self.update(|state| {
            let Some(deliveries) = state.channel(subscription.channel) else { return };
            deliveries.add(subscription);
            self.count(state.buffer.write_reply(reply));
        });
    }

    /// Forgets a consumer; what it holds stays unsettled.
    pub fn remove_subscription(&self, channel: ChannelNumber, tag: &str) -> Option<Arc<Subscription>> {
        self.lock().remove(channel, tag)
    }

    /// Sends a lane of deliveries. The queue's lock is held. Says how many of them were handed out before; gives them
    /// back when the consumer is gone.
    pub fn deliver(&self, to: &Subscription, deliveries: &mut Vec<Delivery>) -> Result<usize, Gone> {
        self.update(|state| {
            let channel = match state.channels.get_mut(usize::from(to.channel.0)) {
                Some(Some(channel)) if !state.is_closed && channel.has(to) => channel,
                _ => return Err(Gone),
            };
            state.buffer.expect(deliveries.len());
            let (count, mut redelivered) = (deliveries.len(), 0);
            for delivery in deliveries.drain(..) {
                let tag = channel.next_tag(to, delivery.position);
                redelivered += usize::from(delivery.is_redelivered());
                state.buffer.add_cost(delivery_cost(delivery.message.size()));
                wire::encode::write_deliver(
                    state.buffer.bytes(),
                    to.channel,
                    to.tag.as_bytes(),
                    tag,
                    delivery.is_redelivered(),
                    delivery.message.route(),
                );
                state.buffer.write_content(to.channel, &delivery.message, state.frame_max);
            }
            channel.count_delivered(to.is_no_ack, count, redelivered);
            Ok(redelivered)
        })
    }

    /// Sends `basic.get-ok`: its tag and its place among the deliveries are given under one lock. The
    /// queue's lock is held.
    pub fn deliver_get(
        &self,
        channel: ChannelNumber,
        delivery: &Delivery,
        unsettled: Option<Unsettled>,
        ready_count: usize,
    ) -> Result<(), Gone> {
        let count = u32::try_from(ready_count).unwrap_or(u32::MAX);
        self.update(|state| {
            let deliveries = state.channel(channel).ok_or(Gone)?;
            deliveries.count_got(unsettled.is_none(), delivery.is_redelivered());
            let tag = deliveries.next_get_tag(unsettled);
            self.count(state.write_content(channel, &delivery.message, |bytes| {
                let (is_redelivered, route) = (delivery.is_redelivered(), delivery.message.route());
                wire::encode::write_get_ok(bytes, channel, tag, is_redelivered, route, count);
            }));
            Ok(())
        })
    }

    /// Sends a reply to a channel's consumer of replies, if it is still the one that is meant and its peer reads.
    pub fn deliver_reply(&self, address: &ReplyAddress, message: &Message) -> Result<(), Gone> {
        if self.unsent.load(Relaxed) > REPLIES_BYTES_MAX {
            return Err(Gone);
        }
        let channel = address.channel;
        self.update(|state| {
            let deliveries = state.channel(channel).ok_or(Gone)?;
            let (consumer, tag) = deliveries.next_reply_tag(address).ok_or(Gone)?;
            let cost = delivery_cost(message.size());
            self.count(cost);
            state.buffer.add_cost(cost);
            let bytes = state.buffer.bytes();
            wire::encode::write_deliver(bytes, channel, consumer.as_bytes(), tag, false, message.route());
            state.buffer.write_content(channel, message, state.frame_max);
            Ok(())
        })
    }

    /// Room for one delivery. An empty outbox always has room, whatever the size.
    fn reserve(&self, cost: usize) -> Room {
        let add = |unsent: usize| (unsent == 0 || unsent + cost <= OUTBOX_BYTES_MAX).then_some(unsent + cost);
        match self.unsent.fetch_update(Relaxed, Relaxed, add) {
            Ok(_) => Room::Reserved,
            Err(_) => Room::Full,
        }
    }

    /// Reserves room for a consumer's next delivery, or puts it on the list of those to resume. The second
    /// look happens under the lock that `take_waiting` takes to read that list: no wake-up is lost.
    pub(super) fn reserve_or_wait(&self, subscription: &Arc<Subscription>, message_size: usize) -> bool {
        let cost = delivery_cost(message_size);
        if self.reserve(cost) == Room::Reserved {
            return true;
        }
        let mut state = self.lock();
        if self.reserve(cost) == Room::Reserved {
            return true;
        }
        if state.has(subscription) && !subscription.set_waiting(true) {
            state.waiting.push(Arc::clone(subscription));
        }
        false
    }

    /// Gives back room of a delivery that did not happen. Nothing will be sent for it, so whoever waited
    /// for this room is for the connection's task to resume: the caller holds a queue's lock.
    pub(super) fn release(&self, message_size: usize) {
        self.unsent.fetch_sub(delivery_cost(message_size), Relaxed);
        if !self.lock().waiting.is_empty() {
            self.wake.wake();
        }
    }

    /// The queue of a consumer is gone: forgets the consumer and tells the peer (`basic.cancel`,
    /// <https://www.rabbitmq.com/docs/consumer-cancel>) if it wants to know. Nothing happens when the consumer
    /// was gone already.
    pub(super) fn cancel(&self, subscription: &Subscription) {
        self.update(|state| {
            if state.has(subscription)
                && state.remove(subscription.channel, &subscription.tag).is_some()
                && subscription.is_cancel_notified
            {
                let consumer_tag = subscription.tag.as_str().into();
                let cancel = basic::AMQPMethod::Cancel(basic::Cancel { consumer_tag, nowait: true });
                self.count(state.buffer.write_reply(|bytes| {
                    wire::encode::write_method(bytes, subscription.channel, &AMQPClass::Basic(cancel));
                }));
            }
        });
    }

    /// Changes the state under one lock, and wakes the connection's task if there is something to send now
    /// and was nothing before, unless the task looks anyway.
    fn update<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let was_empty = state.buffer.is_empty();
        let result = change(&mut state);
        let is_filled = was_empty && !state.buffer.is_empty() && !state.is_attended;
        drop(state);
        if is_filled {
            self.wake.wake();
        }
        result
    }

    fn count(&self, size: usize) {
        self.unsent.fetch_add(size, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The consumers that waited for room.
    fn take_waiting(&mut self) -> Vec<Arc<Subscription>> {
        for subscription in &self.waiting {
            subscription.set_waiting(false);
        }
        std::mem::take(&mut self.waiting)
    }

    fn channel(&mut self, channel: ChannelNumber) -> Option<&mut ChannelDeliveries> {
        self.channels.get_mut(usize::from(channel.0))?.as_deref_mut()
    }

    /// Whether its channel knows this very consumer.
    fn has(&mut self, subscription: &Subscription) -> bool {
        self.channel(subscription.channel).is_some_and(|deliveries| deliveries.has(subscription))
    }

    fn remove(&mut self, channel: ChannelNumber, tag: &str) -> Option<Arc<Subscription>> {
        let removed = self.channel(channel)?.remove(tag)?;
        if removed.set_waiting(false) {
            self.waiting.retain(|waiting| waiting.id != removed.id);
        }
        Some(removed)
    }

    fn write_content(
        &mut self,
        channel: ChannelNumber,
        message: &Message,
        method: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        self.buffer.write_reply_content(channel, message, self.frame_max, method)
    }
}

/// The consumer is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

fn delivery_cost(message_size: usize) -> usize {
    message_size + DELIVERY_OVERHEAD
}
