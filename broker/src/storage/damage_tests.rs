//! What the log makes of bytes that are not as they were written: every flipped bit of a small log, files
//! that are cut, missing, unreadable or of a newer version.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    model::{message::Message, queue::Position, queue_id::QueueId},
    storage::{
        LogError,
        crash_tests::is_campaign,
        log::{Log, LogOptions, Recovered, RecoveredMessage, Step},
        log_file::FileHeader,
        record::{Lsn, Record},
        sim_disk::{SimDisk, State},
    },
};

const QUEUE: QueueId = QueueId(7);

fn options() -> LogOptions {
    LogOptions { file_size: 16 << 10, spares_max: 0, salt: 1, ..LogOptions::default() }
}

/// What a start finds, messages read back.
#[derive(Debug)]
struct Opened {
    recovered: Recovered,
    messages: Vec<RecoveredMessage>,
    /// What was lost, at the start or when it was read.
    lost: Vec<String>,
}

fn open(state: State) -> Result<Opened, LogError> {
    open_disk(SimDisk::with(state))
}

fn open_disk(disk: SimDisk) -> Result<Opened, LogError> {
    let (log, _, recovered) = Log::open(Arc::new(disk), options())?;
    let queues: Vec<&QueueId> = recovered.queues.keys().collect();
    assert!(queues.is_empty() || queues == [&QUEUE]);
    let (mut messages, mut lost) = (Vec::new(), recovered.lost.clone());
    if let Some(queue) = recovered.queues.get(&QUEUE) {
        let to = queue.newest.first().map_or(queue.next_position, |newest| newest.position);
        let mut from = Position(0);
        while from < to {
            let back = log.read(QUEUE, (from, to), 5_000);
            messages.extend(back.messages);
            lost.extend(back.lost);
            assert!(back.next > from);
            from = back.next;
        }
        messages.extend(queue.newest.iter().cloned());
    }
    Ok(Opened { recovered, messages, lost })
}

/// Batches of messages of these sizes, numbered over all; closed in an orderly way, so that a start need not read them.
fn write_log(batches: &[&[usize]]) -> State {
    write_batches(options(), batches, true)
}

/// The same, but everything is to be read at the start.
fn write_unfinished_log(batches: &[&[usize]]) -> State {
    write_batches(options(), batches, false)
}

fn write_batches(options: LogOptions, batches: &[&[usize]], is_closed: bool) -> State {
    let disk = SimDisk::default();
    let (log, mut writer, _) = Log::open(Arc::new(disk.clone()), options).unwrap();
    let mut position = 0;
    for batch in batches {
        for size in *batch {
            let message = message(position, *size);
            log.append(&Record::Publish { places: &[(QUEUE, Position(position))], message: &message })
                .unwrap();
            position += 1;
        }
        while writer.step() == Ok(Step::Worked) {}
    }
    if is_closed {
        log.close();
        assert_eq!(writer.step(), Ok(Step::Ended));
    } else {
        while writer.rest() == Ok(Step::Worked) {}
    }
    disk.state()
}

fn message(position: u64, size: usize) -> Message {
    let mut buffer = b"\x01x\x03a.bHEADER".to_vec();
    buffer.extend((0..size).map(|at| (at as u64 * 31 + position) as u8));
    Message::from_buffer(Bytes::from(buffer), (6, 6), true)
}

/// The positions that are there, all of them with the right bytes.
fn positions(opened: &Opened, sizes: &[usize]) -> BTreeSet<u64> {
    let check = |message: &RecoveredMessage| {
        let position = message.position.0;
        let written = self::message(position, sizes[position as usize]);
        assert_eq!(message.message.body(), written.body());
        assert_eq!(message.message.header(), written.header());
        assert_eq!(message.message.route(), written.route());
        position
    };
    opened.messages.iter().map(check).collect()
}

/// Flips every bit of a file, one at a time (in a normal run every seventh): says how often how many messages were lost.
fn flip_all(state: &State, name: &str, sizes: &[usize]) -> BTreeMap<usize, usize> {
    let all = positions(&open(state.clone()).unwrap(), sizes);
    let bits = state.clone().bytes_mut(name).len() * 8;
    let mut counts = BTreeMap::new();
    // Coprime to eight: of neighbouring bytes other bits.
    let step = if is_campaign() { 1 } else { 7 };
    for bit in (0..bits).step_by(step) {
        let mut flipped = state.clone();
        flipped.bytes_mut(name)[bit / 8] ^= 1 << (bit % 8);
        let opened = open(flipped).unwrap_or_else(|error| panic!("{name}, bit {bit}: {error}"));
        let there = positions(&opened, sizes);
        assert_eq!(there.len(), opened.messages.len(), "{name}, bit {bit}: doubled");
        let missing: Vec<u64> = all.difference(&there).copied().collect();
        assert!(
            missing.is_empty() || !opened.lost.is_empty(),
            "{name}, bit {bit}: {missing:?} lost in silence"
        );
        *counts.entry(missing.len()).or_insert(0) += 1;
    }
    println!("{name}: {bits} bits; messages lost by one: {counts:?}");
    counts
}

const BATCHES: [&[usize]; 5] = [&[5], &[20, 40, 60], &[600], &[0, 0], &[9]];

#[test]
fn every_flipped_bit_is_found_at_the_start_and_the_rest_is_served() {
    let state = write_unfinished_log(&BATCHES);
    assert_eq!(state.names(), ["00000001.log"]);
    let counts = flip_all(&state, "00000001.log", &BATCHES.concat());
    assert!(counts.contains_key(&1) && counts.keys().all(|missing| *missing <= 3), "{counts:?}");
}

#[test]
fn every_flipped_bit_is_found_by_who_reads_and_the_rest_is_served() {
    let state = write_log(&BATCHES);
    assert_eq!(state.names(), ["00000001.log", "checkpoint"]);
    let counts = flip_all(&state, "00000001.log", &BATCHES.concat());
    assert!(counts.contains_key(&1) && counts.keys().all(|missing| *missing <= 3), "{counts:?}");
}

/// What the log says anyway, or says twice, costs nothing when it is damaged.
#[test]
fn flipped_bit_of_an_index_or_a_checkpoint_loses_nothing() {
    let disk = SimDisk::with(write_log(&BATCHES));
    open_disk(disk.clone()).unwrap();
    let state = disk.state();
    for name in ["00000001.log.index", "checkpoint"] {
        let counts = flip_all(&state, name, &BATCHES.concat());
        assert_eq!(counts.keys().copied().collect::<Vec<usize>>(), [0], "{name}");
    }
}

#[test]
fn flipped_bit_of_a_packed_file_is_found() {
    let (state, sizes) = write_packed();
    let name = state.names().into_iter().find(|name| name.ends_with(".packed")).unwrap();
    let counts = flip_all(&state, &name, &sizes);
    assert!(counts.contains_key(&1) && counts.keys().all(|missing| *missing <= 3), "{counts:?}");
}

/// Three messages that are left of many.
fn write_packed() -> (State, Vec<usize>) {
    let options = LogOptions {
        checkpoint_bytes: 8 << 10,
        budget_bytes: 16 << 10,
        pack_max_bytes: 16 << 10,
        ..options()
    };
    let disk = SimDisk::default();
    let (log, mut writer, _) = Log::open(Arc::new(disk.clone()), options).unwrap();
    let sizes = vec![600; 60];
    for (position, size) in sizes.iter().enumerate() {
        let message = message(position as u64, *size);
        log.append(&Record::Publish { places: &[(QUEUE, Position(position as u64))], message: &message })
            .unwrap();
        if position % 20 != 7 {
            let positions = [Position(position as u64)].into_iter().collect();
            log.append(&Record::Settle { queue: QUEUE, positions: &positions, bytes: *size as u64 }).unwrap();
        }
        while writer.step() == Ok(Step::Worked) {}
    }
    log.close();
    while writer.step() == Ok(Step::Worked) {}
    (disk.state(), sizes)
}

/// Two messages and the end of a third, in one record: any bit of it costs all of it, and says so.
#[test]
fn flipped_bit_in_a_transaction_costs_all_of_it_or_nothing() {
    let disk = SimDisk::default();
    let (log, mut writer, _) = Log::open(Arc::new(disk.clone()), options()).unwrap();
    let sizes = [8, 30, 50];
    let places: Vec<_> = (0..3).map(|position| [(QUEUE, Position(position))]).collect();
    let messages: Vec<_> = (0..3).map(|position| message(position, sizes[position as usize])).collect();
    let publish = |at: usize| Record::Publish { places: &places[at], message: &messages[at] };
    log.append(&publish(0)).unwrap();
    while writer.step() == Ok(Step::Worked) {}
    let positions = [Position(0)].into_iter().collect();
    let settle = Record::Settle { queue: QUEUE, positions: &positions, bytes: 8 };
    log.append_transaction(&[publish(1), settle, publish(2)]).unwrap();
    while writer.step() == Ok(Step::Worked) {}
    while writer.rest() == Ok(Step::Worked) {}
    let state = disk.state();
    let name = "00000001.log";
    let mut has_lost = false;
    for bit in 0..state.clone().bytes_mut(name).len() * 8 {
        let mut flipped = state.clone();
        flipped.bytes_mut(name)[bit / 8] ^= 1 << (bit % 8);
        let recovered = open(flipped).unwrap_or_else(|error| panic!("bit {bit}: {error}"));
        let there = self::positions(&recovered, &sizes);
        let is_whole = there == BTreeSet::from([1, 2]);
        let is_gone = (there.is_empty() || there == BTreeSet::from([0])) && !recovered.lost.is_empty();
        assert!(is_whole || is_gone, "bit {bit}: {there:?}, {:?}", recovered.lost);
        has_lost |= recovered.lost.iter().any(|lost| lost.contains("(transaction)"));
    }
    assert!(has_lost);
}

#[test]
fn zeroed_page_costs_no_other_file() {
    let sizes = [[3_000_usize; 4]; 6];
    let batches: Vec<&[usize]> = sizes.iter().map(<[usize; 4]>::as_slice).collect();
    for state in [write_log(&batches), write_unfinished_log(&batches)] {
        assert!(state.names().len() >= 4);
        let mut damaged = state.clone();
        damaged.bytes_mut("00000002.log")[4_096..8_192].fill(0);
        let opened = open(damaged).unwrap();
        assert!(opened.lost.iter().all(|lost| lost.contains("00000002.log")), "{:?}", opened.lost);
        let there = positions(&opened, &sizes.concat());
        assert!(there.len() >= 20 && there.contains(&0) && there.contains(&23), "{there:?}");
        assert!(there.len() == 24 || !opened.lost.is_empty());
    }
}

#[test]
fn missing_cut_and_unreadable_files_are_named() {
    let sizes = [[3_000_usize; 4]; 6];
    let batches: Vec<&[usize]> = sizes.iter().map(<[usize; 4]>::as_slice).collect();
    let (closed, unfinished) = (write_log(&batches), write_unfinished_log(&batches));
    let sizes = sizes.concat();
    let log_names = unfinished.names().into_iter().filter(|name| name.ends_with(".log"));
    for name in log_names.collect::<Vec<String>>() {
        for (state, is_newest) in [(&closed, false), (&unfinished, unfinished.names().last() == Some(&name))]
        {
            check_missing(state, &name, is_newest, &sizes);
        }
    }
}

fn check_missing(state: &State, name: &str, is_newest: bool, sizes: &[usize]) {
    let check = |opened: Opened, what: &str| {
        let there = positions(&opened, sizes);
        let lost = opened.lost.join("\n");
        assert!(there.len() == sizes.len() || is_newest || lost.contains(name), "{name}, {what}: {lost}");
        assert!(there.len() + 6 >= sizes.len(), "{name}, {what}: {there:?}");
        lost
    };
    let mut missing = state.clone();
    missing.remove(name);
    let lost = check(open(missing).unwrap(), "missing");
    assert!(is_newest || lost.contains(&format!("{name}: it is missing")), "{name}: {lost}");
    let mut without_header = state.clone();
    without_header.bytes_mut(name)[..4_096].fill(0);
    check(open(without_header).unwrap(), "without header");
    let mut cut = state.clone();
    cut.bytes_mut(name).truncate(5_000);
    check(open(cut).unwrap(), "cut");
    let disk = SimDisk::with(state.clone());
    disk.make_unreadable(name, 6_000, 6_500);
    let lost = check(open_disk(disk).unwrap(), "unreadable");
    assert!(is_newest || lost.contains("cannot be read"), "{name}: {lost}");
}

/// Messages that were settled may come back then, but nothing is lost, and it is said.
#[test]
fn without_its_checkpoint_the_log_is_read_whole() {
    let (state, sizes) = write_packed();
    let whole = positions(&open(state.clone()).unwrap(), &sizes);
    assert_eq!(whole, BTreeSet::from([7, 27, 47]));
    let mut missing = state.clone();
    missing.remove("checkpoint");
    let mut damaged = state;
    damaged.bytes_mut("checkpoint").fill(7);
    for state in [missing, damaged] {
        let opened = open(state).unwrap();
        assert!(opened.lost.join(" ").contains("checkpoint: it is missing or damaged"), "{:?}", opened.lost);
        assert!(opened.recovered.has_loss);
        assert!(positions(&opened, &sizes).is_superset(&whole));
    }
}

#[test]
fn newer_format_is_refused_in_words() {
    let mut state = write_log(&[&[1]]);
    let page = state.bytes_mut("00000001.log");
    page[8] = 2;
    let crc = crc32c::crc32c(&page[..12]);
    page[12..16].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(
        open(state).unwrap_err().to_string(),
        "message log: 00000001.log has format version 2, written by a newer version of this broker; this one \
         knows format versions up to 1"
    );
}

#[test]
fn header_is_read_from_its_copy() {
    let header = FileHeader { epoch: 1, number: 2, first_lsn: Lsn(3), proven: Lsn(2), checkpoint: 1 };
    let page = header.encode();
    assert_eq!(page.len(), 4_096);
    let mut damaged = page.clone();
    damaged[..512].fill(0xff);
    for page in [page, damaged] {
        assert_eq!(FileHeader::decode(&page), crate::storage::log_file::ReadHeader::Whole(header));
    }
}

/// What an earlier use of the file left has another epoch, so that it is not read even where its place and
/// its number would fit.
#[test]
fn records_of_another_epoch_are_not_read() {
    let batches: [&[usize]; 3] = [&[10], &[20, 30], &[40]];
    let mut state = write_unfinished_log(&batches);
    let mut other = write_batches(LogOptions { salt: 2, ..options() }, &batches, false);
    let name = "00000001.log";
    let second_batch = 4_096 + 512;
    assert_eq!(positions(&open(state.clone()).unwrap(), &batches.concat()).len(), 4);
    let stale = other.bytes_mut(name)[second_batch..].to_vec();
    state.bytes_mut(name)[second_batch..].copy_from_slice(&stale);
    let recovered = open(state).unwrap();
    assert_eq!(positions(&recovered, &batches.concat()), BTreeSet::from([0]));
    assert_eq!(recovered.lost, Vec::<String>::new());
}
