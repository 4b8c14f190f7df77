//! After a crash a deleted queue is there with all its messages, or not at all.

use std::{path::Path, sync::Arc, time::Duration};

use super::broker::Broker;
use crate::{
    model::{
        arguments::Arguments,
        definition::{Definition, VhostDefinition},
        message::Message,
        name::Name,
        queue::QueueOptions,
        queue_id::QueueId,
    },
    storage::{
        MetadataStore, RedbStore, Writer,
        log::{Log, LogOptions, LogWriter, Recovered, Step},
        sim_disk::{Crash, Fault, Seeded, SimDisk, State},
    },
    vhost::queue::ConnectionId,
    vhost::test_clock::TestClock,
};

const MESSAGES: u64 = 3;
/// Of each kind of crash after each change of the disk.
const STATES: u64 = 3;

/// Definitions and messages on one disk, written when the test says so.
struct World {
    disk: SimDisk,
    broker: Broker,
    definitions: Writer,
    messages: LogWriter,
    queue: QueueId,
}

fn open(disk: &SimDisk) -> (RedbStore, Writer, Log, LogWriter, Recovered) {
    let (store, definitions) = RedbStore::open_on(Arc::new(disk.clone()), Path::new("data")).unwrap();
    let (log, messages, recovered) = Log::open(Arc::new(disk.clone()), LogOptions::tiny()).unwrap();
    (store, definitions, log, messages, recovered)
}

impl World {
    /// A durable queue with messages, all of it on stable storage.
    fn new() -> Self {
        let disk = SimDisk::recording(State::default());
        let (store, definitions, log, messages, _) = open(&disk);
        let (broker, _) =
            Broker::load(Arc::new(store), Arc::new(log), Arc::new(TestClock::default())).unwrap();
        let definition = VhostDefinition::new(Name::literal("v"));
        broker.put_vhost(definition);
        let name = Name::literal("q");
        let options = QueueOptions::parse(&name, true, false, false, Arguments::default()).unwrap();
        let vhost = broker.vhost("v").unwrap();
        let queue = vhost.declare_queue(name, options, ConnectionId(1)).unwrap().queue;
        let message = || Message::from_buffer(b"\x00\x01qbody".to_vec().into(), (3, 0), true);
        queue.publish(&mut (0..MESSAGES).map(|_| message()).collect()).unwrap();
        let mut world = Self { disk, broker, definitions, messages, queue: queue.id };
        world.write_definitions();
        world.write_messages();
        world
    }

    fn write_definitions(&mut self) {
        assert!(self.definitions.turn(Some(Duration::ZERO)));
    }

    fn write_messages(&mut self) {
        while self.messages.step().unwrap() == Step::Worked {}
        while self.messages.rest().unwrap() == Step::Worked {}
    }

    fn delete_queue(&self) {
        self.broker.vhost("v").unwrap().delete_queue("q", None, false, false).unwrap();
    }

    fn delete_vhost(&self) {
        self.broker.delete_vhost(&Name::literal("v")).unwrap();
    }

    /// Whether the queue would be there after this, and how many messages in it.
    fn found(&self, disk: &SimDisk) -> (bool, u64) {
        let (store, _definitions, _log, _messages, recovered) = open(disk);
        let definitions = store.load().unwrap().definitions;
        let is_there = definitions.iter().any(|definition| matches!(definition, Definition::Queue { .. }));
        (is_there, recovered.queues.get(&self.queue).map_or(0, |queue| queue.count))
    }

    /// The disk crashes after each change since the first `before`. Says whether the queue was ever there and ever
    /// gone.
    fn check_crashes(&self, before: usize) -> (bool, bool) {
        let ops = self.disk.ops();
        let (mut state, mut seeded, mut seen) = (State::default(), Seeded::new(1), (false, false));
        for (number, op) in ops.iter().enumerate() {
            state.apply(op);
            for crash in Crash::ALL.into_iter().filter(|_| number + 1 >= before) {
                for _ in 0..STATES {
                    let (is_there, count) = self.found(&SimDisk::with(state.crash(crash, &mut seeded)));
                    assert!(!is_there || count == MESSAGES, "{crash:?} after {number}: {count} messages");
                    seen = (seen.0 || is_there, seen.1 || !is_there);
                }
            }
        }
        seen
    }
}

fn check(delete: impl Fn(&World), write: impl Fn(&mut World)) {
    let mut world = World::new();
    let before = world.disk.op_count();
    delete(&world);
    write(&mut world);
    assert_eq!(world.check_crashes(before), (true, true));
    assert_eq!(world.found(&world.disk), (false, 0));
}

#[test]
fn crash_leaves_a_deleted_queue_whole_or_gone() {
    for delete in [World::delete_queue, World::delete_vhost] {
        check(delete, |world| {
            world.write_messages();
            world.write_definitions();
            world.write_messages();
        });
    }
}

/// Whoever deletes is told that the disk is full; it is made good when there is room, and only then the messages go.
#[test]
fn deletion_that_a_full_disk_refused_is_whole_or_not_at_all() {
    for delete in [World::delete_queue, World::delete_vhost] {
        check(delete, |world| {
            world.disk.fail(world.disk.op_count(), usize::MAX / 2, Fault::Full);
            world.write_definitions();
            world.disk.heal();
            world.write_messages();
            world.write_definitions();
            world.write_messages();
        });
    }
}
