//! Who may log in, and what they may do.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::model::{
    name::Name,
    permission::{Pattern, Permission},
    user::User,
};

/// The one user that may log in from this machine only (<https://www.rabbitmq.com/docs/access-control>).
pub const LOOPBACK_USER: &str = "guest";

/// Users and their permissions (guarded by the broker's access lock, which comes before all others).
#[derive(Debug)]
pub struct Access {
    users: HashMap<Name, User, FixedState>,
    permissions: HashMap<(Name, Name), Arc<Permission>, FixedState>,
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

impl Default for Access {
    fn default() -> Self {
        let (users, permissions) =
            (HashMap::with_hasher(FixedState::default()), HashMap::with_hasher(FixedState::default()));
        Self { users, permissions }
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

    pub(super) fn put_user(&mut self, user: User) {
        self.users.insert(user.name.clone(), user);
    }

    /// Removes a user and what it may do; gives the vhosts it had permissions in.
    pub(super) fn remove_user(&mut self, name: &Name) -> Option<Vec<Name>> {
        self.users.remove(name)?;
        let of_user = self.permissions.extract_if(|(user, _), _| user == name);
        Some(of_user.map(|((_, vhost), _)| vhost).collect())
    }

    pub(super) fn put_permission(&mut self, user: Name, vhost: Name, permission: Permission) {
        self.permissions.insert((user, vhost), Arc::new(permission));
    }

    pub(super) fn remove_permission(&mut self, user: &Name, vhost: &Name) -> bool {
        self.permissions.remove(&(user.clone(), vhost.clone())).is_some()
    }

    /// Removes all permissions in a vhost; gives the users that had one.
    pub(super) fn remove_vhost(&mut self, name: &Name) -> Vec<Name> {
        let of_vhost = self.permissions.extract_if(|(_, vhost), _| vhost == name);
        of_vhost.map(|((user, _), _)| user).collect()
    }
}

impl Grant {
    /// The three patterns as they were set: configure, write, read.
    #[must_use]
    pub fn patterns(&self) -> [&Pattern; 3] {
        [&self.permission.configure, &self.permission.write, &self.permission.read]
    }
}
