//! Declaring and deleting queues.

use std::{
    sync::{Arc, RwLockWriteGuard, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{
    Places, Vhost,
    queue::{ConnectionId, DeleteRefused, SharedQueue},
    subscription::Subscription,
    ticket::Ticket,
};
use crate::{
    model::{
        definition::{Change, Definition, DefinitionKey, QueueDefinition},
        limit::LimitName,
        name::Name,
        queue::{EquivalenceError, QueueOptions, QueueType, locked_text},
        queue_id::QueueId,
        timestamp::Timestamp,
    },
    storage::{StoreError, queue_log::QueueRecord},
};

/// A queue that is there now.
#[derive(Debug)]
pub struct DeclaredQueue {
    /// The queue.
    pub queue: Arc<SharedQueue>,
    /// It was not there before.
    pub is_new: bool,
    /// Its way to stable storage, if it is durable and new.
    pub ticket: Option<Ticket>,
}

/// A queue that is no more, and whose consumers have not been told.
#[derive(Debug)]
#[must_use = "its consumers are to be told"]
pub struct DeletedQueue {
    /// Messages that were ready in it.
    pub ready_count: usize,
    /// Its way off stable storage, if it was there.
    pub ticket: Option<Ticket>,
    /// Who consumed from it.
    pub subscriptions: Vec<Arc<Subscription>>,
}

impl DeletedQueue {
    /// Tells its consumers that there is nothing more to come.
    fn tell_consumers(&self) {
        for subscription in &self.subscriptions {
            subscription.notify_cancelled();
        }
    }
}

/// Why there is no such queue.
#[derive(Debug)]
pub enum DeclareQueueError {
    /// 404: a passive declare, or a use, of what is not there.
    NoQueue,
    /// 405: another connection's.
    Locked,
    /// 403: the name is the broker's.
    ReservedName,
    /// 406 or 405: it is there with other properties.
    Equivalence(EquivalenceError),
    /// 406: there are as many queues in the vhost as there may be.
    VhostFull(usize),
    /// 406: there are as many queues in all vhosts as there may be.
    NodeFull(usize),
    /// The vhost went meanwhile.
    VhostDeleted,
    /// The disk.
    Store(StoreError),
}

/// Why a queue is not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteQueueError {
    /// 405: another connection's.
    Locked,
    /// 406
    Refused(DeleteRefused),
    /// 540: quorum queues know no conditions; holds the flag's name.
    ConditionUnsupported(&'static str),
}

impl DeclareQueueError {
    /// RabbitMQ's text for this queue.
    #[must_use]
    pub fn text(&self, queue: &str, vhost: &str) -> String {
        match self {
            Self::NoQueue => format!("no queue '{queue}' in vhost '{vhost}'"),
            Self::Locked => locked_text(queue, vhost),
            Self::ReservedName => format!("queue name '{queue}' contains reserved prefix 'amq.*'"),
            Self::Equivalence(error) => error.text(queue, vhost),
            Self::VhostFull(max) => {
                format!("cannot declare queue '{queue}': queue limit in vhost '{vhost}' ({max}) is reached")
            }
            Self::NodeFull(max) => {
                format!("cannot declare queue '{queue}': queue limit in cluster ({max}) is reached")
            }
            Self::VhostDeleted => format!("vhost '{vhost}' is deleted"),
            Self::Store(error) => error.to_string(),
        }
    }
}

impl DeleteQueueError {
    /// RabbitMQ's text for this queue.
    #[must_use]
    pub fn text(&self, queue: &str, vhost: &str) -> String {
        match self {
            Self::Locked => locked_text(queue, vhost),
            Self::Refused(DeleteRefused::InUse) => format!("queue '{queue}' in vhost '{vhost}' in use"),
            Self::Refused(DeleteRefused::NotEmpty) => {
                format!("queue '{queue}' in vhost '{vhost}' not empty")
            }
            Self::ConditionUnsupported(flag) => format!(
                "cannot delete queue '{queue}' in vhost '{vhost}'. queue.delete operations with {flag} flag \
                 set are not supported by quorum queues"
            ),
        }
    }
}

impl Vhost {
    /// The queue with this name, for use by this connection.
    pub fn queue_for(&self, name: &str, user: ConnectionId) -> Result<Arc<SharedQueue>, DeclareQueueError> {
        let queue = self.queue(name).ok_or(DeclareQueueError::NoQueue)?;
        check_owner(&queue, user)?;
        Ok(queue)
    }

    /// Refuses a queue that is one too many for the vhost.
    pub fn check_room(&self) -> Result<(), DeclareQueueError> {
        self.read().check_room(self.limit(LimitName::MaxQueues))
    }

    /// Declares a queue: the one that is there if it is equivalent, else a new one.
    pub fn declare_queue(
        &self,
        name: Name,
        options: QueueOptions,
        user: ConnectionId,
    ) -> Result<DeclaredQueue, DeclareQueueError> {
        if let Some(queue) = self.queue(&name) {
            return self.redeclare(queue, &options, user);
        }
        if name.is_reserved() {
            return Err(DeclareQueueError::ReservedName);
        }
        self.add_queue(name, options, user)
    }

    /// Makes a queue with a name of the broker's choice.
    pub fn declare_named_queue(
        &self,
        options: QueueOptions,
        user: ConnectionId,
        mut generate: impl FnMut() -> Name,
    ) -> Result<DeclaredQueue, DeclareQueueError> {
        loop {
            let declared = self.add_queue(generate(), options.clone(), user)?;
            if declared.is_new {
                return Ok(declared);
            }
        }
    }

    /// Puts a queue that was read from disk in its place, unless its name or number is taken.
    pub fn restore_queue(&self, definition: QueueDefinition) -> bool {
        let QueueDefinition { id, name, is_durable, is_auto_delete, arguments, .. } = definition;
        let Ok(options) = QueueOptions::parse(&name, is_durable, false, is_auto_delete, arguments) else {
            return false;
        };
        let mut places = self.write();
        if places.queue(&name).is_some() || places.queues.contains_key(&QueueId(id)) {
            return false;
        }
        let queue = SharedQueue::new(QueueId(id), name, options, None, Arc::clone(&self.surroundings));
        places.apply_policies_to(&queue);
        queue.note_use();
        self.outdate_routes(&mut places);
        places.insert(queue);
        true
    }

    /// Deletes a queue and tells its consumers. A queue that is not there counts as deleted, with 0
    /// messages.
    pub fn delete_queue(
        &self,
        name: &str,
        user: Option<ConnectionId>,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<(usize, Option<Ticket>), DeleteQueueError> {
        let deleted = self.delete_queue_untold(name, user, if_unused, if_empty)?;
        deleted.tell_consumers();
        Ok((deleted.ready_count, deleted.ticket))
    }

    /// [`Vhost::delete_queue`], but the caller tells the consumers.
    pub fn delete_queue_untold(
        &self,
        name: &str,
        user: Option<ConnectionId>,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<DeletedQueue, DeleteQueueError> {
        let places = self.write();
        let Some(queue) = places.queue(name) else {
            let key = |name| DefinitionKey::Queue { vhost: self.name().clone(), name };
            let ticket = Name::parse(name).ok().and_then(|name| self.delete_again(&places, key(name)));
            return Ok(DeletedQueue { ready_count: 0, ticket, subscriptions: Vec::new() });
        };
        if user.is_some_and(|user| check_owner(&queue, user).is_err()) {
            return Err(DeleteQueueError::Locked);
        }
        if queue.options.queue_type == QueueType::Quorum && (if_unused || if_empty) {
            let flag = if if_unused { "if-unused" } else { "if-empty" };
            return Err(DeleteQueueError::ConditionUnsupported(flag));
        }
        self.remove_queue(places, &queue, if_unused, if_empty).map_err(DeleteQueueError::Refused)
    }

    /// Deletes this very queue, not another one of its name, when its time has come: its owner ends, or
    /// with `if_unused` its last consumer went and no new one came.
    pub fn end_queue(&self, queue: &Arc<SharedQueue>, if_unused: bool) {
        let places = self.write();
        if places.queues.contains_key(&queue.id) {
            // Nobody waits for it: a crash before it is durable leaves a queue without consumers.
            if let Ok(deleted) = self.remove_queue(places, queue, if_unused, false) {
                deleted.tell_consumers();
            }
        }
    }

    /// Deletes this very queue if nobody used it for too long.
    pub(super) fn expire_queue(&self, queue: &Arc<SharedQueue>, now: Timestamp) {
        let places = self.write();
        if places.queues.contains_key(&queue.id) && queue.is_expired(now) {
            tracing::info!("queue '{}' in vhost '{}' expired", queue.name, self.name());
            if let Ok(deleted) = self.remove_queue(places, queue, true, false) {
                deleted.tell_consumers();
            }
        }
    }

    fn remove_queue(
        &self,
        mut places: RwLockWriteGuard<'_, Places>,
        queue: &Arc<SharedQueue>,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<DeletedQueue, DeleteRefused> {
        let (ready_count, subscriptions) = queue.delete(if_unused, if_empty)?;
        self.outdate_routes(&mut places);
        places.queues.remove(&queue.id);
        let removed = places.topology.remove_queue(&queue.name);
        self.statistics().forget_exchanges(&removed.exchanges);
        let changes = self.changes_of_removal(&places, Some(queue), &removed);
        let (log, id) = (Arc::clone(&self.log), queue.id);
        let ticket = match queue.is_stored() {
            true => self.submit_and(&places, changes, move || {
                log.record(id, QueueRecord::Delete);
            }),
            false => self.submit(&places, changes),
        };
        Ok(DeletedQueue { ready_count, ticket, subscriptions })
    }

    fn add_queue(
        &self,
        name: Name,
        options: QueueOptions,
        user: ConnectionId,
    ) -> Result<DeclaredQueue, DeclareQueueError> {
        let id = QueueId(self.store.next_queue_id().map_err(DeclareQueueError::Store)?);
        let owner = options.is_exclusive.then_some(user);
        let mut places = self.write();
        if places.is_deleted {
            return Err(DeclareQueueError::VhostDeleted);
        }
        if let Some(queue) = places.queue(&name) {
            drop(places);
            return self.redeclare(queue, &options, user);
        }
        places.check_room(self.limit(LimitName::MaxQueues))?;
        let queue = SharedQueue::new(id, name, options, owner, Arc::clone(&self.surroundings));
        places.apply_policies_to(&queue);
        queue.note_use();
        self.outdate_routes(&mut places);
        places.insert(Arc::clone(&queue));
        let changes = match queue.is_stored() {
            true => vec![Change::Put(self.definition_of(&queue))],
            false => Vec::new(),
        };
        let ticket = self.submit(&places, changes);
        Ok(DeclaredQueue { queue, is_new: true, ticket })
    }

    fn redeclare(
        &self,
        queue: Arc<SharedQueue>,
        options: &QueueOptions,
        user: ConnectionId,
    ) -> Result<DeclaredQueue, DeclareQueueError> {
        check_owner(&queue, user)?;
        queue.note_use();
        queue.options.check_equivalent(options).map_err(DeclareQueueError::Equivalence)?;
        let ticket = self.store_queues(std::slice::from_ref(&queue));
        Ok(DeclaredQueue { queue, is_new: false, ticket })
    }

    /// Whoever relies on these queues waits for this: the way to stable storage of those that are not there
    /// yet. None when they all are.
    pub fn store_queues(&self, queues: &[Arc<SharedQueue>]) -> Option<Ticket> {
        if !queues.iter().any(|queue| self.is_unstored(queue)) {
            return None;
        }
        let places = self.read();
        let unstored = queues
            .iter()
            .filter(|queue| places.queues.contains_key(&queue.id) && self.is_unstored(queue))
            .map(|queue| Change::Put(self.definition_of(queue)));
        self.submit(&places, unstored.collect())
    }

    /// Whether a durable queue may not be on stable storage yet.
    pub(super) fn is_unstored(&self, queue: &SharedQueue) -> bool {
        let key = || DefinitionKey::Queue { vhost: self.name().clone(), name: queue.name.clone() };
        queue.is_stored() && self.unstored.contains(key)
    }

    fn definition_of(&self, queue: &SharedQueue) -> Definition {
        Definition::Queue {
            vhost: self.name().clone(),
            queue: QueueDefinition {
                id: queue.id.0,
                name: queue.name.clone(),
                is_durable: true,
                is_exclusive: false,
                is_auto_delete: queue.options.is_auto_delete,
                arguments: queue.options.arguments.clone(),
            },
        }
    }
}

impl Places {
    /// Whether one more queue is not too many.
    fn check_room(&self, max: Option<usize>) -> Result<(), DeclareQueueError> {
        match max {
            Some(max) if self.queues.len() >= max => Err(DeclareQueueError::VhostFull(max)),
            _ => Ok(()),
        }
    }

    pub(super) fn insert(&mut self, queue: Arc<SharedQueue>) {
        self.topology.add_queue(queue.name.clone(), queue.id, queue.is_stored());
        self.queues.insert(queue.id, queue);
    }
}

impl SharedQueue {
    /// How long a delivery may be unsettled, if the queue says so.
    pub(super) fn consumer_timeout(&self) -> Option<Duration> {
        let millis = self.consumer_timeout.load(Relaxed);
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    /// Whether it is on disk: an exclusive queue goes with its connection, whatever it was declared as.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.options.is_durable && !self.options.is_exclusive
    }
}

impl Subscription {
    /// The queue is gone: the channel forgets the consumer, and the client is told if it wants to be
    /// (<https://www.rabbitmq.com/docs/consumer-cancel>).
    pub fn notify_cancelled(&self) {
        self.outbox.cancel(self);
    }
}

fn check_owner(queue: &SharedQueue, user: ConnectionId) -> Result<(), DeclareQueueError> {
    match queue.owner {
        Some(owner) if owner != user => Err(DeclareQueueError::Locked),
        _ => Ok(()),
    }
}
