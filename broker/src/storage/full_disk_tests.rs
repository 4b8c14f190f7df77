//! A disk that has no room: publishers wait, what frees room gets through, a start serves what is there, and
//! everything goes on by itself.

use std::{collections::VecDeque, path::Path, sync::Arc};

use crate::{
    model::{message::Message, queue::Position, queue_id::QueueId},
    storage::{
        MetadataStore, RedbStore,
        definitions_tests::{open as open_definitions, vhost},
        log::{Log, LogOptions, LogWriter, Recovered, Step},
        position_ranges::PositionRanges,
        record::{Lsn, Record},
        sim_disk::{Crash, Seeded, SimDisk},
    },
};

const QUEUE: QueueId = QueueId(1);
const BODY_SIZE: usize = 500;
/// Settled with one record.
const SETTLED_MAX: usize = 3;
const PUBLISHES_MAX: u64 = 10_000;

fn options() -> LogOptions {
    LogOptions {
        file_size: 64 << 10,
        checkpoint_bytes: 192 << 10,
        budget_bytes: 512 << 10,
        unsynced_max_bytes: 64 << 10,
        ..LogOptions::tiny()
    }
}

/// A queue, its publisher and its consumer.
struct World {
    disk: SimDisk,
    log: Log,
    writer: LogWriter,
    live: VecDeque<u64>,
    next_position: u64,
}

impl World {
    fn open(disk: SimDisk) -> (Self, Recovered) {
        let (log, writer, recovered) = Log::open(Arc::new(disk.clone()), options()).unwrap();
        (Self { disk, log, writer, live: VecDeque::new(), next_position: 0 }, recovered)
    }

    fn publish(&mut self) -> Lsn {
        let mut buffer = b"\x00\x01q".to_vec();
        buffer.resize(buffer.len() + BODY_SIZE, 7);
        let message = Message::from_buffer(buffer.into(), (3, 0), true);
        let places = [(QUEUE, Position(self.next_position))];
        self.live.push_back(self.next_position);
        self.next_position += 1;
        self.log.append(&Record::Publish { places: &places, message: &message }).unwrap()
    }

    /// The oldest, as far as there are so many.
    fn settle(&mut self, count: usize) -> Lsn {
        let count = count.min(self.live.len());
        let positions: PositionRanges = self.live.drain(..count).map(Position).collect();
        let bytes = (count * BODY_SIZE) as u64;
        self.log.append(&Record::Settle { queue: QUEUE, positions: &positions, bytes }).unwrap()
    }

    /// Until there is nothing to do, or no room for it.
    fn write(&mut self) {
        while self.writer.step().unwrap() == Step::Worked {}
        if !self.log.is_stalled() || self.writer.step().unwrap() != Step::Stalled {
            while self.writer.rest().unwrap() == Step::Worked {}
        }
    }

    /// At full speed until a publisher has to wait, whatever the writer does.
    fn publish_until_full(&mut self) {
        for _ in 0..PUBLISHES_MAX {
            while !self.log.is_over_limit() {
                self.publish();
            }
            if self.writer.step().unwrap() != Step::Worked {
                self.write();
            }
            if self.log.is_stalled() {
                return;
            }
        }
        panic!("the disk does not become full");
    }
}

/// As on a disk that others fill up to the last byte.
fn fill_up(disk: &SimDisk) {
    disk.set_capacity(disk.used_bytes());
}

#[test]
fn acks_get_through_and_make_room() {
    for capacity in (700 << 10..780 << 10).step_by(7_777) {
        let disk = SimDisk::default();
        disk.set_capacity(capacity);
        let (mut world, _) = World::open(disk);
        for round in 0..6 {
            let context = format!("capacity {capacity}, round {round}");
            world.publish_until_full();
            while !world.live.is_empty() {
                let lsn = world.settle(SETTLED_MAX);
                world.write();
                let left = world.live.len();
                assert!(
                    world.log.synced_up_to() >= lsn,
                    "{context}: {left} messages, {:?}",
                    world.disk.state().names()
                );
            }
            assert!(!world.log.is_over_limit(), "{context}: publishers still wait");
        }
        assert_eq!(world.log.failure(), None);
    }
}

#[test]
fn start_on_a_full_disk_serves_and_goes_on_when_there_is_room() {
    for is_orderly in [false, true] {
        let (mut world, _) = World::open(SimDisk::default());
        (0..60).for_each(|_| _ = world.publish());
        world.write();
        (0..4).for_each(|_| _ = world.publish());
        while world.writer.step() == Ok(Step::Worked) {}
        if is_orderly {
            world.log.close();
            while world.writer.step() == Ok(Step::Worked) {}
        }
        let mut state = world.disk.state().crash(Crash::Kept, &mut Seeded::new(1));
        let spares: Vec<String> = state.names().into_iter().filter(|name| name.ends_with(".spare")).collect();
        spares.iter().for_each(|name| state.remove(name));
        let disk = SimDisk::with(state);
        fill_up(&disk);
        for _ in 0..2 {
            let (mut again, recovered) = World::open(disk.clone());
            assert_eq!((recovered.queues[&QUEUE].count, recovered.is_clean), (64, is_orderly));
            again.live = world.live.clone();
            let lsn = again.settle(4);
            again.write();
            assert!(again.log.is_stalled() && again.log.synced_up_to() < lsn);
            assert_eq!(again.log.read(QUEUE, (Position(0), Position(10)), usize::MAX).messages.len(), 6);
        }
        let (mut again, _) = World::open(disk.clone());
        again.live = world.live.clone();
        let lsn = again.settle(4);
        again.write();
        disk.set_capacity(1 << 20);
        again.write();
        assert!(!again.log.is_stalled() && again.log.synced_up_to() >= lsn);
        let (_, recovered) =
            World::open(SimDisk::with(disk.state().crash(Crash::Dropped, &mut Seeded::new(1))));
        assert_eq!(recovered.queues[&QUEUE].count, 60);
    }
}

#[test]
fn definitions_are_there_on_a_full_disk_and_change_when_there_is_room() {
    let disk = SimDisk::default();
    let (store, mut writer) = open_definitions(&disk).unwrap();
    let put = |store: &RedbStore, name| {
        let change = crate::model::definition::Change::Put(vhost(name));
        store.submit(vec![change], crate::storage::Completion::ignored());
    };
    put(&store, "one");
    assert!(writer.turn(None));
    store.close();
    writer.run();
    fill_up(&disk);
    let (store, mut writer) = RedbStore::open_on(Arc::new(disk.clone()), Path::new("data")).unwrap();
    assert_eq!(store.load().unwrap().definitions, [vhost("one")]);
    put(&store, "two");
    assert!(writer.turn(None));
    disk.set_capacity(8 << 20);
    assert!(writer.turn(writer.patience()));
    assert_eq!(store.load().unwrap().definitions, [vhost("one"), vhost("two")]);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| writer.run());
        assert!(store.next_queue_id().unwrap() > 0);
        store.close();
        running.join().unwrap();
    });
}

#[test]
fn what_is_left_of_a_disk_without_a_reserve_is_for_acks() {
    let (mut world, _) = World::open(SimDisk::default());
    (0..60).for_each(|_| _ = world.publish());
    world.write();
    let mut state = world.disk.state().crash(Crash::Kept, &mut Seeded::new(1));
    let spares: Vec<String> = state.names().into_iter().filter(|name| name.ends_with(".spare")).collect();
    spares.iter().for_each(|name| state.remove(name));
    let disk = SimDisk::with(state);
    disk.set_capacity(disk.used_bytes() + (48 << 10));
    let (mut again, _) = World::open(disk.clone());
    again.live = world.live.clone();
    again.next_position = world.next_position;
    let published = again.publish();
    again.write();
    assert!(
        again.log.synced_up_to() >= published && again.log.is_over_limit(),
        "publishers wait with the next"
    );
    for _ in 0..10 {
        let settled = again.settle(3);
        again.write();
        assert!(again.log.synced_up_to() >= settled, "an ack gets through");
    }
}
