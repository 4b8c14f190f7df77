//! Random operations on a durable queue whose messages expire, are too many, or are refused, and become dead letters of
//! another one, over the real log; then a restart or a crash. Whatever happens: what was safe is in one of the two
//! queues, and in one only.

use std::{collections::BTreeMap, sync::Arc};

use amq_protocol::types::{AMQPValue, FieldTable};
use proptest::{prelude::*, test_runner::TestRunner};

use super::{
    super::{
        Vhost,
        deliveries::{Origin, SettleRun},
        outbox::Outbox,
        queue::{Got, SharedQueue},
        upkeep::Upkeep,
    },
    cases,
    frames::read_all,
    setup::{CHANNEL, NoStore, open, outbox},
};
use crate::{
    model::{
        arguments::Arguments,
        definition::{QueueDefinition, VhostDefinition},
        message::{Arena, MessageHead},
        name::Name,
        queue::{Outcome, Position},
        queue_id::QueueId,
        timestamp::Timestamp,
    },
    storage::{
        log::{Log, LogWriter, Recovered, Step},
        record::Lsn,
        sim_disk::{Crash, Seeded, SimDisk, State},
    },
    vhost::test_clock::TestClock,
    wire::{content::encode_header, properties::Properties},
};

const SOURCE: QueueId = QueueId(1);
const GRAVES: QueueId = QueueId(2);
const TTL_MILLIS: u64 = 100;
const LENGTH_MAX: usize = 3;

#[derive(Clone, Debug)]
enum Operation {
    /// With this time to live of its own.
    Publish(Option<u64>),
    Get,
    /// One of those that are unsettled.
    Settle(usize, Outcome),
    Pass(u64),
    Step,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Restart,
    /// Perhaps after all was written.
    Crash(Crash, u64, bool),
}

fn operation() -> impl Strategy<Value = Operation> {
    let outcome = prop::sample::select(&[Outcome::Accept, Outcome::Requeue, Outcome::Discard][..]);
    prop_oneof![
        6 => prop::option::of(0..200_u64).prop_map(Operation::Publish),
        4 => Just(Operation::Get),
        4 => (0..100_usize, outcome).prop_map(|(nth, outcome)| Operation::Settle(nth, outcome)),
        2 => (1..80_u64).prop_map(Operation::Pass),
        2 => Just(Operation::Step),
    ]
}

fn ending() -> impl Strategy<Value = Ending> {
    let crash = (prop::sample::select(&Crash::ALL[..]), any::<u64>(), any::<bool>());
    prop_oneof![
        1 => Just(Ending::Restart),
        3 => crash.prop_map(|(crash, seed, is_written)| Ending::Crash(crash, seed, is_written)),
    ]
}

/// What must be.
#[derive(Default)]
struct Reference {
    /// By position: number, deadline, whether it is ready.
    source: BTreeMap<Position, (u64, Timestamp, bool)>,
    graves: Vec<u64>,
    acked: Vec<u64>,
    /// When each message is safe.
    published: Vec<Lsn>,
}

impl Reference {
    /// What is not to wait any longer leaves.
    fn trim(&mut self, now: Timestamp) {
        loop {
            let ready = self.source.iter().filter(|(_, (_, _, is_ready))| *is_ready);
            let (count, next) =
                (ready.clone().count(), ready.map(|(position, own)| (*position, *own)).next());
            match next {
                Some((position, (number, deadline, _))) if count > LENGTH_MAX || deadline <= now => {
                    self.source.remove(&position);
                    self.graves.push(number);
                }
                _ => return,
            }
        }
    }
}

struct World {
    disk: SimDisk,
    log: Arc<Log>,
    writer: LogWriter,
    clock: Arc<TestClock>,
    vhost: Vhost,
    outbox: Arc<Outbox>,
    reference: Reference,
}

fn vhost(log: &Arc<Log>, clock: &Arc<TestClock>) -> Vhost {
    let definition = VhostDefinition::new(Name::literal("v"));
    let upkeep = Arc::new(Upkeep::new(Arc::clone(clock) as _));
    let vhost = Vhost::new(definition, Arc::clone(log) as _, Arc::new(NoStore), upkeep);
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut rules = FieldTable::default();
    rules.insert("x-dead-letter-exchange".into(), text(""));
    rules.insert("x-dead-letter-routing-key".into(), text("graves"));
    rules.insert("x-message-ttl".into(), AMQPValue::LongLongInt(TTL_MILLIS as i64));
    rules.insert("x-max-length".into(), AMQPValue::LongLongInt(LENGTH_MAX as i64));
    for (id, name, arguments) in [(SOURCE, "source", rules), (GRAVES, "graves", FieldTable::default())] {
        assert!(vhost.restore_queue(QueueDefinition {
            id: id.0,
            name: Name::literal(name),
            is_durable: true,
            is_exclusive: false,
            is_auto_delete: false,
            arguments: Arguments::from(arguments),
        }));
    }
    vhost
}

impl World {
    fn new() -> Self {
        let disk = SimDisk::recording(State::default());
        let (log, writer, _) = open(&disk);
        let (log, clock) = (Arc::new(log), Arc::new(TestClock::default()));
        let (vhost, outbox) = (vhost(&log, &clock), outbox());
        Self { disk, log, writer, clock, vhost, outbox, reference: Reference::default() }
    }

    fn source(&self) -> Arc<SharedQueue> {
        self.vhost.queue("source").unwrap()
    }

    fn apply(&mut self, operation: &Operation) {
        let now = self.source().surroundings.upkeep.now();
        match operation {
            Operation::Publish(expiration) => self.publish(*expiration, now),
            Operation::Get => self.get(),
            Operation::Settle(nth, outcome) => self.settle(*nth, *outcome),
            Operation::Pass(millis) => {
                self.clock.pass(*millis);
                let now = now.plus_millis(*millis);
                self.source().attend(now);
                self.reference.trim(now);
            }
            Operation::Step => {
                self.writer.step().unwrap();
            }
        }
        self.reference.trim(now);
        let ready = self.reference.source.values().filter(|(_, _, is_ready)| *is_ready).count();
        let counts = self.source().counts();
        assert_eq!((counts.ready, counts.ready + counts.unsettled), (ready, self.reference.source.len()));
        assert_eq!(self.vhost.queue("graves").unwrap().counts().ready, self.reference.graves.len());
    }

    fn publish(&mut self, expiration: Option<u64>, now: Timestamp) {
        let number = self.reference.published.len() as u64;
        let text = expiration.map(|millis| millis.to_string());
        let properties =
            Properties { expiration: text.as_ref().map(|text| text.as_bytes()), ..Properties::default() };
        let mut header = Vec::new();
        encode_header(&mut header, 8, &properties);
        let head = MessageHead { route: b"\x01x\x03key", header: &header, is_persistent: true };
        let message = Arena::default().message(head, &number.to_le_bytes());
        let position = self.source().lock().queue.next_position();
        let published = self.source().publish(&mut vec![message]).unwrap();
        self.reference.published.push(published.lsn.unwrap());
        let millis = expiration.unwrap_or(u64::MAX).min(TTL_MILLIS);
        self.reference.source.insert(position, (number, now.plus_millis(millis), true));
    }

    fn get(&mut self) {
        let mut got = self.source().get(&self.outbox, CHANNEL, false).unwrap();
        while let Got::NotYet(_) = got {
            self.writer.step().unwrap();
            got = self.source().get(&self.outbox, CHANNEL, false).unwrap();
        }
        let arrived: Vec<u64> = read_all(&self.outbox)
            .iter()
            .map(|arrival| u64::from_le_bytes(arrival.body[..8].try_into().unwrap()))
            .collect();
        let next = self.reference.source.values_mut().find(|(_, _, is_ready)| *is_ready);
        let expected: Vec<u64> = next
            .map(|own| {
                own.2 = false;
                own.0
            })
            .into_iter()
            .collect();
        assert_eq!(arrived, expected);
    }

    fn settle(&mut self, nth: usize, outcome: Outcome) {
        let unsettled = self.reference.source.iter().filter(|(_, (_, _, is_ready))| !*is_ready);
        let unsettled: Vec<Position> = unsettled.map(|(position, _)| *position).collect();
        if unsettled.is_empty() {
            return;
        }
        let position = unsettled[nth % unsettled.len()];
        let origin = Origin::Get(self.source());
        self.source().settle(&mut SettleRun { origin, outcome, positions: vec![position] });
        match outcome {
            Outcome::Requeue => self.reference.source.get_mut(&position).unwrap().2 = true,
            Outcome::Accept => {
                self.reference.acked.extend(self.reference.source.remove(&position).map(|own| own.0));
            }
            Outcome::Discard => {
                self.reference.graves.extend(self.reference.source.remove(&position).map(|own| own.0));
            }
        }
    }

    fn write(&mut self) {
        while self.writer.step() == Ok(Step::Worked) {}
    }

    /// Ends the broker, and looks at what the next one finds.
    fn end(mut self, ending: Ending) {
        let (disk, is_exact, synced) = match ending {
            Ending::Restart => {
                self.vhost.queues().iter().for_each(|queue| queue.end_marks());
                self.log.close();
                self.write();
                (self.disk.clone(), true, self.log.synced_up_to())
            }
            Ending::Crash(crash, seed, is_written) => {
                if is_written {
                    self.write();
                }
                let state = self.disk.state().crash(crash, &mut Seeded::new(seed));
                (SimDisk::recording(state), is_written, self.log.synced_up_to())
            }
        };
        let (log, _writer, recovered) = open(&disk);
        let log = Arc::new(log);
        let vhost = vhost(&log, &self.clock);
        let (source, graves) =
            (take_all(&vhost, "source", &recovered), take_all(&vhost, "graves", &recovered));
        let reference = &self.reference;
        if is_exact {
            let left: Vec<u64> = reference.source.values().map(|own| own.0).collect();
            assert_eq!((&source, &graves), (&left, &reference.graves));
        }
        let mut found: Vec<u64> = source.into_iter().chain(graves).collect();
        found.sort_unstable();
        let count = found.len();
        found.dedup();
        assert_eq!(found.len(), count, "a message is in both queues, or twice in one");
        for (number, lsn) in (0_u64..).zip(&reference.published) {
            let is_safe = *lsn <= synced && !reference.acked.contains(&number);
            assert!(!is_safe || found.binary_search(&number).is_ok(), "message {number} is lost");
        }
    }
}

/// The numbers of a queue's messages, from the first to the last.
fn take_all(vhost: &Vhost, name: &str, recovered: &Recovered) -> Vec<u64> {
    let queue = vhost.queue(name).unwrap();
    let Some(messages) = recovered.queues.get(&queue.id) else { return Vec::new() };
    queue.restore(messages.clone(), recovered.has_loss);
    let mut state = queue.lock();
    let mut numbers = Vec::new();
    loop {
        state.page_in(&*queue.log);
        let Some(delivery) = state.queue.get(true) else { return numbers };
        let arrived_at = delivery.message.arrived_at();
        assert_eq!(arrived_at.is_some(), name == "source", "times to live are known, and only those");
        numbers.push(u64::from_le_bytes(delivery.message.body()[..8].try_into().unwrap()));
    }
}

#[test]
fn no_dead_letter_is_lost_or_doubled_whatever_happens() {
    let config =
        ProptestConfig { cases: cases() / 2, failure_persistence: None, ..ProptestConfig::default() };
    let operations = prop::collection::vec(operation(), 1..60);
    let ran = TestRunner::new(config).run(&(operations, ending()), |(operations, ending)| {
        let mut world = World::new();
        operations.iter().for_each(|operation| world.apply(operation));
        world.end(ending);
        Ok(())
    });
    if let Err(failure) = ran {
        panic!("{failure}");
    }
}
