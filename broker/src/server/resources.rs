//! Memory and disk: what there is, how much of it may be used, and the alarms that follow
//! (<https://www.rabbitmq.com/docs/disk-alarms>, <https://www.rabbitmq.com/docs/memory>).

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};

use super::{
    process,
    watermark::{DiskFreeLimit, MemoryWatermark},
};
use crate::{
    connection::{alarm::Alarm, registry::Node},
    limits::{MEMORY_LOOK_MAX, RESOURCE_FILL_RATE, RESOURCE_LOOK_MAX, RESOURCE_LOOK_MIN},
    storage::{log::Log, record::Lsn},
};

/// Limits of memory and disk, and who looks whether they are kept.
#[derive(Debug)]
pub struct Resources {
    data_dir: PathBuf,
    /// The machine's, or the container's; not every system tells.
    memory_total: Option<u64>,
    /// Held while the alarms follow from it, so that they follow from the newest.
    limits: Mutex<Limits>,
    /// The log found no room. The system may say that there is some: of a quota it knows nothing.
    is_disk_full: AtomicBool,
    /// Wakes who looks.
    woken: Notify,
}

/// What the operator chose.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For the disk alarm.
    pub disk: DiskFreeLimit,
    /// For the memory alarm; none: never.
    pub memory: Option<MemoryWatermark>,
}

/// What was found.
#[derive(Clone, Copy, Debug)]
struct Found {
    disk_free: Option<u64>,
    memory_used: Option<u64>,
}

/// Never given to a record: who waits for it hears of failures only.
const NO_RECORD: Lsn = Lsn(u64::MAX);

impl Resources {
    /// Of the file system on which `data_dir` is, and of this machine.
    #[must_use]
    pub fn new(data_dir: &Path, limits: Limits) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            memory_total: process::memory_total_bytes(),
            limits: Mutex::new(limits),
            is_disk_full: AtomicBool::new(false),
            woken: Notify::new(),
        }
    }

    /// What the operator chose.
    #[must_use]
    pub fn limits(&self) -> Limits {
        *self.lock()
    }

    /// Free space where the data directory is, bytes.
    #[must_use]
    pub fn disk_free(&self) -> Option<u64> {
        process::disk_free_bytes(&self.data_dir)
    }

    /// The machine's memory, or the container's, bytes.
    #[must_use]
    pub fn memory_total(&self) -> Option<u64> {
        self.memory_total
    }

    /// Free space below this sets the disk alarm, bytes.
    #[must_use]
    pub fn disk_free_limit(&self) -> u64 {
        self.limits().disk.bytes(self.memory_total)
    }

    /// Memory in use above this sets the memory alarm, bytes.
    #[must_use]
    pub fn memory_limit(&self) -> Option<u64> {
        self.limits().memory_bytes(self.memory_total)
    }

    /// Other limits, from now on. The alarms have followed when this returns.
    pub fn change_limits(&self, node: &Node, change: impl FnOnce(&mut Limits)) {
        let mut limits = self.lock();
        change(&mut limits);
        self.follow(node, *limits, Found::now(&self.data_dir));
        drop(limits);
        self.woken.notify_one();
    }

    /// Looks, and sets or clears the alarms. Says when to look again.
    pub(super) fn look(&self, node: &Node) -> Duration {
        let limits = self.lock();
        let found = Found::now(&self.data_dir);
        self.follow(node, *limits, found);
        let disk = found.disk_free.map(|free| free.abs_diff(limits.disk.bytes(self.memory_total)));
        let memory = found.memory_used.zip(limits.memory_bytes(self.memory_total));
        let memory = memory.map(|(used, limit)| used.abs_diff(limit));
        // An alarm that is on is to clear soon after there is room.
        let longest = if node.alarms.any() { MEMORY_LOOK_MAX } else { RESOURCE_LOOK_MAX };
        let disk = disk.map_or(longest, |distance| pause(distance, longest));
        disk.min(memory.map_or(longest, |distance| pause(distance, MEMORY_LOOK_MAX)))
    }

    /// Looks from time to time, the nearer to a limit the more often, and at once when the log finds the disk
    /// full; until `stop` is true.
    pub(super) async fn watch(self: Arc<Self>, node: Arc<Node>, log: Log, mut stop: watch::Receiver<bool>) {
        let is_told = Arc::new(AtomicBool::new(true));
        loop {
            let is_disk_full = log.is_stalled();
            self.is_disk_full.store(is_disk_full, Relaxed);
            // While it is full the log tells of every try.
            if !is_disk_full && is_told.swap(false, Relaxed) {
                self.hear_of_full_disk(&log, Arc::clone(&is_told));
            }
            let pause = self.look(&node);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.woken.notified() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    fn hear_of_full_disk(self: &Arc<Self>, log: &Log, is_told: Arc<AtomicBool>) {
        let resources = Arc::clone(self);
        let told = move |_| {
            is_told.store(true, Relaxed);
            resources.woken.notify_one();
        };
        log.when_synced(NO_RECORD, Box::new(told));
    }

    fn follow(&self, node: &Node, limits: Limits, found: Found) {
        let is_disk_full = self.is_disk_full.load(Relaxed);
        if let Some(free) = found.disk_free {
            let limit = limits.disk.bytes(self.memory_total);
            let facts = format!("free bytes in {}: {free}, limit: {limit}", self.data_dir.display());
            let full = if is_disk_full { ", and the message log finds no room" } else { "" };
            set(node, Alarm::Disk, free < limit || is_disk_full, &format!("{facts}{full}"));
        }
        if let Some(used) = found.memory_used {
            let limit = limits.memory_bytes(self.memory_total).unwrap_or(u64::MAX);
            set(node, Alarm::Memory, used > limit, &format!("memory used: {used}, allowed: {limit}"));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limits {
    fn memory_bytes(&self, memory_total: Option<u64>) -> Option<u64> {
        self.memory.and_then(|watermark| watermark.bytes(memory_total))
    }
}

impl Found {
    fn now(data_dir: &Path) -> Self {
        Self { disk_free: process::disk_free_bytes(data_dir), memory_used: process::memory_used_bytes() }
    }
}

fn set(node: &Node, alarm: Alarm, is_on: bool, facts: &str) {
    if !node.set_alarm(alarm, is_on) {
        return;
    }
    let (resource, name) = (alarm.resource(), &node.name);
    if is_on {
        tracing::warn!(
            "{resource} resource limit alarm set on node {name} ({facts}). Publishers will be blocked until this \
             alarm clears"
        );
    } else {
        tracing::warn!("{resource} resource limit alarm cleared on node {name} ({facts})");
    }
}

/// Half of the time in which so many bytes can be filled.
fn pause(distance: u64, longest: Duration) -> Duration {
    let half = Duration::from_secs_f64(distance as f64 / RESOURCE_FILL_RATE as f64 / 2.0);
    half.clamp(RESOURCE_LOOK_MIN, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_near_a_limit_is_looked_at_more_often() {
        let pause = |distance| pause(distance, RESOURCE_LOOK_MAX);
        assert_eq!(pause(0), RESOURCE_LOOK_MIN);
        assert_eq!(pause(RESOURCE_FILL_RATE), Duration::from_millis(500));
        assert_eq!(pause(1 << 50), RESOURCE_LOOK_MAX);
        assert_eq!(pause(u64::MAX), RESOURCE_LOOK_MAX);
    }
}
