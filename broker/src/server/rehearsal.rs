//! A broker that keeps nothing and that nobody can reach: definitions are tried on it before there is a start.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{Settings, timers::WallClock};
use crate::{
    connection::registry::Node,
    model::definition::Change,
    storage::{Completion, Loaded, MESSAGES, MetadataStore, StoreError, queue_log::MemoryLog},
    vhost::broker::Broker,
};

/// Where everything is durable at once, because nothing is.
#[derive(Debug, Default)]
struct BlankStore {
    last_queue: AtomicU64,
}

impl MetadataStore for BlankStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        Ok(Loaded::default())
    }

    fn submit(&self, _changes: Vec<Change>, done: Completion) {
        done.complete(Ok(()));
    }

    fn next_queue_id(&self) -> Result<u64, StoreError> {
        Ok(self.last_queue.fetch_add(1, Relaxed) + 1)
    }

    fn close(&self) {}
}

/// As the first start finds it.
pub fn blank_node(settings: &Settings) -> Result<Node, StoreError> {
    let (store, log) = (Arc::new(BlankStore::default()), Arc::new(MemoryLog));
    let (broker, _) = Broker::load(store, log, Arc::new(WallClock))?;
    Ok(Node::new(Arc::new(broker), settings.node_name.clone(), settings.node_limits))
}

/// Whether nothing can be there that definitions refer to.
pub fn is_first_start(settings: &Settings) -> bool {
    !settings.data_dir.join(MESSAGES).exists()
}
