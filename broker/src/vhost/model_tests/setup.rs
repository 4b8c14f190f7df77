//! What is around the queues: a log on a disk, a vhost that knows their definitions, connections that nobody wakes.

use std::sync::Arc;

use super::{
    super::{
        Vhost,
        deliveries::ChannelDeliveries,
        outbox::{Outbox, Wake},
        upkeep::Upkeep,
    },
    operation::{CONNECTIONS, QUEUES},
    recording_log::RecordingLog,
};
use crate::{
    model::{
        arguments::Arguments,
        definition::{Change, QueueDefinition, VhostDefinition},
        name::Name,
        queue_id::QueueId,
    },
    storage::{
        Completion, Loaded, MetadataStore, StoreError,
        log::{Log, LogOptions, LogWriter, Recovered},
        sim_disk::{Seeded, SimDisk},
    },
    vhost::test_clock::TestClock,
    wire::frame::ChannelNumber,
};

/// The one of each connection.
pub(super) const CHANNEL: ChannelNumber = ChannelNumber(1);
pub(super) const NAMES: [&str; QUEUES] = ["q1", "q2", "q3"];

#[derive(Debug)]
struct NoWake;

impl Wake for NoWake {
    fn wake(&self) {}
}

/// Definitions are always the ones that the test knows.
#[derive(Debug)]
pub(super) struct NoStore;

impl MetadataStore for NoStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        Ok(Loaded::default())
    }

    fn submit(&self, _changes: Vec<Change>, done: Completion) {
        done.complete(Ok(()));
    }

    fn next_queue_id(&self) -> Result<u64, StoreError> {
        Err(StoreError::Closed)
    }

    fn close(&self) {}
}

pub(super) fn open(disk: &SimDisk) -> (Log, LogWriter, Recovered) {
    let (log, writer, recovered) = Log::open(Arc::new(disk.clone()), LogOptions::tiny()).unwrap();
    assert_eq!(recovered.lost, Vec::<String>::new());
    (log, writer, recovered)
}

pub(super) fn outbox() -> Arc<Outbox> {
    let outbox = Arc::new(Outbox::new(Arc::new(NoWake)));
    outbox.set_frame_max(131_072);
    outbox.open_channel(CHANNEL, ChannelDeliveries::new(Arc::default(), Arc::default()));
    outbox
}

pub(super) fn outboxes() -> Vec<Arc<Outbox>> {
    (0..CONNECTIONS).map(|_| outbox()).collect()
}

pub(super) fn vhost(log: &Arc<RecordingLog>, ids: &[QueueId; QUEUES], clock: &Arc<TestClock>) -> Vhost {
    let definition = VhostDefinition::new(Name::literal("v"));
    let upkeep = Arc::new(Upkeep::new(Arc::clone(clock) as _));
    let vhost = Vhost::new(definition, Arc::clone(log) as _, Arc::new(NoStore), upkeep);
    for (index, id) in ids.iter().enumerate() {
        assert!(vhost.restore_queue(queue_definition(index, *id)));
    }
    vhost
}

pub(super) fn queue_definition(index: usize, id: QueueId) -> QueueDefinition {
    QueueDefinition {
        id: id.0,
        name: Name::literal(NAMES[index]),
        is_durable: is_durable(index),
        is_exclusive: false,
        is_auto_delete: false,
        arguments: Arguments::default(),
    }
}

pub(super) fn is_durable(index: usize) -> bool {
    index + 1 < QUEUES
}

pub(super) fn body(number: u64, size: usize) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    let mut seeded = Seeded::new(number);
    while body.len() < size {
        body.extend_from_slice(&seeded.next().to_le_bytes());
    }
    body.truncate(size);
    body
}

/// Class, weight, size and no properties.
pub(super) fn header(body_size: usize) -> [u8; 14] {
    let mut header = [0; 14];
    header[1] = 60;
    header[4..12].copy_from_slice(&(body_size as u64).to_be_bytes());
    header
}
