//! What the definitions are after every crash and every failure of the disk.
//!
//! The oracle is strict: what is loaded must be what the first k submitted change sets come to, for one k that
//! is not below the last set reported as done nor above what was submitted. So nothing that somebody was told
//! of is lost, nothing deleted comes back, nothing is half done, and no queue id is given twice.

use std::{
    collections::BTreeMap,
    env,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use super::definitions_tests::{described, open, queue};
use crate::{
    model::{
        definition::{Change, Definition, DefinitionKey},
        name::Name,
    },
    storage::{
        Completion, MetadataStore, StoreError,
        definitions::{RedbStore, Writer},
        sim_disk::{Crash, Fault, Op, Seeded, SimDisk, State},
    },
};

/// A campaign sets it to the states of each workload; the normal tests take the least, all changes once.
const STATES_VARIABLE: &str = "LIEBRE_CRASH_STATES";
/// In the normal tests every so-manieth change of the disk fails.
const FAULT_STEP: usize = 5;

#[derive(Clone, Debug)]
enum Action {
    Submit(Vec<Change>),
    /// The writer commits what waits; when nothing does, it copies.
    Turn,
    TakeId,
    /// The process ends and another begins; in an orderly way or not.
    Restart {
        is_orderly: bool,
    },
}

type Results = Arc<Mutex<Vec<(usize, Result<(), StoreError>)>>>;
type Model = BTreeMap<String, Definition>;

/// A store under test and all that was asked of it.
struct Run {
    disk: SimDisk,
    store: RedbStore,
    writer: Writer,
    /// What the first so many change sets come to.
    models: Vec<Model>,
    /// What became of each, in order, since the last start.
    results: Results,
    /// After so many changes of the disk so many sets were reported as done, so many submitted, and this
    /// was the newest queue id given.
    history: Vec<(usize, usize, usize, u64)>,
    done: usize,
    newest_id: u64,
}

impl Run {
    fn new(disk: SimDisk) -> Result<Self, StoreError> {
        let (store, writer) = open(&disk)?;
        let (models, results) = (vec![Model::new()], Arc::default());
        Ok(Self { disk, store, writer, models, results, history: Vec::new(), done: 0, newest_id: 0 })
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Submit(changes) => self.submit(changes),
            Action::Turn => assert!(self.writer.turn(Some(Duration::ZERO))),
            Action::TakeId => {
                if let Ok(id) = self.take_id() {
                    assert!(id > self.newest_id, "id {id} after {}", self.newest_id);
                    self.newest_id = id;
                }
            }
            Action::Restart { is_orderly } => self.restart(*is_orderly),
        }
        self.note();
    }

    /// The writer runs if that is what an id has to wait for.
    fn take_id(&mut self) -> Result<u64, StoreError> {
        if self.store.has_ids() {
            return self.store.next_queue_id();
        }
        let (store, writer) = (&self.store, &mut self.writer);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| store.next_queue_id());
            while !waiting.is_finished() {
                assert!(writer.turn(Some(Duration::from_millis(1))));
            }
            waiting.join().unwrap()
        })
    }

    fn submit(&mut self, changes: &[Change]) {
        let mut model = self.models.last().unwrap().clone();
        for change in changes {
            match change {
                Change::Put(definition) => model.insert(definition.key().to_string(), definition.clone()),
                Change::Delete(key) => model.remove(&key.to_string()),
            };
        }
        let number = self.models.len();
        self.models.push(model);
        let results = Arc::clone(&self.results);
        let done = Completion::new(move |result| results.lock().unwrap().push((number, result)));
        self.store.submit(changes.to_vec(), done);
    }

    /// Of what was not done, what the disk has is what counts from now on.
    fn restart(&mut self, is_orderly: bool) {
        if is_orderly {
            self.store.close();
            while self.writer.turn(Some(Duration::ZERO)) {}
            self.note();
        }
        let (store, writer) = open(&self.disk).unwrap();
        // A process that was killed writes nothing any more, as dropping them would.
        std::mem::forget(std::mem::replace(&mut self.store, store));
        std::mem::forget(std::mem::replace(&mut self.writer, writer));
        let kept = self.check(&self.store, self.done, self.models.len() - 1, self.newest_id, "restart");
        self.models.truncate(kept + 1);
        self.done = kept;
        self.results = Arc::default();
    }

    fn note(&mut self) {
        let results = self.results.lock().unwrap();
        let done = results.iter().filter(|(_, result)| result.is_ok()).map(|(number, _)| *number).max();
        self.done = self.done.max(done.unwrap_or(0));
        drop(results);
        self.history.push((self.disk.op_count(), self.done, self.models.len() - 1, self.newest_id));
    }

    /// What had been reported as done after `ops` changes of the disk, what was submitted at most, and the
    /// newest id.
    fn bounds(&self, ops: usize) -> (usize, usize, u64) {
        let before = self.history.iter().rev().find(|(at, ..)| *at <= ops);
        let after = self.history.iter().find(|(at, ..)| *at >= ops).or(self.history.last());
        let (_, done, _, id) = before.copied().unwrap_or_default();
        (done, after.map_or(0, |(_, _, submitted, _)| *submitted), id)
    }

    /// Says what the store holds: the first how many change sets.
    fn check(
        &self,
        store: &RedbStore,
        done: usize,
        submitted: usize,
        newest_id: u64,
        context: &str,
    ) -> usize {
        let loaded = store.load().unwrap();
        assert_eq!(loaded.lost, Vec::<String>::new(), "{context}");
        let model = model_of(loaded.definitions);
        let submitted = submitted.min(self.models.len() - 1);
        let found = (done..=submitted).rev().find(|number| self.models[*number] == model);
        let found = found.unwrap_or_else(|| panic!("{context}: not what {done} to {submitted} sets come to"));
        let id = store.next_queue_id().unwrap();
        assert!(id > newest_id, "{context}: id {id} after {newest_id}");
        found
    }
}

fn model_of(definitions: Vec<Definition>) -> Model {
    definitions.into_iter().map(|definition| (definition.key().to_string(), definition)).collect()
}

/// Every change of the disk as the last before a crash; each recovery crashed once more.
fn check_crashes(name: &str, actions: &[Action]) {
    let (ops, count) = crash_everywhere(name, actions, states(), 1);
    println!("{name}: {ops} changes of the disk, {count} states");
}

/// One stands for the least that takes every change once.
fn states() -> usize {
    env::var(STATES_VARIABLE).map_or(1, |states| states.parse().unwrap())
}

fn crash_everywhere(name: &str, actions: &[Action], states: usize, seed: u64) -> (usize, usize) {
    let mut run = Run::new(SimDisk::recording(State::default())).unwrap();
    run.note();
    actions.iter().for_each(|action| run.act(action));
    let ops = run.disk.ops();
    let rounds = states.div_ceil(ops.len() * 3);
    let (mut state, mut count) = (State::default(), 0);
    let mut seeded = Seeded::new(seed);
    for (done, op) in ops.iter().enumerate() {
        state.apply(op);
        for round in 0..rounds {
            let crash = Crash::ALL[(round + done) % Crash::ALL.len()];
            let case_seed = seeded.next();
            let context = format!("{name}: {crash:?} after {} changes, seed {case_seed}", done + 1);
            let mut seeded = Seeded::new(case_seed);
            let crashed = state.crash(crash, &mut seeded);
            count += check_crash(&run, crashed, run.bounds(done + 1), &mut seeded, &context);
        }
    }
    (ops.len(), count)
}

/// Recovers, crashes during that and recovers; crashes after that and the next change set, recovers.
fn check_crash(
    run: &Run,
    crashed: State,
    (done, submitted, newest_id): (usize, usize, u64),
    seeded: &mut Seeded,
    context: &str,
) -> usize {
    let disk = SimDisk::recording(crashed.clone());
    let (store, mut writer) = open(&disk).unwrap();
    let found = run.check(&store, done, submitted, newest_id, context);
    let given = store.next_queue_id().unwrap();
    let ops = disk.ops();
    let mut during = crashed;
    ops[..seeded.below(ops.len())].iter().for_each(|op| during.apply(op));
    let again = during.crash(Crash::ALL[seeded.below(Crash::ALL.len())], seeded);
    let (second, _writer) = open(&SimDisk::with(again)).unwrap();
    run.check(&second, done, submitted, newest_id, &format!("{context}, again during recovery"));
    let after = described("after the crash", "");
    store.submit(vec![Change::Put(after.clone())], Completion::new(|result| result.unwrap()));
    assert!(writer.turn(None));
    let third = SimDisk::with(disk.state().crash(Crash::Dropped, seeded));
    let (third, _writer) = open(&third).unwrap();
    let mut expected = run.models[found].clone();
    expected.insert(after.key().to_string(), after);
    assert_eq!(model_of(third.load().unwrap().definitions), expected, "{context}, again after recovery");
    assert!(third.next_queue_id().unwrap() > given, "{context}, again after recovery");
    3
}

fn put(definition: Definition) -> Action {
    Action::Submit(vec![Change::Put(definition)])
}

fn delete_queue(number: u64) -> Change {
    let name = Name::parse(&format!("q{number}")).unwrap();
    Change::Delete(DefinitionKey::Queue { vhost: Name::literal("/"), name })
}

fn put_queue(number: u64) -> Change {
    Change::Put(queue(&format!("q{number}"), number))
}

/// Change sets of one and of several, in commits of one and of several.
fn put_and_delete() -> Vec<Action> {
    let mut actions = vec![put(described("/", "first"))];
    for turn in 1..7 {
        actions.push(Action::Submit(vec![put_queue(turn), put_queue(turn + 100)]));
        if turn % 2 == 0 {
            actions.push(put(described("/", &format!("turn {turn}"))));
            actions.push(Action::Submit(vec![delete_queue(turn - 1), delete_queue(turn + 99)]));
        }
        actions.extend([Action::TakeId, Action::Turn]);
    }
    actions
}

/// A copy after each commit, and one that comes late.
fn copy_often() -> Vec<Action> {
    let mut actions = Vec::new();
    for turn in 1..6 {
        actions.extend([Action::Submit(vec![put_queue(turn)]), Action::Turn]);
        if turn != 3 {
            actions.push(Action::Turn);
        }
        actions.push(Action::Submit(vec![delete_queue(turn - 1), put_queue(turn + 50)]));
    }
    actions.extend([Action::Turn, Action::Turn]);
    actions
}

fn restart_and_go_on() -> Vec<Action> {
    let mut actions = Vec::new();
    for turn in 1..6 {
        actions.extend([Action::TakeId, Action::Submit(vec![put_queue(turn)]), Action::Turn]);
        actions.push(Action::Submit(vec![delete_queue(turn - 1)]));
        actions.push(Action::Restart { is_orderly: turn % 2 == 0 });
    }
    actions
}

/// The file grows and has holes.
fn grow() -> Vec<Action> {
    let mut actions = Vec::new();
    for turn in 0..5 {
        let name = |index| format!("v{turn}-{index}");
        let large = (0..4).map(|index| Change::Put(described(&name(index), &"x".repeat(9_000))));
        actions.extend([Action::Submit(large.collect()), Action::Turn]);
        let gone =
            (0..3).map(|index| Change::Delete(DefinitionKey::Vhost(Name::parse(&name(index)).unwrap())));
        actions.extend([Action::Submit(gone.collect()), Action::Turn]);
    }
    actions.push(Action::Turn);
    actions
}

/// Anything, in any order, over restarts.
fn random_actions(seeded: &mut Seeded) -> Vec<Action> {
    let change = |seeded: &mut Seeded| {
        let number = seeded.below(12) as u64;
        match seeded.below(4) {
            0 => delete_queue(number),
            1 => Change::Put(described(&number.to_string(), &"d".repeat(seeded.below(6_000)))),
            _ => put_queue(number),
        }
    };
    let action = |seeded: &mut Seeded| match seeded.below(12) {
        0..=5 => Action::Submit((0..seeded.below(4)).map(|_| change(seeded)).collect()),
        6 => Action::TakeId,
        7 => Action::Restart { is_orderly: seeded.coin() },
        _ => Action::Turn,
    };
    (0..15).map(|_| action(seeded)).collect()
}

#[test]
fn crash_of_put_and_delete() {
    check_crashes("put and delete", &put_and_delete());
}

#[test]
fn crash_of_copy_often() {
    check_crashes("copy often", &copy_often());
}

#[test]
fn crash_of_restart_and_go_on() {
    check_crashes("restart and go on", &restart_and_go_on());
}

#[test]
fn crash_of_grow() {
    check_crashes("grow", &grow());
}

#[test]
fn crash_of_random_workloads() {
    let (mut ops, mut count, mut seed) = (0, 0, 0);
    while seed < 2 || count < states() {
        seed += 1;
        let actions = random_actions(&mut Seeded::new(seed));
        let done = crash_everywhere(&format!("random {seed}"), &actions, 1, seed);
        (ops, count) = (ops + done.0, count + done.1);
    }
    println!("{seed} random workloads: {ops} changes of the disk, {count} states");
}

/// One failure at each change of the disk, for a while or for good; then a restart.
fn check_faults(actions: &[Action], fault: Fault, count: usize) {
    let mut clean = Run::new(SimDisk::default()).unwrap();
    actions.iter().for_each(|action| clean.act(action));
    let step = if env::var_os(STATES_VARIABLE).is_some() { 1 } else { FAULT_STEP };
    for first in (count % step..clean.disk.op_count()).step_by(step) {
        let context = format!("{fault:?} at {first}, {count} times");
        let disk = SimDisk::default();
        disk.fail(first, count, fault);
        let Ok(mut run) = Run::new(disk.clone()) else {
            disk.heal();
            open(&disk).unwrap();
            continue;
        };
        actions.iter().for_each(|action| run.act(action));
        disk.heal();
        run.act(&put(described("healed", "")));
        (0..2).for_each(|_| run.act(&Action::Turn));
        let results = run.results.lock().unwrap().clone();
        assert_eq!(results.len(), run.models.len() - 1, "{context}: everybody is told once");
        let is_poisoned = |result: &Result<(), StoreError>| matches!(result, Err(StoreError::Failed { .. }));
        let poisoned = results.iter().position(|(_, result)| is_poisoned(result)).unwrap_or(results.len());
        assert!(results[poisoned..].iter().all(|(_, result)| is_poisoned(result)), "{context}");
        if matches!(fault, Fault::Full | Fault::ShortWrite) {
            assert_eq!(run.done, run.models.len() - 1, "{context}: passes by itself");
        }
        for crash in Crash::ALL {
            let crashed = SimDisk::with(disk.state().crash(crash, &mut Seeded::new(first as u64)));
            let (store, _writer) = open(&crashed).unwrap();
            run.check(&store, run.done, run.models.len(), run.newest_id, &format!("{context}, {crash:?}"));
        }
    }
}

/// Small, so that each of its changes can fail in many ways.
fn little_of_everything() -> Vec<Action> {
    let mut actions = vec![put(described("/", "first")), Action::Turn, Action::Turn, Action::TakeId];
    actions.extend([Action::Submit(vec![put_queue(1), put_queue(2)]), Action::Turn]);
    actions.extend([Action::Submit(vec![delete_queue(1)]), put(described("/", &"x".repeat(9_000)))]);
    actions.extend([Action::Turn, Action::Turn, Action::Submit(vec![put_queue(1)]), Action::Turn]);
    actions
}

#[test]
fn broken_disk_at_every_change() {
    check_faults(&little_of_everything(), Fault::Broken, 1);
    check_faults(&little_of_everything(), Fault::Broken, usize::MAX / 2);
}

#[test]
fn full_disk_at_every_change() {
    check_faults(&little_of_everything(), Fault::Full, 1);
    check_faults(&little_of_everything(), Fault::Full, 7);
    check_faults(&little_of_everything(), Fault::Full, usize::MAX / 2);
}

#[test]
fn short_write_at_every_change() {
    check_faults(&little_of_everything(), Fault::ShortWrite, 1);
    check_faults(&little_of_everything(), Fault::ShortWrite, 3);
}

#[test]
fn failed_sync_at_every_change() {
    check_faults(&little_of_everything(), Fault::Unsynced, 1);
    check_faults(&little_of_everything(), Fault::Unsynced, usize::MAX / 2);
}

/// So that a passing crash test means something: what no sync followed is lost.
#[test]
fn without_its_syncs_a_change_is_lost() {
    let mut run = Run::new(SimDisk::recording(State::default())).unwrap();
    run.act(&put(described("/", "")));
    let before = run.disk.op_count();
    run.act(&Action::Turn);
    let mut state = State::default();
    for (number, op) in run.disk.ops().iter().enumerate() {
        if number < before || !matches!(op, Op::Sync { .. }) {
            state.apply(op);
        }
    }
    let crashed = state.crash(Crash::Dropped, &mut Seeded::new(1));
    assert!(open(&SimDisk::with(crashed)).unwrap().0.load().unwrap().definitions.is_empty());
    let kept = state.crash(Crash::Kept, &mut Seeded::new(1));
    assert_eq!(open(&SimDisk::with(kept)).unwrap().0.load().unwrap().definitions.len(), 1);
}
