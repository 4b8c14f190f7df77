//! Which messages of the log are live, and in which file they lie: what tells when a file can be used again,
//! and where to read a message that is not in memory any more.
//!
//! This is the log's whole state but for the messages themselves. A checkpoint writes it down, so that a file
//! without live messages is not needed, whatever else was recorded in it.

use std::{collections::BTreeMap, ops::Range};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{
    model::{queue::Position, queue_id::QueueId},
    storage::{
        log_file::is_packed,
        position_ranges::{PositionRanges, PositionSet, read_number, write_number},
        record::{HEAD_SIZE, Lsn, Record},
    },
};

/// The live messages by queue and by file.
#[derive(Debug, Default)]
pub(super) struct Live {
    queues: HashMap<QueueId, LiveQueue, FixedState>,
    /// The files in use, ascending by number.
    files: Vec<FileUse>,
}

/// How much of a file is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileUse {
    /// The file's number.
    pub(super) number: u64,
    /// The first record it may hold.
    pub(super) first_lsn: Lsn,
    /// The first record it does not hold; none while it is the newest.
    pub(super) end_lsn: Option<Lsn>,
    /// What is written in it, bytes.
    pub(super) bytes: u64,
    /// Messages in it that are not settled, counted once for each of their queues.
    pub(super) live_count: u64,
    /// All messages ever written to it, counted likewise.
    count: u64,
    message_bytes: u64,
}

/// What is known of one queue.
#[derive(Debug, Default)]
struct LiveQueue {
    live: PositionSet,
    /// From a position on, up to the next one here, live messages lie in this file.
    places: BTreeMap<u64, u64>,
    /// Live messages that were requeued, and how often.
    requeued: BTreeMap<u64, u32>,
    next_position: u64,
    delivered_up_to: u64,
    /// Bodies of the live messages.
    bytes: u64,
    /// A message that may expire was published to it.
    is_timed: bool,
}

/// A live message and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) position: Position,
    pub(super) file: u64,
    /// How often it was requeued.
    pub(super) delivery_count: u32,
}

/// What the log knows of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueSummary {
    pub(super) queue: QueueId,
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) next_position: Position,
    pub(super) delivered_up_to: Position,
    pub(super) is_timed: bool,
}

impl FileUse {
    /// About how much of the file live messages take, bytes: exact when it is nothing.
    pub(super) fn live_bytes(&self) -> u64 {
        if self.live_count == 0 {
            return 0;
        }
        let share =
            u128::from(self.message_bytes) * u128::from(self.live_count) / u128::from(self.count.max(1));
        u64::try_from(share).unwrap_or(u64::MAX).max(1)
    }

    fn count_message(&mut self, size: u64, places: usize) {
        self.count += places as u64;
        self.message_bytes += size;
    }
}

impl Live {
    /// Takes note of what one record in `file`, which takes `size` bytes there, holds: itself, or the parts of
    /// a transaction.
    pub(super) fn apply_all(&mut self, records: &[Record<'_>], file: u64, size: u64) {
        if let [record] = records {
            return self.apply(record, file, size);
        }
        let mut head_size = HEAD_SIZE;
        for record in records {
            self.apply(record, file, (record.part_size() + std::mem::take(&mut head_size)) as u64);
        }
    }

    /// Takes note of a record in `file`, which takes `size` bytes there.
    fn apply(&mut self, record: &Record<'_>, file: u64, size: u64) {
        if !matches!(record, Record::Publish { .. }) {
            self.count_bytes(file, size);
        }
        match *record {
            Record::Publish { places, message } => {
                let body_size = message.body_size() as u64;
                let publish = |&&(queue, position): &&_| self.publish(queue, position, file, body_size);
                let live_count = places.iter().filter(publish).count() as u64;
                if let Some(file_use) = self.file_mut(file) {
                    file_use.bytes += size;
                    file_use.live_count += live_count;
                    file_use.count_message(size, places.len());
                }
                if message.arrived_at().is_some() {
                    places.iter().for_each(|(queue, _)| _ = self.set_timed(*queue));
                }
            }
            Record::Settle { queue, positions, bytes } => {
                positions.ranges().for_each(|(first, last)| self.remove(queue, first, last));
                if let Some(live_queue) = self.queues.get_mut(&queue) {
                    live_queue.bytes = live_queue.bytes.saturating_sub(bytes);
                }
            }
            Record::Requeue { queue, positions } => {
                let Some(live_queue) = self.queues.get_mut(&queue) else { return };
                for position in positions.positions().filter(|position| live_queue.live.contains(position.0))
                {
                    *live_queue.requeued.entry(position.0).or_default() += 1;
                }
            }
            Record::Delivered { queue, up_to } => {
                self.queues.entry(queue).or_default().delivered_up_to = up_to.0;
            }
            Record::Purge { queue, up_to, kept, kept_bytes } => {
                self.purge(queue, up_to, kept);
                if let Some(live_queue) = self.queues.get_mut(&queue) {
                    live_queue.bytes = kept_bytes;
                }
            }
            Record::Delete { queue } => {
                self.remove(queue, 0, u64::MAX);
                self.queues.remove(&queue);
            }
        }
    }

    /// Begins to count for another file: a newest one, or one that live messages were packed into.
    pub(super) fn add_file(&mut self, number: u64, first_lsn: Lsn, end_lsn: Option<Lsn>) {
        if let Some(newest) = self.files.iter_mut().rfind(|file_use| !is_packed(file_use.number))
            && !is_packed(number)
        {
            newest.end_lsn.get_or_insert(first_lsn);
        }
        let file_use =
            FileUse { number, first_lsn, end_lsn, bytes: 0, live_count: 0, count: 0, message_bytes: 0 };
        let at = self.files.partition_point(|other| other.number < number);
        self.files.insert(at, file_use);
    }

    /// Forgets files without live messages.
    pub(super) fn drop_files(&mut self, numbers: &[u64]) {
        self.files.retain(|file_use| !numbers.contains(&file_use.number));
        for live_queue in self.queues.values_mut() {
            live_queue.places.retain(|_, file| !numbers.contains(file));
        }
    }

    /// The files in use, ascending by number.
    pub(super) fn files(&self) -> &[FileUse] {
        &self.files
    }

    /// What is known of a file in use.
    pub(super) fn file(&self, number: u64) -> Option<&FileUse> {
        let at = self.files.binary_search_by_key(&number, |file_use| file_use.number).ok()?;
        self.files.get(at)
    }

    /// The next `max` live messages of a queue that stand from `from` to before `to`.
    pub(super) fn placed(&self, queue: QueueId, from: Position, to: Position, max: usize) -> Vec<Placed> {
        let Some(live_queue) = self.queues.get(&queue) else { return Vec::new() };
        let positions = live_queue.live.ranges_from(from.0).flat_map(|(first, last)| first..=last);
        let positions = positions.take_while(|position| *position < to.0).take(max);
        let (mut same_file, mut file) = (0..0, 0);
        let placed = positions.map(|position| {
            if !same_file.contains(&position) {
                (same_file, file) = live_queue.same_file(position);
            }
            let delivery_count = live_queue.requeued.get(&position).copied().unwrap_or(0);
            Placed { position: Position(position), file, delivery_count }
        });
        placed.collect()
    }

    /// The file of a message if it is live.
    pub(super) fn file_of(&self, queue: QueueId, position: Position) -> Option<u64> {
        let live_queue = self.queues.get(&queue)?;
        live_queue.live.contains(position.0).then(|| live_queue.file_of(position.0))
    }

    /// Where a queue's messages begin that lie in the file `from` or behind.
    pub(super) fn first_position_in(&self, queue: QueueId, from: u64) -> Option<Position> {
        let newest = self.queues.get(&queue)?.places.iter().rev();
        let incomplete = newest.take_while(|(_, file)| !is_packed(**file) && **file >= from);
        incomplete.last().map(|(position, _)| Position(*position))
    }

    /// Every queue that the log knows.
    pub(super) fn queues(&self) -> impl Iterator<Item = QueueSummary> {
        self.queues.iter().map(|(queue, live_queue)| QueueSummary {
            queue: *queue,
            count: live_queue.live.count(),
            bytes: live_queue.bytes,
            next_position: Position(live_queue.next_position),
            delivered_up_to: Position(live_queue.delivered_up_to),
            is_timed: live_queue.is_timed,
        })
    }

    /// A message was copied from one file to another: it is there from now on if it is still live.
    pub(super) fn move_to(&mut self, (queue, position): (QueueId, Position), from: u64, to: u64, size: u64) {
        if self.file_of(queue, position) != Some(from) {
            return;
        }
        if let Some(live_queue) = self.queues.get_mut(&queue) {
            live_queue.assign(position.0, to);
        }
        if let Some(file_use) = self.file_mut(from) {
            file_use.live_count = file_use.live_count.saturating_sub(1);
        }
        if let Some(file_use) = self.file_mut(to) {
            file_use.live_count += 1;
            file_use.count_message(size, 1);
        }
    }

    /// Takes note of bytes that were written to a file besides records of messages.
    pub(super) fn count_bytes(&mut self, file: u64, size: u64) {
        if let Some(file_use) = self.file_mut(file) {
            file_use.bytes += size;
        }
    }

    /// False if it was there.
    fn publish(&mut self, queue: QueueId, position: Position, file: u64, body_size: u64) -> bool {
        let live_queue = self.queues.entry(queue).or_default();
        if !live_queue.live.insert(position.0) {
            return false;
        }
        if position.0 < live_queue.next_position {
            live_queue.assign(position.0, file);
        } else if live_queue.places.last_key_value().is_none_or(|(_, newest)| *newest != file) {
            live_queue.places.insert(position.0, file);
        }
        live_queue.bytes += body_size;
        live_queue.next_position = live_queue.next_position.max(position.0.saturating_add(1));
        true
    }

    /// False if the queue is not known.
    fn set_timed(&mut self, queue: QueueId) -> bool {
        self.queues.get_mut(&queue).is_some_and(|live_queue| {
            live_queue.is_timed = true;
            true
        })
    }

    fn purge(&mut self, queue: QueueId, up_to: Position, kept: &PositionRanges) {
        let mut first = 0;
        for (kept_first, kept_last) in kept.ranges().filter(|(kept_first, _)| *kept_first < up_to.0) {
            if kept_first > first {
                self.remove(queue, first, kept_first - 1);
            }
            first = kept_last.saturating_add(1);
        }
        if up_to.0 > first {
            self.remove(queue, first, up_to.0 - 1);
        }
    }

    fn remove(&mut self, queue: QueueId, first: u64, last: u64) {
        let Some(live_queue) = self.queues.get_mut(&queue) else { return };
        let mut gone = Vec::new();
        for (first, last) in live_queue.live.remove(first, last) {
            live_queue.count_places(first, last, &mut gone);
            live_queue.forget_requeues(first, last);
        }
        for (file, count) in gone {
            if let Some(file_use) = self.file_mut(file) {
                file_use.live_count = file_use.live_count.saturating_sub(count);
            }
        }
    }

    fn file_mut(&mut self, number: u64) -> Option<&mut FileUse> {
        let at = self.files.binary_search_by_key(&number, |file_use| file_use.number).ok()?;
        self.files.get_mut(at)
    }
}

/// As a checkpoint has it: LEB128 numbers.
///
/// ```text
/// files, then for each     number | first lsn | end lsn (0: newest) | bytes | messages | their bytes
/// queues, then for each    id | next position | delivered up to | bytes of bodies
///                          | live positions (ranges, see `record`)
///                          | places, then for each   gap from the last position | file
///                          | requeued, then for each gap from the last position | count
/// queues in which messages may expire, then for each   id
/// ```
///
/// The number of a packed file is twice its own and one more, that of another file twice its own.
impl Live {
    /// Everything but what concerns the files that are `dead`.
    pub(super) fn encode(&self, dead: &[u64], out: &mut Vec<u8>) {
        let is_alive = |file: &u64| !dead.contains(file);
        let files: Vec<&FileUse> = self.files.iter().filter(|file_use| is_alive(&file_use.number)).collect();
        write_number(out, files.len() as u64);
        for file_use in files {
            let end_lsn = file_use.end_lsn.unwrap_or_default();
            for number in [
                file_use.number.rotate_left(1),
                file_use.first_lsn.0,
                end_lsn.0,
                file_use.bytes,
                file_use.count,
                file_use.message_bytes,
            ] {
                write_number(out, number);
            }
        }
        write_number(out, self.queues.len() as u64);
        for (queue, live_queue) in &self.queues {
            write_number(out, queue.0);
            live_queue.encode(is_alive, out);
        }
        let timed = || self.queues.iter().filter(|(_, live_queue)| live_queue.is_timed);
        write_number(out, timed().count() as u64);
        timed().for_each(|(queue, _)| write_number(out, queue.0));
    }

    /// Reads what [`Live::encode`] wrote; none if it is anything else.
    pub(super) fn decode(input: &mut &[u8]) -> Option<Self> {
        let mut live = Self::default();
        for _ in 0..read_number(input)? {
            let number = read_number(input)?.rotate_right(1);
            let first_lsn = Lsn(read_number(input)?);
            let end_lsn = Some(read_number(input)?).filter(|lsn| *lsn > 0).map(Lsn);
            let (bytes, count, message_bytes) =
                (read_number(input)?, read_number(input)?, read_number(input)?);
            if live.files.last().is_some_and(|before| before.number >= number) {
                return None;
            }
            live.files.push(FileUse {
                number,
                first_lsn,
                end_lsn,
                bytes,
                live_count: 0,
                count,
                message_bytes,
            });
        }
        for _ in 0..read_number(input)? {
            let queue = QueueId(read_number(input)?);
            let live_queue = LiveQueue::decode(input)?;
            let mut counts = Vec::new();
            for (first, last) in live_queue.live.ranges_from(0) {
                live_queue.count_places(first, last, &mut counts);
            }
            for (file, count) in counts {
                live.file_mut(file)?.live_count += count;
            }
            live.queues.insert(queue, live_queue);
        }
        for _ in 0..read_number(input)? {
            live.set_timed(QueueId(read_number(input)?)).then_some(())?;
        }
        Some(live)
    }
}

impl LiveQueue {
    /// Where the live messages lie in the same file as this one, and the file's number.
    fn same_file(&self, position: u64) -> (Range<u64>, u64) {
        let next_place = self.places.range(position.saturating_add(1)..).next();
        (position..next_place.map_or(u64::MAX, |(next, _)| *next), self.file_of(position))
    }

    fn file_of(&self, position: u64) -> u64 {
        self.places.range(..=position).next_back().map_or(0, |(_, file)| *file)
    }

    /// Notes that one live message lies in this file, and no other does that was not there before.
    fn assign(&mut self, position: u64, file: u64) {
        let before = self.file_of(position);
        if before == file {
            return;
        }
        let next_live = self.live.ranges_from(position.saturating_add(1)).next().map(|(first, _)| first);
        if let Some(next) = next_live
            && self.places.range(position + 1..=next).next().is_none()
        {
            self.places.insert(next, before);
        }
        let is_as_before = self.places.range(..position).next_back().is_some_and(|(_, left)| *left == file);
        if is_as_before {
            self.places.remove(&position);
        } else {
            self.places.insert(position, file);
        }
    }

    /// Adds up how many of a range that was live lie in which file.
    fn count_places(&self, first: u64, last: u64, counts: &mut Vec<(u64, u64)>) {
        let (mut from, mut file) = (first, self.file_of(first));
        if first < last {
            for (&start, &next_file) in self.places.range(first + 1..=last) {
                counts.push((file, start - from));
                (from, file) = (start, next_file);
            }
        }
        counts.push((file, last - from + 1));
    }

    fn forget_requeues(&mut self, first: u64, last: u64) {
        while let Some((&position, _)) = self.requeued.range(first..=last).next() {
            self.requeued.remove(&position);
        }
    }

    fn encode(&self, is_alive: impl Fn(&u64) -> bool, out: &mut Vec<u8>) {
        for number in [self.next_position, self.delivered_up_to, self.bytes] {
            write_number(out, number);
        }
        self.live.encode(out);
        let places: Vec<(u64, u64)> =
            self.places.iter().filter(|(_, file)| is_alive(file)).map(|(at, file)| (*at, *file)).collect();
        write_gaps(places.iter().map(|&(position, file)| (position, file.rotate_left(1))), out);
        write_gaps(self.requeued.iter().map(|(&position, &count)| (position, u64::from(count))), out);
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        let (next_position, delivered_up_to, bytes) =
            (read_number(input)?, read_number(input)?, read_number(input)?);
        let live = PositionSet::from(PositionRanges::decode(input)?);
        let places = read_gaps(input)?.into_iter().map(|(position, file)| (position, file.rotate_right(1)));
        let places = places.collect();
        let requeued =
            read_gaps(input)?.into_iter().map(|(at, count)| Some((at, u32::try_from(count).ok()?)));
        let requeued = requeued.collect::<Option<_>>()?;
        Some(Self { live, places, requeued, next_position, delivered_up_to, bytes, is_timed: false })
    }
}

/// Ascending positions, each with a number.
fn write_gaps(pairs: impl ExactSizeIterator<Item = (u64, u64)>, out: &mut Vec<u8>) {
    write_number(out, pairs.len() as u64);
    let mut before = 0;
    for (position, number) in pairs {
        write_number(out, position - before);
        write_number(out, number);
        before = position;
    }
}

fn read_gaps(input: &mut &[u8]) -> Option<Vec<(u64, u64)>> {
    let count = usize::try_from(read_number(input)?).ok()?;
    // Two bytes each at least: no memory is taken for what is not there.
    if count > input.len() / 2 {
        return None;
    }
    let mut pairs = Vec::with_capacity(count);
    let mut before = 0_u64;
    for _ in 0..count {
        before = before.checked_add(read_number(input)?)?;
        pairs.push((before, read_number(input)?));
    }
    Some(pairs)
}
