//! Who asks, and what they may.
//!
//! Tags say which routes a user may take (<https://www.rabbitmq.com/docs/management#permissions>), permissions
//! which objects; both are asked for again with each request.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

use super::{HttpError, credentials::Credentials};
use crate::{
    connection::registry::Node,
    model::{
        binding::Binding,
        exchange::ExchangeKind,
        name::Name,
        permission::{Access, Operation, authorize},
        topic_permission::authorize_topic,
        user::User,
    },
    vhost::{Vhost, broker::Broker},
};

/// Who sent a request.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// Somebody at the control socket: the machine's administrator, who may do everything.
    Control,
    /// A user who has logged in.
    User(User),
}

/// What a route asks for. Who has a later one has those before, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Right {
    /// Use the API for one's own vhosts and connections.
    Management,
    /// See all vhosts, connections and nodes.
    Monitoring,
    /// Do everything.
    Administrator,
}

impl Caller {
    /// The user whose credentials the request carries, if it may use the API from this address.
    pub(super) fn log_in(node: &Node, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Self, HttpError> {
        let header = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
        Self::with_credentials(node, &Credentials::parse(header)?, peer)
    }

    /// As [`Self::log_in`], with credentials that came another way.
    pub(super) fn with_credentials(
        node: &Node,
        credentials: &Credentials,
        peer: Option<IpAddr>,
    ) -> Result<Self, HttpError> {
        let user = node.broker.authenticate(&credentials.user, &credentials.password);
        let is_local = peer.is_some_and(|peer| peer.to_canonical().is_loopback());
        let is_far = |user: &User| node.broker.is_loopback_user(&user.name) && !is_local;
        node.statistics.http_logins.count(user.as_ref().is_some_and(|user| !is_far(user)));
        let Some(user) = user else {
            tracing::warn!("HTTP access denied: user {:?} - invalid credentials", credentials.user);
            return Err(HttpError::LoginFailed);
        };
        if is_far(&user) {
            return Err(HttpError::NotAuthorised("User can only log in via localhost".into()));
        }
        let caller = Self::User(user);
        caller.require(Right::Management)?;
        Ok(caller)
    }

    /// The user's name; nobody's over the control socket.
    pub(super) fn user(&self) -> Option<&Name> {
        match self {
            Self::Control => None,
            Self::User(user) => Some(&user.name),
        }
    }

    /// The user's tags.
    pub(super) fn tags(&self) -> &[String] {
        match self {
            Self::Control => &[],
            Self::User(user) => &user.tags,
        }
    }

    /// Whether the caller has a right.
    pub(super) fn has(&self, right: Right) -> bool {
        match self {
            Self::Control => true,
            Self::User(user) => user.tags.iter().filter_map(|tag| right_of(tag)).any(|given| given >= right),
        }
    }

    /// Refuses a caller who lacks the right.
    pub(super) fn require(&self, right: Right) -> Result<(), HttpError> {
        if self.has(right) {
            return Ok(());
        }
        let reason = match right {
            Right::Management => "Not management user",
            Right::Monitoring => "Not monitor user",
            Right::Administrator => "Not administrator user",
        };
        Err(HttpError::NotAuthorised(reason.into()))
    }

    /// Whether the caller may see what is in a vhost: a permission there, whatever it allows, or being an
    /// administrator.
    pub(super) fn may_enter(&self, broker: &Broker, vhost: &Name) -> bool {
        let is_permitted = |user: &User| broker.access().permission(&user.name, vhost).is_some();
        self.has(Right::Administrator) || matches!(self, Self::User(user) if is_permitted(user))
    }

    /// Whether the caller may set policies in the vhosts that it may enter.
    pub(super) fn may_make_policies(&self) -> bool {
        self.has(Right::Administrator) || self.tags().iter().any(|tag| tag == "policymaker")
    }

    /// Whether a thing that belongs to `owner` is the caller's own.
    pub(super) fn is(&self, owner: Option<&Name>) -> bool {
        self.user().is_some_and(|user| owner == Some(user))
    }

    /// Asks for the permissions that the operation needs over AMQP.
    pub(super) fn authorize(
        &self,
        broker: &Broker,
        vhost: &Vhost,
        operation: &Operation<'_>,
    ) -> Result<(), HttpError> {
        let Self::User(user) = self else { return Ok(()) };
        let permission = broker.access().permission(&user.name, vhost.name());
        match authorize(operation, permission.as_deref()) {
            Ok(_) => Ok(()),
            Err(refused) => Err(HttpError::from_reply(403, &refused.text(vhost.name(), &user.name))),
        }
    }

    /// Asks for the topic permission that adding or removing a binding needs over AMQP.
    pub(super) fn authorize_binding(
        &self,
        broker: &Broker,
        vhost: &Vhost,
        binding: &Binding,
    ) -> Result<(), HttpError> {
        let Self::User(user) = self else { return Ok(()) };
        let Some(permissions) = broker.access().topic_permissions(&user.name, vhost.name()) else {
            return Ok(());
        };
        let is_topic =
            vhost.exchange(&binding.source).is_some_and(|source| source.kind == ExchangeKind::Topic);
        if !is_topic {
            return Ok(());
        }
        let key = binding.binding_key.as_bytes();
        match authorize_topic(&permissions, Access::Read, &binding.source, key) {
            Ok(_) => Ok(()),
            Err(refused) => Err(HttpError::from_reply(403, &refused.text(vhost.name(), &user.name))),
        }
    }
}

/// The right that a tag gives; the user's own words give none.
fn right_of(tag: &str) -> Option<Right> {
    Some(match tag {
        "administrator" => Right::Administrator,
        "monitoring" => Right::Monitoring,
        "management" | "policymaker" => Right::Management,
        _ => return None,
    })
}
