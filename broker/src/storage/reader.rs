//! Reading live messages back from the log's files.
//!
//! A file may be freed, and even written anew, while somebody reads from it: every record is checked for its file's
//! epoch, its checksum and the place it was asked for, and a message that is not where it was is looked up again.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use crate::{
    model::{message::Message, queue::Position, queue_id::QueueId},
    storage::{
        disk::{Disk, DiskFile, is_passing, read_up_to},
        file_index::{Directory, FileIndex, IndexEntry},
        live::{FileUse, Placed},
        log_file::{FILE_HEADER_SIZE, FileHeader, ReadHeader, index_name, is_index, log_name},
        record::OwnedRecord,
    },
};

/// Records that lie so near to each other are read together, bytes.
const GAP_MAX: u64 = 16 << 10;
/// Read at once at most, unless one record is larger, bytes.
const EXTENT_MAX: u64 = 512 << 10;
/// Files kept open.
const FILES_MAX: usize = 16;
/// Directories kept in memory.
const DIRECTORIES_MAX: usize = 8;
/// Slices of indexes kept in memory.
const SLICES_MAX: usize = 64;
/// Index entries kept in memory.
const ENTRIES_MAX: usize = 256 << 10;

/// Reads messages, for all queues.
#[derive(Debug)]
pub(super) struct Reader {
    disk: Arc<dyn Disk>,
    /// Held for moments, never while reading.
    cache: Mutex<Cache>,
    /// Held while an index is made, so that nobody makes it twice.
    building: Mutex<()>,
}

#[derive(Debug)]
struct Cache {
    files: Recent<u64, Arc<OpenFile>>,
    directories: Recent<u64, Arc<Directory>>,
    slices: Recent<(u64, QueueId), Arc<[IndexEntry]>>,
}

/// What was used last, the latest at the end.
#[derive(Debug)]
struct Recent<K, V> {
    /// With what each costs.
    entries: Vec<(K, V, usize)>,
    cost_max: usize,
}

/// A file of the log, and what it says of itself.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) header: FileHeader,
}

/// A message, and where its record lies if the index knows it.
type Wanted = (Position, Option<IndexEntry>);

/// A message that was asked for.
#[derive(Debug)]
pub(super) enum Found {
    Message(Message),
    /// It is damaged, and how.
    Not(String),
    /// The system has no means to read it now, and why.
    NotNow(String),
}

impl Found {
    /// The disk or the system refused.
    fn failed(error: &io::Error) -> Self {
        if is_passing(error) {
            Self::NotNow(error.to_string())
        } else {
            Self::Not(format!("it cannot be read: {error}"))
        }
    }
}

impl Reader {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        let cache = Cache {
            files: Recent::new(FILES_MAX),
            directories: Recent::new(DIRECTORIES_MAX),
            slices: Recent::new(ENTRIES_MAX),
        };
        Self { disk, cache: Mutex::new(cache), building: Mutex::new(()) }
    }

    /// Reads messages of one queue that lie in one file, in the order of `placed`, until they are more than
    /// `bytes_max`. What is `Not` found may have been moved since it was looked up.
    pub(super) fn read(
        &self,
        queue: QueueId,
        placed: &[Placed],
        file_use: &FileUse,
        bytes_max: usize,
    ) -> Vec<Found> {
        let opened = self.open(file_use.number);
        let opened = opened.and_then(|file| Ok((self.slice(&file, file_use, queue)?, file)));
        let (slice, file) = match opened {
            Ok(opened) => opened,
            Err(error) => return placed.iter().map(|_| Found::failed(&error)).collect(),
        };
        let mut entries = &slice[..];
        let wanted = placed.iter().map(|placed| (placed.position, take_entry(&mut entries, placed.position)));
        let wanted: Vec<Wanted> = wanted.collect();
        let mut found = Vec::with_capacity(wanted.len());
        let mut bytes = 0;
        while found.len() < wanted.len() && bytes <= bytes_max {
            let rest = &wanted[found.len()..];
            let extent = extent_of(rest);
            if extent.is_empty() {
                found.push(Found::Not("its record is damaged or cannot be read".to_owned()));
                continue;
            }
            bytes += read_extent(queue, &file, extent, &mut found);
        }
        found
    }

    /// A file whose header is whole.
    pub(super) fn open(&self, number: u64) -> io::Result<Arc<OpenFile>> {
        if let Some(file) = self.cache().files.find(&number) {
            return Ok(file);
        }
        let file = self.disk.open(&log_name(number))?;
        let mut page = vec![0; FILE_HEADER_SIZE as usize];
        read_up_to(file.as_ref(), &mut page, 0)?;
        let header = match FileHeader::decode(&page) {
            ReadHeader::Whole(header) if header.number == number => header,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "the file's header is damaged")),
        };
        let file = Arc::new(OpenFile { file, header });
        self.cache().files.keep(number, Arc::clone(&file), 1);
        Ok(file)
    }

    /// Forgets a file that is not in use any more.
    pub(super) fn forget(&self, number: u64) {
        let mut cache = self.cache();
        cache.files.forget(|file| *file == number);
        cache.directories.forget(|file| *file == number);
        cache.slices.forget(|(file, _)| *file == number);
    }

    /// Removes the indexes of all files; false if there was none.
    pub(super) fn drop_indexes(&self) -> bool {
        self.cache().directories.forget(|_| true);
        let names = self.disk.list().unwrap_or_default();
        let indexes = names.iter().filter(|name| is_index(name));
        indexes.filter(|name| self.disk.remove(name).is_ok()).count() > 0
    }

    fn slice(&self, file: &OpenFile, file_use: &FileUse, queue: QueueId) -> io::Result<Arc<[IndexEntry]>> {
        let key = (file_use.number, queue);
        if let Some(slice) = self.cache().slices.find(&key) {
            return Ok(slice);
        }
        let slice: Arc<[IndexEntry]> = match self.load_slice(file, queue) {
            Some(slice) => slice.into(),
            None => self.build(file, file_use, queue)?.into(),
        };
        // Each costs something, so that there are never too many to look through.
        let cost = slice.len().max(ENTRIES_MAX / SLICES_MAX);
        self.cache().slices.keep(key, Arc::clone(&slice), cost);
        Ok(slice)
    }

    /// From an index that is there and whole.
    fn load_slice(&self, file: &OpenFile, queue: QueueId) -> Option<Vec<IndexEntry>> {
        let number = file.header.number;
        let index = self.disk.open(&index_name(number)).ok()?;
        let known = self.cache().directories.find(&number);
        let directory = match known {
            Some(directory) => directory,
            None => {
                let directory = Arc::new(Directory::read(index.as_ref(), file.header.epoch)?);
                self.cache().directories.keep(number, Arc::clone(&directory), 1);
                directory
            }
        };
        directory.read_slice(index.as_ref(), queue)
    }

    fn build(&self, file: &OpenFile, file_use: &FileUse, queue: QueueId) -> io::Result<Vec<IndexEntry>> {
        let _building = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have made it meanwhile.
        if let Some(slice) = self.load_slice(file, queue) {
            return Ok(slice);
        }
        let number = file.header.number;
        let mut index = FileIndex::build(file.file.as_ref(), &file.header, file_use.end_lsn)?;
        self.cache().directories.forget(|other| *other == number);
        index.write(self.disk.as_ref(), number, file.header.epoch);
        Ok(index.queues.remove(&queue).unwrap_or_default())
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: PartialEq, V: Clone> Recent<K, V> {
    fn new(cost_max: usize) -> Self {
        Self { entries: Vec::new(), cost_max }
    }

    fn find(&mut self, key: &K) -> Option<V> {
        let at = self.entries.iter().position(|(other, ..)| other == key)?;
        let entry = self.entries.remove(at);
        let value = entry.1.clone();
        self.entries.push(entry);
        Some(value)
    }

    fn keep(&mut self, key: K, value: V, cost: usize) {
        self.entries.retain(|(other, ..)| *other != key);
        self.entries.push((key, value, cost));
        let mut total: usize = self.entries.iter().map(|(.., cost)| cost).sum();
        while total > self.cost_max && self.entries.len() > 1 {
            total -= self.entries.remove(0).2;
        }
    }

    fn forget(&mut self, is_gone: impl Fn(&K) -> bool) {
        self.entries.retain(|(key, ..)| !is_gone(key));
    }
}

/// The entry of a position, mostly the first; the rest is for positions behind it.
fn take_entry(entries: &mut &[IndexEntry], position: Position) -> Option<IndexEntry> {
    let is_first = entries.first().is_some_and(|entry| entry.position == position.0);
    let at =
        if is_first { 0 } else { entries.binary_search_by_key(&position.0, |entry| entry.position).ok()? };
    let (entry, rest) = entries.get(at..)?.split_first()?;
    *entries = rest;
    Some(*entry)
}

/// The first of the wanted that lie one after another, as far as they are read together. Messages of one record have
/// one place.
fn extent_of(wanted: &[Wanted]) -> &[Wanted] {
    let Some((_, Some(first))) = wanted.first() else { return &[] };
    let (begin, mut end) = (u64::from(first.offset), first.end());
    let mut count = 1;
    while let Some((_, Some(entry))) = wanted.get(count) {
        let offset = u64::from(entry.offset);
        let is_next = offset >= end && offset - end <= GAP_MAX && entry.end() - begin <= EXTENT_MAX;
        if !is_next && entry.end() != end {
            break;
        }
        end = end.max(entry.end());
        count += 1;
    }
    &wanted[..count]
}

/// Reads records that lie near to each other; says how many bytes that were.
fn read_extent(queue: QueueId, file: &OpenFile, extent: &[Wanted], found: &mut Vec<Found>) -> usize {
    let entries = || extent.iter().filter_map(|(position, entry)| Some((*position, (*entry)?)));
    let begin = entries().map(|(_, entry)| u64::from(entry.offset)).next().unwrap_or(0);
    let end = entries().map(|(_, entry)| entry.end()).max().unwrap_or(begin);
    let mut bytes = vec![0; usize::try_from(end - begin).unwrap_or(0)];
    let filled = match read_up_to(file.file.as_ref(), &mut bytes, begin) {
        Ok(filled) => filled,
        Err(error) if extent.len() > 1 => {
            // Around a part that cannot be read the rest is read piece by piece.
            tracing::debug!("{}: {error}, reading record by record", log_name(file.header.number));
            return extent.chunks(1).map(|one| read_extent(queue, file, one, found)).sum();
        }
        Err(error) => {
            found.push(Found::failed(&error));
            return 0;
        }
    };
    bytes.truncate(filled);
    let bytes = Bytes::from(bytes);
    for (position, entry) in entries() {
        let from = (u64::from(entry.offset) - begin) as usize;
        let message = message_in(&bytes, from, entry, file.header.epoch, (queue, position));
        found.push(message.map_or_else(|| Found::Not("its record is damaged".to_owned()), Found::Message));
    }
    filled
}

fn message_in(
    bytes: &Bytes,
    from: usize,
    entry: IndexEntry,
    epoch: u32,
    place: (QueueId, Position),
) -> Option<Message> {
    let end = from.checked_add(entry.size()).filter(|end| *end <= bytes.len())?;
    OwnedRecord::message_at(&bytes.slice(from..end), entry.is_part(), epoch, place)
}
