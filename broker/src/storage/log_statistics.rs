//! What the log's thread does, for tools.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::model::statistics::Histogram;

/// Upper ends of the buckets for the time of a sync, microseconds.
const SYNC_MICROS: &[u64] =
    &[50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000];
/// Upper ends of the buckets for the records of a batch.
const BATCH_RECORDS: &[u64] = &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// Batches and their syncs: written by the log's thread, read by anybody.
#[derive(Debug)]
pub struct LogStatistics {
    /// How long syncs took, microseconds.
    pub sync_micros: Histogram,
    /// How many records batches had.
    pub batch_records: Histogram,
    /// Bytes of all batches.
    pub written_bytes: AtomicU64,
    /// Messages read back.
    pub reads: AtomicU64,
    /// Their bytes.
    pub read_bytes: AtomicU64,
}

impl Default for LogStatistics {
    fn default() -> Self {
        Self {
            sync_micros: Histogram::new(SYNC_MICROS),
            batch_records: Histogram::new(BATCH_RECORDS),
            written_bytes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
        }
    }
}

impl LogStatistics {
    pub(super) fn count_batch(&self, records: u64, bytes: u64) {
        self.batch_records.add(records);
        self.written_bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn count_reads(&self, messages: u64, bytes: u64) {
        self.reads.fetch_add(messages, Relaxed);
        self.read_bytes.fetch_add(bytes, Relaxed);
    }
}
