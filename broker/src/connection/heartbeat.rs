//! Heartbeats, both ways (AMQP 0-9-1 section 4.2.7, <https://www.rabbitmq.com/docs/heartbeats>).

use std::time::{Duration, Instant};

/// When something last came and went.
#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Option<Duration>,
    last_received: Instant,
    last_sent: Instant,
}

impl Heartbeat {
    pub(super) fn new(now: Instant) -> Self {
        Self { interval: None, last_received: now, last_sent: now }
    }

    /// The negotiated interval; 0 turns heartbeats off.
    pub(super) fn start(&mut self, interval_secs: u16) {
        self.interval = (interval_secs > 0).then(|| Duration::from_secs(interval_secs.into()));
    }

    pub(super) fn received(&mut self, now: Instant) {
        self.last_received = now;
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    /// Half an interval went without sending.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.interval.is_some_and(|interval| now >= self.last_sent + interval / 2)
    }

    /// Two intervals went without anything from the peer.
    pub(super) fn is_peer_dead(&self, now: Instant) -> bool {
        self.interval.is_some_and(|interval| now >= self.last_received + interval * 2)
    }

    pub(super) fn next_tick(&self) -> Option<Instant> {
        let interval = self.interval?;
        Some((self.last_sent + interval / 2).min(self.last_received + interval * 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::start_of_time;

    #[test]
    fn sends_after_half_an_interval_and_gives_up_after_two() {
        let start = start_of_time();
        let after = |secs| start + Duration::from_secs(secs);
        let mut heartbeat = Heartbeat::new(start);
        assert_eq!(heartbeat.next_tick(), None);
        assert!(!heartbeat.is_due(after(1_000)) && !heartbeat.is_peer_dead(after(1_000)));
        heartbeat.start(10);
        assert_eq!(heartbeat.next_tick(), Some(after(5)));
        assert!(!heartbeat.is_due(after(4)) && heartbeat.is_due(after(5)));
        heartbeat.sent(after(5));
        assert_eq!(heartbeat.next_tick(), Some(after(10)));
        assert!(!heartbeat.is_peer_dead(after(19)) && heartbeat.is_peer_dead(after(20)));
        heartbeat.received(after(19));
        assert!(!heartbeat.is_peer_dead(after(38)));
    }
}
