//! The broker: its vhosts and who may use them.

use std::{
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dashmap::DashMap;

use super::{
    Vhost,
    access::{Access, LOOPBACK_USER, TopicGrant},
    parameters::Parameters,
    queue::{ConnectionId, SharedQueue},
    ticket::Ticket,
    upkeep::{Clock, Upkeep},
};
use crate::{
    model::{
        definition::{
            Change, Definition, DefinitionKey, PermissionDefinition, TopicPermissionDefinition,
            VhostDefinition,
        },
        limit::{LimitName, LimitSet},
        name::Name,
        pattern::Pattern,
        permission::Permission,
        queue::ConsumerId,
        statistics::{VHOST_COLUMNS, VhostRow, add_change},
        timestamp::Timestamp,
        topic_permission::TopicPermission,
        user::{PasswordHash, User},
    },
    storage::{
        MetadataStore, StoreError,
        queue_log::{QueueLog, QueueRecord},
    },
};

/// Everything that outlives a connection.
#[derive(Debug)]
pub struct Broker {
    vhosts: DashMap<Name, Arc<Vhost>>,
    access: RwLock<Access>,
    pub(super) parameters: Parameters,
    /// Grows with every change of users and permissions: what was allowed under an older one is asked anew.
    access_epoch: AtomicU64,
    log: Arc<dyn QueueLog>,
    store: Arc<dyn MetadataStore>,
    upkeep: Arc<Upkeep>,
    /// Who may log in from this machine only.
    loopback_users: RwLock<Vec<String>>,
    next_consumer: AtomicU64,
    next_connection: AtomicU64,
    /// What vhosts counted that are no more.
    ended: Mutex<VhostRow>,
}

/// The user or vhost that a change is about is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSuch {
    /// No user of this name.
    User,
    /// No vhost of this name.
    Vhost,
}

/// Why a vhost is not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteVhostError {
    /// No vhost of this name.
    NoVhost,
    /// Somebody protected it.
    Protected,
}

impl Broker {
    /// A broker with what the store holds, and what could not be put in its place, a line each.
    pub fn load(
        store: Arc<dyn MetadataStore>,
        log: Arc<dyn QueueLog>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Vec<String>), StoreError> {
        let loaded = store.load()?;
        let broker = Self {
            vhosts: DashMap::new(),
            access: RwLock::default(),
            parameters: Parameters::default(),
            access_epoch: AtomicU64::new(0),
            log,
            store,
            upkeep: Arc::new(Upkeep::new(clock)),
            loopback_users: RwLock::new(vec![LOOPBACK_USER.to_owned()]),
            next_consumer: AtomicU64::new(1),
            next_connection: AtomicU64::new(1),
            ended: Mutex::default(),
        };
        let mut lost = loaded.lost;
        for definition in loaded.definitions {
            let key = definition.key();
            if !broker.restore(definition) {
                lost.push(format!(
                    "{key} can't be restored: it is malformed, its name is taken, or what it belongs to is missing"
                ));
            }
        }
        broker.vhosts.iter().for_each(|vhost| vhost.apply_restored_policies());
        Ok((broker, lost))
    }

    /// Whether nothing was ever defined: the first start.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.vhosts.is_empty() && self.access().users().is_empty()
    }

    /// The vhost with this name.
    #[must_use]
    pub fn vhost(&self, name: &str) -> Option<Arc<Vhost>> {
        self.vhosts.get(name).map(|vhost| Arc::clone(&vhost))
    }

    /// All vhosts, by name.
    #[must_use]
    pub fn vhosts(&self) -> Vec<Arc<Vhost>> {
        let mut vhosts: Vec<_> = self.vhosts.iter().map(|vhost| Arc::clone(&vhost)).collect();
        vhosts.sort_unstable_by(|one, other| one.name().cmp(other.name()));
        vhosts
    }

    /// Users and permissions, locked for reading.
    pub fn access(&self) -> RwLockReadGuard<'_, Access> {
        self.access.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user with this name and password. One that is not there takes as long as a wrong password: nobody
    /// learns which names exist.
    #[must_use]
    pub fn authenticate(&self, name: &str, password: &[u8]) -> Option<User> {
        let user = self.access().user(name).cloned();
        let is_right = match &user {
            Some(user) => user.password.is_of(password),
            None => PasswordHash::none().is_of(password),
        };
        user.filter(|_| is_right)
    }

    /// The age of users and permissions.
    #[must_use]
    pub fn access_epoch(&self) -> u64 {
        self.access_epoch.load(Relaxed)
    }

    /// Adds a vhost, or replaces its description and tags; limits that it has stay. Says whether it is new.
    pub fn put_vhost(&self, mut definition: VhostDefinition) -> (bool, Option<Ticket>) {
        let _order = self.write_access();
        let name = definition.name.clone();
        let is_new = !self.vhosts.contains_key(&name);
        if is_new {
            self.insert_vhost(definition.clone());
        } else if let Some(vhost) = self.vhosts.get(&name) {
            let mut limits = vhost.definition().limits;
            limits.merge(&definition.limits);
            definition.limits = limits;
            vhost.set_definition(definition.clone());
        }
        (is_new, self.submit(vec![Change::Put(Definition::Vhost(definition))]))
    }

    /// Deletes a vhost with everything in it, unless it is protected. Its connections are the caller's to close.
    pub fn delete_vhost(&self, name: &Name) -> Result<Option<Ticket>, DeleteVhostError> {
        let mut access = self.write_access();
        if self.vhost(name).is_some_and(|vhost| vhost.definition().is_protected) {
            return Err(DeleteVhostError::Protected);
        }
        let (_, vhost) = self.vhosts.remove(name).ok_or(DeleteVhostError::NoVhost)?;
        let (mut changes, ended) = vhost.end();
        self.add_ended(&vhost);
        let keys = access.remove_vhost(name).into_iter().chain(self.parameters.remove_vhost(name));
        changes.extend(keys.map(Change::Delete));
        changes.push(Change::Delete(DefinitionKey::Vhost(name.clone())));
        let log = Arc::clone(&self.log);
        Ok(Ticket::submit(&*self.store, changes, move || {
            for queue in ended {
                log.record(queue, QueueRecord::Delete);
            }
        }))
    }

    /// Adds or replaces a user; limits that it has stay. Says whether it is new.
    pub fn put_user(&self, mut user: User) -> (bool, Option<Ticket>) {
        let mut access = self.write_access();
        let before = access.user(&user.name);
        let is_new = before.is_none();
        if let Some(before) = before {
            let mut limits = before.limits.clone();
            limits.merge(&user.limits);
            user.limits = limits;
        }
        access.put_user(user.clone());
        (is_new, self.submit(vec![Change::Put(Definition::User(user))]))
    }

    /// Deletes a user and its permissions. Its connections are the caller's to close.
    pub fn delete_user(&self, name: &Name) -> Result<Option<Ticket>, NoSuch> {
        let mut access = self.write_access();
        let keys = access.remove_user(name).ok_or(NoSuch::User)?;
        Ok(self.submit(keys.into_iter().map(Change::Delete).collect()))
    }

    /// Changes the limits of a vhost. What is over one of them by now stays.
    pub fn change_vhost_limits(
        &self,
        name: &Name,
        change: impl FnOnce(&mut LimitSet),
    ) -> Result<Option<Ticket>, NoSuch> {
        self.change_vhost(name, |definition| change(&mut definition.limits))
    }

    /// Protects a vhost from deletion, or no longer.
    pub fn protect_vhost(&self, name: &Name, is_protected: bool) -> Result<Option<Ticket>, NoSuch> {
        self.change_vhost(name, |definition| definition.is_protected = is_protected)
    }

    fn change_vhost(
        &self,
        name: &Name,
        change: impl FnOnce(&mut VhostDefinition),
    ) -> Result<Option<Ticket>, NoSuch> {
        let _order = self.write_access();
        let vhost = self.vhost(name).ok_or(NoSuch::Vhost)?;
        let mut definition = vhost.definition();
        change(&mut definition);
        vhost.set_definition(definition.clone());
        Ok(self.submit(vec![Change::Put(Definition::Vhost(definition))]))
    }

    /// Changes the limits of a user. What is over one of them by now stays.
    pub fn change_user_limits(
        &self,
        name: &Name,
        change: impl FnOnce(&mut LimitSet),
    ) -> Result<Option<Ticket>, NoSuch> {
        let mut access = self.write_access();
        let mut user = access.user(name).cloned().ok_or(NoSuch::User)?;
        change(&mut user.limits);
        access.put_user(user.clone());
        Ok(self.submit(vec![Change::Put(Definition::User(user))]))
    }

    /// How many of something the connections of a user may have together.
    #[must_use]
    pub fn user_limit(&self, user: &Name, limit: LimitName) -> Option<usize> {
        self.access().user(user)?.limits.max(limit)
    }

    /// Whether a user may log in from this machine only.
    #[must_use]
    pub fn is_loopback_user(&self, name: &str) -> bool {
        let users = self.loopback_users.read().unwrap_or_else(PoisonError::into_inner);
        users.iter().any(|user| user == name)
    }

    /// Who may log in from this machine only.
    #[must_use]
    pub fn loopback_users(&self) -> Vec<String> {
        self.loopback_users.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says who may log in from this machine only; `guest` unless this is called.
    pub fn set_loopback_users(&self, names: Vec<String>) {
        *self.loopback_users.write().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// How many vhosts there are.
    #[must_use]
    pub fn vhost_count(&self) -> usize {
        self.vhosts.len()
    }

    /// How many exchanges there are in all vhosts, the broker's own included.
    #[must_use]
    pub fn exchange_count(&self) -> usize {
        self.vhosts.iter().map(|vhost| vhost.exchange_count()).sum()
    }

    /// How many queues there are in all vhosts.
    #[must_use]
    pub fn queue_count(&self) -> usize {
        self.vhosts.iter().map(|vhost| vhost.queue_count()).sum()
    }

    /// Sets what a user may do in a vhost. Says whether it could do nothing there before.
    pub fn put_permission(
        &self,
        user: &Name,
        vhost: &Name,
        permission: Permission,
    ) -> Result<(bool, Option<Ticket>), NoSuch> {
        let mut access = self.write_access();
        access.user(user).ok_or(NoSuch::User)?;
        if !self.vhosts.contains_key(vhost) {
            return Err(NoSuch::Vhost);
        }
        let is_new = access.permission(user, vhost).is_none();
        let definition = PermissionDefinition {
            user: user.clone(),
            vhost: vhost.clone(),
            configure: permission.configure.to_string(),
            write: permission.write.to_string(),
            read: permission.read.to_string(),
        };
        access.put_permission(user.clone(), vhost.clone(), permission);
        Ok((is_new, self.submit(vec![Change::Put(Definition::Permission(definition))])))
    }

    /// Takes from a user what it may do in a vhost. Says whether there was anything.
    pub fn delete_permission(&self, user: &Name, vhost: &Name) -> (bool, Option<Ticket>) {
        let mut access = self.write_access();
        if !access.remove_permission(user, vhost) {
            return (false, None);
        }
        let key = DefinitionKey::Permission { user: user.clone(), vhost: vhost.clone() };
        (true, self.submit(vec![Change::Delete(key)]))
    }

    /// Sets what a user may do with the routing keys of an exchange. Says whether that is its first topic permission
    /// in the vhost.
    pub fn put_topic_permission(&self, grant: TopicGrant) -> Result<(bool, Option<Ticket>), NoSuch> {
        let mut access = self.write_access();
        access.user(&grant.user).ok_or(NoSuch::User)?;
        if !self.vhosts.contains_key(&grant.vhost) {
            return Err(NoSuch::Vhost);
        }
        let definition = TopicPermissionDefinition {
            user: grant.user.clone(),
            vhost: grant.vhost.clone(),
            exchange: grant.exchange.clone(),
            write: grant.permission.write.to_string(),
            read: grant.permission.read.to_string(),
        };
        let is_first = access.put_topic_permission(grant);
        Ok((is_first, self.submit(vec![Change::Put(Definition::TopicPermission(definition))])))
    }

    /// Takes a user's topic permissions in a vhost, or the one for an exchange.
    pub fn delete_topic_permissions(
        &self,
        user: &Name,
        vhost: &Name,
        exchange: Option<&str>,
    ) -> Option<Ticket> {
        let keys = self.write_access().remove_topic_permissions(user, vhost, exchange);
        self.submit(keys.into_iter().map(Change::Delete).collect())
    }

    /// All that was ever counted of messages, also in vhosts that are no more, and what is in queues.
    #[must_use]
    pub fn message_totals(&self) -> VhostRow {
        let mut totals = *self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        for vhost in self.vhosts.iter() {
            add_change(&mut totals, &vhost.statistics().totals(), &[0; VHOST_COLUMNS]);
        }
        totals
    }

    /// Clock and timers of its queues.
    #[must_use]
    pub fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }

    /// Attends to one queue whose timer is up. When none is: says when the first will be, if there is any.
    pub fn attend_next(&self) -> ControlFlow<Option<Timestamp>> {
        let now = self.upkeep.now();
        match self.upkeep.take_due(now) {
            Err(first) => return ControlFlow::Break(first),
            Ok(queue) => {
                let Some(queue) = queue.upgrade() else { return ControlFlow::Continue(()) };
                if queue.is_expired(now)
                    && let Some(vhost) = self.vhost(&queue.surroundings.vhost)
                {
                    vhost.expire_queue(&queue, now);
                }
                // Unless it is gone: somebody may have used it just now.
                queue.attend(now);
            }
        }
        ControlFlow::Continue(())
    }

    /// A number for a new connection.
    #[must_use]
    pub fn next_connection_id(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Relaxed))
    }

    /// A number for a new consumer.
    #[must_use]
    pub fn next_consumer_id(&self) -> ConsumerId {
        ConsumerId(self.next_consumer.fetch_add(1, Relaxed))
    }

    /// The broker stops: nobody is handed anything any more, but by `basic.get`.
    pub fn end_deliveries(&self) {
        self.queues().for_each(|queue| queue.end_deliveries());
    }

    /// Stops taking changes; what was submitted is still stored. All connections have ended.
    pub fn close(&self) {
        self.queues().for_each(|queue| queue.end_marks());
        self.store.close();
    }

    fn queues(&self) -> impl Iterator<Item = Arc<SharedQueue>> {
        self.vhosts().into_iter().flat_map(|vhost| vhost.queues())
    }

    fn restore(&self, definition: Definition) -> bool {
        let in_vhost = |name: &Name, place: &dyn Fn(&Vhost) -> bool| {
            self.vhosts.get(name).is_some_and(|vhost| place(&vhost))
        };
        match definition {
            Definition::Vhost(vhost) => {
                self.insert_vhost(vhost);
                true
            }
            Definition::User(user) => {
                self.write_access().put_user(user);
                true
            }
            Definition::Permission(definition) => self.restore_permission(definition),
            Definition::TopicPermission(definition) => self.restore_topic_permission(definition),
            Definition::Exchange { vhost, exchange } => {
                in_vhost(&vhost, &|vhost| vhost.restore_exchange(exchange.clone()))
            }
            Definition::Queue { vhost, queue } => {
                in_vhost(&vhost, &|vhost| vhost.restore_queue(queue.clone()))
            }
            Definition::Binding { vhost, binding } => {
                in_vhost(&vhost, &|vhost| vhost.restore_binding(binding.clone()))
            }
            Definition::Policy { vhost, kind, policy } => {
                in_vhost(&vhost, &|vhost| vhost.restore_policy(kind, policy.clone()))
            }
            Definition::Parameter { vhost, parameter } => self.restore_parameter(vhost, parameter),
            Definition::GlobalParameter(parameter) => {
                self.restore_global_parameter(parameter);
                true
            }
        }
    }

    fn restore_permission(&self, definition: PermissionDefinition) -> bool {
        let PermissionDefinition { user, vhost, configure, write, read } = definition;
        let patterns = (Pattern::parse(&configure), Pattern::parse(&write), Pattern::parse(&read));
        let (Ok(configure), Ok(write), Ok(read)) = patterns else { return false };
        self.write_access().put_permission(user, vhost, Permission { configure, write, read });
        true
    }

    fn restore_topic_permission(&self, definition: TopicPermissionDefinition) -> bool {
        let TopicPermissionDefinition { user, vhost, exchange, write, read } = definition;
        let Ok(permission) = TopicPermission::parse(&write, &read, &user, &vhost) else { return false };
        self.write_access().put_topic_permission(TopicGrant { user, vhost, exchange, permission });
        true
    }

    fn add_ended(&self, vhost: &Vhost) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        add_change(&mut ended, &vhost.statistics().totals(), &[0; VHOST_COLUMNS]);
    }

    fn insert_vhost(&self, definition: VhostDefinition) {
        let name = definition.name.clone();
        let (log, store) = (Arc::clone(&self.log), Arc::clone(&self.store));
        let vhost = Vhost::new(definition, log, store, Arc::clone(&self.upkeep));
        self.vhosts.insert(name, Arc::new(vhost));
    }

    pub(super) fn submit(&self, changes: Vec<Change>) -> Option<Ticket> {
        Ticket::submit(&*self.store, changes, || {})
    }

    /// Whoever writes changes the epoch.
    pub(super) fn write_access(&self) -> RwLockWriteGuard<'_, Access> {
        let access = self.access.write().unwrap_or_else(PoisonError::into_inner);
        self.access_epoch.fetch_add(1, Relaxed);
        access
    }
}

/// A name that nobody can guess: the prefix and 128 random bits (`amq.gen-…`, `amq.ctag-…`).
#[must_use]
pub fn generated_name(prefix: &'static str) -> Name {
    let random: [u8; 16] = rand::random();
    let text = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random));
    Name::parse(&text).unwrap_or_else(|_| Name::literal(prefix))
}
