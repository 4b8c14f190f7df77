//! What the log holds after every crash, every failure and every flipped bit.
//!
//! The oracle is strict: what is recovered must be what the first k records come to, for one k that is not
//! below what was reported as synced nor above what was appended. So nothing confirmed is lost, nothing
//! settled comes back, nothing is invented, and order, counts and marks are those of the model.

use std::{collections::BTreeMap, env, slice, sync::Arc};

use bytes::Bytes;

use crate::{
    model::{message::Message, queue::Position, queue_id::QueueId},
    storage::{
        LogError,
        crash_workloads::{
            Action, fan_out, pack_and_recycle, publish_and_settle, purge_and_delete, random_actions,
            requeue_and_deliver, restart_and_go_on, transactions,
        },
        log::{Log, LogOptions, LogWriter, Recovered, RecoveredMessage, RecoveredQueue, Step},
        position_ranges::PositionRanges,
        record::{Lsn, OwnedRecord, Record},
        sim_disk::{Crash, Seeded, SimDisk, State},
    },
};

/// States of each workload in the normal tests; a campaign sets the variable.
const STATES: usize = 14_500;
const STATES_VARIABLE: &str = "LIEBRE_CRASH_STATES";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ModelQueue {
    /// By position.
    messages: BTreeMap<u64, ModelMessage>,
    next_position: u64,
    delivered_up_to: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ModelMessage {
    crc: u32,
    body_size: usize,
    delivery_count: u32,
}

pub(super) type Model = BTreeMap<u64, ModelQueue>;

/// A log under test and all that was asked of it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) disk: SimDisk,
    pub(super) log: Log,
    writer: LogWriter,
    /// What each number makes of the model.
    pub(super) models: BTreeMap<u64, Model>,
    pub(super) model: Model,
    /// After so many changes of the disk this was synced, and this appended.
    history: Vec<(usize, Lsn, Lsn)>,
    body_count: u64,
    /// What to say of a failure.
    place: String,
}

fn message(body: &[u8]) -> Message {
    let mut buffer = b"\x01x\x03a.bHEADER".to_vec();
    buffer.extend_from_slice(body);
    Message::from_buffer(Bytes::from(buffer), (6, 6), true)
}

pub(super) fn open(disk: &SimDisk) -> Result<(Log, LogWriter, Recovered), LogError> {
    Log::open(Arc::new(disk.clone()), LogOptions::tiny())
}

/// The recovered queues in the model's words, all messages read back. A queue without anything to say is left out.
pub(super) fn model_of(log: &Log, recovered: &Recovered) -> Model {
    let models = recovered.queues.iter().map(|(queue, held)| (queue.0, queue_model(log, *queue, held)));
    models.filter(|(_, model)| *model != ModelQueue::default()).collect()
}

fn queue_model(log: &Log, queue: QueueId, recovered: &RecoveredQueue) -> ModelQueue {
    let messages = messages_of(log, queue, recovered);
    let messages = messages.iter().map(|RecoveredMessage { position, message, delivery_count }| {
        assert_eq!((message.exchange(), message.header()), (&b"x"[..], &b"HEADER"[..]));
        (position.0, ModelMessage { delivery_count: *delivery_count, ..model_message(message) })
    });
    let messages: BTreeMap<u64, ModelMessage> = messages.collect();
    assert_eq!(recovered.count, messages.len() as u64);
    assert_eq!(recovered.bytes, messages.values().map(|message| message.body_size as u64).sum::<u64>());
    ModelQueue {
        messages,
        next_position: recovered.next_position.0,
        delivered_up_to: recovered.delivered_up_to.0,
    }
}

fn model_message(message: &Message) -> ModelMessage {
    let body = message.body();
    ModelMessage { crc: crc32c::crc32c(body), body_size: body.len(), delivery_count: 0 }
}

/// All messages of a queue: those that are read back, a little at a time, and the newest.
fn messages_of(log: &Log, queue: QueueId, recovered: &RecoveredQueue) -> Vec<RecoveredMessage> {
    let to = recovered.newest.first().map_or(recovered.next_position, |newest| newest.position);
    let (mut from, mut messages) = (Position(0), Vec::new());
    while from < to {
        let back = log.read(queue, (from, to), 2_000);
        assert_eq!(back.lost, Vec::<String>::new());
        assert!(back.next > from);
        messages.extend(back.messages);
        from = back.next;
    }
    messages.extend(recovered.newest.iter().cloned());
    messages
}

impl Run {
    pub(super) fn new(disk: SimDisk) -> Self {
        let (log, writer, recovered) = open(&disk).unwrap();
        let model = model_of(&log, &recovered);
        let models = BTreeMap::from([(recovered.last_lsn.0, model.clone())]);
        Self { disk, log, writer, models, model, history: Vec::new(), body_count: 0, place: String::new() }
    }

    pub(super) fn act(&mut self, action: &Action) {
        match action {
            Action::Publish { queues, size } => self.publish(queues, *size),
            Action::Settle { queue, nth } => {
                let (positions, bytes) = self.nth(*queue, nth);
                self.append(&Record::Settle { queue: QueueId(*queue), positions: &positions, bytes });
            }
            Action::Requeue { queue, nth } => {
                let (positions, _) = self.nth(*queue, nth);
                self.append(&Record::Requeue { queue: QueueId(*queue), positions: &positions });
            }
            Action::Delivered { queue, up_to } => {
                self.append(&Record::Delivered { queue: QueueId(*queue), up_to: Position(*up_to) });
            }
            Action::Purge { queue, kept } => {
                let (kept, kept_bytes) = self.nth(*queue, kept);
                let up_to = Position(self.model.get(queue).map_or(0, |queue| queue.next_position));
                self.append(&Record::Purge { queue: QueueId(*queue), up_to, kept: &kept, kept_bytes });
            }
            Action::Delete { queue } => self.append(&Record::Delete { queue: QueueId(*queue) }),
            Action::Transaction(parts) => self.commit(parts),
            Action::Write => self.until_idle(LogWriter::step),
            Action::Rest => {
                self.until_idle(LogWriter::step);
                self.until_idle(LogWriter::rest);
            }
            Action::Restart { is_orderly } => self.restart(*is_orderly),
            Action::Step => drop(self.writer.step()),
        }
        self.note();
    }

    fn until_idle(&mut self, step: impl Fn(&mut LogWriter) -> Result<Step, LogError>) {
        for turn in 0.. {
            assert!(turn < 1_000, "the writer never comes to rest");
            let step = step(&mut self.writer);
            self.note();
            if step != Ok(Step::Worked) {
                break;
            }
        }
    }

    fn restart(&mut self, is_orderly: bool) {
        if is_orderly {
            self.log.close();
            self.act(&Action::Write);
        }
        let (log, writer, recovered) = open(&self.disk).unwrap();
        let model = self.check((&log, &recovered), self.log.synced_up_to(), &self.place);
        assert_eq!(recovered.is_clean, is_orderly);
        (self.log, self.writer, self.model) = (log, writer, model);
        self.models.retain(|lsn, _| *lsn <= recovered.last_lsn.0);
    }

    fn publish(&mut self, queues: &[u64], size: usize) {
        let (places, message) = self.message(&self.model, queues, size);
        self.body_count += 1;
        self.append(&Record::Publish { places: &places, message: &message });
    }

    /// The next message and where it goes.
    fn message(&self, model: &Model, queues: &[u64], size: usize) -> (Vec<(QueueId, Position)>, Message) {
        let mut body = self.body_count.to_le_bytes().to_vec();
        let mut seeded = Seeded::new(self.body_count);
        body.extend((0..size).map(|_| seeded.next() as u8));
        let next = |queue: &u64| model.get(queue).map_or(0, |queue| queue.next_position);
        let places = queues.iter().map(|queue| (QueueId(*queue), Position(next(queue))));
        (places.collect(), message(&body))
    }

    /// The parts hold what a transaction of a channel holds: publishes, and ends of what was there before.
    fn commit(&mut self, parts: &[Action]) {
        let mut model = self.model.clone();
        let mut owned = Vec::new();
        for part in parts {
            owned.push(match part {
                Action::Publish { queues, size } => {
                    let (places, message) = self.message(&model, queues, *size);
                    self.body_count += 1;
                    OwnedRecord::Publish { places, message }
                }
                Action::Settle { queue, nth } => {
                    let (positions, bytes) = self.nth(*queue, nth);
                    OwnedRecord::Settle { queue: QueueId(*queue), positions, bytes }
                }
                Action::Requeue { queue, nth } => {
                    OwnedRecord::Requeue { queue: QueueId(*queue), positions: self.nth(*queue, nth).0 }
                }
                other => panic!("{other:?} is not for a transaction"),
            });
            apply(&mut model, &owned.last().unwrap().borrow());
        }
        let records: Vec<Record<'_>> = owned.iter().map(OwnedRecord::borrow).collect();
        let appended = self.log.append_transaction(&records);
        self.appended(appended, &records);
    }

    /// Positions of live messages, and their bodies together.
    fn nth(&self, queue: u64, nth: &[usize]) -> (PositionRanges, u64) {
        let live: Vec<(u64, usize)> = self.model.get(&queue).map_or(Vec::new(), |queue| {
            queue.messages.iter().map(|(position, message)| (*position, message.body_size)).collect()
        });
        let chosen: BTreeMap<u64, usize> = nth.iter().filter_map(|nth| live.get(*nth)).copied().collect();
        let bytes = chosen.values().map(|size| *size as u64).sum();
        (chosen.into_keys().map(Position).collect(), bytes)
    }

    fn append(&mut self, record: &Record<'_>) {
        self.appended(self.log.append(record), slice::from_ref(record));
    }

    fn appended(&mut self, appended: Result<Lsn, LogError>, records: &[Record<'_>]) {
        if let Ok(lsn) = appended {
            records.iter().for_each(|record| apply(&mut self.model, record));
            self.model.retain(|_, model| *model != ModelQueue::default());
            self.models.insert(lsn.0, self.model.clone());
        }
    }

    fn note(&mut self) {
        let appended = Lsn(*self.models.keys().next_back().unwrap());
        self.history.push((self.disk.op_count(), self.log.synced_up_to(), appended));
    }

    /// What the records up to `lsn` come to.
    fn model_at(&self, lsn: Lsn) -> &Model {
        self.models.range(..=lsn.0).next_back().unwrap().1
    }

    /// What had been reported as synced after `ops` changes of the disk, and what was appended at most.
    fn bounds(&self, ops: usize) -> (Lsn, Lsn) {
        let before = self.history.iter().rev().find(|(at, ..)| *at <= ops);
        let after = self.history.iter().find(|(at, ..)| *at >= ops).or(self.history.last());
        (before.map_or(Lsn(0), |(_, synced, _)| *synced), after.map_or(Lsn(0), |(.., appended)| *appended))
    }

    /// Gives what was recovered.
    pub(super) fn check(&self, (log, recovered): (&Log, &Recovered), synced: Lsn, context: &str) -> Model {
        assert_eq!(recovered.lost, Vec::<String>::new(), "{context}");
        // A mark alone has a number too, but nothing that could be lost.
        let synced = self.models.range(..=synced.0).next_back().map_or(Lsn(0), |(lsn, _)| Lsn(*lsn));
        assert!(recovered.last_lsn >= synced, "{context}: {:?} < {synced:?}", recovered.last_lsn);
        let model = model_of(log, recovered);
        assert_eq!(model, *self.model_at(recovered.last_lsn), "{context}");
        model
    }
}

fn apply(model: &mut Model, record: &Record<'_>) {
    match *record {
        Record::Publish { places, message } => {
            for (queue, position) in places {
                let queue = model.entry(queue.0).or_default();
                queue.messages.insert(position.0, model_message(message));
                queue.next_position = queue.next_position.max(position.0 + 1);
            }
        }
        Record::Settle { queue, positions, .. } => {
            let Some(queue) = model.get_mut(&queue.0) else { return };
            positions.positions().for_each(|position| {
                queue.messages.remove(&position.0);
            });
        }
        Record::Requeue { queue, positions } => {
            let Some(queue) = model.get_mut(&queue.0) else { return };
            for position in positions.positions() {
                // One that the same transaction settled is gone.
                queue.messages.entry(position.0).and_modify(|message| message.delivery_count += 1);
            }
        }
        Record::Delivered { queue, up_to } => model.entry(queue.0).or_default().delivered_up_to = up_to.0,
        Record::Purge { queue, up_to, kept, .. } => {
            let Some(queue) = model.get_mut(&queue.0) else { return };
            let kept: Vec<u64> = kept.positions().map(|position| position.0).collect();
            queue.messages.retain(|position, _| *position >= up_to.0 || kept.contains(position));
        }
        Record::Delete { queue } => drop(model.remove(&queue.0)),
    }
}

/// Whether this is a campaign, not a normal test run.
pub(super) fn is_campaign() -> bool {
    env::var_os(STATES_VARIABLE).is_some()
}

fn states() -> usize {
    env::var(STATES_VARIABLE).map_or(STATES, |states| states.parse().unwrap())
}

fn check_crashes(name: &str, actions: &[Action]) {
    let (ops, count) = crash_everywhere(name, actions, states(), 1);
    println!("{name}: {ops} changes of the disk, {count} states");
}

/// Every change of the disk as the last before a crash, in many ways; each recovery crashed once more.
fn crash_everywhere(name: &str, actions: &[Action], states: usize, seed: u64) -> (usize, usize) {
    let mut run = Run::new(SimDisk::recording(State::default()));
    for (index, action) in actions.iter().enumerate() {
        run.place = format!("{name}, action {index}");
        run.act(action);
    }
    let ops = run.disk.ops();
    let rounds = states.div_ceil(ops.len() * 3);
    let (mut state, mut count) = (State::default(), 0);
    let mut seeded = Seeded::new(seed);
    for (done, op) in ops.iter().enumerate() {
        state.apply(op);
        let (synced, appended) = run.bounds(done + 1);
        for round in 0..rounds {
            let crash = Crash::ALL[(round + done) % Crash::ALL.len()];
            let case_seed = seeded.next();
            let context = format!("{name}: {crash:?} after {} changes, seed {case_seed}", done + 1);
            let mut seeded = Seeded::new(case_seed);
            let crashed = state.crash(crash, &mut seeded);
            count += check_crash(&run, crashed, synced, appended, &mut seeded, &context);
        }
    }
    assert!(count >= states);
    (ops.len(), count)
}

/// Recovers, crashes during that, recovers, crashes after that, recovers.
fn check_crash(
    run: &Run,
    crashed: State,
    synced: Lsn,
    appended: Lsn,
    seeded: &mut Seeded,
    context: &str,
) -> usize {
    let disk = SimDisk::recording(crashed.clone());
    let (log, _, recovered) = open(&disk).unwrap();
    let ops = disk.ops();
    let model = run.check((&log, &recovered), synced, context);
    assert!(model == *run.model_at(recovered.last_lsn.min(appended)), "{context}: invented");
    let mut during = crashed;
    ops[..seeded.below(ops.len())].iter().for_each(|op| during.apply(op));
    let again = during.crash(Crash::ALL[seeded.below(Crash::ALL.len())], seeded);
    let (log, _, second) = open(&SimDisk::with(again)).unwrap();
    run.check((&log, &second), synced, &format!("{context}, again during recovery"));
    let after = disk.state().crash(Crash::Dropped, seeded);
    let (log, _, third) = open(&SimDisk::with(after)).unwrap();
    assert_eq!(model_of(&log, &third), model, "{context}, again after recovery");
    assert_eq!(third.lost, Vec::<String>::new(), "{context}, again after recovery");
    3
}

#[test]
fn crash_of_random_workloads() {
    let (mut ops, mut count, mut seed) = (0, 0, 0);
    while count < states() {
        seed += 1;
        let actions = random_actions(&mut Seeded::new(seed));
        let done = crash_everywhere(&format!("random {seed}"), &actions, 200, seed);
        (ops, count) = (ops + done.0, count + done.1);
    }
    println!("{seed} random workloads: {ops} changes of the disk, {count} states");
}

#[test]
fn crash_of_restart_and_go_on() {
    check_crashes("restart and go on", &restart_and_go_on());
}

#[test]
fn crash_of_publish_and_settle() {
    check_crashes("publish and settle", &publish_and_settle());
}

#[test]
fn crash_of_fan_out() {
    check_crashes("fan-out", &fan_out());
}

#[test]
fn crash_of_requeue_and_deliver() {
    check_crashes("requeue and deliver", &requeue_and_deliver());
}

#[test]
fn crash_of_purge_and_delete() {
    check_crashes("purge and delete", &purge_and_delete());
}

#[test]
fn crash_of_pack_and_recycle() {
    check_crashes("pack and recycle", &pack_and_recycle());
}

#[test]
fn crash_of_transactions() {
    check_crashes("transactions", &transactions());
}

/// The workload does what it is for.
#[test]
fn files_are_used_again() {
    let mut run = Run::new(SimDisk::default());
    pack_and_recycle().iter().for_each(|action| run.act(action));
    let names = run.disk.state().names();
    assert!(names.len() <= 8, "{names:?}");
    assert!(names.iter().any(|name| name.ends_with(".packed")), "{names:?}");
    assert!(!names.contains(&"00000001.log".to_owned()), "{names:?}");
    assert_eq!(run.model[&9].messages.len(), 1);
}

/// What is live in a transaction moves on when its file is needed.
#[test]
fn messages_of_transactions_move() {
    let mut run = Run::new(SimDisk::default());
    transactions().iter().for_each(|action| run.act(action));
    let names = run.disk.state().names();
    assert!(!names.contains(&"00000001.log".to_owned()), "{names:?}");
    assert_eq!(run.model[&9].messages.len(), 2);
}

#[test]
fn orderly_stop_is_told_and_proves_everything() {
    let mut run = Run::new(SimDisk::default());
    publish_and_settle().iter().for_each(|action| run.act(action));
    run.log.close();
    run.act(&Action::Write);
    assert_eq!(run.log.append(&Record::Delete { queue: QueueId(1) }), Err(LogError::Closed));
    let (log, _, recovered) = open(&run.disk).unwrap();
    assert!(recovered.is_clean);
    let appended = Lsn(*run.models.keys().next_back().unwrap());
    run.check((&log, &recovered), appended, "after an orderly stop");
    let (.., recovered) = open(&run.disk).unwrap();
    assert!(!recovered.is_clean);
}

/// So that a passing crash test means something.
#[test]
fn without_sync_something_is_lost() {
    let disk = SimDisk::default();
    let options = LogOptions { unsafe_no_fsync: true, ..LogOptions::tiny() };
    let (log, mut writer, _) = Log::open(Arc::new(disk.clone()), options).unwrap();
    let lsn = log
        .append(&Record::Publish { places: &[(QueueId(1), Position(0))], message: &message(b"lost") })
        .unwrap();
    assert_eq!(writer.step(), Ok(Step::Worked));
    assert!(log.synced_up_to() >= lsn);
    let crashed = disk.state().crash(Crash::Dropped, &mut Seeded::new(1));
    assert!(open(&SimDisk::with(crashed)).unwrap().2.queues.is_empty());
    let kept = disk.state().crash(Crash::Kept, &mut Seeded::new(1));
    assert_eq!(open(&SimDisk::with(kept)).unwrap().2.queues.len(), 1);
}
