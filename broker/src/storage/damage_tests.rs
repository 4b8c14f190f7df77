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
        log::{Log, LogOptions, Recovered, Step},
        log_file::FileHeader,
        record::{Lsn, Record},
        sim_disk::{SimDisk, State},
    },
};

const QUEUE: QueueId = QueueId(7);

fn options() -> LogOptions {
    LogOptions { file_size: 16 << 10, spares_max: 0, salt: 1, ..LogOptions::default() }
}

fn open(state: State) -> Result<Recovered, LogError> {
    Log::open(Arc::new(SimDisk::with(state)), options()).map(|(.., recovered)| recovered)
}

/// Batches of messages of these sizes, numbered over all; closed in an orderly way.
fn write_log(batches: &[&[usize]]) -> State {
    write_log_with(options(), batches)
}

fn write_log_with(options: LogOptions, batches: &[&[usize]]) -> State {
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
    log.close();
    assert_eq!(writer.step(), Ok(Step::Ended));
    disk.state()
}

fn message(position: u64, size: usize) -> Message {
    let mut buffer = b"\x01x\x03a.bHEADER".to_vec();
    buffer.extend((0..size).map(|at| (at as u64 * 31 + position) as u8));
    Message::from_buffer(Bytes::from(buffer), (6, 6), true)
}

/// The positions that are there, all of them with the right bytes.
fn positions(recovered: &Recovered, sizes: &[usize]) -> BTreeSet<u64> {
    let queues: Vec<&QueueId> = recovered.queues.keys().collect();
    assert!(queues.is_empty() || queues == [&QUEUE]);
    let Some(queue) = recovered.queues.get(&QUEUE) else { return BTreeSet::new() };
    let check = |message: &crate::storage::log::RecoveredMessage| {
        let position = message.position.0;
        let written = self::message(position, sizes[position as usize]);
        assert_eq!(message.message.body(), written.body());
        assert_eq!(message.message.header(), written.header());
        assert_eq!(message.message.route(), written.route());
        position
    };
    queue.messages.iter().map(check).collect()
}

#[test]
fn every_flipped_bit_is_found_and_the_rest_is_served() {
    let batches: [&[usize]; 5] = [&[5], &[20, 40, 60], &[600], &[0, 0], &[9]];
    let sizes = batches.concat();
    let state = write_log(&batches);
    let name = "00000001.log";
    assert_eq!(state.names(), [name]);
    let all: BTreeSet<u64> = (0..sizes.len() as u64).collect();
    let bits = state.clone().bytes_mut(name).len() * 8;
    let mut counts = BTreeMap::new();
    for bit in 0..bits {
        let mut flipped = state.clone();
        flipped.bytes_mut(name)[bit / 8] ^= 1 << (bit % 8);
        let recovered = open(flipped).unwrap_or_else(|error| panic!("bit {bit}: {error}"));
        let there = positions(&recovered, &sizes);
        let missing: Vec<u64> = all.difference(&there).copied().collect();
        assert!(missing.is_empty() || !recovered.lost.is_empty(), "bit {bit}: {missing:?} lost in silence");
        assert!(missing.len() <= 3, "bit {bit}: {missing:?} lost by one bit: {:?}", recovered.lost);
        for message in recovered.queues.values().flat_map(|queue| &queue.messages) {
            assert_eq!(message.was_delivered, !missing.is_empty(), "bit {bit}");
        }
        *counts.entry(missing.len()).or_insert(0) += 1;
    }
    println!("{bits} bits; messages lost by one: {counts:?}");
    assert!(counts.contains_key(&1));
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
    let settle = Record::Settle { queue: QUEUE, positions: &positions };
    log.append_transaction(&[publish(1), settle, publish(2)]).unwrap();
    log.close();
    while writer.step() == Ok(Step::Worked) {}
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
    let state = write_log(&batches);
    assert!(state.names().len() >= 4);
    let sizes = sizes.concat();
    let mut damaged = state.clone();
    damaged.bytes_mut("00000002.log")[4_096..8_192].fill(0);
    let recovered = open(damaged).unwrap();
    assert_eq!(recovered.lost.len(), 1, "{:?}", recovered.lost);
    assert!(recovered.lost[0].contains("00000002.log: records"), "{:?}", recovered.lost);
    let there = positions(&recovered, &sizes);
    assert!(there.len() >= 20 && there.contains(&0) && there.contains(&23), "{there:?}");
}

#[test]
fn missing_cut_and_unreadable_files_are_named() {
    let sizes = [[3_000_usize; 4]; 6];
    let batches: Vec<&[usize]> = sizes.iter().map(<[usize; 4]>::as_slice).collect();
    let state = write_log(&batches);
    let sizes = sizes.concat();
    let lost = |recovered: &Recovered| recovered.lost.join("\n");
    for name in state.names() {
        let mut missing = state.clone();
        missing.remove(&name);
        let is_newest = state.names().last() == Some(&name);
        let recovered = open(missing).unwrap();
        assert!(is_newest || lost(&recovered).contains(&format!("{name}: it is missing")), "{name}");
        positions(&recovered, &sizes);
        let mut without_header = state.clone();
        without_header.bytes_mut(&name)[..4_096].fill(0);
        let recovered = open(without_header).unwrap();
        assert!(lost(&recovered).contains(&format!("{name}: its header is damaged")), "{name}");
        positions(&recovered, &sizes);
        if !is_newest {
            let mut cut = state.clone();
            cut.bytes_mut(&name).truncate(5_000);
            let recovered = open(cut).unwrap();
            assert!(lost(&recovered).contains(&name), "{name}: {}", lost(&recovered));
            assert!(positions(&recovered, &sizes).len() >= 18, "{name}");
        }
        let disk = SimDisk::with(state.clone());
        disk.make_unreadable(&name, 6_000, 6_500);
        let (.., recovered) = Log::open(Arc::new(disk), options()).unwrap();
        assert!(lost(&recovered).contains("cannot be read"), "{name}: {}", lost(&recovered));
        positions(&recovered, &sizes);
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
    let header = FileHeader { epoch: 1, number: 2, first_lsn: Lsn(3), proven: Lsn(2), oldest: 1 };
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
    let mut state = write_log(&batches);
    let mut other = write_log_with(LogOptions { salt: 2, ..options() }, &batches);
    let name = "00000001.log";
    let second_batch = 4_096 + 512;
    assert_eq!(positions(&open(state.clone()).unwrap(), &batches.concat()).len(), 4);
    let stale = other.bytes_mut(name)[second_batch..].to_vec();
    state.bytes_mut(name)[second_batch..].copy_from_slice(&stale);
    let recovered = open(state).unwrap();
    assert_eq!(positions(&recovered, &batches.concat()), BTreeSet::from([0]));
    assert_eq!(recovered.lost, Vec::<String>::new());
}
