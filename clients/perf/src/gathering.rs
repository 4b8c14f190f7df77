//! When to let messages gather before the next read.
//!
//! A broker that flushes every few messages wakes its peer as often, and each time costs more than the
//! messages do. So after a small read the reader sleeps for a moment, in which the socket's buffer fills.
//! It must change nothing but the tool's own cost: not for a paced run, which is about latency, and not where
//! a window or prefetch limit is so small that the broker would run dry meanwhile. Where messages gather, how old
//! they are when they are read is the tool's own doing, so no latency is recorded.

use std::thread;
use std::time::Duration;

use crate::load::{Acks, Consuming, Load, Publishing};

/// A read of this size was worth its wake-up.
const READ_BYTES_ENOUGH: usize = 64 * 1024;
const DELIVERIES_SPAN: Duration = Duration::from_millis(2);
const CONFIRMS_SPAN: Duration = Duration::from_millis(1);
/// Windows and prefetch limits below this leave no room for gathering.
const LIMIT_LEAST: u64 = 1_000;

/// From this body size on it is the copying that costs, and two milliseconds would be more than fits into the
/// socket's buffers.
const BODY_BYTES_LARGE: usize = 4 * 1024;

/// After which reads to sleep, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Gathering {
    /// A read with as many messages was worth its wake-up; 0 turns gathering off.
    messages_enough: u64,
    span: Duration,
}

impl Gathering {
    /// For the consumers: bounded by what they may hold unsettled.
    pub fn of_deliveries(consuming: &Consuming, publishing: Option<&Publishing>) -> Self {
        let body_size = publishing.map_or(0, Publishing::body_size_max);
        let is_paced = is_paced(publishing) || consuming.rate.is_some();
        let limit = match consuming.acks {
            Acks::Manual { prefetch_count: limit @ 1.., .. } => Some(u64::from(limit)),
            Acks::Auto | Acks::Manual { .. } => None,
        };
        Self { messages_enough: messages_enough(is_paced, body_size, limit), span: DELIVERIES_SPAN }
    }

    /// For the publishers: bounded by what may be unconfirmed.
    pub fn of_confirms(publishing: &Publishing) -> Self {
        let limit = publishing.confirm_window.map(u64::from);
        let is_paced = publishing.rate.is_some();
        Self {
            messages_enough: messages_enough(is_paced, publishing.body_size_max(), limit),
            span: CONFIRMS_SPAN,
        }
    }

    /// Whether it is done at all.
    pub fn is_on(self) -> bool {
        self.messages_enough > 0
    }

    /// Sleeps if the last read, of `read_bytes` and `messages`, was a small one. After a read without
    /// messages there is nothing to gather.
    pub fn wait(self, read_bytes: usize, messages: u64) {
        if self.is_worth_it(read_bytes, messages) {
            thread::sleep(self.span);
        }
    }

    fn is_worth_it(self, read_bytes: usize, messages: u64) -> bool {
        messages > 0 && messages < self.messages_enough && read_bytes < READ_BYTES_ENOUGH
    }
}

/// Whether messages come at a rate: somebody publishes at one, or others publish, of whom nothing is known.
pub fn is_paced(publishing: Option<&Publishing>) -> bool {
    publishing.is_none_or(|publishing| publishing.rate.is_some())
}

/// Whether the deliveries of `load` gather.
pub fn gathers_deliveries(load: &Load) -> bool {
    let gathering = |consuming| Gathering::of_deliveries(consuming, load.publishing.as_ref());
    load.consuming.as_ref().is_some_and(|consuming| gathering(consuming).is_on())
}

/// Whether the confirms of `load` gather, if it has any.
pub fn gathers_confirms(load: &Load) -> bool {
    let with_confirms = load.publishing.as_ref().filter(|publishing| publishing.confirm_window.is_some());
    with_confirms.is_some_and(|publishing| Gathering::of_confirms(publishing).is_on())
}

/// A quarter of the limit: after a smaller read the broker has three quarters left to go on with.
fn messages_enough(is_paced: bool, body_size: usize, limit: Option<u64>) -> u64 {
    match limit {
        _ if is_paced || body_size >= BODY_BYTES_LARGE => 0,
        Some(limit) if limit < LIMIT_LEAST => 0,
        Some(limit) => limit / 4,
        None => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Load;

    fn deliveries_gather_after(options: &str, read_bytes: usize, messages: u64) -> bool {
        let load = Load::parse(options).unwrap();
        let (publishing, consuming) = (load.publishing.unwrap(), load.consuming.unwrap());
        Gathering::of_deliveries(&consuming, Some(&publishing)).is_worth_it(read_bytes, messages)
    }

    #[test]
    fn only_small_reads_are_followed_by_a_wait() {
        assert!(deliveries_gather_after("", 1_000, 10));
        assert!(!deliveries_gather_after("", 1_000, 0));
        assert!(!deliveries_gather_after("", 64 * 1024, 600));
    }

    #[test]
    fn pace_large_bodies_and_small_limits_forbid_it() {
        assert!(!deliveries_gather_after("--rate 1000", 1_000, 10));
        assert!(!deliveries_gather_after("--consumer-rate 1000", 1_000, 10));
        assert!(!deliveries_gather_after("--size 4096", 1_000, 10));
        assert!(!deliveries_gather_after("--prefetch 999", 1_000, 10));
        assert!(deliveries_gather_after("--prefetch 1000", 1_000, 249));
        assert!(!deliveries_gather_after("--prefetch 1000", 1_000, 250));
    }

    #[test]
    fn each_side_gathers_for_itself() {
        let gathers = |options| {
            let load = Load::parse(options).unwrap();
            (gathers_deliveries(&load), gathers_confirms(&load))
        };
        assert_eq!(gathers("-c 1000 -q 1000"), (true, true));
        assert_eq!(gathers("-c 1000 -q 999"), (false, true));
        assert_eq!(gathers("-c 999"), (true, false));
        assert_eq!(gathers(""), (true, false));
        assert_eq!(gathers("-c 1000 -q 1000 --rate 5000"), (false, false));
        assert_eq!(gathers("--publish-only -c 1000"), (false, true));
        assert_eq!(gathers("--consume-only"), (false, false));
    }
}
