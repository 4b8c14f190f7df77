//! `basic.publish`: from frames to the queues, in runs.

use amq_protocol::protocol::{AMQPClass, confirm};

use super::{
    Connection,
    channel::Memo,
    confirms::Confirms,
    content::{Arrived, OutOfTurn},
    exception::{Exception, ReplyCode},
};
use crate::{
    model::{
        message::{Arena, Message},
        permission::Operation,
    },
    vhost::Route,
    wire::{
        content::parse_content_header,
        encode::{write_ack, write_return},
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
        Ok(())
    }

    /// A header or body frame.
    pub(super) fn handle_content(&mut self, frame: &Frame<'_>, arena: &mut Arena) -> Result<(), Exception> {
        let channel = self.channel(frame.channel).ok_or(OutOfTurn::NoMethod)?;
        let arrived = match frame.kind {
            FrameKind::Header => channel.content.header(frame.payload, arena)?,
            _ => channel.content.body(frame.payload, arena)?,
        };
        match arrived {
            Arrived::Partly => Ok(()),
            Arrived::Whole(message) => self.publish(frame.channel, message),
        }
    }

    /// A whole message: routes it and adds it to the run.
    fn publish(&mut self, number: ChannelNumber, message: Message) -> Result<(), Exception> {
        let route = self.route(number, &message)?;
        let channel = self.open_channel(number)?;
        let is_mandatory = channel.content.is_mandatory();
        if let Some(confirms) = &mut channel.confirms {
            confirms.publish();
            if self.run.confirming.last() != Some(&number) {
                self.run.confirming.push(number);
            }
        }
        let Some(route) = route else {
            if is_mandatory {
                self.return_unroutable(number, &message);
            }
            return Ok(());
        };
        if !self.run.continues(&route) {
            self.flush_messages();
            self.run.route = Some(route);
        }
        self.run.messages.push(message);
        Ok(())
    }

    /// The queues that a message goes to; none when nobody wants it. Remembers the answer where it depends
    /// on exchange and key alone.
    fn route(&mut self, number: ChannelNumber, message: &Message) -> Result<Option<Route>, Exception> {
        let Some(vhost) = self.vhost.clone() else { return Ok(None) };
        let access_epoch = self.node.broker.access_epoch();
        if let Some(memo) = self.channel(number).and_then(|channel| channel.memo.as_ref())
            && memo.place == message.route()
            && memo.route.epoch == vhost.epoch()
            && memo.access_epoch == access_epoch
        {
            return Ok(memo.route.some());
        }
        // The publish method was parsed with an exchange name of UTF-8.
        let exchange = std::str::from_utf8(message.exchange()).unwrap_or_default();
        self.authorize(&Operation::Publish { exchange })?;
        let header = parse_content_header(message.header()).ok();
        let headers = header.and_then(|header| header.properties.headers);
        let route = vhost
            .route(exchange, message.routing_key(), headers)
            .map_err(|error| Exception::of_route(&error, vhost.name()))?;
        if !route.depends_on_headers
            && let Some(channel) = self.channel(number)
        {
            let place = message.route().to_vec();
            channel.memo = Some(Memo { place, route: route.clone(), access_epoch });
        }
        Ok(route.some())
    }

    /// `basic.return`, before the confirm that the message gets all the same.
    fn return_unroutable(&mut self, number: ChannelNumber, message: &Message) {
        self.outbox.write_content(number, message, |bytes| {
            let code = ReplyCode::NoRoute;
            write_return(bytes, number, code as u16, code.name(), message.route());
        });
    }

    /// Appends the gathered messages to their queues.
    fn flush_messages(&mut self) {
        if let (Some(vhost), Some(route)) = (&self.vhost, self.run.route.take()) {
            vhost.publish(&route, &mut self.run.messages);
        }
    }

    /// Ends the run: messages to their queues, then confirms, joined.
    pub(super) fn flush_run(&mut self) {
        self.flush_messages();
        while let Some(number) = self.run.confirming.pop() {
            let Some(channel) = self.channel(number) else { continue };
            let confirm = channel.confirms.as_mut().and_then(Confirms::confirm_all);
            if let Some(confirm) = confirm {
                self.outbox.write(|bytes| write_ack(bytes, number, confirm.number.0, confirm.multiple));
            }
        }
    }

    pub(super) fn handle_confirm(
        &mut self,
        number: ChannelNumber,
        method: confirm::AMQPMethod,
    ) -> Result<(), Exception> {
        let confirm::AMQPMethod::Select(confirm::Select { nowait }) = method else {
            return Err(super::channel::unimplemented_method());
        };
        self.open_channel(number)?.confirms.get_or_insert_default();
        self.info.update_channel(number, |facts| facts.is_confirm = true);
        if !nowait {
            let select_ok = confirm::AMQPMethod::SelectOk(confirm::SelectOk {});
            self.outbox.write_method(number, &AMQPClass::Confirm(select_ok));
        }
        Ok(())
    }
}

impl PublishRun {
    fn continues(&self, route: &Route) -> bool {
        self.route.as_ref().is_some_and(|own| own.is_same(route))
    }
}

impl Route {
    fn some(&self) -> Option<Self> {
        (!self.queues.is_empty()).then(|| self.clone())
    }
}
