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

/// Until `stop` is true. One task for everything: who did nothing costs it nothing.
pub(super) async fn run(
    node: Arc<Node>,
    resources: Arc<Resources>,
    log: Log,
    mut stop: watch::Receiver<bool>,
) {
    let mut ticks = tokio::time::interval(SAMPLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for count in 0_u32.. {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        // To count open files takes a while if there are many.
        if count.is_multiple_of(USE_LOOKS) {
            node.note_use(uses(&node, &resources, &log));
        }
        node.sample();
    }
}

/// What the node uses now; 0 where the system does not tell.
fn uses(node: &Node, resources: &Resources, log: &Log) -> NodeRow {
    let statistics = log.statistics();
    let (syncs, batches) = (statistics.sync_micros.counts(), statistics.batch_records.counts());
    let mut row = [0; NODE_COLUMNS];
    row[column::MEMORY] = process::memory_used_bytes().unwrap_or(0);
    row[column::FILES] = process::open_file_count().unwrap_or(0) as u64;
    row[column::SOCKETS] = node.connection_count() as u64;
    row[column::DISK_FREE] = resources.disk_free().unwrap_or(0);
    row[column::TASKS] = Handle::current().metrics().num_alive_tasks() as u64;
    row[column::READS] = statistics.reads.load(Relaxed);
    row[column::READ] = statistics.read_bytes.load(Relaxed);
    row[column::WRITES] = batches.count;
    row[column::WRITTEN] = statistics.written_bytes.load(Relaxed);
    row[column::SYNCS] = syncs.count;
    row[column::SYNC_MICROS] = syncs.sum;
    row
}
