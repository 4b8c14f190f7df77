//! The file `checkpoint`: what all records up to one come to, so that no earlier one has to be read again.
//!
//! It is replaced as a whole, never changed, and holds everything twice: damage at one place costs nothing.
//!
//! ```text
//! checkpoint: twice, one after the other
//!   0 u8[8] "LIEBRCPT"
//!   8 u32 format version
//!  12 u32 crc32c of bytes 0 to 11        of every format version
//!  16 u64 number                         one more than the checkpoint's before
//!  24 u64 lsn                            everything up to here is in it
//!  32 u64 file                           where the next batch is
//!  40 u64 offset
//!  48 u32 flags (1: written at an orderly stop)
//!  52 u32 crc32c of bytes 0 to 51 and 56 to the end
//!  56 live messages and files            see `live`
//! ```

use std::io;

use crate::storage::{
    disk::{Disk, read_up_to, replace_durable},
    live::Live,
    log_file::FORMAT_VERSION,
    record::{Lsn, read_u32, read_u64},
};

/// The file's name.
pub(super) const NAME: &str = "checkpoint";

const MAGIC: &[u8; 8] = b"LIEBRCPT";
const HEADER_SIZE: usize = 56;
const CRC_AT: usize = 52;
const CLEAN: u32 = 1;

/// Where the log stands at a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// One more than the checkpoint's before.
    pub(super) number: u64,
    /// Everything up to here is in it.
    pub(super) lsn: Lsn,
    /// Where the next batch is.
    pub(super) file: u64,
    /// Where in that file.
    pub(super) offset: u64,
    /// The log ended there in an orderly way.
    pub(super) is_clean: bool,
}

/// What could be read of a checkpoint.
#[derive(Debug)]
pub(super) enum ReadCheckpoint {
    Whole(Place, Live),
    Missing,
    /// Why.
    Damaged(String),
    Newer(u32),
}

/// The file's content.
pub(super) fn encode(place: &Place, live: &Live, dead: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4_096);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    for number in [place.number, place.lsn.0, place.file, place.offset] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&(if place.is_clean { CLEAN } else { 0 }).to_le_bytes());
    bytes.extend_from_slice(&0_u32.to_le_bytes());
    live.encode(dead, &mut bytes);
    let crc = crc_of(&bytes);
    bytes[CRC_AT..HEADER_SIZE].copy_from_slice(&crc.to_le_bytes());
    bytes.extend_from_within(..);
    bytes
}

/// Puts a checkpoint in the place of the one before; it is on stable storage when this returns.
pub(super) fn write(disk: &dyn Disk, content: &[u8]) -> io::Result<()> {
    replace_durable(disk, NAME, content)
}

/// Reads the checkpoint: one of its two copies.
pub(super) fn read(disk: &dyn Disk) -> io::Result<ReadCheckpoint> {
    if !disk.exists(NAME)? {
        return Ok(ReadCheckpoint::Missing);
    }
    let file = disk.open(NAME)?;
    let size = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    let mut bytes = vec![0; size / 2];
    let mut reason = "it is damaged".to_owned();
    for copy in 0..2 {
        match read_up_to(file.as_ref(), &mut bytes, copy * (size / 2) as u64) {
            Ok(_) => match decode(&bytes) {
                ReadCheckpoint::Damaged(_) => {}
                read => return Ok(read),
            },
            Err(error) => reason = format!("it cannot be read: {error}"),
        }
    }
    Ok(ReadCheckpoint::Damaged(reason))
}

fn decode(bytes: &[u8]) -> ReadCheckpoint {
    let read = decode_version(bytes).and_then(|version| {
        if version > FORMAT_VERSION {
            return Some(ReadCheckpoint::Newer(version));
        }
        let (header, mut body) = bytes.split_at_checked(HEADER_SIZE)?;
        let mut input = &header[16..];
        let place = Place {
            number: read_u64(&mut input)?,
            lsn: Lsn(read_u64(&mut input)?),
            file: read_u64(&mut input)?,
            offset: read_u64(&mut input)?,
            is_clean: read_u32(&mut input)? & CLEAN != 0,
        };
        if read_u32(&mut input)? != crc_of(bytes) {
            return None;
        }
        let live = Live::decode(&mut body)?;
        body.is_empty().then_some(ReadCheckpoint::Whole(place, live))
    });
    read.unwrap_or_else(|| ReadCheckpoint::Damaged(String::new()))
}

/// The format version, if what it stands in is whole.
fn decode_version(bytes: &[u8]) -> Option<u32> {
    let mut input = bytes.strip_prefix(MAGIC)?;
    let version = read_u32(&mut input)?;
    (read_u32(&mut input)? == crc32c::crc32c(&bytes[..12])).then_some(version)
}

fn crc_of(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..CRC_AT]), &bytes[HEADER_SIZE..])
}
