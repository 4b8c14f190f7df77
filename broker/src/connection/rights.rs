//! What a connection's user may do: asked anew after every change of users and permissions, so that changes act on
//! what is open.

use std::sync::Arc;

use super::{Connection, exception::Exception};
use crate::model::{
    exchange::ExchangeKind,
    limit::LimitName,
    permission::{Access, Authorized, Operation, Permission, authorize},
    topic_permission::{TopicPermissions, authorize_topic},
};

/// What is remembered of users and permissions.
#[derive(Debug)]
pub(super) struct Rights {
    permission: Option<Arc<Permission>>,
    /// None for most users: then no routing key is looked at.
    topic_permissions: Option<Arc<TopicPermissions>>,
    /// Channels of all the user's connections.
    channels_max: Option<usize>,
    /// Of which age.
    epoch: u64,
}

impl Rights {
    /// Of a connection without a user.
    pub(super) fn grant_everything(&mut self) {
        self.permission = Some(Arc::new(Permission::everything()));
    }
}

impl Default for Rights {
    /// Nothing is known yet: no users and permissions are of this age.
    fn default() -> Self {
        Self { permission: None, topic_permissions: None, channels_max: None, epoch: u64::MAX }
    }
}

impl Connection {
    /// Asks whether this connection's user may.
    pub(super) fn authorize(&mut self, operation: &Operation<'_>) -> Result<(), Exception> {
        self.refresh_rights();
        let authorized = authorize(operation, self.rights.permission.as_deref());
        authorized
            .map(|Authorized { .. }| ())
            .map_err(|refused| Exception::of_access(&refused, self.vhost_name(), self.user_name()))
    }

    /// Asks whether this connection's user may publish to an exchange, or bind from it, with these keys. It has been
    /// asked for the exchange itself.
    pub(super) fn authorize_topics(
        &self,
        access: Access,
        exchange: &str,
        routing_keys: &[&[u8]],
    ) -> Result<(), Exception> {
        let (Some(permissions), Some(vhost)) = (&self.rights.topic_permissions, &self.vhost) else {
            return Ok(());
        };
        let is_topic =
            || vhost.exchange(exchange).is_some_and(|exchange| exchange.kind == ExchangeKind::Topic);
        if !permissions.contains_key(exchange) || !is_topic() {
            return Ok(());
        }
        for routing_key in routing_keys {
            let authorized = authorize_topic(permissions, access, exchange, routing_key);
            let Authorized { .. } = authorized
                .map_err(|refused| Exception::of_topic(&refused, self.vhost_name(), self.user_name()))?;
        }
        Ok(())
    }

    /// Takes the place of one more channel, if the user and the node may have it.
    pub(super) fn take_channel(&mut self) -> Result<(), Exception> {
        self.refresh_rights();
        let user_max = self.rights.channels_max;
        let taken = self.seat.as_mut().map_or(Ok(()), |seat| seat.take_channel(user_max));
        taken.map_err(|full| full.exception(&self.node.name, self.vhost_name(), self.user_name()))
    }

    fn refresh_rights(&mut self) {
        let epoch = self.node.broker.access_epoch();
        if let (true, Some(user), Some(vhost)) = (self.rights.epoch != epoch, &self.user, &self.vhost) {
            let access = self.node.broker.access();
            self.rights = Rights {
                permission: access.permission(user, vhost.name()),
                topic_permissions: access.topic_permissions(user, vhost.name()),
                channels_max: access.user(user).and_then(|user| user.limits.max(LimitName::MaxChannels)),
                epoch,
            };
        }
    }

    fn user_name(&self) -> &str {
        self.user.as_ref().map_or("", |user| user.as_str())
    }
}
