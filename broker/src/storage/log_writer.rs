//! The log's own thread: writes batches, syncs, and uses files again.

use std::{collections::BTreeSet, io, sync::Arc, time::Duration};

use crate::storage::{
    LogError,
    chain::{Chain, Item},
    disk::{Disk, DiskFile, read_up_to, write_all_at},
    log::{Batch, Pending, Shared, epoch},
    log_file::{
        FILE_HEADER_SIZE, FileHeader, MARK_SIZE, Mark, PAGE_SIZE, ReadHeader, damaged_name, log_name,
    },
    record::{Lsn, MovedPlace, OwnedRecord, Record},
    spares::{Spare, Spares},
};

const ZERO_PAGE: [u8; PAGE_SIZE as usize] = [0; PAGE_SIZE as usize];
/// After this long without work what was written last is proven, so that damage to it cannot pass for a
/// batch that was never finished.
const QUIET: Duration = Duration::from_millis(100);
/// A full disk is tried again after this long even if nobody asks.
const RETRY: Duration = Duration::from_secs(1);

/// Writes the log. Ends with the log's last [`close`](crate::storage::log::Log::close), or with the first
/// failure that makes the log useless: then the broker has to stop.
#[derive(Debug)]
pub struct LogWriter {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    files: Files,
    /// Everything up to here is on stable storage.
    synced: Lsn,
    /// Whether records were written that no later mark proves.
    is_tail_unproven: bool,
    /// What could not be written because the disk is full.
    stuck: Option<Batch>,
    retiring: Option<Retiring>,
    /// A file whose live records could not all be read, so that it stays.
    unmovable: Option<u64>,
    has_ended: bool,
}

/// What a step of the writer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something was done, there may be more.
    Worked,
    /// There is nothing to do.
    Idle,
    /// The disk is full.
    Stalled,
    /// The log was closed and everything is written.
    Ended,
}

/// The files as recovery leaves them.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) number: u64,
    pub(super) file: Arc<dyn DiskFile>,
    /// The first file that is needed.
    pub(super) oldest: u64,
    pub(super) spares: Spares,
    /// Files in which something was lost: kept under another name, not used again.
    pub(super) damaged: BTreeSet<u64>,
}

/// Files on their way to be used again.
#[derive(Debug)]
struct Retiring {
    up_to: u64,
    /// What has to be on stable storage before the next step.
    wait_for: Lsn,
    /// Whether that step was the last: a mark says that the files are not needed.
    is_announced: bool,
}

impl LogWriter {
    pub(super) fn new(disk: Arc<dyn Disk>, shared: Arc<Shared>, files: Files) -> Self {
        let synced = shared.pending().last_lsn();
        Self {
            disk,
            shared,
            files,
            synced,
            is_tail_unproven: false,
            stuck: None,
            retiring: None,
            unmovable: None,
            has_ended: false,
        }
    }

    /// Writes until the log is closed or useless. Blocks: for a thread of its own.
    pub fn run(mut self) -> Result<(), LogError> {
        loop {
            let step = match self.step()? {
                Step::Idle if self.shared.wait_for_work(Some(QUIET)) => continue,
                Step::Idle => self.prove()?,
                step => step,
            };
            match step {
                Step::Worked => {}
                Step::Idle => {
                    self.shared.wait_for_work(None);
                }
                Step::Stalled => self.shared.wait_for_retry(RETRY),
                Step::Ended => return Ok(()),
            }
        }
    }

    /// Writes and syncs what gathered, or does a little of what can wait. Never waits for work.
    pub fn step(&mut self) -> Result<Step, LogError> {
        self.refuse_after_end()?;
        let result = self.try_step();
        self.end_after(result)
    }

    /// Proves the last batch if no mark does; idle if there is nothing to prove.
    pub fn prove(&mut self) -> Result<Step, LogError> {
        self.refuse_after_end()?;
        if !self.is_tail_unproven {
            return Ok(Step::Idle);
        }
        let result = self.store_empty();
        self.end_after(result)
    }

    /// After a failed sync nothing may be written any more: what the system shows is not what the disk has.
    fn refuse_after_end(&self) -> Result<(), LogError> {
        if self.has_ended { Err(self.shared.pending().refusal().unwrap_or(LogError::Closed)) } else { Ok(()) }
    }

    fn end_after<T>(&mut self, result: Result<T, LogError>) -> Result<T, LogError> {
        if let Err(error) = &result {
            self.has_ended = true;
            self.shared.end(error);
        }
        result
    }

    fn try_step(&mut self) -> Result<Step, LogError> {
        let (batch, is_closed) = {
            let mut pending = self.shared.pending();
            (self.stuck.take().or_else(|| pending.take_batch()), pending.is_closed())
        };
        if let Some(batch) = batch {
            let step = self.store(batch, false)?;
            if step == Step::Worked {
                self.make_room()?;
            }
            return Ok(step);
        }
        if is_closed {
            return self.finish();
        }
        if self.make_room()? || self.files.spares.fill_some(self.disk.as_ref()) {
            return Ok(Step::Worked);
        }
        // The mark that frees files goes out with the next batch; when there is none, alone.
        if self.retiring.is_some() { self.store_empty() } else { Ok(Step::Idle) }
    }

    /// The last batch: its mark says that all is well.
    fn finish(&mut self) -> Result<Step, LogError> {
        let batch = self.shared.pending().take_empty_batch();
        if let Some(batch) = batch
            && self.store(batch, true)? == Step::Stalled
        {
            return Ok(Step::Stalled);
        }
        self.has_ended = true;
        self.shared.end(&LogError::Closed);
        Ok(Step::Ended)
    }

    fn store_empty(&mut self) -> Result<Step, LogError> {
        let batch = self.stuck.take().or_else(|| self.shared.pending().take_empty_batch());
        batch.map_or(Ok(Step::Idle), |batch| self.store(batch, false))
    }

    /// Writes a batch and syncs it. When the disk is full the batch is kept, to be written to the same place.
    fn store(&mut self, mut batch: Batch, is_clean: bool) -> Result<Step, LogError> {
        match self.write(&mut batch, is_clean) {
            Ok(()) => {}
            Err(error) if error.is_disk_full() => {
                let is_closed = self.shared.pending().is_closed();
                self.stuck = Some(batch);
                self.shared.stall(&error);
                return if is_closed { Err(error) } else { Ok(Step::Stalled) };
            }
            Err(error) => return Err(error),
        }
        if !self.shared.options().unsafe_no_fsync {
            let synced = self.files.file.sync_data();
            synced.map_err(|error| LogError::sync(&log_name(batch.file), &error))?;
        }
        self.synced = batch.last_lsn();
        self.is_tail_unproven = batch.record_count > 0;
        self.shared.publish_synced(batch);
        Ok(Step::Worked)
    }

    fn write(&mut self, batch: &mut Batch, is_clean: bool) -> Result<(), LogError> {
        if batch.file != self.files.number {
            self.begin_file(batch.file, batch.first_lsn)?;
        }
        let mark = Mark {
            epoch: epoch(self.shared.options().salt, batch.file),
            lsn: batch.first_lsn,
            batch_size: batch.bytes.len() as u64,
            record_count: batch.record_count,
            is_clean,
            proven: self.synced,
            oldest: self.files.oldest,
        };
        batch.bytes[..MARK_SIZE].copy_from_slice(&mark.encode());
        let result = write_padded(self.files.file.as_ref(), &mut batch.bytes, batch.offset);
        result.map_err(|error| LogError::io("write", &log_name(batch.file), &error))
    }

    /// The next file gets its name when its header is on stable storage.
    fn begin_file(&mut self, number: u64, first_lsn: Lsn) -> Result<(), LogError> {
        let header = FileHeader {
            epoch: epoch(self.shared.options().salt, number),
            number,
            first_lsn,
            proven: self.synced,
            oldest: self.files.oldest,
        };
        let disk = self.disk.as_ref();
        let spare = self.files.spares.take(disk);
        let spare = spare.map_err(|error| LogError::io("create", &log_name(number), &error))?;
        let result = write_all_at(spare.file.as_ref(), &header.encode(), 0)
            .map_err(|error| LogError::io("write", &spare.name(), &error))
            .and_then(|()| name_file(disk, &spare, number));
        if let Err(error) = result {
            self.files.spares.put_back(spare);
            return Err(error);
        }
        (self.files.number, self.files.file) = (number, spare.file);
        Ok(())
    }

    /// Frees files of which nothing is needed, step by step, each after the last is on stable storage; false
    /// if there is nothing to do now.
    fn make_room(&mut self) -> Result<bool, LogError> {
        let Some(retiring) = &mut self.retiring else { return self.begin_to_retire() };
        if self.synced < retiring.wait_for {
            return Ok(false);
        }
        if !retiring.is_announced {
            self.files.oldest = retiring.up_to + 1;
            retiring.is_announced = true;
            retiring.wait_for = Lsn(self.synced.0 + 1);
            return Ok(false);
        }
        let up_to = retiring.up_to;
        self.retiring = None;
        self.release_up_to(up_to)?;
        Ok(true)
    }

    fn begin_to_retire(&mut self) -> Result<bool, LogError> {
        let Some((up_to, is_dead)) = self.retirable() else { return Ok(false) };
        if !is_dead && !self.copy_live(up_to)? {
            self.unmovable = Some(up_to);
            return Ok(false);
        }
        let mut pending = self.shared.pending();
        for state in pending.live.states_up_to(up_to) {
            self.shared.append_own(&mut pending, &state);
        }
        let wait_for = pending.last_lsn();
        drop(pending);
        self.retiring = Some(Retiring { up_to, wait_for, is_announced: false });
        Ok(true)
    }

    /// The last of the oldest files that are all dead; or the oldest, if too many are in use and it is mostly
    /// dead.
    fn retirable(&self) -> Option<(u64, bool)> {
        let options = self.shared.options();
        let pending = self.shared.pending();
        let end = self.files.number.min(pending.file());
        let complete = || pending.live.files().take_while(|file_use| file_use.number < end);
        if let Some(dead) = complete().take_while(|file_use| file_use.live_count == 0).last() {
            return Some((dead.number, true));
        }
        let oldest = complete().next()?;
        let is_over_budget = pending.live.files().count() as u64 * options.file_size > options.budget_bytes;
        let live_bytes = oldest.live_bytes();
        let is_mostly_dead = live_bytes < options.copy_max_bytes || live_bytes < oldest.bytes / 8;
        let is_movable = self.unmovable != Some(oldest.number);
        (is_over_budget && is_mostly_dead && is_movable).then_some((oldest.number, false))
    }

    /// Appends what is live in the file again; false if some of it could not be read.
    fn copy_live(&self, number: u64) -> Result<bool, LogError> {
        let read = |error: io::Error| LogError::io("read", &log_name(number), &error);
        let file = self.disk.open(&log_name(number)).map_err(read)?;
        let Some(header) = read_header(file.as_ref()).map_err(read)? else { return Ok(false) };
        let next = self.disk.open(&log_name(number + 1)).map_err(read)?;
        let limit = read_header(next.as_ref()).map_err(read)?.map(|next| next.first_lsn);
        for item in Chain::new(file.as_ref(), &header, limit).map_err(read)? {
            if let Item::Record { head, body } = item
                && let Some(records) = OwnedRecord::decode_all(head.kind, &body)
            {
                records.iter().for_each(|record| self.move_record(number, record));
            }
        }
        let pending = self.shared.pending();
        Ok(pending.live.files().next().is_none_or(|oldest| oldest.number != number || oldest.live_count == 0))
    }

    /// What is live is looked up and appended under one lock: a settle comes before or after both.
    fn move_record(&self, file: u64, record: &OwnedRecord) {
        let mut pending = self.shared.pending();
        let live = |pending: &Pending, queue, position| pending.live.place_in(file, queue, position);
        let (places, message): (Vec<MovedPlace>, _) = match record {
            OwnedRecord::Publish { places, message } => {
                (places.iter().filter_map(|&(queue, at)| live(&pending, queue, at)).collect(), message)
            }
            OwnedRecord::Moved { places, message } => {
                let places = places.iter().filter_map(|place| live(&pending, place.queue, place.position));
                (places.collect(), message)
            }
            _ => return,
        };
        if !places.is_empty() {
            self.shared.append_own(&mut pending, &Record::Moved { places: &places, message });
        }
    }

    fn release_up_to(&mut self, up_to: u64) -> Result<(), LogError> {
        let first = self.shared.pending().live.files().next().map_or(up_to, |oldest| oldest.number);
        for number in first..=up_to {
            let result = release(self.disk.as_ref(), &mut self.files, number);
            match result.map_err(|error| LogError::io("release", &log_name(number), &error)) {
                // It is not read again, and released after the next start.
                Err(error) if error.is_disk_full() => {}
                result => result?,
            }
            self.shared.pending().live.drop_oldest();
        }
        self.disk.sync_dir().map_err(|error| LogError::sync("directory", &error))
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        if !self.has_ended {
            self.shared.end(&LogError::Closed);
        }
    }
}

/// Gives a file of the log, synced here, its name, durably.
pub(super) fn name_file(disk: &dyn Disk, spare: &Spare, number: u64) -> Result<(), LogError> {
    let name = log_name(number);
    spare.file.sync_data().map_err(|error| LogError::sync(&spare.name(), &error))?;
    disk.rename(&spare.name(), &name).map_err(|error| LogError::io("rename", &name, &error))?;
    disk.sync_dir().map_err(|error| LogError::sync("directory", &error))
}

/// Writes up to the end of a page, so that the kernel need not read the rest of it first.
pub(super) fn write_padded(file: &dyn DiskFile, bytes: &mut Vec<u8>, offset: u64) -> io::Result<()> {
    let size = bytes.len();
    let padded = (offset + size as u64).next_multiple_of(PAGE_SIZE) - offset;
    bytes.extend_from_slice(&ZERO_PAGE[..padded as usize - size]);
    let result = write_all_at(file, bytes, offset);
    bytes.truncate(size);
    result
}

/// A file that is not needed becomes a spare; one with damage is put aside for people to look at.
pub(super) fn release(disk: &dyn Disk, files: &mut Files, number: u64) -> io::Result<()> {
    let name = log_name(number);
    if !disk.exists(&name)? {
        return Ok(());
    }
    if files.damaged.remove(&number) {
        return disk.rename(&name, &damaged_name(number));
    }
    files.spares.keep(disk, &name)
}

/// None if it is damaged.
fn read_header(file: &dyn DiskFile) -> io::Result<Option<FileHeader>> {
    let mut page = vec![0; FILE_HEADER_SIZE as usize];
    read_up_to(file, &mut page, 0)?;
    Ok(match FileHeader::decode(&page) {
        ReadHeader::Whole(header) => Some(header),
        ReadHeader::Newer(_) | ReadHeader::Damaged => None,
    })
}
