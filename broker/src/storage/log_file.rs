//! The files of the message log: their names, their headers, and the marks that begin a batch.
//!
//! ```text
//! 00000001.log     number, first 1; numbers are never used twice
//! 00000001.log.damaged a file in which something was lost; the log is done with it, people may not be
//! 00000001.spare   a file to be used again, its content means nothing
//! 00000001.packed  live messages copied out of files that were mostly dead: a log file of its own, with
//!                  numbers of its own for file and records
//!
//! file     header at 0, its copy at 2,048, the first batch at 4,096, each next one at a multiple of 512
//! batch    mark | records ...            written by one write, made durable by one sync
//!
//! header, 60 bytes, little-endian
//!   0 u8[8] "LIEBRWAL"
//!   8 u32 format version
//!  12 u32 crc32c of bytes 0 to 11        of every format version
//!  16 u32 epoch                          of all records of this use of the file
//!  20 u64 number                         the file's own
//!  28 u64 first lsn                      what an earlier file has from there on was never confirmed: ignored
//!  36 u64 proven                         everything up to here was on stable storage before this name was given
//!  44 u64 checkpoint                     the newest that was durable before this name was given
//!  52 u32 zero
//!  56 u32 crc32c of bytes 0 to 55
//!
//! mark: a record's head with kind 0, and the body, 32 bytes
//!   0 u64 size of the batch, this mark included
//!   8 u32 records after this mark
//!  12 u32 flags (1: the last batch before an orderly stop)
//!  16 u64 proven                         everything up to here was on stable storage before this was written
//!  24 u64 checkpoint                     the newest that was durable before this was written
//! ```
//!
//! A batch is written after the batch before it was synced, so a mark proves that batch: what is damaged there
//! was confirmed and is reported; what is incomplete after the last proof never was and is cut.

use crate::storage::record::{HEAD_SIZE, Head, Lsn, MARK, read_u32, read_u64};

/// Where the first batch begins.
pub(super) const FILE_HEADER_SIZE: u64 = 4_096;
/// Batches begin at multiples of this, so that no sync rewrites a sector that was synced.
pub(super) const SECTOR_SIZE: u64 = 512;
/// Writes end at multiples of this, so that the kernel need not read the rest of a page.
pub(super) const PAGE_SIZE: u64 = 4_096;
/// A mark with its head, bytes.
pub(super) const MARK_SIZE: usize = HEAD_SIZE + MARK_BODY_SIZE;
/// The format written, and the newest that is understood.
pub(super) const FORMAT_VERSION: u32 = 1;

const MARK_BODY_SIZE: usize = 32;
const HEADER_SIZE: usize = 60;
const COPY_AT: usize = 2_048;
const MAGIC: &[u8; 8] = b"LIEBRWAL";
const CLEAN: u32 = 1;

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) epoch: u32,
    pub(super) number: u64,
    pub(super) first_lsn: Lsn,
    pub(super) proven: Lsn,
    pub(super) checkpoint: u64,
}

/// What could be read of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadHeader {
    Whole(FileHeader),
    Newer(u32),
    Damaged,
}

/// The beginning of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) epoch: u32,
    pub(super) lsn: Lsn,
    pub(super) batch_size: u64,
    pub(super) record_count: u32,
    pub(super) is_clean: bool,
    pub(super) proven: Lsn,
    pub(super) checkpoint: u64,
}

/// Added to the numbers of packed files, so that each file in use has a number to itself.
const PACKED: u64 = 1 << 63;

/// The name of a file in use.
pub(super) fn log_name(number: u64) -> String {
    let ending = if is_packed(number) { "packed" } else { "log" };
    format!("{:08}.{ending}", number & !PACKED)
}

/// The number, among all files, of the packed file with this number of its own.
pub(super) fn packed_number(number: u64) -> u64 {
    number | PACKED
}

/// Whether the file holds messages that were packed together.
pub(super) fn is_packed(number: u64) -> bool {
    number & PACKED != 0
}

/// The number, among all files, in the name of a file in use.
pub(super) fn number_in_use(name: &str) -> Option<u64> {
    number_of(name, ".log").or_else(|| number_of(name, ".packed").map(packed_number))
}

/// The name of what is known of where a file's messages lie.
pub(super) fn index_name(number: u64) -> String {
    log_name(number) + ".index"
}

/// Whether it is the name of an index.
pub(super) fn is_index(name: &str) -> bool {
    name.ends_with(".index")
}

/// The name of a file to be used again.
pub(super) fn spare_name(number: u64) -> String {
    format!("{number:08}.spare")
}

/// The name of a file in which something was lost, when it is not needed any more.
pub(super) fn damaged_name(number: u64) -> String {
    log_name(number) + ".damaged"
}

/// The number in a name with this ending; none for a name that we never give.
pub(super) fn number_of(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    let number = digits.parse().ok()?;
    (digits == format!("{number:08}") && number > 0).then_some(number)
}

/// The next place where a batch can begin.
pub(super) fn sector_end(offset: u64) -> u64 {
    offset.next_multiple_of(SECTOR_SIZE)
}

impl FileHeader {
    /// The file's first page.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_SIZE);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        let crc = crc32c::crc32c(&header);
        header.extend_from_slice(&crc.to_le_bytes());
        header.extend_from_slice(&self.epoch.to_le_bytes());
        for number in [self.number, self.first_lsn.0, self.proven.0, self.checkpoint] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header.extend_from_slice(&0_u32.to_le_bytes());
        let crc = crc32c::crc32c(&header);
        header.extend_from_slice(&crc.to_le_bytes());
        let mut page = vec![0; FILE_HEADER_SIZE as usize];
        for at in [0, COPY_AT] {
            page[at..at + HEADER_SIZE].copy_from_slice(&header);
        }
        page
    }

    /// Reads a file's first page: the header or its copy.
    pub(super) fn decode(page: &[u8]) -> ReadHeader {
        let copies =
            [0, COPY_AT].map(|at| page.get(at..at + HEADER_SIZE).map_or(ReadHeader::Damaged, decode_header));
        match copies {
            [ReadHeader::Damaged, copy] => copy,
            [header, _] => header,
        }
    }
}

impl Mark {
    pub(super) fn encode(&self) -> [u8; MARK_SIZE] {
        let mut body = [0; MARK_BODY_SIZE];
        body[..8].copy_from_slice(&self.batch_size.to_le_bytes());
        body[8..12].copy_from_slice(&self.record_count.to_le_bytes());
        body[12..16].copy_from_slice(&(if self.is_clean { CLEAN } else { 0 }).to_le_bytes());
        body[16..24].copy_from_slice(&self.proven.0.to_le_bytes());
        body[24..].copy_from_slice(&self.checkpoint.to_le_bytes());
        let head = Head {
            body_crc: crc32c::crc32c(&body),
            epoch: self.epoch,
            lsn: self.lsn,
            body_size: u32::try_from(MARK_BODY_SIZE).unwrap_or(u32::MAX),
            kind: MARK,
        };
        let mut bytes = [0; MARK_SIZE];
        bytes[..HEAD_SIZE].copy_from_slice(&head.encode());
        bytes[HEAD_SIZE..].copy_from_slice(&body);
        bytes
    }

    /// None if it is not a whole mark.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, body) = bytes.split_first_chunk::<HEAD_SIZE>()?;
        let head = Head::decode(head)?;
        let body = body.get(..MARK_BODY_SIZE)?;
        if head.kind != MARK || head.body_size as usize != MARK_BODY_SIZE || !head.is_of(body) {
            return None;
        }
        let mut input = body;
        let batch_size = read_u64(&mut input)?;
        let record_count = read_u32(&mut input)?;
        let flags = read_u32(&mut input)?;
        let (proven, checkpoint) = (Lsn(read_u64(&mut input)?), read_u64(&mut input)?);
        let is_sane = batch_size >= MARK_SIZE as u64 && flags & !CLEAN == 0 && proven < head.lsn;
        is_sane.then_some(Self {
            epoch: head.epoch,
            lsn: head.lsn,
            batch_size,
            record_count,
            is_clean: flags & CLEAN != 0,
            proven,
            checkpoint,
        })
    }
}

fn decode_header(bytes: &[u8]) -> ReadHeader {
    decode_prefix(bytes)
        .and_then(|version| {
            if version > FORMAT_VERSION {
                return Some(ReadHeader::Newer(version));
            }
            let mut crc = &bytes[HEADER_SIZE - 4..];
            if read_u32(&mut crc)? != crc32c::crc32c(&bytes[..HEADER_SIZE - 4]) {
                return None;
            }
            let mut input = &bytes[16..];
            let epoch = read_u32(&mut input)?;
            let number = read_u64(&mut input)?;
            let (first_lsn, proven) = (Lsn(read_u64(&mut input)?), Lsn(read_u64(&mut input)?));
            let checkpoint = read_u64(&mut input)?;
            Some(ReadHeader::Whole(FileHeader { epoch, number, first_lsn, proven, checkpoint }))
        })
        .unwrap_or(ReadHeader::Damaged)
}

/// The format version, if what it stands in is whole.
fn decode_prefix(bytes: &[u8]) -> Option<u32> {
    let mut input = bytes.strip_prefix(MAGIC)?;
    let version = read_u32(&mut input)?;
    (read_u32(&mut input)? == crc32c::crc32c(&bytes[..12])).then_some(version)
}
