//! The file `definitions.copy`: all definitions once more, in a plain form that needs no engine to be read.
//!
//! ```text
//! file     head | table | entries | table again | head again
//! entries  key, value, key, value ...           as in `codec`; each value has a checksum over key and value
//! table    u32 size of the key | u32 size of the value       of each entry, in order
//!
//! head, 64 bytes, little-endian
//!   0 u8[8] "LIEBRDEF"
//!   8 u32 format version
//!  12 u32 crc32c of bytes 0 to 11        of every format version
//!  16 u64 change number                  of the last commit that is in here
//!  24 u64 queue ids                      ids below it may have been given to a queue
//!  32 u64 entries
//!  40 u64 size of all entries, bytes
//!  48 u32 crc32c of the table
//!  52 u64 zero
//!  60 u32 crc32c of bytes 0 to 59
//! ```
//!
//! What says where things are is there twice, far apart: a damaged place costs the entries in it, no others.
//! Written as a whole under another name, read back and compared before it gets its own.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::storage::{
    StoreError, codec,
    definitions_file::{Contents, FORMAT_VERSION},
    disk::{Disk, read_all, write_all_at},
};

/// Its name in the data directory.
pub(super) const FILE_NAME: &str = "definitions.copy";

const HEAD_SIZE: usize = 64;
const ROW_SIZE: usize = 8;
const MAGIC: &[u8; 8] = b"LIEBRDEF";

/// Where the copy is.
#[derive(Debug)]
pub(super) struct DefinitionsCopy {
    disk: Arc<dyn Disk>,
    pub(super) path: PathBuf,
}

/// What became of the copy.
#[derive(Debug, PartialEq)]
pub(super) enum ReadCopy {
    Missing,
    /// Nothing in it can be found any more, for this reason.
    Damaged(&'static str),
    Found(Copied),
}

/// What is in the copy.
#[derive(Debug, PartialEq)]
pub(super) struct Copied {
    /// Only entries that are whole.
    pub(super) contents: Contents,
    /// The key of each that is not, as it stands there, and a sentence about it.
    pub(super) damaged: Vec<(Vec<u8>, String)>,
    /// Every byte of it is as it was written.
    pub(super) is_whole: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    change_number: u64,
    queue_ids_mark: u64,
    entry_count: u64,
    entries_size: u64,
    table_crc: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadHead {
    Whole(Head),
    Newer(u32),
    Damaged,
}

impl DefinitionsCopy {
    pub(super) fn new(disk: Arc<dyn Disk>, directory: &Path) -> Self {
        Self { disk, path: directory.join(FILE_NAME) }
    }

    /// Reads the copy. One of a newer format is refused.
    pub(super) fn read(&self) -> Result<ReadCopy, StoreError> {
        let failed = |error: io::Error| StoreError::io("read", &self.path, &error);
        if !self.disk.exists(FILE_NAME).map_err(failed)? {
            return Ok(ReadCopy::Missing);
        }
        let file = self.disk.open(FILE_NAME).map_err(failed)?;
        let Ok(bytes) = read_all(file.as_ref()) else {
            return Ok(ReadCopy::Damaged("it cannot be read"));
        };
        decode(&bytes).map_err(|found| StoreError::NewerFormat {
            path: self.path.clone(),
            found: found.into(),
            supported: FORMAT_VERSION,
        })
    }

    /// Replaces the copy, durably. After an error the old one is still there, whole.
    pub(super) fn write(&self, contents: &Contents) -> Result<(), StoreError> {
        self.replace(&encode(contents)).map_err(|error| StoreError::io("write", &self.path, &error))
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let draft = format!("{FILE_NAME}.new");
        let file = self.disk.create(&draft)?;
        write_all_at(file.as_ref(), bytes, 0)?;
        file.sync_data()?;
        if read_all(file.as_ref())? != bytes {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not read as it was written"));
        }
        self.disk.rename(&draft, FILE_NAME)?;
        self.disk.sync_dir()
    }
}

fn encode(contents: &Contents) -> Vec<u8> {
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    let table: Vec<u8> =
        contents.entries.iter().flat_map(|(key, value)| [size(key), size(value)].concat()).collect();
    let entries_size: usize = contents.entries.iter().map(|(key, value)| key.len() + value.len()).sum();
    let head = Head {
        change_number: contents.change_number.unwrap_or(0),
        queue_ids_mark: contents.queue_ids_mark.unwrap_or(0),
        entry_count: contents.entries.len() as u64,
        entries_size: entries_size as u64,
        table_crc: crc32c::crc32c(&table),
    };
    let head = head.encode();
    let mut bytes = Vec::with_capacity(2 * (head.len() + table.len()) + entries_size);
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(&table);
    for (key, value) in &contents.entries {
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
    }
    bytes.extend_from_slice(&table);
    bytes.extend_from_slice(&head);
    bytes
}

/// What can be read. The error is a format version that is not known here.
fn decode(bytes: &[u8]) -> Result<ReadCopy, u32> {
    let last = bytes.len().saturating_sub(HEAD_SIZE);
    let head = match (Head::decode(bytes), Head::decode(&bytes[last..])) {
        (ReadHead::Newer(version), _) | (ReadHead::Damaged, ReadHead::Newer(version)) => return Err(version),
        (ReadHead::Whole(head), _) | (ReadHead::Damaged, ReadHead::Whole(head)) => head,
        (ReadHead::Damaged, ReadHead::Damaged) => return Ok(ReadCopy::Damaged("both its heads are damaged")),
    };
    let Some(sizes) = head.table(bytes) else {
        return Ok(ReadCopy::Damaged("both its tables are damaged"));
    };
    let mut copied = Copied {
        contents: Contents {
            entries: BTreeMap::new(),
            queue_ids_mark: Some(head.queue_ids_mark),
            change_number: Some(head.change_number),
        },
        damaged: Vec::new(),
        is_whole: false,
    };
    let mut at = HEAD_SIZE + sizes.len() * ROW_SIZE;
    for (key_size, value_size) in sizes {
        let value_at = at.saturating_add(key_size);
        let end = value_at.saturating_add(value_size);
        let key = bytes.get(at..value_at);
        let value = key.and_then(|_| bytes.get(value_at..end)).unwrap_or_default();
        match key.map(|key| (key, codec::check(key, value))) {
            Some((key, Ok(()))) => drop(copied.contents.entries.insert(key.to_vec(), value.to_vec())),
            Some((key, Err(lost))) => copied.damaged.push((key.to_vec(), format!("in the copy, {lost}"))),
            None => copied.damaged.push((Vec::new(), "an entry of the copy is cut off".to_owned())),
        }
        at = end;
    }
    copied.is_whole = copied.damaged.is_empty() && encode(&copied.contents) == bytes;
    Ok(ReadCopy::Found(copied))
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_SIZE);
        bytes.extend_from_slice(MAGIC);
        let version = u32::try_from(FORMAT_VERSION).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&version.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        for number in [self.change_number, self.queue_ids_mark, self.entry_count, self.entries_size] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.table_crc.to_le_bytes());
        bytes.extend_from_slice(&0_u64.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> ReadHead {
        let u32_at = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let u64_at = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let is_sealed = |end: usize| {
            u32_at(end).is_some_and(|crc| bytes.get(..end).is_some_and(|bytes| crc32c::crc32c(bytes) == crc))
        };
        if !bytes.starts_with(MAGIC) || !is_sealed(12) {
            return ReadHead::Damaged;
        }
        if let Some(version) = u32_at(8).filter(|version| u64::from(*version) > FORMAT_VERSION) {
            return ReadHead::Newer(version);
        }
        let fields = || {
            Some(Head {
                change_number: u64_at(16)?,
                queue_ids_mark: u64_at(24)?,
                entry_count: u64_at(32)?,
                entries_size: u64_at(40)?,
                table_crc: u32_at(48)?,
            })
        };
        fields().filter(|_| is_sealed(HEAD_SIZE - 4)).map_or(ReadHead::Damaged, ReadHead::Whole)
    }

    /// The sizes of keys and values, from one of the two tables.
    fn table(&self, bytes: &[u8]) -> Option<Vec<(usize, usize)>> {
        let size = usize::try_from(self.entry_count).ok()?.checked_mul(ROW_SIZE)?;
        let entries_size = usize::try_from(self.entries_size).ok()?;
        let first = HEAD_SIZE;
        let second = first.checked_add(size)?.checked_add(entries_size)?;
        let is_whole = |table: &&[u8]| crc32c::crc32c(table) == self.table_crc;
        let table_at = |at: usize| bytes.get(at..at.checked_add(size)?).filter(is_whole);
        let table = table_at(first).or_else(|| table_at(second))?;
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        Some(table.chunks_exact(ROW_SIZE).map(|row| (number(&row[..4]), number(&row[4..]))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        definition::{Definition, VhostDefinition},
        name::Name,
    };

    fn contents(names: &[&str]) -> Contents {
        let entry = |name: &&str| {
            let definition = Definition::Vhost(VhostDefinition::new(Name::parse(name).unwrap()));
            codec::encode(&definition).unwrap()
        };
        Contents {
            entries: names.iter().map(entry).collect(),
            queue_ids_mark: Some(77),
            change_number: Some(1 << 40),
        }
    }

    fn found(bytes: &[u8]) -> Copied {
        match decode(bytes).unwrap() {
            ReadCopy::Found(copied) => copied,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_written_is_read() {
        for names in [&[][..], &["/"], &["/", "a", "b"]] {
            let contents = contents(names);
            let copied = Copied { contents: contents.clone(), damaged: Vec::new(), is_whole: true };
            assert_eq!(found(&encode(&contents)), copied);
        }
    }

    #[test]
    fn one_flipped_bit_costs_at_most_one_entry_and_is_noticed() {
        let whole = contents(&["/", "a", "b"]);
        let bytes = encode(&whole);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let copied = found(&flipped);
            assert!(!copied.is_whole, "bit {bit}");
            assert_eq!(copied.contents.entries.len() + copied.damaged.len(), 3, "bit {bit}");
            assert!(copied.damaged.len() <= 1, "bit {bit}");
            assert!(copied.contents.entries.iter().all(|(key, value)| whole.entries[key] == *value));
            assert_eq!(copied.contents.change_number, whole.change_number);
        }
    }

    #[test]
    fn what_is_not_cut_off_is_read() {
        let whole = contents(&["/", "a", "b"]);
        let bytes = encode(&whole);
        for size in 0..bytes.len() {
            match decode(&bytes[..size]).unwrap() {
                ReadCopy::Found(copied) => {
                    assert_eq!(copied.contents.entries.len() + copied.damaged.len(), 3);
                    let entries_end = bytes.len() - HEAD_SIZE - 3 * ROW_SIZE;
                    assert_eq!(copied.damaged.is_empty(), size >= entries_end, "{size} bytes");
                }
                ReadCopy::Damaged(_) => assert!(size < HEAD_SIZE + 3 * ROW_SIZE, "{size} bytes"),
                ReadCopy::Missing => panic!("it is there"),
            }
        }
    }

    #[test]
    fn two_damaged_places_of_one_kind_are_too_much() {
        let mut heads = encode(&contents(&["/"]));
        let last = heads.len() - HEAD_SIZE;
        (heads[20], heads[last + 20]) = (9, 9);
        assert_eq!(decode(&heads), Ok(ReadCopy::Damaged("both its heads are damaged")));
        let mut tables = encode(&contents(&["/"]));
        (tables[HEAD_SIZE], tables[last - ROW_SIZE]) = (0xff, 0xff);
        assert_eq!(decode(&tables), Ok(ReadCopy::Damaged("both its tables are damaged")));
    }

    #[test]
    fn newer_format_is_told() {
        let mut bytes = encode(&contents(&["/"]));
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..12]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode(&bytes), Err(2));
    }
}
