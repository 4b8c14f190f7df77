//! Packing: live messages of mostly dead files are copied together into a file of their own, so that one message
//! that nobody settles costs its own size and not that of all that came after it.
//!
//! A packed file counts from the next checkpoint on, which lists it instead of the files that it was made from. Until
//! then a crash leaves those, and the packed file is removed.

use std::{collections::BTreeSet, io, mem, sync::Arc};

use crate::{
    model::{queue::Position, queue_id::QueueId},
    storage::{
        LogError,
        chain::{Chain, Item},
        disk::{Disk, write_all_at},
        live::FileUse,
        log::Shared,
        log_file::{FileHeader, MARK_SIZE, Mark, is_packed, log_name, packed_number},
        log_writer::{Files, write_padded},
        pending::epoch,
        record::{Lsn, OwnedRecord, Record},
    },
};

/// Files packed in one go.
const FILES_MAX: usize = 4;

/// Packs files, for the log's writer.
#[derive(Debug)]
pub(super) struct Packer {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    next_number: u64,
    /// Files of which something could not be read: they stay.
    unreadable: BTreeSet<u64>,
}

/// A packed file as it is made.
#[derive(Debug, Default)]
struct Draft {
    epoch: u32,
    /// Room for the mark, then records.
    batch: Vec<u8>,
    /// Of the record that is written.
    body: Vec<u8>,
    record_count: u32,
    /// Where each message was, and the size of its new record.
    copied: Vec<((QueueId, Position), u64, u64)>,
}

impl Packer {
    pub(super) fn new(disk: Arc<dyn Disk>, shared: Arc<Shared>, next_number: u64) -> Self {
        Self { disk, shared, next_number, unreadable: BTreeSet::new() }
    }

    /// Packs some files if too much of what the log takes is dead. True if that made files dead.
    pub(super) fn pack_some(&mut self, files: &Files) -> Result<bool, LogError> {
        let chosen = self.choose();
        if chosen.is_empty() {
            return Ok(false);
        }
        let number = packed_number(self.next_number);
        let epoch = epoch(self.shared.options().salt, number);
        let mut draft = Draft { epoch, batch: vec![0; MARK_SIZE], ..Draft::default() };
        for &file in &chosen {
            if self.copy_live(file, &mut draft).is_err() {
                self.unreadable.insert(file);
            }
        }
        if draft.copied.is_empty() {
            self.unreadable.extend(chosen);
            return Ok(false);
        }
        self.next_number += 1;
        let end = Lsn(u64::from(draft.record_count) + 2);
        match self.write(number, &mut draft, files.checkpoint) {
            Err(error) if error.is_passing() => {
                self.disk.remove(&log_name(number)).ok();
                return Ok(false);
            }
            written => written?,
        }
        let mut pending = self.shared.pending();
        pending.live.add_file(number, Lsn(1), Some(end));
        pending.live.count_bytes(number, draft.batch.len() as u64);
        for (place, from, size) in draft.copied {
            pending.live.move_to(place, from, number, size);
        }
        let is_left = |file: &u64| pending.live.file(*file).is_some_and(|file_use| file_use.live_count > 0);
        self.unreadable.extend(chosen.into_iter().filter(is_left));
        Ok(true)
    }

    /// The most dead files, when all together are mostly dead.
    fn choose(&self) -> Vec<u64> {
        let options = self.shared.options();
        let pending = self.shared.pending();
        let complete =
            || pending.live.files().iter().filter(|file_use| !pending.is_written_to(file_use.number));
        // What is written of a file is little of it when each start begins another.
        let size = |file_use: &FileUse| match is_packed(file_use.number) {
            true => file_use.bytes,
            false => file_use.bytes.max(options.file_size),
        };
        let used: u64 = complete().map(size).sum();
        let live: u64 = complete().map(FileUse::live_bytes).sum();
        if used < options.budget_bytes || live > used / 2 {
            return Vec::new();
        }
        let candidates = complete().filter(|file_use| {
            let is_mostly_dead = file_use.live_bytes() < size(file_use) / 2;
            file_use.live_count > 0 && is_mostly_dead && !self.unreadable.contains(&file_use.number)
        });
        let mut candidates: Vec<(u64, u64)> =
            candidates.map(|file_use| (file_use.live_bytes(), file_use.number)).collect();
        candidates.sort_unstable();
        let mut sum = 0;
        let fits = |(live, _): &(u64, u64)| {
            sum += live;
            sum == *live || sum <= options.pack_max_bytes
        };
        candidates.into_iter().take(FILES_MAX).take_while(fits).map(|(_, number)| number).collect()
    }

    fn copy_live(&mut self, number: u64, draft: &mut Draft) -> io::Result<()> {
        let file = self.shared.reader().open(number)?;
        let limit = self.shared.pending().live.file(number).and_then(|file_use| file_use.end_lsn);
        for item in Chain::new(file.file.as_ref(), &file.header, limit)? {
            let Item::Record { head, body, .. } = item else { continue };
            let records = OwnedRecord::decode_all(head.kind, &body).unwrap_or_default();
            records.iter().for_each(|record| self.copy_record(number, record, draft));
        }
        Ok(())
    }

    fn copy_record(&self, file: u64, record: &OwnedRecord, draft: &mut Draft) {
        for (places, message) in record.messages() {
            let live: Vec<(QueueId, Position)> = {
                let pending = self.shared.pending();
                let is_live =
                    |place: &&(QueueId, Position)| pending.live.file_of(place.0, place.1) == Some(file);
                places.iter().filter(is_live).copied().collect()
            };
            if live.is_empty() {
                continue;
            }
            draft.record_count += 1;
            let before = draft.batch.len();
            let lsn = Lsn(u64::from(draft.record_count) + 1);
            let body = Record::Publish { places: &live, message }.body(&mut draft.body);
            body.write(draft.epoch, lsn, &mut draft.batch);
            // Counted once, whatever the number of its places.
            let mut size = (draft.batch.len() - before) as u64;
            draft.copied.extend(live.into_iter().map(|place| (place, file, mem::take(&mut size))));
        }
    }

    /// The file is on stable storage, name and all, when this returns.
    fn write(&self, number: u64, draft: &mut Draft, checkpoint: u64) -> Result<(), LogError> {
        debug_assert!(is_packed(number));
        let name = log_name(number);
        let failed = |error: io::Error| LogError::io("write", &name, &error);
        let header = FileHeader { epoch: draft.epoch, number, first_lsn: Lsn(1), proven: Lsn(0), checkpoint };
        let mark = Mark {
            epoch: draft.epoch,
            lsn: Lsn(1),
            batch_size: draft.batch.len() as u64,
            record_count: draft.record_count,
            is_clean: false,
            proven: Lsn(0),
            checkpoint,
        };
        draft.batch[..MARK_SIZE].copy_from_slice(&mark.encode());
        let file = self.disk.create(&name).map_err(failed)?;
        let page = header.encode();
        write_all_at(file.as_ref(), &page, 0).map_err(failed)?;
        write_padded(file.as_ref(), &mut draft.batch, page.len() as u64).map_err(failed)?;
        file.sync_data().map_err(|error| LogError::sync(&name, &error))?;
        self.disk.sync_dir().map_err(|error| LogError::sync("directory", &error))
    }
}
