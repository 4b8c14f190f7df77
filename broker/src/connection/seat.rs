//! The place that a connection takes among those that its vhost, its user and the node may have.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use super::{
    exception::{Exception, ReplyCode},
    registry::Node,
};
use crate::{
    model::{limit::LimitName, name::Name},
    vhost::Vhost,
};

/// What of the limits a connection uses. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    node: Arc<Node>,
    vhost: Arc<Vhost>,
    user: Name,
    of_user: Arc<Usage>,
    channels: usize,
}

/// What one user's connections use together.
#[derive(Debug, Default)]
pub struct Usage {
    connections: AtomicUsize,
    channels: AtomicUsize,
}

/// There are as many as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Connections of the node.
    Node(usize),
    /// Connections to the vhost.
    Vhost(usize),
    /// Connections of the user.
    User(usize),
    /// Channels of the user.
    UserChannels(usize),
    /// Channels of the node.
    NodeChannels(usize),
}

impl Seat {
    /// Takes a place, if there is one.
    pub(super) fn take(node: &Arc<Node>, vhost: &Arc<Vhost>, user: &Name) -> Result<Self, Full> {
        let limits = &node.limits;
        let user_max = node.broker.user_limit(user, LimitName::MaxConnections);
        take(&node.open_connections, limits.connection_max).map_err(Full::Node)?;
        let vhost_max = vhost.limit(LimitName::MaxConnections);
        if let Err(max) = take(&vhost.open_connections, vhost_max) {
            node.open_connections.fetch_sub(1, Relaxed);
            return Err(Full::Vhost(max));
        }
        let of_user = node.usage_of(user);
        if let Err(max) = take(&of_user.connections, user_max) {
            node.open_connections.fetch_sub(1, Relaxed);
            vhost.open_connections.fetch_sub(1, Relaxed);
            return Err(Full::User(max));
        }
        let (node, vhost, user) = (Arc::clone(node), Arc::clone(vhost), user.clone());
        Ok(Self { node, vhost, user, of_user, channels: 0 })
    }

    /// Takes the place of a channel; `user_max` is how many the user may have.
    pub(super) fn take_channel(&mut self, user_max: Option<usize>) -> Result<(), Full> {
        take(&self.of_user.channels, user_max).map_err(Full::UserChannels)?;
        if let Err(max) = take(&self.node.open_channels, self.node.limits.channel_max_per_node) {
            self.of_user.channels.fetch_sub(1, Relaxed);
            return Err(Full::NodeChannels(max));
        }
        self.channels += 1;
        Ok(())
    }

    /// Gives the place of a channel back.
    pub(super) fn leave_channel(&mut self) {
        self.leave_channels(1);
    }

    fn leave_channels(&mut self, count: usize) {
        self.channels -= count;
        self.of_user.channels.fetch_sub(count, Relaxed);
        self.node.open_channels.fetch_sub(count, Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave_channels(self.channels);
        self.of_user.connections.fetch_sub(1, Relaxed);
        self.vhost.open_connections.fetch_sub(1, Relaxed);
        self.node.open_connections.fetch_sub(1, Relaxed);
        self.node.forget_usage(&self.user, &self.of_user);
    }
}

impl Full {
    /// The refusal in RabbitMQ's words.
    pub(super) fn exception(self, node: &str, vhost: &str, user: &str) -> Exception {
        let text = Text { full: self, node, vhost, user };
        Exception::new(ReplyCode::NotAllowed, text.to_string())
    }
}

struct Text<'a> {
    full: Full,
    node: &'a str,
    vhost: &'a str,
    user: &'a str,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { full, node, vhost, user } = self;
        match full {
            Full::Node(max) => write!(f, "connection refused: node connection limit ({max}) is reached"),
            Full::Vhost(max) => write!(
                f,
                "access to vhost '{vhost}' refused for user '{user}': connection limit ({max}) is reached"
            ),
            Full::User(max) => {
                write!(f, "connection refused for user '{user}': user connection limit ({max}) is reached")
            }
            Full::UserChannels(max) => write!(
                f,
                "number of channels opened for user '{user}' has reached the maximum allowed user limit of ({max})"
            ),
            Full::NodeChannels(max) => write!(
                f,
                "number of channels opened on node '{node}' has reached the maximum allowed limit of ({max})"
            ),
        }
    }
}

/// One more, unless there are `max` already.
fn take(count: &AtomicUsize, max: Option<usize>) -> Result<(), usize> {
    let Some(max) = max else {
        count.fetch_add(1, Relaxed);
        return Ok(());
    };
    let one_more = |count| (count < max).then_some(count + 1);
    count.fetch_update(Relaxed, Relaxed, one_more).map(|_| ()).map_err(|_| max)
}
