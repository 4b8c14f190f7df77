//! Methods of the classes exchange and queue.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use amq_protocol::protocol::{AMQPClass, exchange, queue};

use super::{
    Connection,
    channel::unimplemented_method,
    exception::{Exception, ReplyCode},
};
use crate::{
    model::{
        arguments::Arguments,
        binding::{Binding, Destination},
        exchange::{Exchange, ExchangeKind},
        name::Name,
        permission::{Access, Operation},
        queue::QueueOptions,
        topology::DeclareExchangeError,
    },
    vhost::{
        broker::generated_name,
        declare::{DeclareQueueError, DeclaredQueue, DeletedQueue},
        queue::SharedQueue,
        reply_to::is_for_replies,
        subscription::Subscription,
        topology::NoExchange,
    },
    wire::frame::ChannelNumber,
};

impl Connection {
    pub(super) fn handle_exchange(
        &mut self,
        number: ChannelNumber,
        method: exchange::AMQPMethod,
    ) -> Result<(), Exception> {
        use exchange::AMQPMethod::{Bind, BindOk, Declare, DeclareOk, Delete, DeleteOk, Unbind, UnbindOk};
        self.open_channel(number)?;
        let (ok, nowait) = match method {
            Declare(declare) => {
                let nowait = declare.nowait;
                self.declare_exchange(declare)?;
                (DeclareOk(exchange::DeclareOk {}), nowait)
            }
            Delete(delete) => {
                self.delete_exchange(&delete)?;
                (DeleteOk(exchange::DeleteOk {}), delete.nowait)
            }
            Bind(bind) => {
                let nowait = bind.nowait;
                let (source, destination) = (bind.source.as_str(), bind.destination.as_str());
                self.authorize(&Operation::BindExchange { source, destination })?;
                self.authorize_topics(Access::Read, source, &[bind.routing_key.as_str().as_bytes()])?;
                self.bind(Binding {
                    source: name(source),
                    destination: Destination::Exchange(name(destination)),
                    binding_key: name(bind.routing_key.as_str()),
                    arguments: bind.arguments.into(),
                })?;
                (BindOk(exchange::BindOk {}), nowait)
            }
            Unbind(unbind) => {
                let nowait = unbind.nowait;
                let (source, destination) = (unbind.source.as_str(), unbind.destination.as_str());
                self.authorize(&Operation::UnbindExchange { source, destination })?;
                self.authorize_topics(Access::Read, source, &[unbind.routing_key.as_str().as_bytes()])?;
                self.unbind(&Binding {
                    source: name(source),
                    destination: Destination::Exchange(name(destination)),
                    binding_key: name(unbind.routing_key.as_str()),
                    arguments: unbind.arguments.into(),
                })?;
                (UnbindOk(exchange::UnbindOk {}), nowait)
            }
            DeclareOk(_) | DeleteOk(_) | BindOk(_) | UnbindOk(_) => return Err(unimplemented_method()),
        };
        self.reply(number, AMQPClass::Exchange(ok), nowait);
        Ok(())
    }

    fn declare_exchange(&mut self, declare: exchange::Declare) -> Result<(), Exception> {
        let vhost = self.vhost()?;
        let exchange_name = without_newlines(declare.exchange.as_str());
        if exchange_name.is_empty() {
            let error = DeclareExchangeError::DefaultExchange;
            return Err(Exception::of_exchange(&error, vhost.name()));
        }
        if declare.passive {
            self.authorize(&Operation::FindExchange { exchange: &exchange_name })?;
            self.ticket = vhost.find_exchange(&exchange_name).map_err(|NoExchange| {
                let text = format!("no exchange '{exchange_name}' in vhost '{}'", vhost.name());
                Exception::new(ReplyCode::NotFound, text)
            })?;
            return Ok(());
        }
        let Some(kind) = ExchangeKind::parse(declare.kind.as_str()) else {
            let text = format!("unknown exchange type '{}'", declare.kind);
            return Err(Exception::new(ReplyCode::PreconditionFailed, text));
        };
        let exchange = Exchange {
            name: exchange_name,
            kind,
            is_durable: declare.durable,
            is_auto_delete: declare.auto_delete,
            is_internal: declare.internal,
            arguments: declare.arguments.into(),
        };
        let is_new = vhost.exchange(&exchange.name).is_none();
        if is_new {
            let room = self.node.check_exchange_room();
            room.map_err(|max| Exception::of_exchange_limit(&exchange.name, vhost.name(), max))?;
        }
        let alternate_exchange = exchange.arguments.text("alternate-exchange").filter(|_| is_new);
        self.authorize(&Operation::DeclareExchange { exchange: &exchange.name, alternate_exchange })?;
        self.ticket =
            vhost.declare_exchange(exchange).map_err(|error| Exception::of_exchange(&error, vhost.name()))?;
        Ok(())
    }

    fn delete_exchange(&mut self, delete: &exchange::Delete) -> Result<(), Exception> {
        let vhost = self.vhost()?;
        let exchange = name(delete.exchange.as_str());
        if exchange.is_empty() || exchange.is_reserved() {
            let refused = vhost.delete_exchange(&exchange, delete.if_unused);
            refused.map_err(|error| Exception::of_exchange_delete(&error, vhost.name()))?;
        }
        self.authorize(&Operation::DeleteExchange { exchange: &exchange })?;
        self.ticket = vhost
            .delete_exchange(&exchange, delete.if_unused)
            .map_err(|error| Exception::of_exchange_delete(&error, vhost.name()))?;
        Ok(())
    }

    fn bind(&mut self, binding: Binding) -> Result<(), Exception> {
        let vhost = self.vhost()?;
        self.ticket = vhost.bind(binding).map_err(|error| Exception::of_bind(&error, vhost.name()))?;
        Ok(())
    }

    fn unbind(&mut self, binding: &Binding) -> Result<(), Exception> {
        let vhost = self.vhost()?;
        self.ticket = vhost.unbind(binding).map_err(|error| Exception::of_bind(&error, vhost.name()))?;
        Ok(())
    }

    pub(super) fn handle_queue(
        &mut self,
        number: ChannelNumber,
        method: queue::AMQPMethod,
    ) -> Result<(), Exception> {
        use queue::AMQPMethod::{
            Bind, BindOk, Declare, DeclareOk, Delete, DeleteOk, Purge, PurgeOk, Unbind, UnbindOk,
        };
        self.open_channel(number)?;
        let (ok, nowait) = match method {
            Declare(declare) if is_for_replies(declare.queue.as_str()) => {
                let queue_name = without_newlines(declare.queue.as_str());
                (DeclareOk(self.declare_reply_queue(number, queue_name)?), declare.nowait)
            }
            Declare(declare) => {
                let nowait = declare.nowait;
                let queue = self.declare_queue(number, declare)?;
                let counts = queue.counts();
                let ok = queue::DeclareOk {
                    queue: queue.name.as_str().into(),
                    message_count: count(counts.ready),
                    consumer_count: count(counts.consumers),
                };
                (DeclareOk(ok), nowait)
            }
            Delete(delete) => {
                let message_count = self.delete_queue(number, &delete)?;
                (DeleteOk(queue::DeleteOk { message_count: count(message_count) }), delete.nowait)
            }
            Bind(bind) => {
                let nowait = bind.nowait;
                self.bind_queue(number, bind)?;
                (BindOk(queue::BindOk {}), nowait)
            }
            Unbind(unbind) => {
                self.unbind_queue(number, unbind)?;
                (UnbindOk(queue::UnbindOk {}), false)
            }
            Purge(purge) => {
                let queue_name = self.queue_name(number, purge.queue.as_str())?;
                self.authorize(&Operation::PurgeQueue { queue: &queue_name })?;
                let (purged, lsn) = self.use_queue(&queue_name)?.purge();
                if lsn.is_some() {
                    self.last_settled = self.last_settled.max(lsn);
                    self.await_settled();
                }
                (PurgeOk(queue::PurgeOk { message_count: count(purged) }), purge.nowait)
            }
            DeclareOk(_) | DeleteOk(_) | BindOk(_) | UnbindOk(_) | PurgeOk(_) => {
                return Err(unimplemented_method());
            }
        };
        self.reply(number, AMQPClass::Queue(ok), nowait);
        if self.deferred.is_empty() {
            self.notify_cancelled();
        }
        Ok(())
    }

    fn declare_queue(
        &mut self,
        number: ChannelNumber,
        declare: queue::Declare,
    ) -> Result<Arc<SharedQueue>, Exception> {
        let vhost = self.vhost()?;
        let queue_name = without_newlines(declare.queue.as_str());
        if declare.passive {
            self.authorize(&Operation::FindQueue { queue: &queue_name })?;
            let queue = self.use_queue(&queue_name)?;
            queue.note_use();
            self.ticket = vhost.store_queues(std::slice::from_ref(&queue));
            self.open_channel(number)?.last_queue = Some(queue_name);
            return Ok(queue);
        }
        let queue::Declare { durable, exclusive, auto_delete, arguments, .. } = declare;
        let is_lasting = durable && !exclusive && !auto_delete;
        let arguments = vhost.with_default_type(&queue_name, is_lasting, Arguments::from(arguments));
        let dead_letter_exchange = arguments.text("x-dead-letter-exchange").map(str::to_owned);
        let read = QueueOptions::read(durable, exclusive, auto_delete, arguments);
        let generated = if queue_name.is_empty() { generated_name("amq.gen-") } else { queue_name.clone() };
        let is_there = vhost.queue(&generated).is_some();
        if queue_name.is_reserved() && !is_there {
            let error = DeclareQueueError::ReservedName;
            return Err(Exception::of_queue(&error, &queue_name, vhost.name()));
        }
        self.authorize(&Operation::DeclareQueue { queue: &generated, dead_letter_exchange: None })?;
        if !is_there {
            let room = self.node.check_queue_room(&vhost);
            room.map_err(|error| Exception::of_queue(&error, &generated, vhost.name()))?;
            let dead_letter_exchange = dead_letter_exchange.as_deref();
            self.authorize(&Operation::DeclareQueue { queue: &generated, dead_letter_exchange })?;
        }
        let wrong = |error| Exception::of_queue_options(&error, &queue_name, vhost.name());
        let options = read.map_err(wrong)?;
        if let Err(error) = options.check(&queue_name) {
            self.check_same(&generated, &options)?;
            return Err(wrong(error));
        }
        let without_effect = options.arguments_without_effect();
        let declared = if queue_name.is_empty() {
            let mut first = Some(generated.clone());
            let generate = || first.take().unwrap_or_else(|| generated_name("amq.gen-"));
            vhost.declare_named_queue(options, self.id, generate)
        } else {
            vhost.declare_queue(queue_name, options, self.id)
        };
        let DeclaredQueue { queue, is_new, ticket } =
            declared.map_err(|error| Exception::of_queue(&error, &generated, vhost.name()))?;
        self.ticket = ticket;
        self.node.churn.count_declared(is_new);
        if is_new && !without_effect.is_empty() {
            tracing::warn!(
                "queue '{}' in vhost '{}': {} kept and shown, without effect in this version",
                queue.name,
                vhost.name(),
                without_effect.join(", ")
            );
        }
        if is_new && queue.owner.is_some() {
            // Those that others deleted over HTTP; only now and then, so that many queues cost no more each.
            if self.exclusive_queues.len() == self.exclusive_queues.capacity() {
                self.exclusive_queues.retain(|own| !own.is_deleted());
            }
            self.exclusive_queues.push(Arc::clone(&queue));
        }
        self.open_channel(number)?.last_queue = Some(queue.name.clone());
        Ok(queue)
    }

    /// Options that can't be differ from those of a queue that is there: that is what RabbitMQ says then.
    fn check_same(&self, queue_name: &Name, options: &QueueOptions) -> Result<(), Exception> {
        let vhost = self.vhost()?;
        if vhost.queue(queue_name).is_none() {
            return Ok(());
        }
        let same = self.use_queue(queue_name)?.options.check_equivalent(options);
        same.map_err(|error| {
            Exception::of_queue(&DeclareQueueError::Equivalence(error), queue_name, vhost.name())
        })
    }

    fn delete_queue(&mut self, number: ChannelNumber, delete: &queue::Delete) -> Result<usize, Exception> {
        let vhost = self.vhost()?;
        let queue_name = self.queue_name(number, delete.queue.as_str())?;
        self.authorize(&Operation::DeleteQueue { queue: &queue_name })?;
        let queue = vhost.queue(&queue_name);
        let DeletedQueue { ready_count, ticket, subscriptions } = vhost
            .delete_queue_untold(&queue_name, Some(self.id), delete.if_unused, delete.if_empty)
            .map_err(|error| Exception::of_queue_delete(error, &queue_name, vhost.name()))?;
        self.ticket = ticket;
        let is_own = |subscription: &Arc<Subscription>| Arc::ptr_eq(&subscription.outbox, &self.outbox);
        let (own, others): (Vec<_>, Vec<_>) = subscriptions.into_iter().partition(is_own);
        self.cancelled = own;
        for subscription in others {
            subscription.notify_cancelled();
        }
        self.node.churn.queues_deleted.fetch_add(u64::from(queue.is_some()), Relaxed);
        if queue.is_some_and(|queue| queue.owner.is_some()) {
            self.exclusive_queues.retain(|own| !own.is_deleted());
        }
        Ok(ready_count)
    }

    fn bind_queue(&mut self, number: ChannelNumber, bind: queue::Bind) -> Result<(), Exception> {
        let queue_name = self.queue_name(number, bind.queue.as_str())?;
        let (exchange, key) = (bind.exchange.as_str(), bind.routing_key.as_str());
        self.authorize(&Operation::BindQueue { exchange, queue: &queue_name })?;
        // With neither a queue nor a key named, the key is the queue's name (AMQP 0-9-1 `queue.bind`).
        let is_short = bind.queue.as_str().is_empty() && key.is_empty();
        let binding_key = if is_short { queue_name.clone() } else { name(key) };
        self.authorize_topics(Access::Read, exchange, &[binding_key.as_bytes()])?;
        Self::check_bindable(&queue_name)?;
        self.check_owner(&queue_name)?;
        self.bind(Binding {
            source: name(exchange),
            destination: Destination::Queue(queue_name),
            binding_key,
            arguments: bind.arguments.into(),
        })
    }

    fn unbind_queue(&mut self, number: ChannelNumber, unbind: queue::Unbind) -> Result<(), Exception> {
        let queue_name = self.queue_name(number, unbind.queue.as_str())?;
        let exchange = unbind.exchange.as_str();
        self.authorize(&Operation::UnbindQueue { exchange, queue: &queue_name })?;
        self.authorize_topics(Access::Read, exchange, &[unbind.routing_key.as_str().as_bytes()])?;
        Self::check_bindable(&queue_name)?;
        self.unbind(&Binding {
            source: name(exchange),
            destination: Destination::Queue(queue_name),
            binding_key: name(unbind.routing_key.as_str()),
            arguments: unbind.arguments.into(),
        })
    }

    /// Refuses another connection's exclusive queue; a missing one is the topology's to refuse.
    fn check_owner(&self, queue_name: &Name) -> Result<(), Exception> {
        let vhost = self.vhost()?;
        match vhost.queue(queue_name) {
            Some(_) => self.use_queue(queue_name).map(|_| ()),
            None => Ok(()),
        }
    }

    /// The queue that a method names: the last declared one when it names none.
    pub(super) fn queue_name(&mut self, number: ChannelNumber, wanted: &str) -> Result<Name, Exception> {
        if !wanted.is_empty() {
            return Ok(without_newlines(wanted));
        }
        let last_queue = self.open_channel(number)?.last_queue.clone();
        last_queue.ok_or_else(|| Exception::new(ReplyCode::NotFound, "no previously declared queue"))
    }

    /// The queue, unless it is not there or another connection's.
    pub(super) fn use_queue(&self, queue_name: &Name) -> Result<Arc<SharedQueue>, Exception> {
        let vhost = self.vhost()?;
        vhost
            .queue_for(queue_name, self.id)
            .map_err(|error| Exception::of_queue(&error, queue_name, vhost.name()))
    }
}

/// A short string came in, so it fits a name.
fn name(text: &str) -> Name {
    Name::parse(text).unwrap_or_else(|_| Name::literal(""))
}

/// RabbitMQ drops carriage returns and line feeds from names.
fn without_newlines(text: &str) -> Name {
    if text.contains(['\r', '\n']) {
        return name(&text.replace(['\r', '\n'], ""));
    }
    name(text)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
