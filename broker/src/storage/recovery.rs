//! Opening the log: the checkpoint is read and what was recorded since; what of it is damaged is named; what was being
//! written when the last run ended is kept as far as it is whole, in a new file that is synced before anybody sees it.
//!
//! The new file begins where the proof ends, and that is also what says that the old file's end does not
//! count any more: until its name is durable nothing has changed, so a crash in here is harmless.
//!
//! Messages stay in their files, but for those of the new one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    model::{message::Message, queue::Position, queue_id::QueueId},
    storage::{
        LogError,
        aside::is_left_over,
        beginning::Beginning,
        chain::{Chain, Damage, Item},
        checkpoint::{self, Place, ReadCheckpoint},
        disk::{Disk, DiskFile, read_up_to},
        live::Live,
        log::LogOptions,
        log_file::{
            FILE_HEADER_SIZE, FORMAT_VERSION, FileHeader, MARK_SIZE, Mark, ReadHeader, is_packed, log_name,
            number_in_use, number_of, packed_number, sector_end,
        },
        log_writer::{Files, NewestFile, release},
        pending::{Start, epoch},
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
    /// What says what became of messages is lost, or some of it.
    pub has_loss: bool,
    /// The last record that counts.
    pub last_lsn: Lsn,
}

/// What the log held of one queue.
#[derive(Clone, Debug)]
pub struct RecoveredQueue {
    /// Messages that are not settled.
    pub count: u64,
    /// Their bodies.
    pub bytes: u64,
    /// The newest of them: those that cannot be read back yet. The others stand before them.
    pub newest: Vec<RecoveredMessage>,
    /// Where the next message goes.
    pub next_position: Position,
    /// Messages below may have been handed out.
    pub delivered_up_to: Position,
    /// Some of the messages may expire.
    pub is_timed: bool,
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
    /// Names of files in use or once in use, packed ones too.
    names: BTreeSet<u64>,
    /// Files with an index.
    indexed: BTreeSet<u64>,
    spares: Vec<u64>,
    /// Log files that have to be read.
    files: BTreeMap<u64, LogFile>,
    /// Those of them without a whole header, and why.
    unreadable: BTreeMap<u64, String>,
}

/// What the newest file says of all.
#[derive(Debug)]
struct Newest {
    /// Everything up to here was on stable storage.
    proven: Lsn,
    /// The first record that does not count.
    end: Lsn,
    /// The newest checkpoint that was known to be durable.
    checkpoint: u64,
    is_clean: bool,
}

/// The log as it is read, record by record.
#[derive(Debug)]
struct Replay {
    live: Live,
    lost: Vec<String>,
    damaged: BTreeSet<u64>,
    /// Records that no mark proves, to be written again: kind and body.
    tail: Vec<(u8, Bytes)>,
    /// Messages in the new file.
    newest: HashMap<(QueueId, Position), Message>,
    /// Whether something may be gone that changed what is still there.
    has_loss: bool,
    is_checkpoint_lost: bool,
    replayed_bytes: u64,
}

/// Reads the log and leaves it ready to go on.
pub(super) fn open(disk: &dyn Disk, options: &LogOptions) -> Result<(Start, Files, Recovered), LogError> {
    let mut found = find(disk)?;
    let read = checkpoint::read(disk);
    let (mut place, mut replay) =
        begin(read.map_err(|error| LogError::io("read", checkpoint::NAME, &error))?)?;
    found.open_files(disk, place.file)?;
    let mut newest = found.newest(&place)?;
    if newest.checkpoint > place.number {
        // What an older checkpoint says is of no use: files that it needs are gone.
        replay.lose_checkpoint();
        place = Place::default();
        found.open_files(disk, 0)?;
        newest = found.newest(&place)?;
        replay.read_packed(disk, &found)?;
    }
    newest.proven = newest.proven.max(place.lsn);
    newest.end = newest.end.max(Lsn(place.lsn.0 + 1));
    replay.note_missing(&found, place.file);
    replay.read_all(&found, &place, &newest)?;
    let number = found.last_number().max(place.file) + 1;
    let first_lsn = Lsn(newest.proven.0 + 1);
    let spares = Spares::open(disk, &found.spares, options.file_size, options.spares_max)
        .map_err(|error| LogError::io("open", "spare files", &error))?;
    let header = NewFile { number, first_lsn, checkpoint: place.number.max(newest.checkpoint) };
    let (mut files, (next_lsn, offset)) = replay.begin_file(disk, options, spares, &header)?;
    files.next_packed = found.next_packed();
    release_old(disk, &found, &replay.live, &mut files)?;
    let recovered = replay.recovered(newest.is_clean, Lsn(next_lsn.0 - 1));
    let replayed_bytes = replay.replayed_bytes;
    Ok((Start { file: number, offset, next_lsn, replayed_bytes, live: replay.live }, files, recovered))
}

/// What a new file says of itself.
#[derive(Debug)]
struct NewFile {
    number: u64,
    first_lsn: Lsn,
    checkpoint: u64,
}

/// From the checkpoint, if there is one.
fn begin(read: ReadCheckpoint) -> Result<(Place, Replay), LogError> {
    let mut replay = Replay::new(Live::default());
    match read {
        ReadCheckpoint::Whole(place, live) => Ok((place, Replay::new(live))),
        ReadCheckpoint::Missing => Ok((Place::default(), replay)),
        ReadCheckpoint::Newer(found) => {
            let file = checkpoint::NAME.to_owned();
            Err(LogError::NewerFormat { file, found, supported: FORMAT_VERSION })
        }
        ReadCheckpoint::Damaged(reason) => {
            replay.lost.push(format!("{}: {reason}", checkpoint::NAME));
            Ok((Place::default(), replay))
        }
    }
}

fn find(disk: &dyn Disk) -> Result<Found, LogError> {
    let names = disk.list().map_err(|error| LogError::io("list", "directory", &error))?;
    let mut found = Found::default();
    for name in names {
        if is_left_over(&name) {
            disk.remove(&name).map_err(|error| LogError::io("remove", &name, &error))?;
        } else if let Some(number) = number_of(&name, ".spare") {
            found.spares.push(number);
        } else if let Some(number) = number_in_use(&name) {
            found.names.insert(number);
        } else if let Some(number) = name.strip_suffix(".index").and_then(number_in_use) {
            found.indexed.insert(number);
        }
    }
    found.spares.sort_unstable();
    Ok(found)
}

/// Reads only marks and checksums.
fn read_newest(log_file: &LogFile, place: &Place) -> io::Result<Newest> {
    let header = &log_file.header;
    let (from, is_clean) = begin_of(log_file, place);
    let mut newest =
        Newest { proven: header.proven, end: header.first_lsn, checkpoint: header.checkpoint, is_clean };
    let mut bad = Vec::new();
    let mut chain = Chain::from_batch(log_file.file.as_ref(), header, from, None)?;
    for item in chain.by_ref() {
        newest.is_clean = false;
        match item {
            Item::Mark(mark) => {
                newest.proven = newest.proven.max(mark.proven);
                newest.checkpoint = newest.checkpoint.max(mark.checkpoint);
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

/// Where reading a file begins, and whether the log ends there in order if nothing follows.
fn begin_of(log_file: &LogFile, place: &Place) -> ((u64, Lsn), bool) {
    let header = &log_file.header;
    if header.number == place.file {
        ((place.offset, Lsn(place.lsn.0 + 1)), place.is_clean)
    } else {
        ((FILE_HEADER_SIZE, header.first_lsn), false)
    }
}

/// What an earlier run left behind that is not needed.
fn release_old(disk: &dyn Disk, found: &Found, live: &Live, files: &mut Files) -> Result<(), LogError> {
    let is_old = |number: &u64| live.file(*number).is_none();
    for number in found.names.union(&found.indexed).copied().filter(is_old) {
        release(disk, files, number).map_err(|error| LogError::io("release", &log_name(number), &error))?;
    }
    Ok(())
}

fn read_error(number: u64, error: &io::Error) -> LogError {
    LogError::io("read", &log_name(number), error)
}

impl Found {
    /// Opens the log files from the number `first` on.
    fn open_files(&mut self, disk: &dyn Disk, first: u64) -> Result<(), LogError> {
        let numbers = self.names.range(first..).copied().filter(|number| !is_packed(*number));
        for number in numbers.collect::<Vec<u64>>() {
            if !self.files.contains_key(&number) && !self.unreadable.contains_key(&number) {
                self.add(disk, number)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, disk: &dyn Disk, number: u64) -> Result<(), LogError> {
        let name = log_name(number);
        let file = disk.open(&name).map_err(|error| read_error(number, &error))?;
        let mut page = vec![0; FILE_HEADER_SIZE as usize];
        let reason = match read_up_to(file.as_ref(), &mut page, 0).map(|_| FileHeader::decode(&page)) {
            Ok(ReadHeader::Whole(header)) if header.number == number => {
                self.files.insert(number, LogFile { file, header });
                return Ok(());
            }
            Ok(ReadHeader::Newer(found)) => {
                return Err(LogError::NewerFormat { file: name, found, supported: FORMAT_VERSION });
            }
            Ok(ReadHeader::Whole(header)) => format!("it says that it is file {}", header.number),
            Ok(ReadHeader::Damaged) => "its header is damaged".to_owned(),
            Err(error) => format!("its header cannot be read: {error}"),
        };
        self.unreadable.insert(number, reason);
        Ok(())
    }

    fn newest(&self, place: &Place) -> Result<Newest, LogError> {
        let Some(file) = self.files.values().next_back() else {
            return Ok(Newest { proven: Lsn(0), end: Lsn(1), checkpoint: 0, is_clean: place.is_clean });
        };
        read_newest(file, place).map_err(|error| read_error(file.header.number, &error))
    }

    fn first_number(&self) -> u64 {
        self.names.first().filter(|number| !is_packed(**number)).copied().unwrap_or(1)
    }

    fn last_number(&self) -> u64 {
        self.names.iter().rfind(|number| !is_packed(**number)).copied().unwrap_or(0)
    }

    fn next_packed(&self) -> u64 {
        self.names
            .last()
            .filter(|number| is_packed(**number))
            .map_or(1, |number| (number - packed_number(0)) + 1)
    }

    /// Where the first file behind `number` begins.
    fn next_first_lsn(&self, number: u64) -> Option<Lsn> {
        self.files.range(number + 1..).next().map(|(_, file)| file.header.first_lsn)
    }
}

impl Replay {
    fn new(live: Live) -> Self {
        Self {
            live,
            lost: Vec::new(),
            damaged: BTreeSet::new(),
            tail: Vec::new(),
            newest: HashMap::new(),
            has_loss: false,
            is_checkpoint_lost: false,
            replayed_bytes: 0,
        }
    }

    /// What was settled before the checkpoint comes back, but nothing is lost.
    fn lose_checkpoint(&mut self) {
        self.live = Live::default();
        (self.is_checkpoint_lost, self.has_loss) = (true, true);
        self.lost.push(format!(
            "{}: it is missing or damaged: messages that were settled may come back",
            checkpoint::NAME
        ));
    }

    /// Names the files that the checkpoint needs and that are not there. One that is read would be named then.
    fn note_missing(&mut self, found: &Found, first_read: u64) {
        let is_read =
            |number: u64| !is_packed(number) && (first_read..=found.last_number()).contains(&number);
        let is_missing = |number: &u64| !is_read(*number) && !found.names.contains(number);
        let files = self.live.files().iter().filter(|file_use| is_missing(&file_use.number));
        let lost = files.map(|file_use| {
            let (name, count) = (log_name(file_use.number), file_use.live_count);
            format!("{name}: it is missing: {count} messages in it are lost")
        });
        self.lost.extend(lost);
    }

    /// Without a checkpoint packed files are all there is of what is in them.
    fn read_packed(&mut self, disk: &dyn Disk, found: &Found) -> Result<(), LogError> {
        for number in found.names.iter().copied().filter(|number| is_packed(*number)) {
            let mut packed = Found::default();
            packed.add(disk, number)?;
            let Some(file) = packed.files.get(&number) else {
                self.lose(number, format!("{}: its header is damaged", log_name(number)));
                continue;
            };
            self.live.add_file(number, Lsn(1), None);
            let chain = Chain::new(file.file.as_ref(), &file.header, None);
            for item in chain.map_err(|error| read_error(number, &error))? {
                self.read_item(number, item, Lsn(u64::MAX));
            }
        }
        Ok(())
    }

    fn read_all(&mut self, found: &Found, place: &Place, newest: &Newest) -> Result<(), LogError> {
        // The files begin with 1, but when a checkpoint is lost nobody knows which were freed.
        let first = match place.file {
            0 if self.is_checkpoint_lost => found.first_number(),
            file => file.max(1),
        };
        for number in first..=found.last_number() {
            match found.files.get(&number) {
                Some(file) => {
                    let read = self.read_file(file, place, found.next_first_lsn(number), newest);
                    read.map_err(|error| read_error(number, &error))?;
                }
                // Files that were freed are missing, and without a checkpoint nobody knows which.
                None if self.is_checkpoint_lost && !found.unreadable.contains_key(&number) => {}
                None => {
                    let reason = found.unreadable.get(&number).map_or("it is missing", String::as_str);
                    let name = log_name(number);
                    self.lose(number, format!("{name}: {reason}: all records in it are lost"));
                }
            }
        }
        Ok(())
    }

    fn read_file(
        &mut self,
        log_file: &LogFile,
        place: &Place,
        limit: Option<Lsn>,
        newest: &Newest,
    ) -> io::Result<()> {
        let number = log_file.header.number;
        if self.live.file(number).is_none() {
            self.live.add_file(number, log_file.header.first_lsn, None);
        }
        let end = limit.unwrap_or(newest.end);
        let (from, _) = begin_of(log_file, place);
        let mut chain = Chain::from_batch(log_file.file.as_ref(), &log_file.header, from, Some(end))?;
        for item in chain.by_ref() {
            self.read_item(number, item, newest.proven);
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

    fn read_item(&mut self, number: u64, item: Item, proven: Lsn) {
        match item {
            Item::Mark(_) => {}
            Item::Record { head, body, .. } if head.lsn > proven => {
                self.read_tail(number, head.kind, head.lsn, body);
            }
            Item::Record { head, body, .. } => match OwnedRecord::decode_all(head.kind, &body) {
                Some(records) => self.apply_all(&records, number, HEAD_SIZE + body.len()),
                None => {
                    let text = format!("{}: record {} cannot be understood", log_name(number), head.lsn.0);
                    self.lose(number, text);
                }
            },
            Item::Damage(damage) => self.note_damage(number, &damage),
        }
    }

    /// One record of the file, or the parts of a transaction.
    fn apply_all(&mut self, records: &[OwnedRecord], file: u64, size: usize) {
        let records: Vec<Record<'_>> = records.iter().map(OwnedRecord::borrow).collect();
        self.replayed_bytes += size as u64;
        self.live.apply_all(&records, file, size as u64);
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

    /// Writes what nobody proved into a new file, which is on stable storage, name and all, when this returns; on a
    /// full disk that is left to the writer, and until then the old files count. Gives the next record's number and
    /// place, too.
    fn begin_file(
        &mut self,
        disk: &dyn Disk,
        options: &LogOptions,
        mut spares: Spares,
        new_file: &NewFile,
    ) -> Result<(Files, (Lsn, u64)), LogError> {
        let NewFile { number, first_lsn, checkpoint } = *new_file;
        let tail = std::mem::take(&mut self.tail);
        let before = Lsn(first_lsn.0 - 1);
        let proven = if tail.is_empty() { before } else { Lsn(first_lsn.0 + tail.len() as u64) };
        let epoch = epoch(options.salt, number);
        let header = FileHeader { epoch, number, first_lsn, proven, checkpoint };
        let mut batch = Vec::new();
        let mut offset = FILE_HEADER_SIZE;
        if !tail.is_empty() {
            batch.resize(MARK_SIZE, 0);
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
                checkpoint,
            };
            batch[..MARK_SIZE].copy_from_slice(&mark.encode());
            offset = sector_end(offset + batch.len() as u64);
        }
        let mut beginning = Beginning { header, batch };
        let newest = match beginning.write(disk, &mut spares) {
            Ok(file) => NewestFile::Begun(file),
            Err(error) if error.is_passing() => {
                tracing::warn!(
                    "{error}: messages are served as they are; what becomes of them is not on stable storage \
                     before there is room"
                );
                NewestFile::Waiting(beginning)
            }
            Err(error) => return Err(error),
        };
        self.live.add_file(number, first_lsn, None);
        for (kind, body) in &tail {
            if let Some(records) = OwnedRecord::decode_all(*kind, body) {
                self.apply_all(&records, number, HEAD_SIZE + body.len());
                records.iter().for_each(|record| self.keep_messages(record));
            }
        }
        let damaged = std::mem::take(&mut self.damaged);
        let files = Files { number, newest, checkpoint, next_packed: 1, spares, damaged };
        Ok((files, (Lsn(proven.0 + 1), offset)))
    }

    /// What lies in the new file cannot be read back before that is complete.
    fn keep_messages(&mut self, record: &OwnedRecord) {
        for (places, message) in record.messages() {
            self.newest.extend(places.iter().map(|place| (*place, message.clone())));
        }
    }

    fn recovered(&mut self, is_clean: bool, last_lsn: Lsn) -> Recovered {
        let mut newest: BTreeMap<QueueId, Vec<RecoveredMessage>> = BTreeMap::new();
        for ((queue, position), message) in std::mem::take(&mut self.newest) {
            let placed = self.live.placed(queue, position, Position(position.0 + 1), 1);
            let Some(placed) = placed.first() else { continue };
            let delivery_count = placed.delivery_count;
            newest.entry(queue).or_default().push(RecoveredMessage { position, message, delivery_count });
        }
        let queues = self.live.queues().map(|summary| {
            let mut newest = newest.remove(&summary.queue).unwrap_or_default();
            newest.sort_unstable_by_key(|message| message.position);
            let recovered = RecoveredQueue {
                count: summary.count,
                bytes: summary.bytes,
                newest,
                next_position: summary.next_position,
                delivered_up_to: summary.delivered_up_to,
                is_timed: summary.is_timed,
            };
            (summary.queue, recovered)
        });
        let queues = queues.collect();
        let (lost, has_loss) = (std::mem::take(&mut self.lost), self.has_loss);
        Recovered { queues, lost, is_clean, has_loss, last_lsn }
    }
}
