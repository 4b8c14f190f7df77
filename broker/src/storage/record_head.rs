//! The fixed beginning of each record of the message log, and how numbers are read.
//!
//! ```text
//! head, 28 bytes, little-endian like everything here
//!   0 u32 crc32c of bytes 4 to 27      a head that is wrong is never believed, not even its length
//!   4 u32 crc32c of the body           so a damaged body costs this record alone: the next is still found
//!   8 u32 epoch                        of this use of the file: keeps out what an earlier use left
//!  12 u64 lsn                          one more than the record's before, over all files
//!  20 u32 length of the body
//!  24 u8  kind
//!  25 u8[3] zero
//! ```

/// A record's number: one more than that of the record before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// The fixed beginning of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) body_crc: u32,
    pub(super) epoch: u32,
    pub(super) lsn: Lsn,
    pub(super) body_size: u32,
    pub(super) kind: u8,
}

/// Size of a head, bytes.
pub(super) const HEAD_SIZE: usize = 28;
/// Its checksum's, which covers the rest.
const CRC_SIZE: usize = 4;
/// The kind that begins a batch.
pub(super) const MARK: u8 = 0;

pub(super) const PUBLISH: u8 = 1;
pub(super) const SETTLE: u8 = 2;
pub(super) const REQUEUE: u8 = 3;
pub(super) const DELIVERED: u8 = 4;
pub(super) const PURGE: u8 = 5;
pub(super) const DELETE: u8 = 6;
pub(super) const TRANSACTION: u8 = 7;

/// Where checksums are fastest: at a whole word.
#[repr(align(8))]
struct Words([u8; HEAD_SIZE - CRC_SIZE]);

impl Head {
    pub(super) fn encode(&self) -> [u8; HEAD_SIZE] {
        let mut checked = Words([0; HEAD_SIZE - CRC_SIZE]);
        checked.0[..4].copy_from_slice(&self.body_crc.to_le_bytes());
        checked.0[4..8].copy_from_slice(&self.epoch.to_le_bytes());
        checked.0[8..16].copy_from_slice(&self.lsn.0.to_le_bytes());
        checked.0[16..20].copy_from_slice(&self.body_size.to_le_bytes());
        checked.0[20] = self.kind;
        let mut bytes = [0; HEAD_SIZE];
        bytes[..CRC_SIZE].copy_from_slice(&crc32c::crc32c(&checked.0).to_le_bytes());
        bytes[CRC_SIZE..].copy_from_slice(&checked.0);
        bytes
    }

    /// None if it is not whole.
    pub(super) fn decode(bytes: &[u8; HEAD_SIZE]) -> Option<Self> {
        let mut input = bytes.as_slice();
        if read_u32(&mut input)? != crc32c::crc32c(&bytes[4..]) {
            return None;
        }
        Some(Self {
            body_crc: read_u32(&mut input)?,
            epoch: read_u32(&mut input)?,
            lsn: Lsn(read_u64(&mut input)?),
            body_size: read_u32(&mut input)?,
            kind: *input.first()?,
        })
    }

    pub(super) fn is_of(&self, body: &[u8]) -> bool {
        self.body_crc == crc32c::crc32c(body)
    }

    /// The kind in words.
    pub(super) fn kind_name(&self) -> &'static str {
        match self.kind {
            MARK => "mark",
            PUBLISH => "publish",
            SETTLE => "settle",
            REQUEUE => "requeue",
            DELIVERED => "delivered mark",
            PURGE => "purge",
            DELETE => "delete",
            TRANSACTION => "transaction",
            _ => "unknown kind",
        }
    }
}

pub(super) fn read_array<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(*array)
}

pub(super) fn read_u32(input: &mut &[u8]) -> Option<u32> {
    read_array(input).map(u32::from_le_bytes)
}

pub(super) fn read_u64(input: &mut &[u8]) -> Option<u64> {
    read_array(input).map(u64::from_le_bytes)
}
