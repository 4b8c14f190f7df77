//! The protocol: one connection as a state machine over the vhosts.
//!
//! It takes bytes, events and the time, and answers into its outbox; it never waits. What it can't answer
//! before the disk has spoken it keeps until [`Event::Stored`].
//!
//! ```text
//!  Header ── AMQP 0-9-1 ──> Start ── start-ok ──> Tune ── tune-ok ──> Open ── open ──> Running
//!    any ── exception, or somebody's wish: close ──> Closing ── close-ok ──> (end)
//! ```

pub mod alarm;
pub mod channel;
pub mod confirms;
mod consume;
pub mod content;
mod declare;
mod deferred;
pub mod demands;
mod direct;
pub mod exception;
mod handshake;
mod heartbeat;
mod publish;
pub mod registry;
mod reply_to;
mod rights;
mod seat;
pub mod settle;
pub mod statistics;
#[cfg(test)]
mod tests;
pub mod transaction;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use amq_protocol::protocol::{AMQPClass, access, basic, connection};

use crate::{
    limits::CLOSING_TIMEOUT,
    model::{message::Arena, name::Name, queue::Outcome, user::PasswordHash},
    storage::{StoreError, record::Lsn},
    vhost::{
        Vhost,
        outbox::Outbox,
        queue::{ConnectionId, SharedQueue},
        subscription::Subscription,
        ticket::Ticket,
    },
    wire::{
        frame::{ChannelNumber, Frame, FrameKind, parse_frame},
        method::{Method, MethodId, parse_method},
    },
};
use channel::{Channel, unimplemented_method};
use content::OutOfTurn;
use deferred::Deferred;
use exception::{Exception, ReplyCode};
use handshake::Tuning;
use heartbeat::Heartbeat;
use registry::{ConnectionInfo, Node};

/// One AMQP connection.
#[derive(Debug)]
pub struct Connection {
    id: ConnectionId,
    node: Arc<Node>,
    info: Arc<ConnectionInfo>,
    outbox: Arc<Outbox>,
    phase: Phase,
    /// The peer's close was answered.
    is_closed_by_peer: bool,
    /// When the handshake, or the wait for close-ok, has taken too long.
    deadline: Option<Instant>,
    tuning: Tuning,
    heartbeat: Heartbeat,
    user: Option<Name>,
    /// What its login was checked against, until it is open.
    password: Option<PasswordHash>,
    vhost: Option<Arc<Vhost>>,
    /// Once open, until it closes.
    seat: Option<seat::Seat>,
    rights: rights::Rights,
    /// The client wants `basic.cancel` when a queue goes.
    is_cancel_notified: bool,
    blocking: alarm::Blocking,
    channels: Vec<Option<Box<Channel>>>,
    /// To be deleted with it; some may be gone already.
    exclusive_queues: Vec<Arc<SharedQueue>>,
    run: publish::PublishRun,
    settles: settle::Settles,
    /// The last message of this connection in the log.
    last_published: Option<Lsn>,
    /// The log was asked to tell when that, or an earlier one, is synced.
    is_sync_awaited: Arc<AtomicBool>,
    /// The last settling of this connection in the log.
    last_settled: Option<Lsn>,
    freed_channels: Vec<ChannelNumber>,
    /// A change on its way to disk; nothing more is read until it is there.
    ticket: Option<Ticket>,
    /// The answers that wait for the disk.
    deferred: VecDeque<Deferred>,
    /// Consumers of a queue that this connection deleted: told after delete-ok, as RabbitMQ does. A client
    /// that closes when it hears of the cancel would otherwise miss its answer.
    cancelled: Vec<Arc<Subscription>>,
}

/// What moves a connection.
#[derive(Debug)]
pub enum Event<'a> {
    /// Bytes came. As many are taken as [`Applied::consumed`] says; the rest is to be given again, with
    /// more behind it.
    Read(&'a [u8]),
    /// The definitions or records that it waits for are durable, or not.
    Stored(Result<(), StoreError>),
    /// Its outbox was woken: somebody may want it closed, an alarm may have been set or cleared, there may be room
    /// again, or a queue may go on that waited for the log.
    Woken,
    /// The time it asked for has come.
    Tick,
}

/// What became of an event.
#[derive(Debug)]
#[must_use]
pub struct Applied {
    /// Bytes taken.
    pub consumed: usize,
    /// What is next.
    pub flow: Flow,
}

/// How it goes on.
#[derive(Debug)]
pub enum Flow {
    /// With the next event.
    Continue,
    /// With [`Event::Stored`]: no bytes before that.
    Wait(Ticket),
    /// With the bytes that were not taken, once the peer has read enough of its replies and no alarm blocks it:
    /// until then [`Outbox::is_full_of_replies`] or [`Connection::is_blocked`].
    Hold,
    /// Not at all: what is in the outbox is the last to be sent.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Header,
    Start,
    Tune,
    Open,
    Running,
    /// `connection.close` was sent.
    Closing,
    /// The login failed and the client would not understand a close: silence, then the end.
    Refused,
    Ended,
}

/// Frames that one read may bring before others get their turn.
const FRAMES_MAX: usize = 6_000;

impl Connection {
    /// A connection just accepted.
    #[must_use]
    pub fn new(node: Arc<Node>, info: Arc<ConnectionInfo>, now: Instant) -> Self {
        node.insert(Arc::clone(&info));
        Self::unlisted(node, info, now)
    }

    fn unlisted(node: Arc<Node>, info: Arc<ConnectionInfo>, now: Instant) -> Self {
        let deadline = now + node.limits.handshake_timeout;
        Self {
            id: info.id,
            node,
            outbox: Arc::clone(&info.outbox),
            info,
            phase: Phase::Header,
            is_closed_by_peer: false,
            deadline: Some(deadline),
            tuning: Tuning::default(),
            heartbeat: Heartbeat::new(now),
            user: None,
            password: None,
            vhost: None,
            seat: None,
            rights: rights::Rights::default(),
            is_cancel_notified: false,
            blocking: alarm::Blocking::default(),
            channels: Vec::new(),
            exclusive_queues: Vec::new(),
            run: publish::PublishRun::default(),
            settles: Vec::new(),
            last_published: None,
            is_sync_awaited: Arc::default(),
            last_settled: None,
            freed_channels: Vec::new(),
            ticket: None,
            deferred: VecDeque::new(),
            cancelled: Vec::new(),
        }
    }

    /// Decides what an event leads to.
    pub fn apply(&mut self, event: Event<'_>, now: Instant, arena: &mut Arena) -> Applied {
        let mut consumed = 0;
        match event {
            Event::Read(bytes) => {
                self.heartbeat.received(now);
                consumed = self.read(bytes, now, arena);
            }
            Event::Stored(result) => self.handle_stored(result, now),
            Event::Woken => self.handle_woken(now),
            Event::Tick => self.handle_tick(now),
        }
        let flow = match (self.phase, self.next_ticket()) {
            (Phase::Ended, _) => Flow::End,
            (_, Some(ticket)) => Flow::Wait(ticket),
            (_, None) if self.outbox.is_full_of_replies() || self.is_blocked() => Flow::Hold,
            (_, None) => Flow::Continue,
        };
        Applied { consumed, flow }
    }

    /// When it wants [`Event::Tick`].
    #[must_use]
    pub fn next_tick(&self) -> Option<Instant> {
        [self.deadline, self.heartbeat.next_tick()].into_iter().flatten().min()
    }

    /// Bytes were sent.
    pub fn sent(&mut self, now: Instant) {
        self.heartbeat.sent(now);
        if self.outbox.is_full_of_replies() {
            // Nothing is read from the peer: that it reads is its only sign of life.
            self.heartbeat.received(now);
        }
    }

    /// Whether the peer closed it in order and knows so: the last word was our close-ok.
    #[must_use]
    pub fn is_closed_by_peer(&self) -> bool {
        self.is_closed_by_peer
    }

    /// The peer is gone: everything it held goes back, everything that was its own goes.
    pub fn end(&mut self) {
        if !matches!(self.phase, Phase::Closing | Phase::Ended) {
            self.release_all();
        }
        self.phase = Phase::Ended;
        self.node.remove(self.id);
    }

    fn read(&mut self, bytes: &[u8], now: Instant, arena: &mut Arena) -> usize {
        let mut consumed = 0;
        if self.phase == Phase::Header {
            consumed = self.handle_protocol_header(bytes);
        }
        for _ in 0..FRAMES_MAX {
            if matches!(self.phase, Phase::Header | Phase::Refused | Phase::Ended)
                || self.ticket.is_some()
                || self.outbox.is_full_of_replies()
                || self.is_blocked()
            {
                break;
            }
            match parse_frame(&bytes[consumed..], self.tuning.frame_max) {
                Ok(Some((frame, _))) if !self.may_follow_deferred(&frame) => break,
                Ok(Some((frame, size))) => {
                    self.handle_frame(&frame, now, arena);
                    consumed += size;
                }
                Ok(None) => break,
                // What else a closing peer sends need not be frames.
                Err(_) if self.phase == Phase::Closing => return bytes.len(),
                Err(error) => {
                    self.close(&Exception::of_frame(&error), MethodId::NONE, now);
                    return bytes.len();
                }
            }
        }
        self.flush();
        match self.phase {
            Phase::Refused | Phase::Ended => bytes.len(),
            _ => consumed,
        }
    }

    fn handle_frame(&mut self, frame: &Frame<'_>, now: Instant, arena: &mut Arena) {
        if frame.kind == FrameKind::Heartbeat {
            return;
        }
        if self.phase == Phase::Closing {
            return self.handle_closing_frame(frame);
        }
        let (is_closing, missing) = match self.channel(frame.channel) {
            Some(channel) => (channel.is_closing, channel.content.missing()),
            None => (false, None),
        };
        let (result, id) = match (frame.kind, missing) {
            (FrameKind::Method, Some(missing)) => (Err(missing.into()), MethodId::PUBLISH),
            (FrameKind::Method, None) => match parse_method(frame.payload) {
                Ok((id, method)) if is_closing => {
                    (self.handle_closing_channel(frame.channel, id, method), id)
                }
                Ok((id, method)) => (self.handle_method(frame, id, method, now), id),
                Err(error) => (Err(Exception::of_method(&error)), error.id().unwrap_or(MethodId::NONE)),
            },
            _ if is_closing => return,
            (_, None) => (Err(OutOfTurn::NoMethod.into()), MethodId::NONE),
            (_, Some(_)) => (self.handle_content(frame, arena), MethodId::PUBLISH),
        };
        if let Err(exception) = result {
            self.raise(frame.channel, exception, id, now);
        }
    }

    fn handle_method(
        &mut self,
        frame: &Frame<'_>,
        id: MethodId,
        method: Method<'_>,
        now: Instant,
    ) -> Result<(), Exception> {
        let number = frame.channel;
        if self.phase != Phase::Running {
            return self.handle_handshake(number, method, now);
        }
        if number.0 == 0 {
            return match method {
                Method::Cold(class) => self.handle_connection(*class),
                _ => Err(self.unexpected_method()),
            };
        }
        match method {
            Method::Publish(publish) => self.handle_publish(number, &publish),
            Method::Ack { delivery_tag, multiple } => {
                self.handle_settle(number, (delivery_tag, multiple), Outcome::Accept)
            }
            Method::Nack { delivery_tag, multiple, requeue } => {
                self.handle_settle(number, (delivery_tag, multiple), outcome(requeue))
            }
            Method::Reject { delivery_tag, requeue } => {
                self.handle_settle(number, (delivery_tag, false), outcome(requeue))
            }
            Method::Cold(class) => {
                self.flush();
                self.handle_cold(number, id, *class, frame.payload)
            }
        }
    }

    fn handle_cold(
        &mut self,
        number: ChannelNumber,
        id: MethodId,
        class: AMQPClass,
        payload: &[u8],
    ) -> Result<(), Exception> {
        if !matches!(class, AMQPClass::Channel(_)) {
            self.open_channel(number)?;
        }
        let result = match class {
            AMQPClass::Basic(method) => self.handle_basic(number, method, payload),
            AMQPClass::Channel(method) => self.handle_channel(number, method),
            AMQPClass::Exchange(method) => self.handle_exchange(number, method),
            AMQPClass::Queue(method) => self.handle_queue(number, method),
            AMQPClass::Confirm(method) => self.handle_confirm(number, method),
            AMQPClass::Access(access::AMQPMethod::Request(_)) => {
                let ok = access::AMQPMethod::RequestOk(access::RequestOk {});
                self.outbox.write_method(number, &AMQPClass::Access(ok));
                Ok(())
            }
            AMQPClass::Tx(method) => self.handle_tx(number, method),
            AMQPClass::Connection(_) | AMQPClass::Access(_) => Err(unimplemented_method()),
        };
        self.name_deferred(id);
        result
    }

    fn handle_basic(
        &mut self,
        number: ChannelNumber,
        method: basic::AMQPMethod,
        payload: &[u8],
    ) -> Result<(), Exception> {
        use basic::AMQPMethod::{Cancel, CancelOk, Consume, Get, Qos, Recover, RecoverAsync};
        match method {
            Consume(consume) => self.handle_consume(number, consume),
            Cancel(cancel) => self.handle_cancel(number, cancel),
            Get(get) => self.handle_get(number, &get),
            Qos(qos) => self.handle_qos(number, &qos, consume::prefetch_size(payload)),
            Recover(recover) => self.handle_recover(number, recover.requeue, false),
            RecoverAsync(recover) => self.handle_recover(number, recover.requeue, true),
            // The client's answer to a cancel of ours.
            CancelOk(_) => Ok(()),
            _ => Err(unimplemented_method()),
        }
    }

    /// Methods of channel 0 on a running connection.
    fn handle_connection(&mut self, class: AMQPClass) -> Result<(), Exception> {
        match class {
            AMQPClass::Connection(connection::AMQPMethod::Close(_)) => {
                self.flush();
                self.release_all();
                self.is_closed_by_peer = true;
                self.await_settled();
                let close_ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
                self.reply(ChannelNumber(0), AMQPClass::Connection(close_ok), false);
                if self.deferred.is_empty() {
                    self.phase = Phase::Ended;
                }
                Ok(())
            }
            AMQPClass::Connection(connection::AMQPMethod::UpdateSecret(_)) => {
                let ok = connection::AMQPMethod::UpdateSecretOk(connection::UpdateSecretOk {});
                self.outbox.write_method(ChannelNumber(0), &AMQPClass::Connection(ok));
                Ok(())
            }
            // An answer to no question of ours.
            AMQPClass::Connection(connection::AMQPMethod::CloseOk(_)) => Ok(()),
            _ => Err(self.unexpected_method()),
        }
    }

    /// A channel that we closed takes only close and close-ok.
    fn handle_closing_channel(
        &mut self,
        number: ChannelNumber,
        id: MethodId,
        method: Method<'_>,
    ) -> Result<(), Exception> {
        use amq_protocol::protocol::channel;
        if id == MethodId::CHANNEL_CLOSE_OK {
            self.drop_channel(number);
        } else if let Method::Cold(class) = method
            && let AMQPClass::Channel(method @ channel::AMQPMethod::Close(_)) = *class
        {
            return self.handle_channel(number, method);
        }
        Ok(())
    }

    fn handle_closing_frame(&mut self, frame: &Frame<'_>) {
        let Ok((id, _)) = parse_method(frame.payload) else { return };
        if frame.kind != FrameKind::Method || frame.channel.0 != 0 {
            return;
        }
        if id == MethodId::CONNECTION_CLOSE {
            let close_ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
            self.outbox.write_method(ChannelNumber(0), &AMQPClass::Connection(close_ok));
        }
        if matches!(id, MethodId::CONNECTION_CLOSE | MethodId::CONNECTION_CLOSE_OK) {
            self.phase = Phase::Ended;
        }
    }

    /// The own consumers of a queue that was deleted end.
    fn notify_cancelled(&mut self) {
        for subscription in self.cancelled.drain(..) {
            subscription.notify_cancelled();
        }
    }

    fn handle_woken(&mut self, now: Instant) {
        let forced = self.info.update(|facts| facts.forced_close.take());
        if let Some(exception) = forced {
            self.close(&exception, MethodId::NONE, now);
        }
        self.close_overdue(now);
        self.handle_synced();
        self.follow_alarms(now);
        // A queue waited for the log, or room was promised to a delivery which did not happen.
        settle::resume(self.outbox.take_resumable());
    }

    fn handle_tick(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            if self.phase != Phase::Closing && self.phase != Phase::Refused {
                tracing::warn!(connection = %self.info.name(), "handshake timeout");
            }
            self.deadline = None;
            self.end();
            return;
        }
        let is_deaf =
            !self.deferred.is_empty() || self.run.is_held || self.is_blocked() || self.is_throttled();
        if is_deaf {
            // Nothing is read while the disk is waited for, or space: the peer is not silent.
            self.heartbeat.received(now);
        }
        if self.heartbeat.is_peer_dead(now) {
            let timeout = self.tuning.heartbeat_secs;
            tracing::warn!(connection = %self.info.name(), "missed heartbeats from client, timeout: {timeout}s");
            self.end();
        } else if self.heartbeat.is_due(now) {
            self.heartbeat.sent(now);
            self.outbox.write(crate::wire::encode::write_heartbeat);
        }
    }

    /// Answers an exception: on the channel if its code allows, else on the connection.
    fn fail(&mut self, number: ChannelNumber, exception: &Exception, id: MethodId, now: Instant) {
        self.flush();
        self.deferred.clear();
        let is_open = number.0 != 0 && self.phase == Phase::Running && self.channel(number).is_some();
        if exception.code.is_soft() && is_open {
            tracing::error!(
                connection = %self.info.name(), channel = number.0,
                "channel exception: {exception} ({})", id.name().unwrap_or("none")
            );
            self.close_channel(number, exception, id);
        } else {
            self.close(exception, id, now);
        }
    }

    /// Closes the connection: everything it held goes back at once; then it waits for close-ok.
    fn close(&mut self, exception: &Exception, id: MethodId, now: Instant) {
        match self.phase {
            Phase::Closing | Phase::Ended | Phase::Refused => return,
            // Before it was told who we are, a peer gets no frame.
            Phase::Header => return self.end(),
            _ => {}
        }
        let (name, method) = (self.info.name(), id.name().unwrap_or("none"));
        match exception.code {
            // Somebody's wish, not a mistake.
            ReplyCode::ConnectionForced => {
                tracing::info!(connection = %name, "closing connection: {exception}")
            }
            _ => tracing::error!(connection = %name, "closing connection: {exception} ({method})"),
        }
        self.run.end_hold();
        self.flush();
        // Nothing follows a close: not even an answer that waits for the disk.
        self.deferred.clear();
        self.release_all();
        let close = connection::Close {
            reply_code: exception.code as u16,
            reply_text: exception.reply_text().as_str().into(),
            class_id: id.class,
            method_id: id.method,
        };
        let close = AMQPClass::Connection(connection::AMQPMethod::Close(close));
        self.outbox.write_method(ChannelNumber(0), &close);
        self.phase = Phase::Closing;
        self.end_blocking();
        self.info.update(|facts| facts.state = "closing");
        self.deadline = Some(now + CLOSING_TIMEOUT);
    }

    /// Ends the runs that one read gathered: publishes first, so that what an application published before
    /// it acked is safe before the ack counts.
    fn flush(&mut self) {
        self.flush_run();
        self.flush_settles();
    }

    fn release_all(&mut self) {
        let released = self.outbox.close();
        self.release(released);
        let channels = self.channels.iter().flatten().filter(|channel| !channel.is_closing).count();
        self.node.churn.channels_closed.fetch_add(channels as u64, Relaxed);
        self.channels.clear();
        self.seat = None;
        let Some(vhost) = &self.vhost else { return };
        for queue in self.exclusive_queues.drain(..) {
            vhost.end_queue(&queue, false);
        }
    }

    fn vhost(&self) -> Result<Arc<Vhost>, Exception> {
        self.vhost.clone().ok_or_else(|| self.unexpected_method())
    }

    /// Of a method that makes no sense now.
    fn unexpected_method(&self) -> Exception {
        let state = match self.phase {
            Phase::Header | Phase::Start => "starting",
            Phase::Tune => "tuning",
            Phase::Open => "opening",
            Phase::Running => "running",
            Phase::Closing | Phase::Refused | Phase::Ended => "closing",
        };
        let text = format!("unexpected method in connection state {state}");
        Exception::new(ReplyCode::ChannelError, text)
    }

    fn vhost_name(&self) -> &str {
        self.vhost.as_ref().map_or("", |vhost| vhost.name())
    }
}

impl Drop for Connection {
    /// However its task ends, what it held goes back.
    fn drop(&mut self) {
        self.end();
    }
}

fn outcome(requeue: bool) -> Outcome {
    if requeue { Outcome::Requeue } else { Outcome::Discard }
}
