//! `tx.select`, `commit` and `rollback`: what a channel holds until it is committed.
//!
//! ```text
//!           publish ──> routed, held here ───┬── commit ──> one record of the log, all its queues, returns;
//!  ack, nack, reject ──> held in the outbox ─┤              on stable storage: commit-ok
//!                                            └── rollback, close, exception ──> publishes are dropped,
//!                                                                deliveries are unsettled as before
//! ```
//!
//! A publish is checked and routed when it comes; commit changes nothing about that. Deliveries that are held
//! stay with the channel's others, so that whatever ends the channel requeues them, too.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use amq_protocol::protocol::{AMQPClass, tx};

use super::{
    Connection,
    channel::unimplemented_method,
    exception::{Exception, ReplyCode},
    publish::Destination,
    settle::{Settles, settle_all, unknown_tag},
};
use crate::{
    limits::{TRANSACTION_BYTES_MAX, TRANSACTION_MESSAGES_MAX, TRANSACTION_PLACE_BYTES},
    model::{message::Message, queue::Outcome},
    storage::StoreError,
    vhost::{
        deliveries::{ChannelDeliveries, UnknownTag},
        reply_to::ReplyAddress,
        statistics::PublishCounts,
        transaction::{CommitError, Committed, HeldMessage, HeldRun},
    },
    wire::{frame::ChannelNumber, method::MethodId},
};

/// What was published on a channel and is not committed.
#[derive(Debug)]
pub struct Transaction {
    runs: Vec<HeldRun>,
    replies: Vec<HeldReply>,
    bytes: usize,
    /// Where tools see how many messages that is.
    published: Arc<PublishCounts>,
}

/// A message for consumers of replies.
#[derive(Debug)]
struct HeldReply {
    addresses: Vec<ReplyAddress>,
    message: Message,
    /// It is to be returned when none of them takes it: no queue does, either.
    is_mandatory: bool,
}

impl Connection {
    pub(super) fn handle_tx(
        &mut self,
        number: ChannelNumber,
        method: tx::AMQPMethod,
    ) -> Result<(), Exception> {
        match method {
            tx::AMQPMethod::Select(_) => self.handle_tx_select(number),
            tx::AMQPMethod::Commit(_) => self.handle_commit(number),
            tx::AMQPMethod::Rollback(_) => self.handle_rollback(number),
            tx::AMQPMethod::SelectOk(_) | tx::AMQPMethod::CommitOk(_) | tx::AMQPMethod::RollbackOk(_) => {
                Err(unimplemented_method())
            }
        }
    }

    fn handle_tx_select(&mut self, number: ChannelNumber) -> Result<(), Exception> {
        let channel = self.open_channel(number)?;
        if channel.confirms.is_some() {
            let text = "cannot switch from confirm to tx mode";
            return Err(Exception::new(ReplyCode::PreconditionFailed, text));
        }
        if channel.transaction.is_none() {
            channel.transaction = Some(Box::new(Transaction::new(Arc::clone(&channel.published))));
        }
        self.info.update_channel(number, |facts| facts.is_transactional = true);
        self.write_tx(number, tx::AMQPMethod::SelectOk(tx::SelectOk {}));
        Ok(())
    }

    /// Appends all that is held as one record; commit-ok follows when that is on stable storage.
    fn handle_commit(&mut self, number: ChannelNumber) -> Result<(), Exception> {
        let vhost = self.vhost()?;
        let (runs, replies) = self.transaction(number)?.take();
        let mut settles = Settles::new();
        self.outbox.with_channel(number, |deliveries| deliveries.take_held(&mut settles));
        let has_settled = !settles.is_empty();
        for run in &runs {
            run.messages
                .iter()
                .for_each(|held| self.count_published(number, &held.message, Some(&run.route)));
        }
        let Committed { lsn, returned } = match vhost.commit(runs, &mut settles) {
            Ok(committed) => committed,
            Err(error) => {
                settles.iter_mut().for_each(|run| run.outcome = Outcome::Requeue);
                settle_all(&mut settles);
                return Err(match error {
                    CommitError::Refused => {
                        Exception::new(ReplyCode::PreconditionFailed, "partial tx completion")
                    }
                    CommitError::Log(error) => {
                        let text = format!("transaction is rolled back: {error}");
                        Exception::new(ReplyCode::ResourceError, text)
                    }
                });
            }
        };
        returned.iter().for_each(|message| self.return_unroutable(number, message));
        for HeldReply { addresses, message, is_mandatory } in replies {
            if !self.deliver_replies(&addresses, &message) && is_mandatory {
                self.return_unroutable(number, &message);
            }
        }
        if has_settled {
            // Channel-wide credit that one queue's messages free is for consumers of other queues, too.
            self.resume_consumers(number);
        }
        self.last_settled = self.last_settled.max(lsn);
        self.await_settled();
        let commit_ok = tx::AMQPMethod::CommitOk(tx::CommitOk {});
        self.reply(number, AMQPClass::Tx(commit_ok), false);
        Ok(())
    }

    fn handle_rollback(&mut self, number: ChannelNumber) -> Result<(), Exception> {
        self.transaction(number)?.take();
        self.outbox.with_channel(number, ChannelDeliveries::roll_back);
        self.write_tx(number, tx::AMQPMethod::RollbackOk(tx::RollbackOk {}));
        Ok(())
    }

    /// A whole message on a transactional channel.
    pub(super) fn hold_publish(&mut self, number: ChannelNumber, message: Message) -> Result<(), Exception> {
        let destination = self.destination(number, &message)?;
        let is_mandatory = self.open_channel(number)?.content.is_mandatory();
        if destination.is_nowhere() && !is_mandatory {
            return Ok(());
        }
        // As with a confirm: the queues have to be durable before a commit can promise that the message is.
        if let (Some(vhost), Some(route)) = (&self.vhost, &destination.route) {
            self.ticket = vhost.store_queues(&route.queues);
        }
        self.transaction(number)?.hold(destination, HeldMessage { message, is_mandatory })
    }

    /// An ack, nack or reject on a transactional channel.
    pub(super) fn hold_settle(
        &self,
        number: ChannelNumber,
        (delivery_tag, multiple): (u64, bool),
        outcome: Outcome,
    ) -> Result<(), Exception> {
        let hold =
            self.outbox.with_channel(number, |deliveries| deliveries.hold(delivery_tag, multiple, outcome));
        match hold {
            Some(Err(UnknownTag)) => Err(unknown_tag(delivery_tag)),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// What to make of the disk's answer. A commit is in the log when its disk is found full, and nobody could
    /// say whether it counts: it waits until there is room, as confirms do.
    pub(super) fn stored_at_last(
        &mut self,
        result: Result<(), StoreError>,
    ) -> Option<Result<(), StoreError>> {
        let is_commit = self.deferred.front().is_some_and(|first| first.is_for(MethodId::TX_COMMIT));
        match &result {
            Err(StoreError::Log(error)) if is_commit && error.is_passing() => {
                self.await_settled();
                self.ticket.is_none().then_some(Ok(()))
            }
            _ => Some(result),
        }
    }

    fn transaction(&mut self, number: ChannelNumber) -> Result<&mut Transaction, Exception> {
        let transaction = self.open_channel(number)?.transaction.as_deref_mut();
        transaction
            .ok_or_else(|| Exception::new(ReplyCode::PreconditionFailed, "channel is not transactional"))
    }

    fn write_tx(&self, number: ChannelNumber, method: tx::AMQPMethod) {
        self.outbox.write_method(number, &AMQPClass::Tx(method));
    }
}

impl Transaction {
    fn new(published: Arc<PublishCounts>) -> Self {
        Self { runs: Vec::new(), replies: Vec::new(), bytes: 0, published }
    }

    /// What is held; after that nothing is.
    fn take(&mut self) -> (Vec<HeldRun>, Vec<HeldReply>) {
        self.published.uncommitted.store(0, Relaxed);
        self.bytes = 0;
        (std::mem::take(&mut self.runs), std::mem::take(&mut self.replies))
    }

    fn hold(&mut self, destination: Destination, held: HeldMessage) -> Result<(), Exception> {
        let Destination { route, replies } = destination;
        let queue_count = route.as_ref().map_or(0, |route| route.queues.len());
        self.make_room(&held.message, queue_count + replies.len())?;
        if !replies.is_empty() {
            self.replies.push(HeldReply {
                addresses: replies,
                message: held.message.clone(),
                is_mandatory: held.is_mandatory && route.is_none(),
            });
            if route.is_none() {
                return Ok(());
            }
        }
        let route = route.unwrap_or_default();
        match self.runs.last_mut() {
            Some(run) if run.route.is_same(&route) => run.messages.push(held),
            _ => self.runs.push(HeldRun { route, messages: vec![held] }),
        }
        Ok(())
    }

    /// Counts a message with so many places, if there is room for it.
    fn make_room(&mut self, message: &Message, places: usize) -> Result<(), Exception> {
        let bytes = message.size() + TRANSACTION_PLACE_BYTES * places;
        let count = self.published.uncommitted.load(Relaxed);
        if count >= TRANSACTION_MESSAGES_MAX || count > 0 && self.bytes + bytes > TRANSACTION_BYTES_MAX {
            let text = format!(
                "transaction is too large: at most {TRANSACTION_MESSAGES_MAX} messages and \
                 {TRANSACTION_BYTES_MAX} bytes are held until tx.commit"
            );
            return Err(Exception::new(ReplyCode::PreconditionFailed, text));
        }
        self.published.uncommitted.store(count + 1, Relaxed);
        self.bytes += bytes;
        Ok(())
    }
}
