//! Which messages of the log are live, and in which file they lie: what tells when a file can be used again.
//!
//! Files are freed from the oldest on, never out of order: a settle always lies behind its message, so when
//! the oldest file goes, nothing that is left needs what it said.

use std::collections::{BTreeMap, VecDeque};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{
    model::{queue::Position, queue_id::QueueId},
    storage::{
        position_ranges::PositionSet,
        record::{HEAD_SIZE, MovedPlace, Record},
    },
};

/// The live messages by queue and by file.
#[derive(Debug)]
pub(super) struct Live {
    queues: HashMap<QueueId, LiveQueue, FixedState>,
    /// The files in use, by number without a gap.
    files: VecDeque<FileUse>,
    bytes: u64,
}

/// How much of a file is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileUse {
    /// The file's number.
    pub number: u64,
    /// What is written in it, bytes.
    pub bytes: u64,
    /// Messages in it that are not settled, counted once for each of their queues.
    pub live_count: u64,
    /// All messages ever written to it, counted likewise.
    count: u64,
    message_bytes: u64,
}

/// What is known of one queue.
#[derive(Debug, Default)]
struct LiveQueue {
    live: PositionSet,
    /// Where messages lie that were never moved: from this position on in this file, ascending.
    runs: VecDeque<(u64, u64)>,
    /// Where the others lie.
    moved: BTreeMap<u64, u64>,
    /// Live messages that were requeued, and how often.
    requeued: BTreeMap<u64, u32>,
    next_position: u64,
    delivered_up_to: u64,
    /// The newest file that says what the next position is.
    position_file: u64,
    /// The newest file that says up to where messages were delivered.
    delivered_file: u64,
}

impl FileUse {
    fn new(number: u64) -> Self {
        Self { number, bytes: 0, live_count: 0, count: 0, message_bytes: 0 }
    }

    /// About how much of the file live messages take, bytes: exact when it is nothing.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        if self.live_count == 0 {
            return 0;
        }
        let share =
            u128::from(self.message_bytes) * u128::from(self.live_count) / u128::from(self.count.max(1));
        u64::try_from(share).unwrap_or(u64::MAX).max(1)
    }
}

impl Live {
    /// Nothing live in the files from `oldest` to `newest`.
    pub(super) fn new(oldest: u64, newest: u64) -> Self {
        let files = (oldest..=newest).map(FileUse::new).collect();
        Self { queues: HashMap::default(), files, bytes: 0 }
    }

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
        if let Some(file_use) = self.file_mut(file) {
            file_use.bytes += size;
            self.bytes += size;
        }
        match *record {
            Record::Publish { places, .. } => {
                places.iter().for_each(|&(queue, position)| self.publish(queue, position, file));
                self.count_message_bytes(file, size, places.len());
            }
            Record::Moved { places, .. } => {
                places.iter().for_each(|place| self.moved(place, file));
                self.count_message_bytes(file, size, places.len());
            }
            Record::Settle { queue, positions } => {
                positions.ranges().for_each(|(first, last)| self.remove(queue, first, last));
            }
            Record::Requeue { queue, positions } => {
                let Some(live_queue) = self.queues.get_mut(&queue) else { return };
                for position in positions.positions().filter(|position| live_queue.live.contains(position.0))
                {
                    *live_queue.requeued.entry(position.0).or_default() += 1;
                }
            }
            Record::Delivered { queue, up_to } => {
                let live_queue = self.queues.entry(queue).or_default();
                (live_queue.delivered_up_to, live_queue.delivered_file) = (up_to.0, file);
            }
            Record::Purge { queue, up_to, kept } => {
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
            Record::Delete { queue } => {
                self.remove(queue, 0, u64::MAX);
                self.queues.remove(&queue);
            }
            Record::QueueState { queue, next_position, delivered_up_to } => {
                let live_queue = self.queues.entry(queue).or_default();
                live_queue.next_position = live_queue.next_position.max(next_position.0);
                live_queue.delivered_up_to = delivered_up_to.0;
                (live_queue.position_file, live_queue.delivered_file) = (file, file);
            }
        }
    }

    /// Begins to count for the next file.
    pub(super) fn add_file(&mut self, number: u64) {
        self.files.push_back(FileUse::new(number));
    }

    /// Forgets the oldest file.
    pub(super) fn drop_oldest(&mut self) {
        let Some(file_use) = self.files.pop_front() else { return };
        self.bytes -= file_use.bytes;
        for live_queue in self.queues.values_mut() {
            // A run ends where the next begins.
            while live_queue.runs.get(1).is_some() && live_queue.runs[0].1 <= file_use.number {
                live_queue.runs.pop_front();
            }
        }
    }

    /// The files from the oldest to the one that is written.
    pub(super) fn files(&self) -> impl Iterator<Item = &FileUse> {
        self.files.iter()
    }

    /// All files together, bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The message at this place, if it is live and lies in `file`.
    pub(super) fn place_in(&self, file: u64, queue: QueueId, position: Position) -> Option<MovedPlace> {
        let live_queue = self.queues.get(&queue)?;
        let is_here = live_queue.live.contains(position.0) && live_queue.file_of(position.0) == file;
        let delivery_count = live_queue.requeued.get(&position.0).copied().unwrap_or(0);
        is_here.then_some(MovedPlace { queue, position, delivery_count })
    }

    /// What only files up to `file` tell of queues, as records to be written again.
    pub(super) fn states_up_to(&self, file: u64) -> Vec<Record<'static>> {
        let is_old = |live_queue: &LiveQueue| {
            live_queue.next_position > 0 && live_queue.position_file <= file
                || live_queue.delivered_up_to > 0 && live_queue.delivered_file <= file
        };
        let old = self.queues.iter().filter(|(_, live_queue)| is_old(live_queue));
        let mut states: Vec<(QueueId, u64, u64)> = old
            .map(|(queue, live_queue)| (*queue, live_queue.next_position, live_queue.delivered_up_to))
            .collect();
        states.sort_unstable();
        let state = |(queue, next_position, delivered_up_to)| Record::QueueState {
            queue,
            next_position: Position(next_position),
            delivered_up_to: Position(delivered_up_to),
        };
        states.into_iter().map(state).collect()
    }

    /// Every queue that the log knows: where its next message goes and up to where it was delivered.
    pub(super) fn queues(&self) -> impl Iterator<Item = (QueueId, Position, Position)> {
        let state = |(queue, live_queue): (&QueueId, &LiveQueue)| {
            (*queue, Position(live_queue.next_position), Position(live_queue.delivered_up_to))
        };
        self.queues.iter().map(state)
    }

    /// How often the message was requeued; none if it is not live.
    pub(super) fn delivery_count(&self, queue: QueueId, position: Position) -> Option<u32> {
        let live_queue = self.queues.get(&queue)?;
        let count = live_queue.requeued.get(&position.0).copied().unwrap_or(0);
        live_queue.live.contains(position.0).then_some(count)
    }

    fn publish(&mut self, queue: QueueId, position: Position, file: u64) {
        let live_queue = self.queues.entry(queue).or_default();
        if !live_queue.live.insert(position.0) {
            return;
        }
        match live_queue.runs.back() {
            Some(&(first, run_file)) if run_file == file && position.0 >= first => {}
            Some(&(first, _)) if position.0 <= first => {
                live_queue.moved.insert(position.0, file);
            }
            _ => live_queue.runs.push_back((position.0, file)),
        }
        live_queue.next_position = live_queue.next_position.max(position.0.saturating_add(1));
        live_queue.position_file = file;
        self.count_live(file, 1);
    }

    fn moved(&mut self, place: &MovedPlace, file: u64) {
        self.remove(place.queue, place.position.0, place.position.0);
        let live_queue = self.queues.entry(place.queue).or_default();
        live_queue.live.insert(place.position.0);
        live_queue.moved.insert(place.position.0, file);
        if place.delivery_count > 0 {
            live_queue.requeued.insert(place.position.0, place.delivery_count);
        }
        live_queue.next_position = live_queue.next_position.max(place.position.0.saturating_add(1));
        self.count_live(file, 1);
    }

    fn remove(&mut self, queue: QueueId, first: u64, last: u64) {
        let Some(live_queue) = self.queues.get_mut(&queue) else { return };
        let mut gone = Vec::new();
        for (first, last) in live_queue.live.remove(first, last) {
            live_queue.take_out(first, last, &mut gone);
        }
        for (file, count) in gone {
            if let Some(file_use) = self.file_mut(file) {
                file_use.live_count = file_use.live_count.saturating_sub(count);
            }
        }
    }

    fn count_live(&mut self, file: u64, count: u64) {
        if let Some(file_use) = self.file_mut(file) {
            file_use.live_count += count;
        }
    }

    fn count_message_bytes(&mut self, file: u64, size: u64, places: usize) {
        if let Some(file_use) = self.file_mut(file) {
            file_use.count += places as u64;
            file_use.message_bytes += size;
        }
    }

    fn file_mut(&mut self, number: u64) -> Option<&mut FileUse> {
        let oldest = self.files.front()?.number;
        self.files.get_mut(usize::try_from(number.checked_sub(oldest)?).ok()?)
    }
}

impl LiveQueue {
    fn file_of(&self, position: u64) -> u64 {
        let in_run = || {
            let after = self.runs.partition_point(|(first, _)| *first <= position);
            after.checked_sub(1).map_or(0, |run| self.runs[run].1)
        };
        self.moved.get(&position).copied().unwrap_or_else(in_run)
    }

    /// Forgets a range that was live; adds up how many of it lay in which file.
    fn take_out(&mut self, first: u64, last: u64, gone: &mut Vec<(u64, u64)>) {
        let moved: Vec<(u64, u64)> = self.moved.range(first..=last).map(|(at, file)| (*at, *file)).collect();
        let mut from = first;
        for (position, file) in moved {
            self.moved.remove(&position);
            gone.push((file, 1));
            if position > from {
                self.count_runs(from, position - 1, gone);
            }
            from = position.saturating_add(1);
        }
        if from <= last {
            self.count_runs(from, last, gone);
        }
        if !self.requeued.is_empty() {
            let requeued: Vec<u64> =
                self.requeued.range(first..=last).map(|(position, _)| *position).collect();
            self.requeued.retain(|position, _| requeued.binary_search(position).is_err());
        }
    }

    fn count_runs(&self, first: u64, last: u64, gone: &mut Vec<(u64, u64)>) {
        let mut run = self.runs.partition_point(|(run_first, _)| *run_first <= first).saturating_sub(1);
        let mut from = first;
        while from <= last {
            let Some(&(_, file)) = self.runs.get(run) else { return };
            let end = self.runs.get(run + 1).map_or(last, |(next, _)| last.min(next.saturating_sub(1)));
            gone.push((file, end - from + 1));
            let Some(next) = end.checked_add(1) else { return };
            from = next;
            run += 1;
        }
    }
}
