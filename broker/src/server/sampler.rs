//! Looking at what happened, once a second: where rates and samples come from.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use tokio::{runtime::Handle, sync::watch, time::MissedTickBehavior};

use super::{process, resources::Resources};
use crate::{
    connection::{
        registry::Node,
        statistics::{NODE_COLUMNS, NodeRow, node_column as column},
    },
    limits::{SAMPLE_INTERVAL, USE_LOOKS},
    storage::log::Log,
};

/// Where what the node uses is known, besides the system.
pub(super) struct Sources {
    pub(super) resources: Arc<Resources>,
    pub(super) log: Log,
    /// The threads that answer HTTP requests.
    pub(super) http: Handle,
}

/// Until `stop` is true. One task for everything: who did nothing costs it nothing.
pub(super) async fn run(node: Arc<Node>, sources: Sources, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(SAMPLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for count in 0_u32.. {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        // To count open files takes a while if there are many.
        if count.is_multiple_of(USE_LOOKS) {
            node.note_use(uses(&node, &sources));
        }
        node.sample();
    }
}

/// What the node uses now; 0 where the system does not tell.
fn uses(node: &Node, Sources { resources, log, http }: &Sources) -> NodeRow {
    let statistics = log.statistics();
    let (syncs, batches) = (statistics.sync_micros.counts(), statistics.batch_records.counts());
    let mut row = [0; NODE_COLUMNS];
    row[column::MEMORY] = process::memory_used_bytes().unwrap_or(0);
    row[column::FILES] = process::open_file_count().unwrap_or(0) as u64;
    row[column::SOCKETS] = node.connection_count() as u64;
    row[column::DISK_FREE] = resources.disk_free().unwrap_or(0);
    let tasks = [&Handle::current(), http].map(|runtime| runtime.metrics().num_alive_tasks());
    row[column::TASKS] = tasks.iter().sum::<usize>() as u64;
    row[column::READS] = statistics.reads.load(Relaxed);
    row[column::READ] = statistics.read_bytes.load(Relaxed);
    row[column::WRITES] = batches.count;
    row[column::WRITTEN] = statistics.written_bytes.load(Relaxed);
    row[column::SYNCS] = syncs.count;
    row[column::SYNC_MICROS] = syncs.sum;
    row
}
