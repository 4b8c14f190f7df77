//! What is counted, and how it changed over time.
//!
//! Counters live beside what they count, under a lock that is held anyway. Once a second somebody looks at what changed
//! and keeps it in a [`History`]; rates and samples are read from there. Time is passed in.

mod curve;
mod histogram;
mod history;
mod look;

pub use curve::{Curve, InvalidRange, Ranges, SampleKind};
pub use histogram::{Histogram, HistogramCounts};
pub use history::{BASIC, GLOBAL, History, Level};
pub use look::{Look, LookTimes};

/// Messages, by what became of them: RabbitMQ's `message_stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// Published by clients.
    pub publish: u64,
    /// Confirmed to their publishers.
    pub confirm: u64,
    /// Returned: mandatory, and no queue took them.
    pub return_unroutable: u64,
    /// Dropped: no queue took them.
    pub drop_unroutable: u64,
    /// Handed to consumers that acknowledge.
    pub deliver: u64,
    /// Handed to consumers that don't.
    pub deliver_no_ack: u64,
    /// Fetched by `basic.get`, to be acknowledged.
    pub get: u64,
    /// Fetched by `basic.get` without that.
    pub get_no_ack: u64,
    /// `basic.get` that found nothing.
    pub get_empty: u64,
    /// Those of `deliver` to `get_no_ack` that were handed out before.
    pub redeliver: u64,
    /// Acknowledged.
    pub ack: u64,
}

/// Columns of a [`MessageRow`].
pub const MESSAGE_COLUMNS: usize = 11;
/// [`MessageCounts`] in the order of its fields.
pub type MessageRow = [u64; MESSAGE_COLUMNS];

/// Columns of a [`QueueRow`].
pub const QUEUE_COLUMNS: usize = MESSAGE_COLUMNS + 2;
/// A [`MessageRow`], messages ready, messages unsettled.
pub type QueueRow = [u64; QUEUE_COLUMNS];

/// Columns of a [`VhostRow`].
pub const VHOST_COLUMNS: usize = QUEUE_COLUMNS + 5;
/// A [`QueueRow`], messages read from and written to disk, bytes received and sent, places that messages were routed to.
pub type VhostRow = [u64; VHOST_COLUMNS];

/// Messages published to an exchange; places in queues that they were routed to.
pub type ExchangeRow = [u64; 2];

/// Bytes received and sent.
pub type ConnectionRow = [u64; 2];

/// Where what stands in a row.
pub mod column {
    use super::{MESSAGE_COLUMNS, QUEUE_COLUMNS};

    /// `publish`
    pub const PUBLISH: usize = 0;
    /// `confirm`
    pub const CONFIRM: usize = 1;
    /// `return_unroutable`
    pub const RETURN_UNROUTABLE: usize = 2;
    /// `drop_unroutable`
    pub const DROP_UNROUTABLE: usize = 3;
    /// `deliver`
    pub const DELIVER: usize = 4;
    /// `deliver_no_ack`
    pub const DELIVER_NO_ACK: usize = 5;
    /// `get`
    pub const GET: usize = 6;
    /// `get_no_ack`
    pub const GET_NO_ACK: usize = 7;
    /// `get_empty`
    pub const GET_EMPTY: usize = 8;
    /// `redeliver`
    pub const REDELIVER: usize = 9;
    /// `ack`
    pub const ACK: usize = 10;
    /// Messages ready.
    pub const READY: usize = MESSAGE_COLUMNS;
    /// Messages unsettled.
    pub const UNSETTLED: usize = MESSAGE_COLUMNS + 1;
    /// Messages read from disk.
    pub const DISK_READS: usize = QUEUE_COLUMNS;
    /// Messages written to disk.
    pub const DISK_WRITES: usize = QUEUE_COLUMNS + 1;
    /// Bytes received by a vhost's connections.
    pub const RECEIVED: usize = QUEUE_COLUMNS + 2;
    /// Bytes sent by them.
    pub const SENT: usize = QUEUE_COLUMNS + 3;
    /// Places in queues that messages were routed to.
    pub const ROUTED: usize = QUEUE_COLUMNS + 4;
}

impl MessageCounts {
    /// As a row.
    #[must_use]
    pub fn row(&self) -> MessageRow {
        [
            self.publish,
            self.confirm,
            self.return_unroutable,
            self.drop_unroutable,
            self.deliver,
            self.deliver_no_ack,
            self.get,
            self.get_no_ack,
            self.get_empty,
            self.redeliver,
            self.ack,
        ]
    }
}

/// Adds to the first columns of a row what another has more of than it had `before`, or takes off what it has less:
/// lengths fall, too.
pub fn add_change<const N: usize, const M: usize>(row: &mut [u64; N], now: &[u64; M], before: &[u64; M]) {
    for ((sum, now), before) in row.iter_mut().zip(now).zip(before) {
        *sum = sum.wrapping_add(now.wrapping_sub(*before));
    }
}

/// A row that goes on where another ends.
#[must_use]
pub fn joined<const N: usize>(parts: &[&[u64]]) -> [u64; N] {
    let mut row = [0; N];
    for (place, value) in row.iter_mut().zip(parts.iter().copied().flatten()) {
        *place = *value;
    }
    row
}
