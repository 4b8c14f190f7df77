//! Reading a log file: from record to record, never by looking for what might be one.
//!
//! The way goes by two kinds of step, from a record's head to the next and from a batch's mark to the next
//! batch, so that a damaged head costs the rest of its batch and a damaged mark costs nothing. Only when both
//! are damaged in one batch the way ends.

use std::io;

use bytes::Bytes;

use crate::storage::{
    disk::{DiskFile, read_up_to},
    log_file::{FILE_HEADER_SIZE, FileHeader, MARK_SIZE, Mark, SECTOR_SIZE, sector_end},
    record::{HEAD_SIZE, Head, Lsn, MARK},
};

const WINDOW_SIZE: u64 = 256 << 10;

/// What stands in a file from its first batch on.
#[derive(Debug)]
pub(super) struct Chain<'a> {
    window: Window<'a>,
    epoch: u32,
    place: Place,
    at: u64,
    expected: Lsn,
    /// Where the next file begins, if there is one: nothing from there on counts.
    limit: Option<Lsn>,
}

/// One step of the way.
#[derive(Debug)]
pub(super) enum Item {
    Mark(Mark),
    Record { at: u64, head: Head, body: Bytes },
    Damage(Damage),
}

/// Records that cannot be read.
#[derive(Debug)]
pub(super) struct Damage {
    pub(super) at: u64,
    pub(super) first: Lsn,
    pub(super) last: Lsn,
    /// What it was, as far as is known.
    pub(super) what: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// Where a mark should be.
    BatchBegin,
    /// In a batch that ends here, with this record.
    InBatch { end: u64, last: Lsn },
    /// In a batch whose mark is damaged.
    Unmarked,
}

impl<'a> Chain<'a> {
    pub(super) fn new(file: &'a dyn DiskFile, header: &FileHeader, limit: Option<Lsn>) -> io::Result<Self> {
        Self::from_batch(file, header, (FILE_HEADER_SIZE, header.first_lsn), limit)
    }

    /// From the batch on that begins at this offset with this mark.
    pub(super) fn from_batch(
        file: &'a dyn DiskFile,
        header: &FileHeader,
        (at, expected): (u64, Lsn),
        limit: Option<Lsn>,
    ) -> io::Result<Self> {
        let window = Window { file, size: file.len()?, bytes: Vec::new(), begin: 0, error: None };
        Ok(Self { window, epoch: header.epoch, place: Place::BatchBegin, at, expected, limit })
    }

    /// The number of the next record.
    pub(super) fn expected(&self) -> Lsn {
        self.expected
    }

    /// The disk's last refusal to read.
    pub(super) fn error(&self) -> Option<&io::Error> {
        self.window.error.as_ref()
    }

    fn next_batch(&mut self) -> Option<Item> {
        if let Some(mark) = self.mark_at(self.at, self.expected) {
            return Some(Item::Mark(self.enter(mark)));
        }
        let (at, skipped) = (self.at, self.expected);
        let next = Lsn(skipped.0 + 1);
        if self.record_at(at + MARK_SIZE as u64, next).is_some() {
            self.at += MARK_SIZE as u64;
            self.place = Place::Unmarked;
        } else if self.mark_at(at + SECTOR_SIZE, next).is_some() {
            self.at += SECTOR_SIZE;
        } else {
            return None;
        }
        self.expected = next;
        Some(Item::Damage(Damage { at, first: skipped, last: skipped, what: "mark" }))
    }

    fn next_in_batch(&mut self, end: u64, last: Lsn) -> Item {
        let at = self.at;
        match self.record_at(at, self.expected) {
            Some(head) if at + record_size(&head) <= end => self.pass(head),
            _ => {
                let first = self.expected;
                (self.at, self.expected) = (end, Lsn(last.0 + 1));
                Item::Damage(Damage { at, first, last, what: "unknown kind" })
            }
        }
    }

    fn next_unmarked(&mut self) -> Option<Item> {
        if let Some(head) = self.record_at(self.at, self.expected) {
            return Some(self.pass(head));
        }
        let mark = self.mark_at(sector_end(self.at), self.expected)?;
        self.at = sector_end(self.at);
        Some(Item::Mark(self.enter(mark)))
    }

    fn enter(&mut self, mark: Mark) -> Mark {
        let last = Lsn(mark.lsn.0 + u64::from(mark.record_count));
        self.place = Place::InBatch { end: self.at + mark.batch_size, last };
        self.at += MARK_SIZE as u64;
        self.expected.0 += 1;
        mark
    }

    /// Over the record whose head is at this place.
    fn pass(&mut self, head: Head) -> Item {
        let at = self.at;
        let body = self.window.read(at + HEAD_SIZE as u64, u64::from(head.body_size));
        let body = body.filter(|body| head.is_of(body));
        self.at += record_size(&head);
        self.expected.0 += 1;
        match body {
            Some(body) => Item::Record { at, head, body },
            None => Item::Damage(Damage { at, first: head.lsn, last: head.lsn, what: head.kind_name() }),
        }
    }

    fn mark_at(&mut self, at: u64, lsn: Lsn) -> Option<Mark> {
        let mark = Mark::decode(self.window.view(at, MARK_SIZE as u64)?)?;
        let is_next = mark.epoch == self.epoch && mark.lsn == lsn && mark.batch_size <= self.window.size - at;
        is_next.then_some(mark)
    }

    fn record_at(&mut self, at: u64, lsn: Lsn) -> Option<Head> {
        let head = Head::decode(self.window.view(at, HEAD_SIZE as u64)?.first_chunk()?)?;
        let is_next = head.epoch == self.epoch && head.lsn == lsn && head.kind != MARK;
        is_next.then_some(head)
    }
}

impl Iterator for Chain<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if self.limit.is_some_and(|limit| self.expected >= limit) {
            return None;
        }
        match self.place {
            Place::InBatch { end, last } if self.expected <= last => Some(self.next_in_batch(end, last)),
            Place::InBatch { end, .. } => {
                (self.at, self.place) = (sector_end(end), Place::BatchBegin);
                self.next_batch()
            }
            Place::BatchBegin => self.next_batch(),
            Place::Unmarked => self.next_unmarked(),
        }
    }
}

fn record_size(head: &Head) -> u64 {
    HEAD_SIZE as u64 + u64::from(head.body_size)
}

/// A part of a file in memory.
#[derive(Debug)]
struct Window<'a> {
    file: &'a dyn DiskFile,
    size: u64,
    bytes: Vec<u8>,
    begin: u64,
    error: Option<io::Error>,
}

impl Window<'_> {
    /// A small piece; none if the file ends before or cannot be read there.
    fn view(&mut self, at: u64, size: u64) -> Option<&[u8]> {
        if !self.holds(at, size) {
            self.fill(at, size)?;
        }
        let from = usize::try_from(at - self.begin).ok()?;
        self.bytes.get(from..from + usize::try_from(size).ok()?)
    }

    /// A piece of any size, to keep. The file's size is looked at before memory is taken.
    fn read(&mut self, at: u64, size: u64) -> Option<Bytes> {
        if size <= WINDOW_SIZE {
            return self.view(at, size).map(Bytes::copy_from_slice);
        }
        self.is_in_file(at, size).then_some(())?;
        let mut bytes = vec![0; usize::try_from(size).ok()?];
        self.load(at, &mut bytes)?;
        Some(bytes.into())
    }

    /// Around a part that cannot be read the rest is read piece by piece.
    fn fill(&mut self, at: u64, size: u64) -> Option<()> {
        self.is_in_file(at, size).then_some(())?;
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut is_filled = None;
        for wanted in [WINDOW_SIZE.min(self.size - at), size] {
            if bytes.len() as u64 != wanted {
                bytes = vec![0; usize::try_from(wanted).ok()?];
            }
            is_filled = self.load(at, &mut bytes);
            if is_filled.is_some() {
                break;
            }
        }
        (self.bytes, self.begin) = (bytes, at);
        if is_filled.is_none() {
            self.bytes.clear();
        }
        is_filled
    }

    fn load(&mut self, at: u64, bytes: &mut [u8]) -> Option<()> {
        match read_up_to(self.file, bytes, at) {
            Ok(count) => (count == bytes.len()).then_some(()),
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }

    fn holds(&self, at: u64, size: u64) -> bool {
        at >= self.begin && at.saturating_add(size) <= self.begin + self.bytes.len() as u64
    }

    fn is_in_file(&self, at: u64, size: u64) -> bool {
        at.checked_add(size).is_some_and(|end| end <= self.size)
    }
}
