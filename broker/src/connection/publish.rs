//! `basic.publish`: from frames to the queues, in runs.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use amq_protocol::protocol::{AMQPClass, confirm};

use super::{
    Connection, Phase,
    channel::Memo,
    confirms::{Confirm, Confirms, PublishNumber},
    content::{Arrived, OutOfTurn},
    demands::{Demands, Publisher},
    exception::{Exception, ReplyCode},
};
use crate::{
    model::{
        message::{Arena, Message},
        permission::{Access, Operation},
    },
    storage::StoreError,
    vhost::{Route, queue::Published, reply_to::ReplyAddress},
    wire::{
        content::parse_content_header,
        encode::{write_ack, write_nack, write_return},
        frame::{ChannelNumber, Frame, FrameKind},
        method::Publish,
    },
};

/// Messages that share a route, and the channels that wait for confirms: what is gathered over the frames
/// of one read, so that a queue is locked once for all of it.
#[derive(Debug, Default)]
pub(super) struct PublishRun {
    route: Option<Route>,
    messages: Vec<Message>,
    /// Channels in confirm mode that published in this run.
    confirming: Vec<ChannelNumber>,
    /// Channels whose exchanges are yet to be told what was published to them.
    counted: Vec<ChannelNumber>,
    /// It waits until the queues it goes to are on stable storage.
    pub(super) is_held: bool,
}

/// Where a message goes.
#[derive(Debug, Default)]
pub(super) struct Destination {
    /// The queues; none when no queue wants it.
    pub(super) route: Option<Route>,
    /// The consumers of replies that it names, there or not.
    pub(super) replies: Vec<ReplyAddress>,
}

impl Connection {
    /// A method that starts a content.
    pub(super) fn handle_publish(
        &mut self,
        number: ChannelNumber,
        publish: &Publish<'_>,
    ) -> Result<(), Exception> {
        if publish.immediate {
            return Err(Exception::new(ReplyCode::NotImplemented, "immediate=true"));
        }
        self.open_channel(number)?.content.start(publish);
        self.block_publisher();
        Ok(())
    }

    /// A header or body frame.
    pub(super) fn handle_content(&mut self, frame: &Frame<'_>, arena: &mut Arena) -> Result<(), Exception> {
        let channel = self.channels.get_mut(usize::from(frame.channel.0)).and_then(Option::as_deref_mut);
        let channel = channel.ok_or(OutOfTurn::NoMethod)?;
        let arrived = match frame.kind {
            FrameKind::Header => {
                let user = self.user.as_ref().map_or("", |user| user.as_str());
                let publisher = Publisher {
                    user,
                    reply_name: channel.reply_name.as_ref(),
                    message_size_max: self.node.limits.message_size_max,
                };
                channel.content.header(frame.payload, publisher, arena)?
            }
            _ => channel.content.body(frame.payload, arena)?,
        };
        match arrived {
            Arrived::Partly => Ok(()),
            Arrived::Whole(message) if channel.transaction.is_some() => {
                self.hold_publish(frame.channel, message)
            }
            Arrived::Whole(message) => self.publish(frame.channel, message),
        }
    }

    /// A whole message: routes it and adds it to the run.
    fn publish(&mut self, number: ChannelNumber, message: Message) -> Result<(), Exception> {
        let Destination { route, replies } = self.destination(number, &message)?;
        let is_ahead_of_queue = route.as_ref().is_some_and(|route| !route.is_stored)
            && message.is_persistent()
            && self.open_channel(number)?.confirms.is_some();
        let is_apart = match &route {
            Some(route) => is_ahead_of_queue || !self.run.continues(route, &message),
            None => self.run.route.as_ref().is_some_and(|own| own.may_refuse),
        };
        if is_apart {
            self.flush_messages();
        }
        self.count_published(number, &message, route.as_ref());
        let is_replied = !replies.is_empty() && self.deliver_replies(&replies, &message);
        let channel = self.open_channel(number)?;
        let is_mandatory = channel.content.is_mandatory();
        if let Some(confirms) = &mut channel.confirms {
            confirms.publish();
            if !self.run.confirming.contains(&number) {
                self.run.confirming.push(number);
            }
        }
        match route {
            Some(route) => {
                if is_ahead_of_queue {
                    self.hold_run(&route);
                }
                self.run.route = Some(route);
                self.run.messages.push(message);
            }
            None if is_replied => {}
            None if is_mandatory => self.return_unroutable(number, &message),
            None => self.count_dropped(number),
        }
        Ok(())
    }

    /// Where a message goes, if it may go there. Remembers the answer where it depends on exchange and key alone.
    pub(super) fn destination(
        &mut self,
        number: ChannelNumber,
        message: &Message,
    ) -> Result<Destination, Exception> {
        let Some(vhost) = self.vhost.clone() else { return Ok(Destination::default()) };
        let access_epoch = self.node.broker.access_epoch();
        let channel = self.open_channel(number)?;
        let demands = channel.content.take_demands();
        if let (None, Some(memo)) = (&demands, &channel.memo)
            && memo.place == message.route()
            && memo.route.epoch == vhost.epoch()
            && memo.access_epoch == access_epoch
        {
            return Ok(Destination { route: memo.route.some(), replies: Vec::new() });
        }
        // The publish method was parsed with an exchange name of UTF-8.
        let exchange = std::str::from_utf8(message.exchange()).unwrap_or_default();
        self.authorize(&Operation::Publish { exchange })?;
        if demands.is_none()
            && exchange.is_empty()
            && let Some(address) = ReplyAddress::parse(message.routing_key())
        {
            return Ok(Destination { route: None, replies: vec![address] });
        }
        let header = parse_content_header(message.header()).ok();
        let headers = header.and_then(|header| header.properties.headers);
        let own_key = [message.routing_key()];
        let routing_keys = routing_keys(&own_key, demands.as_deref());
        let route = vhost
            .route(exchange, &routing_keys, headers)
            .map_err(|error| Exception::of_route(&error, vhost.name()))?;
        self.authorize_topics(Access::Write, exchange, &routing_keys)?;
        let replies = if exchange.is_empty() { reply_addresses(&routing_keys) } else { Vec::new() };
        if let Some(demands) = &demands {
            self.check_demands(demands)?;
        } else if !route.depends_on_headers
            && route.is_stored
            && let Some(channel) = self.channel(number)
        {
            let place = message.route().to_vec();
            channel.memo = Some(Memo { place, route: route.clone(), access_epoch });
        }
        Ok(Destination { route: route.some(), replies })
    }

    /// Another connection is still making a queue durable. A confirm would promise that the message is there
    /// after a crash, when the queue may not be: the run, and everything behind it, waits for the queue.
    fn hold_run(&mut self, route: &Route) {
        let Some(vhost) = &self.vhost else { return };
        self.ticket = vhost.store_queues(&route.queues);
        self.run.is_held = self.ticket.is_some();
    }

    /// The queues that the run waits for are durable, or can't be stored: then it is refused.
    pub(super) fn release_run(&mut self, result: &Result<(), StoreError>) {
        self.run.is_held = false;
        if let Err(error) = result {
            tracing::warn!(connection = %self.info.name(), "refused a message: its queue can't be stored: {error}");
            self.run.route = None;
            self.run.messages.clear();
            for number in std::mem::take(&mut self.run.confirming) {
                self.answer(number, Confirms::refused);
            }
        }
        self.flush();
    }

    /// `basic.return`, before the confirm that the message gets all the same.
    pub(super) fn return_unroutable(&self, number: ChannelNumber, message: &Message) {
        if let Some(Some(channel)) = self.channels.get(usize::from(number.0)) {
            channel.published.return_unroutable.add(1);
        }
        self.outbox.write_content(number, message, |bytes| {
            let code = ReplyCode::NoRoute;
            write_return(bytes, number, code as u16, code.name(), message.route());
        });
    }

    /// Appends the gathered messages to their queues, and notes what their confirms wait for.
    fn flush_messages(&mut self) {
        let Some(vhost) = &self.vhost else { return };
        let appended = match self.run.route.take() {
            Some(route) => vhost.publish(&route, &mut self.run.messages),
            None => Ok(Published::default()),
        };
        if let Ok(Published { lsn: Some(lsn), .. }) = appended {
            self.last_published = Some(lsn);
        }
        for number in std::mem::take(&mut self.run.confirming) {
            self.answer(number, |confirms, answers| match &appended {
                Ok(Published { lsn, is_refused: false }) => confirms.appended(*lsn, answers),
                Ok(_) | Err(_) => confirms.refused(answers),
            });
        }
    }

    /// Ends the run. What waits for the disk is confirmed when the log says so.
    pub(super) fn flush_run(&mut self) {
        if self.run.is_held {
            return;
        }
        self.flush_messages();
        self.flush_tallies();
        self.await_sync();
    }

    /// Counts a message for tools.
    pub(super) fn count_published(
        &mut self,
        number: ChannelNumber,
        message: &Message,
        route: Option<&Route>,
    ) {
        let Self { vhost: Some(vhost), channels, run, .. } = self else { return };
        let Some(Some(channel)) = channels.get_mut(usize::from(number.0)) else { return };
        channel.published.publish.add(1);
        let places = route.map_or(0, |route| route.queues.len());
        if channel.tally.count(vhost, message.exchange(), places) {
            run.counted.push(number);
        }
    }

    fn count_dropped(&self, number: ChannelNumber) {
        if let Some(Some(channel)) = self.channels.get(usize::from(number.0)) {
            channel.published.drop_unroutable.add(1);
        }
    }

    fn flush_tallies(&mut self) {
        for number in self.run.counted.drain(..) {
            if let Some(Some(channel)) = self.channels.get_mut(usize::from(number.0)) {
                channel.tally.flush();
            }
        }
    }

    /// Asks the log to tell when the last message of this connection is synced, unless it was asked. It may
    /// answer with a full disk, which passes: then it is asked again.
    ///
    /// Asked also when all is synced but not yet confirmed: the sync may have come since somebody looked.
    fn await_sync(&mut self) {
        let (Some(vhost), Some(lsn)) = (&self.vhost, self.last_published) else { return };
        let is_answered = !self.channels.iter().flatten().any(|channel| channel.waits());
        if is_answered && lsn <= vhost.log().synced_up_to() || self.is_sync_awaited.swap(true, Relaxed) {
            return;
        }
        let (outbox, is_awaited) = (Arc::clone(&self.outbox), Arc::clone(&self.is_sync_awaited));
        let told = move |_| {
            is_awaited.store(false, Relaxed);
            outbox.wake();
        };
        vhost.log().when_synced(lsn, Box::new(told));
    }

    /// The log may have come further: confirms what is safe by now.
    pub(super) fn handle_synced(&mut self) {
        let Some(vhost) = &self.vhost else { return };
        let (synced, failure) = (vhost.log().synced_up_to(), vhost.log().failure());
        let waiting: Vec<ChannelNumber> = self
            .channels
            .iter()
            .flatten()
            .filter(|channel| channel.waits())
            .map(|channel| channel.number)
            .collect();
        for number in waiting {
            self.answer(number, |confirms, answers| {
                confirms.synced(synced, answers);
                if failure.is_some() {
                    confirms.failed(answers);
                }
            });
        }
        if failure.is_none() {
            self.await_sync();
        }
    }

    /// Whether this publisher should wait until its messages are on disk before it sends more: the log has
    /// enough to do.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        let (Some(vhost), Some(lsn)) = (&self.vhost, self.last_published) else { return false };
        self.phase == Phase::Running && lsn > vhost.log().synced_up_to() && vhost.log().is_over_limit()
    }

    /// Sends the confirms that `decide` finds, each exactly once.
    fn answer(&mut self, number: ChannelNumber, decide: impl FnOnce(&mut Confirms, &mut Vec<Confirm>)) {
        let Some(channel) = self.channel(number) else { return };
        let Some(confirms) = &mut channel.confirms else { return };
        let mut answers = Vec::new();
        decide(confirms, &mut answers);
        channel.published.unconfirmed.store(confirms.unconfirmed_count(), Relaxed);
        channel.published.confirm.raise_to(confirms.acked_count());
        if answers.is_empty() {
            return;
        }
        self.outbox.write(|bytes| {
            for Confirm { number: PublishNumber(tag), multiple, is_ack } in answers {
                if is_ack {
                    write_ack(bytes, number, tag, multiple);
                } else {
                    write_nack(bytes, number, tag, multiple);
                }
            }
        });
    }

    pub(super) fn handle_confirm(
        &mut self,
        number: ChannelNumber,
        method: confirm::AMQPMethod,
    ) -> Result<(), Exception> {
        let confirm::AMQPMethod::Select(confirm::Select { nowait }) = method else {
            return Err(super::channel::unimplemented_method());
        };
        let channel = self.open_channel(number)?;
        if channel.transaction.is_some() {
            let text = "cannot switch from tx to confirm mode";
            return Err(Exception::new(ReplyCode::PreconditionFailed, text));
        }
        channel.confirms.get_or_insert_default();
        self.info.update_channel(number, |facts| facts.is_confirm = true);
        if !nowait {
            let select_ok = confirm::AMQPMethod::SelectOk(confirm::SelectOk {});
            self.outbox.write_method(number, &AMQPClass::Confirm(select_ok));
        }
        Ok(())
    }
}

impl PublishRun {
    /// The publisher is closed before its queues are durable: the messages go to them, the confirms go.
    pub(super) fn end_hold(&mut self) {
        if std::mem::take(&mut self.is_held) {
            self.confirming.clear();
        }
    }

    /// Whether the message belongs to the run: same queues, and safe in the same way, since nothing
    /// transient waits for the disk. What may be refused is a run of its own.
    fn continues(&self, route: &Route, message: &Message) -> bool {
        let is_same_kind =
            self.messages.first().is_none_or(|first| first.is_persistent() == message.is_persistent());
        is_same_kind && !route.may_refuse && self.route.as_ref().is_some_and(|own| own.is_same(route))
    }
}

impl Destination {
    /// Nobody wants the message.
    pub(super) fn is_nowhere(&self) -> bool {
        self.route.is_none() && self.replies.is_empty()
    }
}

/// The message's own key, and those of its copies.
fn routing_keys<'a>(own_key: &'a [&'a [u8]], demands: Option<&'a Demands>) -> Cow<'a, [&'a [u8]]> {
    match demands {
        Some(Demands { copy_keys, .. }) if !copy_keys.is_empty() => {
            own_key.iter().copied().chain(copy_keys.iter().map(Vec::as_slice)).collect()
        }
        _ => Cow::Borrowed(own_key),
    }
}

/// The consumers of replies among the keys of a message to the default exchange: each once.
fn reply_addresses(routing_keys: &[&[u8]]) -> Vec<ReplyAddress> {
    let mut addresses: Vec<_> = routing_keys.iter().filter_map(|key| ReplyAddress::parse(key)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

impl Route {
    fn some(&self) -> Option<Self> {
        (!self.queues.is_empty()).then(|| self.clone())
    }
}
