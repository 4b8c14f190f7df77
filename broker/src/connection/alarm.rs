//! Resource alarms, and what they do to connections that publish
//! (<https://www.rabbitmq.com/docs/alarms>, <https://www.rabbitmq.com/docs/connection-blocked>).
//!
//! ```text
//!  Running ── basic.publish, or waiting for the disk, while an alarm is on ──> Blocked: nothing is read
//!  Blocked ── the last alarm clears ──> Running
//! ```
//!
//! The frames behind the `basic.publish` that met the alarm, its content among them, stay unread until then.
//! Connections that do not publish notice nothing. What is sent goes on in both states.

use std::{
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    time::Instant,
};

use amq_protocol::protocol::{AMQPClass, connection};

use super::{Connection, Phase};
use crate::wire::frame::ChannelNumber;

/// A resource that runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Too much memory is in use.
    Memory,
    /// The disk is full, or nearly.
    Disk,
}

/// The alarms that are on.
#[derive(Debug, Default)]
pub struct Alarms(AtomicU8);

/// How a connection is concerned.
#[derive(Debug, Default)]
pub(super) struct Blocking {
    /// The client announced that it understands `connection.blocked`.
    pub(super) is_announced: bool,
    is_blocked: bool,
}

impl Alarm {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Memory, Self::Disk];

    /// What runs out, in RabbitMQ's word.
    #[must_use]
    pub fn resource(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Memory => 1,
            Self::Disk => 2,
        }
    }
}

impl Alarms {
    /// Whether any is on. Asked for every message: one load.
    #[must_use]
    pub fn any(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    /// Whether this one is on.
    #[must_use]
    pub fn has(&self, alarm: Alarm) -> bool {
        self.0.load(Relaxed) & alarm.bit() != 0
    }

    /// Those that are on.
    pub fn on(&self) -> impl Iterator<Item = Alarm> {
        Alarm::ALL.into_iter().filter(|alarm| self.has(*alarm))
    }

    /// Says whether that changed anything.
    pub(super) fn set(&self, alarm: Alarm, is_on: bool) -> bool {
        let before = match is_on {
            true => self.0.fetch_or(alarm.bit(), Relaxed),
            false => self.0.fetch_and(!alarm.bit(), Relaxed),
        };
        (before & alarm.bit() != 0) != is_on
    }

    /// RabbitMQ's text: `low on memory & disk`.
    fn reason(&self) -> String {
        let resources: Vec<_> = self.on().map(Alarm::resource).collect();
        format!("low on {}", resources.join(" & "))
    }
}

impl Connection {
    /// Whether nothing may be read from it before an alarm clears. [`Event::Woken`](super::Event::Woken) ends
    /// that.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.blocking.is_blocked
    }

    /// It publishes: while an alarm is on, that blocks it.
    pub(super) fn block_publisher(&mut self) {
        if self.node.alarms.any() && !self.blocking.is_blocked {
            self.block();
        }
    }

    /// An alarm may have been set or cleared.
    pub(super) fn follow_alarms(&mut self, now: Instant) {
        match (self.node.alarms.any(), self.blocking.is_blocked) {
            (false, true) => self.unblock(now),
            // It published and is not read until its messages are on a disk that may be full: it has to be told.
            (true, false) if self.phase == Phase::Running && self.is_throttled() => self.block(),
            _ => {}
        }
    }

    /// Whatever it was, it is closing now: its answer has to be read.
    pub(super) fn end_blocking(&mut self) {
        self.blocking.is_blocked = false;
    }

    fn block(&mut self) {
        self.blocking.is_blocked = true;
        self.info.update(|facts| facts.state = "blocked");
        let reason = self.node.alarms.reason();
        self.notify(connection::AMQPMethod::Blocked(connection::Blocked { reason: reason.into() }));
    }

    fn unblock(&mut self, now: Instant) {
        self.blocking.is_blocked = false;
        // The peer's heartbeats were not read.
        self.heartbeat.received(now);
        self.info.update(|facts| facts.state = "running");
        self.notify(connection::AMQPMethod::Unblocked(connection::Unblocked {}));
    }

    fn notify(&self, method: connection::AMQPMethod) {
        if self.blocking.is_announced {
            self.outbox.write_method(ChannelNumber(0), &AMQPClass::Connection(method));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_are_set_and_cleared_one_by_one() {
        let alarms = Alarms::default();
        assert!(!alarms.any() && !alarms.set(Alarm::Disk, false));
        assert!(alarms.set(Alarm::Disk, true) && !alarms.set(Alarm::Disk, true));
        assert_eq!((alarms.any(), alarms.has(Alarm::Disk), alarms.has(Alarm::Memory)), (true, true, false));
        assert_eq!(alarms.reason(), "low on disk");
        assert!(alarms.set(Alarm::Memory, true));
        assert_eq!(alarms.reason(), "low on memory & disk");
        assert!(alarms.set(Alarm::Disk, false));
        assert_eq!(alarms.on().collect::<Vec<_>>(), [Alarm::Memory]);
    }
}
