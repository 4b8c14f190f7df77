//! Opening the log: what was proven is read and what of it is damaged is named; what was being written when
//! the last run ended is kept as far as it is whole, in a new file that is synced before anybody sees it.
//!
//! The new file begins where the proof ends, and that is also what says that the old file's end does not
//! count any more: until its name is durable nothing has changed, so a crash in here is harmless.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    model::{message::Message, queue::Position, queue_id::QueueId},
    storage::{
        LogError,
        chain::{Chain, Damage, Item},
        disk::{Disk, DiskFile, read_up_to, write_all_at},
        live::Live,
        log::{LogOptions, Start, epoch},
        log_file::{
            FILE_HEADER_SIZE, FORMAT_VERSION, FileHeader, MARK_SIZE, Mark, ReadHeader, log_name, number_of,
            sector_end,
        },
        log_writer::{Files, name_file, release, write_padded},
        record::{Body, HEAD_SIZE, Lsn, OwnedRecord, Record},
        spares::Spares,
    },
};

/// What the log held.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// By queue, also of queues that do not exist any more: see [`Log::forget`](super::log::Log::forget).
    pub queues: BTreeMap<QueueId, RecoveredQueue>,
    /// What was there but is damaged or missing, one sentence each for the log.
    pub lost: Vec<String>,
    /// Whether the log was closed in an orderly way.
    pub is_clean: bool,
    /// The last record that counts.
    pub last_lsn: Lsn,
}

/// What the log held of one queue.
#[derive(Clone, Debug)]
pub struct RecoveredQueue {
    /// Messages that are not settled, by position.
    pub messages: Vec<RecoveredMessage>,
    /// Where the next message goes.
    pub next_position: Position,
    /// Messages below may have been handed out.
    pub delivered_up_to: Position,
}

/// A message that is not settled.
#[derive(Clone, Debug)]
pub struct RecoveredMessage {
    /// Its place in its queue.
    pub position: Position,
    /// What was published.
    pub message: Message,
    /// How often it was requeued.
    pub delivery_count: u32,
    /// Whether it may have been handed out before.
    pub was_delivered: bool,
}

/// A file of the log whose header is whole.
#[derive(Debug)]
struct LogFile {
    file: Arc<dyn DiskFile>,
    header: FileHeader,
}

/// All files of the log.
#[derive(Debug, Default)]
struct Found {
    files: BTreeMap<u64, LogFile>,
    /// Files without a whole header, and why.
    unreadable: BTreeMap<u64, String>,
    spares: Vec<u64>,
}

/// What the newest file says of all.
#[derive(Debug)]
struct Newest {
    /// Everything up to here was on stable storage.
    proven: Lsn,
    /// The first record that does not count.
    end: Lsn,
    oldest: u64,
    is_clean: bool,
}

/// The log as it is read, record by record.
#[derive(Debug)]
struct Replay {
    live: Live,
    messages: BTreeMap<QueueId, BTreeMap<u64, Message>>,
    lost: Vec<String>,
    damaged: BTreeSet<u64>,
    /// Records that no mark proves, to be written again: kind and body.
    tail: Vec<(u8, Bytes)>,
    /// Whether something may be gone that changed what is still there.
    has_loss: bool,
}

/// Reads the log and leaves it ready to go on.
pub(super) fn open(disk: &dyn Disk, options: &LogOptions) -> Result<(Start, Files, Recovered), LogError> {
    let found = find(disk)?;
    let newest = match found.files.values().next_back() {
        Some(file) => read_newest(file).map_err(|error| read_error(file.header.number, &error))?,
        None => Newest { proven: Lsn(0), end: Lsn(1), oldest: found.first_number(), is_clean: false },
    };
    let number = found.last_number() + 1;
    let mut replay = Replay::new(newest.oldest, number);
    replay.read_all(&found, &newest)?;
    let first_lsn = Lsn(newest.proven.0 + 1);
    let spares = Spares::open(disk, &found.spares, options.file_size, options.spares_max)
        .map_err(|error| LogError::io("open", "spare files", &error))?;
    let (mut files, start) = replay.begin_file(disk, options, spares, (number, newest.oldest, first_lsn))?;
    release_old(disk, &found, &mut files)?;
    let recovered = replay.recovered(newest.is_clean, Lsn(start.0.0 - 1));
    let (next_lsn, offset) = start;
    Ok((Start { file: number, offset, next_lsn, live: replay.live }, files, recovered))
}

fn find(disk: &dyn Disk) -> Result<Found, LogError> {
    let names = disk.list().map_err(|error| LogError::io("list", "directory", &error))?;
    let mut found = Found::default();
    for name in names {
        if let Some(number) = number_of(&name, ".spare") {
            found.spares.push(number);
        } else if let Some(number) = number_of(&name, ".log") {
            found.add(disk, number, &name)?;
        }
    }
    found.spares.sort_unstable();
    Ok(found)
}

/// Reads only marks and checksums.
fn read_newest(log_file: &LogFile) -> io::Result<Newest> {
    let header = &log_file.header;
    let mut newest =
        Newest { proven: header.proven, end: header.first_lsn, oldest: header.oldest, is_clean: false };
    let mut bad = Vec::new();
    let mut chain = Chain::new(log_file.file.as_ref(), header, None)?;
    for item in chain.by_ref() {
        newest.is_clean = false;
        match item {
            Item::Mark(mark) => {
                newest.proven = newest.proven.max(mark.proven);
                newest.oldest = newest.oldest.max(mark.oldest);
                newest.is_clean = mark.is_clean;
            }
            Item::Damage(damage) => bad.push(damage.first),
            Item::Record { .. } => {}
        }
    }
    let cut = bad.into_iter().find(|first| *first > newest.proven);
    newest.end = cut.unwrap_or(chain.expected()).max(Lsn(newest.proven.0 + 1));
    Ok(newest)
}

/// What an earlier run left behind that is not needed.
fn release_old(disk: &dyn Disk, found: &Found, files: &mut Files) -> Result<(), LogError> {
    for number in found.files.keys().copied().filter(|number| *number < files.oldest).collect::<Vec<u64>>() {
        release(disk, files, number).map_err(|error| LogError::io("release", &log_name(number), &error))?;
    }
    Ok(())
}

fn read_error(number: u64, error: &io::Error) -> LogError {
    LogError::io("read", &log_name(number), error)
}

impl Found {
    fn add(&mut self, disk: &dyn Disk, number: u64, name: &str) -> Result<(), LogError> {
        let file = disk.open(name).map_err(|error| read_error(number, &error))?;
        let mut page = vec![0; FILE_HEADER_SIZE as usize];
        let reason = match read_up_to(file.as_ref(), &mut page, 0).map(|_| FileHeader::decode(&page)) {
            Ok(ReadHeader::Whole(header)) if header.number == number => {
                self.files.insert(number, LogFile { file, header });
                return Ok(());
            }
            Ok(ReadHeader::Newer(found)) => {
                return Err(LogError::NewerFormat {
                    file: name.to_owned(),
                    found,
                    supported: FORMAT_VERSION,
                });
            }
            Ok(ReadHeader::Whole(header)) => format!("it says that it is file {}", header.number),
            Ok(ReadHeader::Damaged) => "its header is damaged".to_owned(),
            Err(error) => format!("its header cannot be read: {error}"),
        };
        self.unreadable.insert(number, reason);
        Ok(())
    }

    fn last_number(&self) -> u64 {
        let last = |numbers: Option<&u64>| numbers.copied().unwrap_or(0);
        last(self.files.keys().next_back()).max(last(self.unreadable.keys().next_back()))
    }

    fn first_number(&self) -> u64 {
        self.unreadable.keys().next().copied().unwrap_or(1)
    }

    /// Where the first file behind `number` begins.
    fn next_first_lsn(&self, number: u64) -> Option<Lsn> {
        self.files.range(number + 1..).next().map(|(_, file)| file.header.first_lsn)
    }
}

impl Replay {
    fn new(oldest: u64, newest: u64) -> Self {
        Self {
            live: Live::new(oldest, newest),
            messages: BTreeMap::new(),
            lost: Vec::new(),
            damaged: BTreeSet::new(),
            tail: Vec::new(),
            has_loss: false,
        }
    }

    fn read_all(&mut self, found: &Found, newest: &Newest) -> Result<(), LogError> {
        for number in newest.oldest..=found.last_number() {
            match found.files.get(&number) {
                Some(file) => {
                    let limit = found.next_first_lsn(number);
                    let read = self.read_file(file, limit, newest);
                    read.map_err(|error| read_error(number, &error))?;
                }
                None => {
                    let reason = found.unreadable.get(&number).map_or("it is missing", String::as_str);
                    let name = log_name(number);
                    self.lose(number, format!("{name}: {reason}: all records in it are lost"));
                }
            }
        }
        Ok(())
    }

    fn read_file(&mut self, log_file: &LogFile, limit: Option<Lsn>, newest: &Newest) -> io::Result<()> {
        let number = log_file.header.number;
        let end = limit.unwrap_or(newest.end);
        let mut chain = Chain::new(log_file.file.as_ref(), &log_file.header, Some(end))?;
        for item in chain.by_ref() {
            match item {
                Item::Mark(_) => {}
                Item::Record { head, body } if head.lsn > newest.proven => {
                    self.read_tail(number, head.kind, head.lsn, body);
                }
                Item::Record { head, body } => match OwnedRecord::decode_all(head.kind, &body) {
                    Some(records) => self.apply_all(&records, number, HEAD_SIZE + body.len()),
                    None => self.lose(
                        number,
                        format!("{}: record {} cannot be understood", log_name(number), head.lsn.0),
                    ),
                },
                Item::Damage(damage) => self.note_damage(number, &damage),
            }
        }
        let proven_end = limit.unwrap_or(Lsn(newest.proven.0 + 1));
        if chain.expected() < proven_end {
            let (first, last) = (chain.expected().0, proven_end.0 - 1);
            let text = format!(
                "{}: records {first} to {last} are lost: the way to them is damaged",
                log_name(number)
            );
            self.lose(number, text);
        }
        if let Some(error) = chain.error() {
            let text = format!("{}: a part of it cannot be read: {error}", log_name(number));
            self.lose(number, text);
        }
        Ok(())
    }

    fn read_tail(&mut self, number: u64, kind: u8, lsn: Lsn, body: Bytes) {
        if OwnedRecord::decode_all(kind, &body).is_some() {
            self.tail.push((kind, body));
        } else {
            self.lose(number, format!("{}: record {} cannot be understood", log_name(number), lsn.0));
        }
    }

    fn note_damage(&mut self, number: u64, damage: &Damage) {
        let name = log_name(number);
        let (at, first, last) = (damage.at, damage.first.0, damage.last.0);
        if damage.what == "mark" {
            self.damaged.insert(number);
            self.lost.push(format!("{name}: the mark at byte {at} is damaged; no record is lost with it"));
        } else if first == last {
            self.lose(
                number,
                format!("{name}: record {first} ({}) at byte {at} is damaged and lost", damage.what),
            );
        } else {
            self.lose(number, format!("{name}: records {first} to {last} at byte {at} are damaged and lost"));
        }
    }

    fn lose(&mut self, number: u64, text: String) {
        self.damaged.insert(number);
        self.lost.push(text);
        self.has_loss = true;
    }

    /// One record of the file, or the parts of a transaction.
    fn apply_all(&mut self, records: &[OwnedRecord], file: u64, size: usize) {
        let records: Vec<Record<'_>> = records.iter().map(OwnedRecord::borrow).collect();
        self.live.apply_all(&records, file, size as u64);
        records.iter().for_each(|record| self.apply(record));
    }

    fn apply(&mut self, record: &Record<'_>) {
        match *record {
            Record::Publish { places, message } => {
                places.iter().for_each(|&(queue, position)| self.keep(queue, position, message));
            }
            Record::Moved { places, message } => {
                places.iter().for_each(|place| self.keep(place.queue, place.position, message));
            }
            Record::Settle { queue, positions } => {
                let Some(messages) = self.messages.get_mut(&queue) else { return };
                for (first, last) in positions.ranges() {
                    let settled: Vec<u64> = messages.range(first..=last).map(|(at, _)| *at).collect();
                    settled.iter().for_each(|position| drop(messages.remove(position)));
                }
            }
            Record::Purge { queue, .. } => {
                let Some(messages) = self.messages.get_mut(&queue) else { return };
                messages.retain(|at, _| self.live.delivery_count(queue, Position(*at)).is_some());
            }
            Record::Delete { queue } => drop(self.messages.remove(&queue)),
            Record::Requeue { .. } | Record::Delivered { .. } | Record::QueueState { .. } => {}
        }
    }

    fn keep(&mut self, queue: QueueId, position: Position, message: &Message) {
        self.messages.entry(queue).or_default().insert(position.0, message.clone());
    }

    /// Writes what nobody proved into a new file, which is on stable storage, name and all, when this
    /// returns. Gives the next record's number and place, too.
    fn begin_file(
        &mut self,
        disk: &dyn Disk,
        options: &LogOptions,
        mut spares: Spares,
        (number, oldest, first_lsn): (u64, u64, Lsn),
    ) -> Result<(Files, (Lsn, u64)), LogError> {
        let tail = std::mem::take(&mut self.tail);
        let before = Lsn(first_lsn.0 - 1);
        let proven = if tail.is_empty() { before } else { Lsn(first_lsn.0 + tail.len() as u64) };
        let epoch = epoch(options.salt, number);
        let header = FileHeader { epoch, number, first_lsn, proven, oldest };
        let failed = |error: io::Error| LogError::io("write", &log_name(number), &error);
        let spare = spares.take(disk).map_err(failed)?;
        write_all_at(spare.file.as_ref(), &header.encode(), 0).map_err(failed)?;
        let mut offset = FILE_HEADER_SIZE;
        if !tail.is_empty() {
            let mut batch = vec![0; MARK_SIZE];
            for ((kind, body), lsn) in tail.iter().zip(first_lsn.0 + 1..) {
                Body::encoded(*kind, body).write(epoch, Lsn(lsn), &mut batch);
            }
            let mark = Mark {
                epoch,
                lsn: first_lsn,
                batch_size: batch.len() as u64,
                record_count: u32::try_from(tail.len()).unwrap_or(u32::MAX),
                is_clean: false,
                proven: before,
                oldest,
            };
            batch[..MARK_SIZE].copy_from_slice(&mark.encode());
            write_padded(spare.file.as_ref(), &mut batch, offset).map_err(failed)?;
            offset = sector_end(offset + batch.len() as u64);
        }
        name_file(disk, &spare, number)?;
        for (kind, body) in &tail {
            if let Some(records) = OwnedRecord::decode_all(*kind, body) {
                self.apply_all(&records, number, HEAD_SIZE + body.len());
            }
        }
        let damaged = std::mem::take(&mut self.damaged);
        Ok((Files { number, file: spare.file, oldest, spares, damaged }, (Lsn(proven.0 + 1), offset)))
    }

    fn recovered(&mut self, is_clean: bool, last_lsn: Lsn) -> Recovered {
        let mut queues = BTreeMap::new();
        for (queue, next_position, delivered_up_to) in self.live.queues() {
            let messages = self.messages.remove(&queue).unwrap_or_default();
            let messages = messages.into_iter().filter_map(|(position, message)| {
                let delivery_count = self.live.delivery_count(queue, Position(position))?;
                // What was lost may have been the note that it was handed out.
                let was_delivered = position < delivered_up_to.0 || delivery_count > 0 || self.has_loss;
                Some(RecoveredMessage {
                    position: Position(position),
                    message,
                    delivery_count,
                    was_delivered,
                })
            });
            let messages = messages.collect();
            queues.insert(queue, RecoveredQueue { messages, next_position, delivered_up_to });
        }
        Recovered { queues, lost: std::mem::take(&mut self.lost), is_clean, last_lsn }
    }
}
