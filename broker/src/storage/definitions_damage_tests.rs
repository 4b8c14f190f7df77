//! What is left of definitions that are not as they were written: every flipped bit of the file and of its
//! copy, either of them cut, missing or of a newer version.

use std::{env, path::Path, sync::Arc, time::Duration};

use super::definitions_tests::{COPY, FILE, described, open, queue, vhost};
use crate::{
    model::{
        definition::{Change, Definition, DefinitionKey},
        name::Name,
    },
    storage::{
        Completion, Loaded, MetadataStore, StoreError, codec,
        definitions_file::DefinitionsFile,
        definitions_recovery::ID_LEAP,
        inbox::ID_BLOCK,
        sim_disk::{SimDisk, State},
    },
};

/// With this variable every bit is flipped; without it a sample.
const EVERY_BIT_VARIABLE: &str = "LIEBRE_EVERY_BIT";
const FILE_STEP: usize = 1_601;
/// Of a file that was not cut to size, most of which is not in use.
const KILLED_FILE_STEP: usize = 8_009;
const COPY_STEP: usize = 67;
/// Below it ids may have been given, after two runs.
const IDS_MARK: u64 = 1 + 2 * ID_BLOCK;
const NEWEST_QUEUE_ID: u64 = 12;

fn put(definition: Definition) -> Vec<Change> {
    vec![Change::Put(definition)]
}

/// Submits one change set after the other, each with a commit of its own, and stops in order.
fn run(disk: &SimDisk, change_sets: impl IntoIterator<Item = Vec<Change>>) {
    let (store, mut writer) = open(disk).unwrap();
    for changes in change_sets {
        store.submit(changes, Completion::new(|result| result.unwrap()));
        assert!(writer.turn(None));
    }
    store.close();
    writer.run();
}

/// A file with a past, its copy, and what is in both.
fn rested() -> (State, Vec<Definition>) {
    let disk = SimDisk::default();
    let mut expected = vec![vhost("/"), described("a", "new description")];
    run(&disk, [put(vhost("/")), put(described("a", "old description"))]);
    let queues = (1..=NEWEST_QUEUE_ID).map(|id| queue(&format!("queue-{id:02}"), id));
    let deleted = ["queue-03", "queue-07"].map(Name::literal);
    let delete =
        deleted.map(|name| vec![Change::Delete(DefinitionKey::Queue { vhost: Name::literal("/"), name })]);
    run(&disk, queues.clone().map(put).chain([put(expected[1].clone())]).chain(delete));
    expected.extend(
        queues
            .filter(|queue| !matches!(queue, Definition::Queue { queue, .. } if [3, 7].contains(&queue.id))),
    );
    (disk.state(), expected)
}

fn load(state: State) -> Result<(Loaded, u64), StoreError> {
    let (store, _writer) = open(&SimDisk::with(state))?;
    Ok((store.load()?, store.next_queue_id()?))
}

/// Bits to flip: all or some.
fn bits(bytes: &[u8], sample_step: usize) -> Vec<usize> {
    let step = if env::var_os(EVERY_BIT_VARIABLE).is_some() { 1 } else { sample_step };
    (0..bytes.len() * 8).step_by(step).collect()
}

fn flipped(state: &State, name: &str, bit: usize) -> State {
    let mut flipped = state.clone();
    flipped.bytes_mut(name)[bit / 8] ^= 1 << (bit % 8);
    flipped
}

/// The file alone is damaged: the copy has everything.
fn check_file_damage(state: State, expected: &[Definition], context: &str) {
    let (loaded, next_id) = load(state).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(loaded.definitions, expected, "{context}: {:?}", loaded.lost);
    assert!(loaded.lost.len() <= 1, "{context}: {:?}", loaded.lost);
    let is_restored = !loaded.lost.is_empty();
    assert!(next_id >= if is_restored { ID_LEAP } else { IDS_MARK }, "{context}: {next_id}");
}

/// The copy alone is damaged: nothing is lost, and it is told.
fn check_copy_damage(state: State, expected: &[Definition], context: &str) {
    let (loaded, next_id) = load(state).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(loaded.definitions, expected, "{context}");
    let [told] = loaded.lost.as_slice() else { panic!("{context}: {:?}", loaded.lost) };
    assert!(told.contains("definitions.copy was damaged"), "{context}: {told}");
    assert!(told.ends_with("it is made anew, nothing is lost"), "{context}: {told}");
    assert_eq!(next_id, IDS_MARK, "{context}");
}

/// Both are damaged, or there is one alone: what is served was stored once, and what is not is told.
fn check_without_other(state: State, ever: &[Definition], expected: &[Definition], context: &str) {
    match load(state) {
        Ok((loaded, next_id)) => {
            assert!(loaded.definitions.iter().all(|definition| ever.contains(definition)), "{context}");
            assert!(loaded.definitions == expected || !loaded.lost.is_empty(), "{context}: lost in silence");
            assert!(next_id >= IDS_MARK, "{context}: {next_id}");
        }
        Err(error) => assert!(matches!(error, StoreError::Damaged { .. }), "{context}: {error}"),
    }
}

#[test]
fn flipped_bit_of_the_file_costs_nothing() {
    let (state, expected) = rested();
    for bit in bits(state.clone().bytes_mut(FILE), FILE_STEP) {
        check_file_damage(flipped(&state, FILE, bit), &expected, &format!("bit {bit}"));
    }
}

/// What a kill leaves some time after the last change, when the copy is as new, or at once, when it is older by
/// the last commit.
fn killed(is_copied: bool) -> (State, Vec<Definition>) {
    let (state, mut expected) = rested();
    let disk = SimDisk::with(state);
    let (store, mut writer) = open(&disk).unwrap();
    for (description, has_copy) in [("copied", true), ("last", is_copied)] {
        store.submit(put(described("a", description)), Completion::new(|result| result.unwrap()));
        assert!(writer.turn(None));
        if has_copy {
            assert!(writer.turn(Some(Duration::ZERO)));
        }
        expected[1] = described("a", description);
    }
    // What the writer does at the end belongs to an orderly stop.
    std::mem::forget((store, writer));
    (disk.state(), expected)
}

#[test]
fn flipped_bit_after_a_kill_costs_nothing_that_is_in_the_copy() {
    let (state, expected) = killed(true);
    for bit in bits(state.clone().bytes_mut(FILE), KILLED_FILE_STEP) {
        let (loaded, _) = load(flipped(&state, FILE, bit)).unwrap();
        assert_eq!(loaded.definitions, expected, "bit {bit}: {:?}", loaded.lost);
    }
}

/// The last commit alone may be taken for one that was never finished.
#[test]
fn flipped_bit_at_once_after_a_kill_costs_the_last_commit_at_most() {
    let (state, expected) = killed(false);
    let mut before = expected.clone();
    before[1] = described("a", "copied");
    let mut taken_back = 0;
    for bit in bits(state.clone().bytes_mut(FILE), KILLED_FILE_STEP) {
        let (loaded, _) = load(flipped(&state, FILE, bit)).unwrap();
        let is_told = !loaded.lost.is_empty();
        assert!(
            loaded.definitions == expected || loaded.definitions == before,
            "bit {bit}: {:?}",
            loaded.lost
        );
        taken_back += usize::from(loaded.definitions == before && !is_told);
    }
    assert!(taken_back > 0, "or the engine could tell one from the other");
}

#[test]
fn flipped_bit_of_the_copy_costs_nothing() {
    let (state, expected) = rested();
    for bit in bits(state.clone().bytes_mut(COPY), COPY_STEP) {
        check_copy_damage(flipped(&state, COPY, bit), &expected, &format!("bit {bit}"));
    }
}

#[test]
fn cut_file_costs_nothing() {
    let (state, expected) = rested();
    for size in (0..state.clone().bytes_mut(FILE).len())
        .step_by(if env::var_os(EVERY_BIT_VARIABLE).is_some() { 512 } else { 4_096 - 512 })
    {
        let mut cut = state.clone();
        cut.bytes_mut(FILE).truncate(size);
        check_file_damage(cut, &expected, &format!("cut to {size} bytes"));
    }
}

#[test]
fn cut_copy_costs_nothing() {
    let (state, expected) = rested();
    for size in (0..state.clone().bytes_mut(COPY).len()).step_by(64) {
        let mut cut = state.clone();
        cut.bytes_mut(COPY).truncate(size);
        check_copy_damage(cut, &expected, &format!("cut to {size} bytes"));
    }
}

#[test]
fn zeroed_page_costs_nothing() {
    let (state, expected) = rested();
    for page in 0..state.clone().bytes_mut(FILE).len() / 4_096 {
        let mut zeroed = state.clone();
        zeroed.bytes_mut(FILE)[page * 4_096..][..4_096].fill(0);
        check_file_damage(zeroed, &expected, &format!("page {page} zeroed"));
    }
}

#[test]
fn missing_file_is_restored_and_told() {
    let (mut state, expected) = rested();
    state.remove(FILE);
    let (loaded, next_id) = load(state).unwrap();
    assert_eq!(loaded.definitions, expected);
    assert_eq!(
        loaded.lost,
        ["data/definitions.redb is missing: 12 definitions are restored, 12 of them from \
             data/definitions.copy; what was changed after that was written may be lost, what was deleted may \
             be back"]
    );
    assert!(next_id >= ID_LEAP);
}

#[test]
fn missing_copy_is_made_anew() {
    let (state, expected) = rested();
    let mut missing = state.clone();
    missing.remove(COPY);
    let disk = SimDisk::with(missing);
    run(&disk, []);
    assert_eq!(disk.state().names(), [COPY, FILE]);
    let (loaded, _) = load(disk.state()).unwrap();
    assert_eq!(loaded, Loaded { definitions: expected, lost: Vec::new() });
}

#[test]
fn damaged_copy_is_made_anew_and_damaged_file_kept() {
    let (state, expected) = rested();
    for (name, names) in [(COPY, vec![COPY, FILE]), (FILE, vec![COPY, FILE, "definitions.redb.damaged.1"])] {
        let mut damaged = state.clone();
        let middle = damaged.bytes_mut(name).len() / 2;
        damaged.bytes_mut(name)[..middle].fill(0x55);
        let disk = SimDisk::with(damaged);
        run(&disk, []);
        assert_eq!(disk.state().names(), names);
        let (loaded, _) = load(disk.state()).unwrap();
        assert_eq!(loaded, Loaded { definitions: expected.clone(), lost: Vec::new() }, "{name}");
    }
}

#[test]
fn without_a_copy_what_is_lost_is_told() {
    let (mut state, expected) = rested();
    state.remove(COPY);
    let mut ever = expected.clone();
    ever.extend([described("a", "old description"), queue("queue-03", 3), queue("queue-07", 7)]);
    // A commit that is taken back by one bit of the first sector is what the copy is there for.
    let first_sector = 512 * 8;
    for bit in bits(state.clone().bytes_mut(FILE), FILE_STEP).into_iter().filter(|bit| *bit >= first_sector) {
        check_without_other(flipped(&state, FILE, bit), &ever, &expected, &format!("bit {bit}"));
    }
}

#[test]
fn copy_alone_serves_what_is_whole_in_it() {
    let (mut state, expected) = rested();
    state.remove(FILE);
    for bit in bits(state.clone().bytes_mut(COPY), COPY_STEP) {
        let (loaded, next_id) = load(flipped(&state, COPY, bit)).unwrap();
        assert!(loaded.definitions.iter().all(|definition| expected.contains(definition)), "bit {bit}");
        let missing = expected.len() - loaded.definitions.len();
        assert!(missing <= 1 && loaded.lost.len() == 1 + missing, "bit {bit}: {:?}", loaded.lost);
        assert!(next_id >= ID_LEAP, "bit {bit}");
    }
}

#[test]
fn both_beyond_reading_is_an_error_that_names_them() {
    let (state, _) = rested();
    let mut damaged = state.clone();
    damaged.bytes_mut(FILE).fill(7);
    damaged.bytes_mut(COPY).fill(7);
    assert_eq!(
        load(damaged.clone()).unwrap_err().to_string(),
        "data/definitions.redb is damaged: Not a redb database: magic number mismatch; its copy, too: both its \
         heads are damaged"
    );
    damaged.remove(COPY);
    let error = load(damaged.clone()).unwrap_err().to_string();
    assert!(error.ends_with("magic number mismatch; there is no copy"), "{error}");
    let (mut damaged, _) = rested();
    damaged.bytes_mut(COPY).fill(7);
    damaged.remove(FILE);
    let error = load(damaged).unwrap_err().to_string();
    assert!(error.contains("it is missing; its copy, too: both"), "{error}");
}

/// The last commits of the file are not in the copy.
fn with_old_copy() -> (State, Vec<Definition>) {
    let (state, mut expected) = rested();
    let mut old_copy = state.clone();
    let disk = SimDisk::with(state);
    let delete =
        Change::Delete(DefinitionKey::Queue { vhost: Name::literal("/"), name: Name::literal("queue-12") });
    run(&disk, [vec![delete], put(described("a", "newest description")), put(vhost("new"))]);
    let mut state = disk.state();
    *state.bytes_mut(COPY) = old_copy.bytes_mut(COPY).clone();
    expected.pop();
    expected[1] = described("a", "newest description");
    expected.insert(2, vhost("new"));
    (state, expected)
}

#[test]
fn older_copy_is_made_new() {
    let (state, expected) = with_old_copy();
    let disk = SimDisk::with(state);
    run(&disk, []);
    let mut copy_alone = disk.state();
    copy_alone.remove(FILE);
    assert_eq!(load(copy_alone).unwrap().0.definitions, expected);
}

/// Nothing comes back from an older copy without a word.
#[test]
fn what_an_older_copy_gives_is_named() {
    let (state, expected) = with_old_copy();
    let mut came_back = 0;
    for bit in bits(state.clone().bytes_mut(FILE), FILE_STEP) {
        let (loaded, _) = load(flipped(&state, FILE, bit)).unwrap();
        let told = loaded.lost.join("\n");
        for definition in &loaded.definitions {
            let is_told = told.contains(&format!("{} is restored from the copy", definition.key()))
                || told.contains("12 definitions are restored, 12 of them from data/definitions.copy; what");
            assert!(expected.contains(definition) || is_told, "bit {bit}: {definition:?} in {told}");
            came_back += usize::from(!expected.contains(definition));
        }
        for definition in &expected {
            assert!(loaded.definitions.contains(definition) || !told.is_empty(), "bit {bit}: {definition:?}");
        }
    }
    assert!(came_back > 0);
}

#[test]
fn file_older_than_its_copy_is_not_trusted() {
    let (mut old, _) = rested();
    let (state, _) = with_old_copy();
    let disk = SimDisk::with(state);
    run(&disk, []);
    let mut newer = disk.state();
    let expected = load(newer.clone()).unwrap().0.definitions;
    *newer.bytes_mut(FILE) = old.bytes_mut(FILE).clone();
    let (loaded, next_id) = load(newer).unwrap();
    assert_eq!(loaded.definitions, expected);
    assert!(loaded.lost[0].contains("was damaged (it is older than its copy)"), "{:?}", loaded.lost);
    assert!(next_id >= ID_LEAP);
}

#[test]
fn newer_format_of_either_is_refused() {
    let (state, _) = rested();
    let refused = |state, name: &str| {
        assert_eq!(
            load(state).unwrap_err().to_string(),
            format!(
                "data/{name} has format version 2, written by a newer version of this broker; this one knows \
                 format versions up to 1"
            )
        );
    };
    let mut newer_copy = state.clone();
    let bytes = newer_copy.bytes_mut(COPY);
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..12]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    refused(newer_copy.clone(), COPY);
    newer_copy.remove(FILE);
    refused(newer_copy, COPY);
    let disk = SimDisk::with(state);
    let file = DefinitionsFile::new(Arc::new(disk.clone()), Path::new("data"));
    file.put_for_test("format_version", &codec::seal(b"format_version", &2_u64.to_le_bytes()));
    refused(disk.state(), FILE);
    let mut damaged_too = disk.state();
    *damaged_too.bytes_mut(FILE).last_mut().unwrap() ^= 1;
    refused(damaged_too, FILE);
}
