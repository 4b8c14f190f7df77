//! Connections that the broker has with itself: for the management API, which publishes and gets by the same rules as
//! everybody else. RabbitMQ calls them direct.

use std::{sync::Arc, time::Instant};

use super::{
    Connection, Phase,
    exception::Exception,
    handshake::{Tuning, not_permitted},
    registry::{ConnectionInfo, Node},
};
use crate::{
    limits::{CHANNEL_MAX, FRAME_MAX},
    model::name::Name,
    vhost::Vhost,
};

impl Connection {
    /// A connection that is open from the start: its user has logged in elsewhere. Without a user it may do everything.
    ///
    /// It is in no listing and counts for no limit: it lasts as long as one request.
    pub fn direct(
        node: Arc<Node>,
        info: Arc<ConnectionInfo>,
        (user, vhost): (Option<Name>, Arc<Vhost>),
        now: Instant,
    ) -> Result<Self, Exception> {
        if let Some(user) = &user
            && node.broker.access().permission(user, vhost.name()).is_none()
        {
            return Err(not_permitted(vhost.name(), user));
        }
        info.update(|facts| {
            facts.state = "running";
            (facts.user, facts.vhost) = (user.clone(), Some(vhost.name().clone()));
        });
        let mut connection = Self::unlisted(node, info, now);
        if user.is_none() {
            connection.rights.grant_everything();
        }
        (connection.phase, connection.deadline) = (Phase::Running, None);
        connection.tuning = Tuning { frame_max: FRAME_MAX, channel_max: CHANNEL_MAX, heartbeat_secs: 0 };
        connection.outbox.set_frame_max(FRAME_MAX);
        (connection.user, connection.vhost) = (user, Some(vhost));
        Ok(connection)
    }
}
