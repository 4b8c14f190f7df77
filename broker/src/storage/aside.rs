//! Transient messages put aside on disk while there are too many to keep in memory: written once, never synced, read
//! once, and gone with the process.
//!
//! ```text
//! 00000001.aside   chunks, one after another
//! chunk            for each message: u64 position | u32 delivery count | u8 flags (1: persistent) | u8 zero
//!                  | u16 route size | u32 header size | u32 size | u64 arrival, milliseconds since 1970 (0: not
//!                  noted) | route | header | body
//! ```

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use crate::{
    model::{
        message::Message,
        queue::{Entry, Position},
        timestamp::Timestamp,
    },
    storage::{
        disk::{Disk, DiskFile, read_up_to, write_all_at},
        record::{read_array, read_u32, read_u64},
    },
};

/// A file above this gets no more chunks, bytes.
const FILE_SIZE: u64 = 8 << 20;
const FRONT_SIZE: usize = 32;
const PERSISTENT: u8 = 1;

/// Where messages are put aside.
#[derive(Debug)]
pub(super) struct Aside {
    disk: Arc<dyn Disk>,
    /// The file that is written; held while a chunk gets its place.
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    file: Option<Arc<AsideFile>>,
    size: u64,
    last_number: u64,
}

/// A file that goes when nobody holds a chunk of it.
#[derive(Debug)]
struct AsideFile {
    disk: Arc<dyn Disk>,
    name: String,
    file: Arc<dyn DiskFile>,
}

/// Messages that were put aside together. To drop it is to forget them.
#[derive(Debug)]
pub struct Chunk {
    file: Arc<AsideFile>,
    offset: u64,
    size: usize,
    crc: u32,
}

/// Whether a file was left by an earlier process.
pub(super) fn is_left_over(name: &str) -> bool {
    name.ends_with(".aside")
}

impl Aside {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, current: Mutex::default() }
    }

    /// Writes messages down, to be read again by [`Chunk::read`].
    pub(super) fn put(&self, entries: &[&Entry]) -> io::Result<Chunk> {
        let sizes = entries.iter().map(|entry| FRONT_SIZE + entry.message.size());
        let mut bytes = Vec::with_capacity(sizes.sum());
        entries.iter().for_each(|entry| encode(entry, &mut bytes));
        let (file, offset) = self.reserve(bytes.len() as u64)?;
        write_all_at(file.file.as_ref(), &bytes, offset)?;
        Ok(Chunk { file, offset, size: bytes.len(), crc: crc32c::crc32c(&bytes) })
    }

    fn reserve(&self, size: u64) -> io::Result<(Arc<AsideFile>, u64)> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match &current.file {
            Some(file) if current.size < FILE_SIZE => Arc::clone(file),
            _ => {
                let name = format!("{:08}.aside", current.last_number + 1);
                let file = self.disk.create(&name)?;
                let file = Arc::new(AsideFile { disk: Arc::clone(&self.disk), name, file });
                current.last_number += 1;
                current.size = 0;
                current.file.insert(file).clone()
            }
        };
        let offset = current.size;
        current.size += size;
        Ok((file, offset))
    }
}

impl Drop for AsideFile {
    fn drop(&mut self) {
        // What cannot be removed is removed at the next start.
        self.disk.remove(&self.name).ok();
    }
}

impl Chunk {
    /// Reads the messages, in order.
    pub fn read(&self) -> io::Result<Vec<Entry>> {
        let mut bytes = vec![0; self.size];
        read_up_to(self.file.file.as_ref(), &mut bytes, self.offset)?;
        if crc32c::crc32c(&bytes) != self.crc {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", self.file.name)));
        }
        let bytes = Bytes::from(bytes);
        let mut entries = Vec::new();
        let mut at = 0;
        while let Some((entry, size)) = decode(&bytes, at) {
            entries.push(entry);
            at += size;
        }
        Ok(entries)
    }
}

fn encode(entry: &Entry, out: &mut Vec<u8>) {
    let message = &entry.message;
    let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&entry.position.0.to_le_bytes());
    out.extend_from_slice(&entry.delivery_count.to_le_bytes());
    out.extend_from_slice(&[if message.is_persistent() { PERSISTENT } else { 0 }, 0]);
    out.extend_from_slice(&u16::try_from(message.route().len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(&number(message.header().len()));
    out.extend_from_slice(&number(message.size()));
    out.extend_from_slice(&message.arrived_at().unwrap_or_default().0.to_le_bytes());
    for part in [message.route(), message.header(), message.body()] {
        out.extend_from_slice(part);
    }
}

fn decode(bytes: &Bytes, at: usize) -> Option<(Entry, usize)> {
    let mut input = bytes.get(at..)?;
    let (position, delivery_count) = (Position(read_u64(&mut input)?), read_u32(&mut input)?);
    let [flags, _] = read_array(&mut input)?;
    let route_size = u16::from_le_bytes(read_array(&mut input)?);
    let (header_size, size) = (read_u32(&mut input)?, read_u32(&mut input)? as usize);
    let arrived_at = Timestamp(read_u64(&mut input)?);
    let end = at.checked_add(FRONT_SIZE)?.checked_add(size).filter(|end| *end <= bytes.len())?;
    let buffer = bytes.slice(at + FRONT_SIZE..end);
    let message = Message::from_buffer(buffer, (route_size, header_size), flags & PERSISTENT != 0);
    let message = message.arriving_at(arrived_at);
    Some((Entry { position, message, delivery_count }, FRONT_SIZE + size))
}
