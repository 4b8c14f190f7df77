//! Who may log in, and what they may do.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::model::{
    definition::DefinitionKey,
    name::Name,
    pattern::Pattern,
    permission::Permission,
    topic_permission::{TopicPermission, TopicPermissions},
    user::User,
};

/// The user that may log in from this machine only, unless the operator says otherwise (<https://www.rabbitmq.com/docs/access-control>).
pub const LOOPBACK_USER: &str = "guest";

/// Users and their permissions (guarded by the broker's access lock, which comes before all others).
#[derive(Debug)]
pub struct Access {
    users: HashMap<Name, User, FixedState>,
    permissions: HashMap<(Name, Name), Arc<Permission>, FixedState>,
    /// By user and vhost; none is empty.
    topic_permissions: HashMap<(Name, Name), Arc<TopicPermissions>, FixedState>,
}

/// A permission with whom and where it is for.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Who.
    pub user: Name,
    /// Where.
    pub vhost: Name,
    /// What.
    pub permission: Arc<Permission>,
}

/// A topic permission with whom and where it is for.
#[derive(Clone, Debug)]
pub struct TopicGrant {
    /// Who.
    pub user: Name,
    /// Where.
    pub vhost: Name,
    /// For which exchange.
    pub exchange: Name,
    /// What.
    pub permission: TopicPermission,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            users: HashMap::with_hasher(FixedState::default()),
            permissions: HashMap::with_hasher(FixedState::default()),
            topic_permissions: HashMap::with_hasher(FixedState::default()),
        }
    }
}

impl Access {
    /// The user with this name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// All users, by name.
    #[must_use]
    pub fn users(&self) -> Vec<User> {
        let mut users: Vec<_> = self.users.values().cloned().collect();
        users.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        users
    }

    /// What a user may do in a vhost.
    #[must_use]
    pub fn permission(&self, user: &Name, vhost: &Name) -> Option<Arc<Permission>> {
        self.permissions.get(&(user.clone(), vhost.clone())).cloned()
    }

    /// All permissions, by vhost and user.
    #[must_use]
    pub fn grants(&self) -> Vec<Grant> {
        let grant = |((user, vhost), permission): (&(Name, Name), &Arc<Permission>)| Grant {
            user: user.clone(),
            vhost: vhost.clone(),
            permission: Arc::clone(permission),
        };
        let mut grants: Vec<_> = self.permissions.iter().map(grant).collect();
        grants.sort_unstable_by(|one, other| (&one.vhost, &one.user).cmp(&(&other.vhost, &other.user)));
        grants
    }

    /// What a user may do with routing keys in a vhost; none if it may do everything.
    #[must_use]
    pub fn topic_permissions(&self, user: &Name, vhost: &Name) -> Option<Arc<TopicPermissions>> {
        self.topic_permissions.get(&(user.clone(), vhost.clone())).cloned()
    }

    /// All topic permissions, by vhost, user and exchange.
    #[must_use]
    pub fn topic_grants(&self) -> Vec<TopicGrant> {
        let mut places: Vec<_> = self.topic_permissions.iter().collect();
        places.sort_unstable_by(|((user, vhost), _), ((other, other_vhost), _)| {
            (vhost, user).cmp(&(other_vhost, other))
        });
        let of_place = |((user, vhost), permissions): (&(Name, Name), &Arc<TopicPermissions>)| {
            let grant = |(exchange, permission): (&Name, &TopicPermission)| TopicGrant {
                user: user.clone(),
                vhost: vhost.clone(),
                exchange: exchange.clone(),
                permission: permission.clone(),
            };
            permissions.iter().map(grant).collect::<Vec<_>>()
        };
        places.into_iter().flat_map(of_place).collect()
    }

    pub(super) fn put_user(&mut self, user: User) {
        self.users.insert(user.name.clone(), user);
    }

    /// Removes a user and what it may do; gives the keys of all that.
    pub(super) fn remove_user(&mut self, name: &Name) -> Option<Vec<DefinitionKey>> {
        self.users.remove(name)?;
        let mut keys = self.remove_permissions(|user, _| user == name);
        keys.push(DefinitionKey::User(name.clone()));
        Some(keys)
    }

    pub(super) fn put_permission(&mut self, user: Name, vhost: Name, permission: Permission) {
        self.permissions.insert((user, vhost), Arc::new(permission));
    }

    pub(super) fn remove_permission(&mut self, user: &Name, vhost: &Name) -> bool {
        self.permissions.remove(&(user.clone(), vhost.clone())).is_some()
    }

    /// Adds or replaces a topic permission; says whether it is the user's first in the vhost.
    pub(super) fn put_topic_permission(&mut self, grant: TopicGrant) -> bool {
        let TopicGrant { user, vhost, exchange, permission } = grant;
        let permissions = self.topic_permissions.entry((user, vhost)).or_default();
        let is_first = permissions.is_empty();
        Arc::make_mut(permissions).insert(exchange, permission);
        is_first
    }

    /// Removes a user's topic permissions in a vhost, or the one for an exchange; gives their keys.
    pub(super) fn remove_topic_permissions(
        &mut self,
        user: &Name,
        vhost: &Name,
        exchange: Option<&str>,
    ) -> Vec<DefinitionKey> {
        let place = (user.clone(), vhost.clone());
        let Some(permissions) = self.topic_permissions.get_mut(&place) else { return Vec::new() };
        let is_meant = |name: &Name| exchange.is_none_or(|exchange| name.as_str() == exchange);
        let mut keys = Vec::new();
        Arc::make_mut(permissions).retain(|name, _| {
            if is_meant(name) {
                keys.push(topic_key(user, vhost, name));
            }
            !is_meant(name)
        });
        if permissions.is_empty() {
            self.topic_permissions.remove(&place);
        }
        keys
    }

    /// Removes all permissions in a vhost; gives their keys.
    pub(super) fn remove_vhost(&mut self, name: &Name) -> Vec<DefinitionKey> {
        self.remove_permissions(|_, vhost| vhost == name)
    }

    fn remove_permissions(&mut self, is_meant: impl Fn(&Name, &Name) -> bool) -> Vec<DefinitionKey> {
        let removed = self.permissions.extract_if(|(user, vhost), _| is_meant(user, vhost));
        let mut keys: Vec<_> =
            removed.map(|((user, vhost), _)| DefinitionKey::Permission { user, vhost }).collect();
        let of_topics = self.topic_permissions.extract_if(|(user, vhost), _| is_meant(user, vhost));
        for ((user, vhost), permissions) in of_topics {
            keys.extend(permissions.keys().map(|exchange| topic_key(&user, &vhost, exchange)));
        }
        keys
    }
}

fn topic_key(user: &Name, vhost: &Name, exchange: &Name) -> DefinitionKey {
    DefinitionKey::TopicPermission { user: user.clone(), vhost: vhost.clone(), exchange: exchange.clone() }
}

impl Grant {
    /// The three patterns as they were set: configure, write, read.
    #[must_use]
    pub fn patterns(&self) -> [&Pattern; 3] {
        [&self.permission.configure, &self.permission.write, &self.permission.read]
    }
}
