//! Where the messages of a file lie, by queue and position: how a queue finds again what it has not in memory.
//!
//! An index only repeats what its file says. It is made when a file is complete in which something is live, never
//! synced, and made again by who reads when it is missing or damaged.
//!
//! ```text
//! 00000001.log.index
//!   0 u8[8] "LIEBRIDX"
//!   8 u32 format version
//!  12 u32 epoch                          of the file's records
//!  16 u64 queues
//!  24 u32 crc32c of bytes 0 to 23 and of the directory
//!  28 directory, queues ascending: u64 queue | u64 offset of its slice | u32 size | u32 crc32c
//!     slices: messages, then for each    gap from the last position | offset of the record, less that of
//!                                        the last one (zigzag) | size of the record    all LEB128
//!             the highest bit of 32 of the size says that it is a part of a transaction
//! ```

use std::{collections::BTreeMap, io};

use crate::{
    model::queue_id::QueueId,
    storage::{
        chain::{Chain, Item},
        disk::{Disk, DiskFile, read_up_to, write_all_at},
        log_file::{FORMAT_VERSION, FileHeader, MARK_SIZE, index_name},
        position_ranges::{read_number, write_number},
        record::{HEAD_SIZE, Head, Lsn, read_u32, read_u64, visit_places},
    },
};

/// Where a message's record lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) position: u64,
    pub(super) offset: u32,
    /// Of the whole record, bytes; see [`PART`].
    size: u32,
}

/// Set in a size when what is there is a part of a transaction: without a head of its own.
const PART: u32 = 1 << 31;

/// Where all messages of a file lie: by queue, ascending positions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FileIndex {
    pub(super) queues: BTreeMap<QueueId, Vec<IndexEntry>>,
    /// The disk refused to read a part of the file, which may pass.
    pub(super) has_gap: bool,
}

/// Where in an index a queue's slice is.
#[derive(Debug)]
pub(super) struct Directory(Vec<(QueueId, SlicePlace)>);

#[derive(Clone, Copy, Debug)]
struct SlicePlace {
    offset: u64,
    size: u32,
    crc: u32,
}

const MAGIC: &[u8; 8] = b"LIEBRIDX";
const HEADER_SIZE: usize = 28;
const CRC_AT: usize = 24;
const DIRECTORY_ENTRY_SIZE: usize = 24;

impl IndexEntry {
    /// The first byte behind the record.
    pub(super) fn end(&self) -> u64 {
        u64::from(self.offset) + self.size() as u64
    }

    /// Of the whole record, bytes.
    pub(super) fn size(&self) -> usize {
        (self.size & !PART) as usize
    }

    /// Whether it is a part of a transaction.
    pub(super) fn is_part(&self) -> bool {
        self.size & PART != 0
    }
}

impl FileIndex {
    /// Reads all of a file. What is damaged is left out.
    pub(super) fn build(file: &dyn DiskFile, header: &FileHeader, limit: Option<Lsn>) -> io::Result<Self> {
        let mut index = Self::default();
        let mut chain = Chain::new(file, header, limit)?;
        for item in chain.by_ref() {
            let Item::Record { at, head, body } = item else { continue };
            index.note(at, head.kind, &body);
        }
        index.has_gap = chain.error().is_some();
        index.sort();
        Ok(index)
    }

    /// Notes the messages of the record at this offset of the file.
    pub(super) fn note(&mut self, at: u64, kind: u8, body: &[u8]) {
        let noted = visit_places(kind, body, |queue, position, holder| {
            let offset = u32::try_from(at + holder.offset as u64);
            let size = u32::try_from(holder.size).ok().filter(|size| size & PART == 0);
            // What is so far behind or so large is not found again; no file or record comes near.
            let (Ok(offset), Some(size)) = (offset, size) else { return };
            let size = if holder.is_part { size | PART } else { size };
            let entry = IndexEntry { position: position.0, offset, size };
            self.queues.entry(queue).or_default().push(entry);
        });
        debug_assert!(noted.is_some(), "a record that was just written or checked");
    }

    /// After the last note: packed files have positions in any order.
    pub(super) fn sort(&mut self) {
        self.queues.values_mut().for_each(|slice| slice.sort_unstable_by_key(|entry| entry.position));
    }

    /// Notes the messages of a batch that was written at this offset.
    pub(super) fn note_batch(&mut self, at: u64, batch: &[u8]) {
        let mut from = MARK_SIZE;
        while let Some(head) = batch.get(from..).and_then(|rest| Head::decode(rest.first_chunk()?)) {
            let end = from + HEAD_SIZE + head.body_size as usize;
            let Some(body) = batch.get(from + HEAD_SIZE..end) else { return };
            self.note(at + from as u64, head.kind, body);
            from = end;
        }
    }

    /// Writes the index file. One that is not written, for whatever reason, is made again when it is needed.
    pub(super) fn write(&self, disk: &dyn Disk, number: u64, epoch: u32) {
        if self.has_gap {
            return;
        }
        let name = index_name(number);
        let written = disk.create(&name);
        let written = written.and_then(|file| write_all_at(file.as_ref(), &self.encode(epoch), 0));
        if written.is_err() {
            disk.remove(&name).ok();
        }
    }

    /// The index file's content.
    fn encode(&self, epoch: u32) -> Vec<u8> {
        let mut slices = Vec::new();
        let mut directory = Vec::with_capacity(self.queues.len() * DIRECTORY_ENTRY_SIZE);
        let slices_at = (HEADER_SIZE + self.queues.len() * DIRECTORY_ENTRY_SIZE) as u64;
        for (queue, entries) in &self.queues {
            let begin = slices.len();
            encode_slice(entries, &mut slices);
            let slice = &slices[begin..];
            directory.extend_from_slice(&queue.0.to_le_bytes());
            directory.extend_from_slice(&(slices_at + begin as u64).to_le_bytes());
            directory.extend_from_slice(&u32::try_from(slice.len()).unwrap_or(u32::MAX).to_le_bytes());
            directory.extend_from_slice(&crc32c::crc32c(slice).to_le_bytes());
        }
        let mut bytes = Vec::with_capacity(HEADER_SIZE + directory.len() + slices.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&epoch.to_le_bytes());
        bytes.extend_from_slice(&(self.queues.len() as u64).to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), &directory);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&directory);
        bytes.extend_from_slice(&slices);
        bytes
    }
}

impl Directory {
    /// Reads an index's directory; none if it is not a whole one of the file with this epoch.
    pub(super) fn read(index: &dyn DiskFile, epoch: u32) -> Option<Self> {
        let mut header = [0; HEADER_SIZE];
        read_whole(index, &mut header, 0)?;
        let mut input = header.strip_prefix(MAGIC)?;
        let is_own = read_u32(&mut input)? == FORMAT_VERSION && read_u32(&mut input)? == epoch;
        let count = usize::try_from(read_u64(&mut input)?).ok()?;
        let size = count.checked_mul(DIRECTORY_ENTRY_SIZE)?;
        if !is_own || size as u64 > index.len().ok()? {
            return None;
        }
        let mut directory = vec![0; size];
        read_whole(index, &mut directory, HEADER_SIZE as u64)?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..CRC_AT]), &directory);
        (read_u32(&mut input)? == crc).then_some(())?;
        let mut input = directory.as_slice();
        let mut slices = Vec::with_capacity(count);
        for _ in 0..count {
            let queue = QueueId(read_u64(&mut input)?);
            let offset = read_u64(&mut input)?;
            slices.push((
                queue,
                SlicePlace { offset, size: read_u32(&mut input)?, crc: read_u32(&mut input)? },
            ));
        }
        Some(Self(slices))
    }

    /// Reads a queue's slice, which is empty if the queue has none; none if it is damaged.
    pub(super) fn read_slice(&self, index: &dyn DiskFile, queue: QueueId) -> Option<Vec<IndexEntry>> {
        let Ok(at) = self.0.binary_search_by_key(&queue, |(queue, _)| *queue) else {
            return Some(Vec::new());
        };
        let place = self.0.get(at)?.1;
        if u64::from(place.size) > index.len().ok()? {
            return None;
        }
        let mut slice = vec![0; place.size as usize];
        read_whole(index, &mut slice, place.offset)?;
        (crc32c::crc32c(&slice) == place.crc).then_some(())?;
        decode_slice(&slice)
    }
}

fn encode_slice(entries: &[IndexEntry], out: &mut Vec<u8>) {
    write_number(out, entries.len() as u64);
    let (mut position, mut offset) = (0, 0);
    for entry in entries {
        let step = i64::from(entry.offset) - offset;
        write_number(out, entry.position - position);
        write_number(out, ((step << 1) ^ (step >> 63)).cast_unsigned());
        write_number(out, u64::from(entry.size));
        (position, offset) = (entry.position, i64::from(entry.offset));
    }
}

fn decode_slice(mut input: &[u8]) -> Option<Vec<IndexEntry>> {
    let count = usize::try_from(read_number(&mut input)?).ok()?;
    // Three bytes each at least: no memory is taken for what is not there.
    if count > input.len() / 3 {
        return None;
    }
    let mut entries = Vec::with_capacity(count);
    let (mut position, mut offset) = (0_u64, 0_i64);
    for _ in 0..count {
        position = position.checked_add(read_number(&mut input)?)?;
        let step = read_number(&mut input)?;
        offset = offset.checked_add((step >> 1).cast_signed() ^ -(step & 1).cast_signed())?;
        let size = u32::try_from(read_number(&mut input)?).ok()?;
        entries.push(IndexEntry { position, offset: u32::try_from(offset).ok()?, size });
    }
    Some(entries)
}

fn read_whole(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> Option<()> {
    (read_up_to(file, buffer, offset).ok()? == buffer.len()).then_some(())
}
