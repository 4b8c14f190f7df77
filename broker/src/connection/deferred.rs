//! Answers that wait for the disk, in the order of their methods.
//!
//! ```text
//!  declare ──> done, its change submitted ──> [ticket, declare-ok]   the first is waited for
//!  declare ──> done, its change submitted ──> [ticket, declare-ok]   more declares and binds may follow
//!  declare ──> refused                    ──> [channel.close]        nothing may follow
//!  get     ──> the head is not marked yet ──> [ticket, get again]    nothing may follow
//!  publish                                    stays unread until all are answered
//! ```
//!
//! A client that declares without waiting for each answer so has many changes in one commit.

use std::time::Instant;

use amq_protocol::protocol::{AMQPClass, basic};

use super::{Connection, Phase, exception::Exception};
use crate::{
    limits::DEFERRED_MAX,
    storage::StoreError,
    vhost::ticket::Ticket,
    wire::{
        frame::{ChannelNumber, Frame, FrameKind},
        method::{MethodId, method_id},
    },
};

/// What is said when the disk has spoken.
#[derive(Debug)]
pub(super) struct Deferred {
    /// What it waits for. None: for the one before it, or it was handed out to be waited for.
    ticket: Option<Ticket>,
    channel: ChannelNumber,
    id: MethodId,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    /// The client wants none.
    Nothing,
    Method(AMQPClass),
    Exception(Exception),
    /// The answer to a `basic.get`, which is asked again.
    Get(basic::Get),
}

impl Deferred {
    /// Whether it answers this method.
    pub(super) fn is_for(&self, id: MethodId) -> bool {
        self.id == id
    }
}

impl Connection {
    /// Sends an answer, or keeps it until what it promises is durable and what was asked before is answered.
    pub(super) fn reply(&mut self, channel: ChannelNumber, class: AMQPClass, nowait: bool) {
        let ticket = self.ticket.take();
        if ticket.is_some() || !self.deferred.is_empty() {
            let answer = if nowait { Answer::Nothing } else { Answer::Method(class) };
            self.deferred.push_back(Deferred { ticket, channel, id: MethodId::NONE, answer });
        } else if !nowait {
            self.outbox.write_method(channel, &class);
        }
    }

    /// Answers an exception, after what was asked before is answered.
    pub(super) fn raise(&mut self, channel: ChannelNumber, exception: Exception, id: MethodId, now: Instant) {
        if self.deferred.is_empty() {
            return self.fail(channel, &exception, id, now);
        }
        let answer = Answer::Exception(exception);
        self.deferred.push_back(Deferred { ticket: self.ticket.take(), channel, id, answer });
    }

    /// The last answer, if it is one that waits, is for this method.
    pub(super) fn name_deferred(&mut self, id: MethodId) {
        if let Some(last) = self.deferred.back_mut()
            && last.id == MethodId::NONE
        {
            last.id = id;
        }
    }

    /// Whether a frame may be handled while answers wait: it adds to what the disk does now, and nothing else.
    pub(super) fn may_follow_deferred(&mut self, frame: &Frame<'_>) -> bool {
        let Some(last) = self.deferred.back() else { return true };
        let is_last = matches!(last.answer, Answer::Exception(_) | Answer::Get(_));
        let is_room = self.deferred.len() < DEFERRED_MAX;
        let is_open = self
            .channel(frame.channel)
            .is_some_and(|channel| !channel.is_closing && channel.content.missing().is_none());
        let is_adding = frame.kind == FrameKind::Method
            && method_id(frame.payload).is_some_and(|id| {
                [MethodId::EXCHANGE_DECLARE, MethodId::EXCHANGE_BIND].contains(&id)
                    || [MethodId::QUEUE_DECLARE, MethodId::QUEUE_BIND].contains(&id)
            });
        self.phase == Phase::Running && !is_last && is_room && is_open && is_adding
    }

    /// What to wait for now.
    pub(super) fn next_ticket(&mut self) -> Option<Ticket> {
        self.ticket.take().or_else(|| self.deferred.front_mut()?.ticket.take())
    }

    /// What was waited for is durable, or not.
    pub(super) fn handle_stored(&mut self, result: Result<(), StoreError>, now: Instant) {
        if self.run.is_held {
            return self.release_run(&result);
        }
        let Some(result) = self.stored_at_last(result) else { return };
        let Some(first) = self.deferred.pop_front() else { return };
        match result {
            Ok(()) => self.answer_deferred(first, now),
            // The disk is full: what waits for it waits on.
            Err(StoreError::Log(error)) if error.is_passing() && matches!(first.answer, Answer::Get(_)) => {
                self.answer_deferred(first, now);
            }
            Err(error) => self.fail(first.channel, &Exception::of_store(&error), first.id, now),
        }
        while self.deferred.front().is_some_and(|next| next.ticket.is_none()) {
            if let Some(next) = self.deferred.pop_front() {
                self.answer_deferred(next, now);
            }
        }
        self.notify_cancelled();
        if self.is_closed_by_peer {
            self.phase = Phase::Ended;
        }
    }

    fn answer_deferred(&mut self, deferred: Deferred, now: Instant) {
        match deferred.answer {
            Answer::Nothing => {}
            Answer::Method(class) => self.outbox.write_method(deferred.channel, &class),
            Answer::Exception(exception) => self.fail(deferred.channel, &exception, deferred.id, now),
            Answer::Get(get) => {
                if let Err(exception) = self.handle_get(deferred.channel, &get) {
                    self.fail(deferred.channel, &exception, deferred.id, now);
                }
            }
        }
    }

    /// Asks again for the head of the queue when the log has what it waits for.
    pub(super) fn get_later(&mut self, channel: ChannelNumber, get: basic::Get, ticket: Ticket) {
        let (ticket, id, answer) = (Some(ticket), MethodId::GET, Answer::Get(get));
        self.deferred.push_back(Deferred { ticket, channel, id, answer });
    }

    /// An -ok that ends a consumer, channel or connection also says that what was settled before is durable:
    /// it waits for the log.
    pub(super) fn await_settled(&mut self) {
        let Some(vhost) = &self.vhost else { return };
        // What was settled since is not even recorded.
        if let Some(failure) = vhost.log().failure() {
            self.ticket = Some(Ticket::failed(failure));
        } else if let Some(lsn) = self.last_settled {
            self.ticket = Ticket::synced(&**vhost.log(), lsn);
        }
    }
}
