//! What a connection has yet to send, and what it has sent and not yet heard of.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use amq_protocol::protocol::{AMQPClass, basic};

use super::{
    buffer::Buffer,
    deliveries::{ChannelDeliveries, Unsettled},
    subscription::Subscription,
};
use crate::{
    limits::OUTBOX_BYTES_MAX,
    model::{message::Message, name::Name, queue::Delivery},
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
    wake: Box<dyn Wake>,
    /// Bytes promised to deliveries or written, and not yet taken by the socket.
    unsent: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    buffer: Buffer,
    frame_max: u32,
    channels: Vec<Option<Box<ChannelDeliveries>>>,
    /// Consumers that found no room, to be resumed when there is some.
    waiting: Vec<Arc<Subscription>>,
    /// The peer is gone or going: no more deliveries.
    is_closed: bool,
}

/// Frames around a body and their fields, for reckoning room, bytes.
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
    pub fn new(wake: Box<dyn Wake>) -> Self {
        let state = State {
            buffer: Buffer::default(),
            frame_max: 0,
            channels: Vec::new(),
            waiting: Vec::new(),
            is_closed: false,
        };
        Self { wake, unsent: AtomicUsize::new(0), state: Mutex::new(state) }
    }

    /// Makes the connection's task look whether there is anything to do.
    pub fn wake(&self) {
        self.wake.wake();
    }

    /// The negotiated size of frames.
    pub fn set_frame_max(&self, frame_max: u32) {
        self.lock().frame_max = frame_max;
    }

    /// Sends a method.
    pub fn write_method(&self, channel: ChannelNumber, method: &AMQPClass) {
        self.write(|bytes| wire::encode::write_method(bytes, channel, method));
    }

    /// Tells the peer that its consumer is no more (`basic.cancel` from the server).
    pub fn write_cancel(&self, channel: ChannelNumber, tag: &Name) {
        let cancel = basic::Cancel { consumer_tag: tag.as_str().into(), nowait: true };
        self.write_method(channel, &AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
    }

    /// Sends what `write` writes: whole frames.
    pub fn write(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        let was_empty = state.buffer.is_empty();
        let size = state.buffer.write_reply(write);
        self.unsent.fetch_add(size, Relaxed);
        drop(state);
        if was_empty {
            self.wake.wake();
        }
    }

    /// Sends a method with content (`basic.return`).
    pub fn write_content(
        &self,
        channel: ChannelNumber,
        message: &Message,
        method: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut state = self.lock();
        let (was_empty, frame_max) = (state.buffer.is_empty(), state.frame_max);
        let size = state.buffer.write_reply(method) + message.body_size();
        state.buffer.write_content(channel, message, frame_max);
        state.buffer.add_cost(message.body_size());
        self.unsent.fetch_add(size, Relaxed);
        drop(state);
        if was_empty {
            self.wake.wake();
        }
    }

    /// Takes everything to send, and gives the old buffer back for what comes next.
    pub fn swap(&self, buffer: &mut Buffer) {
        debug_assert!(buffer.is_empty(), "sent before swapped");
        std::mem::swap(&mut self.lock().buffer, buffer);
    }

    /// `cost` was sent. Says which consumers waited for the room.
    #[must_use]
    pub fn sent(&self, cost: usize) -> Vec<Arc<Subscription>> {
        let before = self.unsent.fetch_sub(cost, Relaxed);
        if before - cost > OUTBOX_BYTES_MAX / 2 {
            return Vec::new();
        }
        std::mem::take(&mut self.lock().waiting)
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
        self.lock().channels.get_mut(usize::from(channel.0))?.take().map(|deliveries| *deliveries)
    }

    /// No more deliveries: the connection ends. Gives what its channels had.
    #[must_use]
    pub fn close(&self) -> Vec<ChannelDeliveries> {
        let mut state = self.lock();
        state.is_closed = true;
        state.waiting = Vec::new();
        std::mem::take(&mut state.channels).into_iter().flatten().map(|deliveries| *deliveries).collect()
    }

    /// Runs `f` on a channel's deliveries.
    pub fn with_channel<R>(
        &self,
        channel: ChannelNumber,
        f: impl FnOnce(&mut ChannelDeliveries) -> R,
    ) -> Option<R> {
        self.lock().channels.get_mut(usize::from(channel.0))?.as_deref_mut().map(f)
    }

    /// Registers a consumer and sends what `reply` writes (`basic.consume-ok`), in this order for the
    /// peer: consume-ok, then deliveries. False when the channel is gone.
    pub fn add_subscription(&self, subscription: &Arc<Subscription>, reply: impl FnOnce(&mut Vec<u8>)) {
        let added = self.with_channel(subscription.channel, |deliveries| deliveries.add(subscription));
        if added.is_some() {
            self.write(reply);
        }
    }

    /// Sends a lane of deliveries. The queue's lock is held. Gives them back when the consumer is gone.
    pub fn deliver(&self, to: &Subscription, deliveries: &mut Vec<Delivery>) -> Result<(), Gone> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let index = usize::from(to.channel.0);
        let channel = match state.channels.get_mut(index) {
            Some(Some(channel)) if !state.is_closed && channel.has(to) => channel,
            _ => return Err(Gone),
        };
        let was_empty = state.buffer.is_empty();
        for delivery in deliveries.drain(..) {
            let tag = channel.next_tag(to, delivery.position);
            state.buffer.add_cost(delivery_cost(delivery.message.body_size()));
            wire::encode::write_deliver(
                state.buffer.bytes(),
                to.channel,
                to.tag.as_bytes(),
                tag,
                delivery.is_redelivered,
                delivery.message.route(),
            );
            state.buffer.write_content(to.channel, &delivery.message, state.frame_max);
        }
        drop(guard);
        if was_empty {
            self.wake.wake();
        }
        Ok(())
    }

    /// Sends `basic.get-ok`. The queue's lock is held.
    pub fn deliver_get(
        &self,
        channel: ChannelNumber,
        delivery: &Delivery,
        unsettled: Option<Unsettled>,
        ready_count: usize,
    ) -> Result<(), Gone> {
        let tag = self.with_channel(channel, |deliveries| deliveries.next_get_tag(unsettled)).ok_or(Gone)?;
        let count = u32::try_from(ready_count).unwrap_or(u32::MAX);
        self.write_content(channel, &delivery.message, |bytes| {
            let (is_redelivered, route) = (delivery.is_redelivered, delivery.message.route());
            wire::encode::write_get_ok(bytes, channel, tag, is_redelivered, route, count);
        });
        Ok(())
    }

    /// Room for one delivery.
    fn reserve(&self, cost: usize) -> Room {
        let add = |unsent: usize| has_room(unsent, cost).then_some(unsent + cost);
        match self.unsent.fetch_update(Relaxed, Relaxed, add) {
            Ok(_) => Room::Reserved,
            Err(_) => Room::Full,
        }
    }

    /// Reserves room for a consumer's next delivery.
    pub(super) fn reserve_for(&self, body_size: usize) -> bool {
        self.reserve(delivery_cost(body_size)) == Room::Reserved
    }

    /// Puts a consumer on the list of those to resume when there is room. False when there is some by now:
    /// the second look happens under the lock that `sent` takes to read that list, so no wake-up is lost.
    pub(super) fn wait_for_room(&self, subscription: &Arc<Subscription>, body_size: usize) -> bool {
        let mut state = self.lock();
        if has_room(self.unsent.load(Relaxed), delivery_cost(body_size)) {
            return false;
        }
        state.waiting.push(Arc::clone(subscription));
        true
    }

    /// Gives back room of deliveries that did not happen.
    pub(super) fn release(&self, body_size: usize) {
        self.unsent.fetch_sub(delivery_cost(body_size), Relaxed);
    }

    /// Consumer of a deleted queue: forgets it. False when it was gone already.
    pub(super) fn forget(&self, subscription: &Subscription) -> bool {
        let name: &Name = &subscription.tag;
        self.with_channel(subscription.channel, |deliveries| {
            deliveries.has(subscription) && deliveries.remove(name).is_some()
        })
        .unwrap_or(false)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The consumer is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// An empty outbox always has room, whatever the size.
fn has_room(unsent: usize, cost: usize) -> bool {
    unsent == 0 || unsent + cost <= OUTBOX_BYTES_MAX
}

fn delivery_cost(body_size: usize) -> usize {
    body_size + DELIVERY_OVERHEAD
}
