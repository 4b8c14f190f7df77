//! Attending to queues when their time comes: messages that expire, and queues that nobody uses.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use tokio::sync::watch;

use super::{listener::wall_clock, socket::now};
use crate::{
    connection::registry::Node,
    limits::{CONSUMER_LOOK_MAX, CONSUMER_LOOK_MIN, TIMER_PAUSE_MAX},
    model::timestamp::Timestamp,
    vhost::upkeep::Clock,
};

/// So often deliveries are looked at in the time that they have.
const LOOKS: u32 = 10;
/// Connections whose deliveries are looked at before others get their turn.
const CONNECTIONS_AT_ONCE: usize = 64;

/// The system's time of day.
#[derive(Debug)]
pub(super) struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Looks now and then whether deliveries are unsettled for too long, until `stop` is true.
pub(super) async fn watch_deliveries(node: Arc<Node>, mut stop: watch::Receiver<bool>) {
    let upkeep = node.broker.upkeep();
    loop {
        let timeouts = [node.limits.consumer_timeout, upkeep.shortest_consumer_timeout()];
        let patience = timeouts.into_iter().flatten().min().unwrap_or(CONSUMER_LOOK_MAX);
        let pause = (patience / LOOKS).clamp(CONSUMER_LOOK_MIN, CONSUMER_LOOK_MAX);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = upkeep.consumer_timeout_changed() => continue,
            _ = stop.wait_for(|stop| *stop) => return,
        }
        for (count, info) in node.connections().iter().enumerate() {
            node.look_for_overdue(info, now());
            if count % CONNECTIONS_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Until `stop` is true. One task for all queues: it sleeps until the first of them wants something.
pub(super) async fn run(node: Arc<Node>, mut stop: watch::Receiver<bool>) {
    let broker = &node.broker;
    loop {
        let first = loop {
            match broker.attend_next() {
                ControlFlow::Break(first) => break first,
                // Many queues may be due at once: others have their turn between them.
                ControlFlow::Continue(()) => tokio::task::yield_now().await,
            }
            if *stop.borrow() {
                return;
            }
        };
        let now = broker.upkeep().now();
        let pause =
            first.map_or(TIMER_PAUSE_MAX, |first| Duration::from_millis(first.0.saturating_sub(now.0)));
        tokio::select! {
            () = tokio::time::sleep(pause.min(TIMER_PAUSE_MAX)) => {}
            () = broker.upkeep().changed() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}
