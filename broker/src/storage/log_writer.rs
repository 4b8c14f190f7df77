//! The log's own thread: writes batches, syncs, and uses files again.

use std::{collections::BTreeSet, io, sync::Arc, time::Duration};

use crate::storage::{
    LogError,
    beginning::Beginning,
    checkpoint::{self, Place},
    disk::{Disk, DiskFile, write_all_at},
    file_index::FileIndex,
    log::Shared,
    log_file::{FileHeader, MARK_SIZE, Mark, PAGE_SIZE, damaged_name, index_name, is_packed, log_name},
    packer::Packer,
    pending::{Batch, Pending, epoch},
    record::Lsn,
    spares::{Spare, Spares},
};

const ZERO_PAGE: [u8; PAGE_SIZE as usize] = [0; PAGE_SIZE as usize];
/// After this long without work what was written last is proven, so that damage to it cannot pass for a
/// batch that was never finished.
const QUIET: Duration = Duration::from_millis(100);
/// What nobody waits for is written after this long, with what came after it.
const LINGER: Duration = Duration::from_millis(10);
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
    /// How much had been appended at the last checkpoint, bytes.
    checkpoint_at: u64,
    /// A file is of no use any more when the next checkpoint says so.
    is_checkpoint_wanted: bool,
    /// The last one found no room, and nothing was written since.
    has_checkpoint_failed: bool,
    packer: Packer,
    /// Where messages lie in the file that is written; none if it was not seen from its beginning.
    index: Option<FileIndex>,
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
    pub(super) newest: NewestFile,
    /// The newest checkpoint.
    pub(super) checkpoint: u64,
    /// Numbers of packed files below it may have been used.
    pub(super) next_packed: u64,
    pub(super) spares: Spares,
    /// Files in which something was lost: kept under another name, not used again.
    pub(super) damaged: BTreeSet<u64>,
}

/// The newest file of the log.
#[derive(Debug)]
pub(super) enum NewestFile {
    /// It has its name.
    Begun(Arc<dyn DiskFile>),
    /// The disk was full at the start: nothing is written before there is room for this.
    Waiting(Beginning),
}

/// A checkpoint to be written once everything in it is on stable storage.
#[derive(Debug)]
struct Snapshot {
    content: Vec<u8>,
    /// Files that are not needed when it is written.
    dead: Vec<u64>,
    appended_bytes: u64,
}

impl LogWriter {
    pub(super) fn new(disk: Arc<dyn Disk>, shared: Arc<Shared>, files: Files) -> Self {
        let synced = shared.pending().last_lsn();
        let packer = Packer::new(Arc::clone(&disk), Arc::clone(&shared), files.next_packed);
        shared.set_written_file(files.number);
        Self {
            disk,
            shared,
            files,
            synced,
            is_tail_unproven: false,
            stuck: None,
            checkpoint_at: 0,
            is_checkpoint_wanted: false,
            has_checkpoint_failed: false,
            packer,
            index: None,
            has_ended: false,
        }
    }

    /// Writes until the log is closed or useless. Blocks: for a thread of its own.
    pub fn run(mut self) -> Result<(), LogError> {
        loop {
            self.shared.linger(LINGER);
            let step = match self.step()? {
                Step::Idle if self.shared.wait_for_work(Some(QUIET)) => continue,
                Step::Idle => self.rest()?,
                step => step,
            };
            match step {
                Step::Worked => {}
                Step::Idle if self.shared.is_reserve_used() => {
                    self.shared.wait_for_work(Some(RETRY));
                    self.files.spares.try_again();
                    self.has_checkpoint_failed = false;
                }
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

    /// Does what is left to do when nothing was appended for a while: proves the last batch if no mark does, frees
    /// files of which nothing is needed. Idle when all is done.
    pub fn rest(&mut self) -> Result<Step, LogError> {
        self.refuse_after_end()?;
        let result = self.try_rest();
        self.end_after(result)
    }

    fn try_rest(&mut self) -> Result<Step, LogError> {
        match self.has_begun()? {
            false => Ok(Step::Stalled),
            true if self.is_tail_unproven => self.store_empty(),
            true => self.free_files(),
        }
    }

    /// Whether there is a file to write to. Makes the one that a start on a full disk found no room for.
    fn has_begun(&mut self) -> Result<bool, LogError> {
        while let NewestFile::Waiting(beginning) = &mut self.files.newest {
            match beginning.write(self.disk.as_ref(), &mut self.files.spares) {
                Ok(file) => {
                    self.files.newest = NewestFile::Begun(file);
                    self.shared.end_stall();
                }
                Err(error) if !error.is_passing() || self.shared.pending().is_closed() => return Err(error),
                Err(error) if self.give_up_something() => self.shared.warn(&error),
                Err(error) => {
                    self.shared.stall(&error);
                    return Ok(false);
                }
            }
        }
        Ok(true)
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
        if !self.has_begun()? {
            return Ok(Step::Stalled);
        }
        let (batch, snapshot, is_closed) = {
            let mut pending = self.shared.pending();
            let batch = self.stuck.take().or_else(|| pending.take_batch());
            let snapshot =
                if self.is_checkpoint_due(&pending) { self.snapshot(&pending, false) } else { None };
            (batch, snapshot, pending.is_closed())
        };
        let has_batch = batch.is_some();
        if let Some(batch) = batch {
            if self.store(batch, false)? == Step::Stalled {
                return Ok(Step::Stalled);
            }
            // The reserve does not wait for a quiet moment.
            if !self.files.spares.has_reserve() {
                self.fill_spares();
            }
        }
        if let Some(snapshot) = snapshot {
            self.write_checkpoint(snapshot)?;
            self.is_checkpoint_wanted = self.packer.pack_some(&self.files)?;
            return Ok(Step::Worked);
        }
        if has_batch || !is_closed && self.fill_spares() {
            return Ok(Step::Worked);
        }
        if is_closed { self.finish() } else { Ok(Step::Idle) }
    }

    /// The last batch: its mark says that all is well.
    fn finish(&mut self) -> Result<Step, LogError> {
        let batch = self.shared.pending().take_empty_batch();
        if let Some(batch) = batch
            && self.store(batch, true)? == Step::Stalled
        {
            return Ok(Step::Stalled);
        }
        let snapshot = self.snapshot(&self.shared.pending(), true);
        if let Some(snapshot) = snapshot {
            self.write_checkpoint(snapshot)?;
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
        if let Ok(free) = self.disk.free_bytes() {
            self.shared.note_room(free);
            self.keep_last_room(free);
        }
        while let Err(error) = self.write(&mut batch, is_clean) {
            if !error.is_passing() {
                return Err(error);
            }
            if self.give_up_something() {
                self.shared.warn(&error);
            } else {
                self.shared.stall(&error);
                let is_closed = self.shared.pending().is_closed();
                self.stuck = Some(batch);
                return if is_closed { Err(error) } else { Ok(Step::Stalled) };
            }
        }
        let statistics = self.shared.statistics();
        statistics.count_batch(u64::from(batch.record_count), batch.bytes.len() as u64);
        if !self.shared.options().unsafe_no_fsync {
            let clock = self.shared.options().clock;
            let begin = clock();
            let synced = self.files.newest.file().and_then(|file| file.sync_data());
            synced.map_err(|error| LogError::sync(&log_name(batch.file), &error))?;
            let micros = clock().saturating_sub(begin).as_micros();
            statistics.sync_micros.add(u64::try_from(micros).unwrap_or(u64::MAX));
        }
        self.synced = batch.last_lsn();
        self.is_tail_unproven = batch.record_count > 0;
        self.has_checkpoint_failed = false;
        self.shared.publish_synced(batch);
        Ok(Step::Worked)
    }

    /// When there is no reserve and no room for one, what is left of the disk is the reserve.
    fn keep_last_room(&self, free: u64) {
        let is_last = free < self.shared.options().file_size && !self.files.spares.has_reserve();
        if is_last && !self.shared.is_reserve_used() {
            self.shared.set_reserve_used(true);
            let full = io::Error::from(io::ErrorKind::StorageFull);
            self.shared.warn(&LogError::io("make a reserve beside", &log_name(self.files.number), &full));
        }
    }

    /// Makes room on a full disk: the reserve, or else indexes, which can be made again. Until there is a reserve
    /// again publishers wait, for that room is for acks and whatever else frees some.
    fn give_up_something(&mut self) -> bool {
        let disk = self.disk.as_ref();
        if !self.files.spares.give_up_reserve(disk) && !self.shared.reader().drop_indexes() {
            return false;
        }
        self.shared.set_reserve_used(true);
        true
    }

    /// False if there is nothing to make.
    fn fill_spares(&mut self) -> bool {
        let has_filled = self.files.spares.fill_some(self.disk.as_ref());
        self.note_reserve();
        has_filled
    }

    fn note_reserve(&self) {
        if self.shared.is_reserve_used() && self.files.spares.has_reserve() {
            self.shared.set_reserve_used(false);
        }
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
            checkpoint: self.files.checkpoint,
        };
        batch.bytes[..MARK_SIZE].copy_from_slice(&mark.encode());
        let file = self.files.newest.file();
        let result = file.and_then(|file| write_padded(file.as_ref(), &mut batch.bytes, batch.offset));
        result.map_err(|error| LogError::io("write", &log_name(batch.file), &error))?;
        if let Some(index) = &mut self.index {
            index.note_batch(batch.offset, &batch.bytes);
        }
        Ok(())
    }

    /// The next file gets its name when its header is on stable storage.
    fn begin_file(&mut self, number: u64, first_lsn: Lsn) -> Result<(), LogError> {
        let header = FileHeader {
            epoch: epoch(self.shared.options().salt, number),
            number,
            first_lsn,
            proven: self.synced,
            checkpoint: self.files.checkpoint,
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
        self.keep_index();
        (self.files.number, self.files.newest) = (number, NewestFile::Begun(spare.file));
        self.index = Some(FileIndex::default());
        self.shared.set_written_file(number);
        Ok(())
    }

    /// Leaves the complete file's index to who will read from it, if anybody will.
    fn keep_index(&mut self) {
        let number = self.files.number;
        let has_live =
            self.shared.pending().live.file(number).is_some_and(|file_use| file_use.live_count > 0);
        if let Some(mut index) = self.index.take().filter(|_| has_live) {
            index.sort();
            index.write(self.disk.as_ref(), number, epoch(self.shared.options().salt, number));
        }
    }

    fn is_checkpoint_due(&self, pending: &Pending) -> bool {
        let since = pending.appended_bytes() - self.checkpoint_at;
        let is_room_wanted = self.shared.is_reserve_used() && !self.has_checkpoint_failed;
        self.is_checkpoint_wanted
            || since >= self.shared.options().checkpoint_bytes
            || is_room_wanted && !dead_files(pending).is_empty()
    }

    /// What a checkpoint says when everything that is appended by now is on stable storage; none if some of it is not
    /// even on its way there.
    fn snapshot(&self, pending: &Pending, is_clean: bool) -> Option<Snapshot> {
        let (file, offset) = pending.place_at_rest().filter(|_| self.stuck.is_none())?;
        let place =
            Place { number: self.files.checkpoint + 1, lsn: pending.last_lsn(), file, offset, is_clean };
        let dead = dead_files(pending);
        let content = checkpoint::encode(&place, &pending.live, &dead);
        Some(Snapshot { content, dead, appended_bytes: pending.appended_bytes() })
    }

    /// Dead files, or mostly dead ones, which are dead when they are packed.
    fn free_files(&mut self) -> Result<Step, LogError> {
        let snapshot = {
            let pending = self.shared.pending();
            if dead_files(&pending).is_empty() { None } else { self.snapshot(&pending, false) }
        };
        let has_worked = match snapshot {
            Some(snapshot) => self.write_checkpoint(snapshot)?,
            None => self.packer.pack_some(&self.files)?,
        };
        Ok(if has_worked { Step::Worked } else { Step::Idle })
    }

    /// Everything in the snapshot is on stable storage. False if the disk has no room for it, which may pass.
    fn write_checkpoint(&mut self, snapshot: Snapshot) -> Result<bool, LogError> {
        self.is_checkpoint_wanted = false;
        self.checkpoint_at = snapshot.appended_bytes;
        while let Err(error) = checkpoint::write(self.disk.as_ref(), &snapshot.content) {
            let error = LogError::io("write", checkpoint::NAME, &error);
            if !error.is_passing() {
                return Err(error);
            }
            if !self.give_up_something() {
                self.has_checkpoint_failed = true;
                return Ok(false);
            }
        }
        self.files.checkpoint += 1;
        for &number in &snapshot.dead {
            if let Err(error) = release(self.disk.as_ref(), &mut self.files, number) {
                // It is not read again, and released after the next start.
                tracing::warn!("message log: cannot release {}: {error}", log_name(number));
            }
            self.shared.reader().forget(number);
        }
        self.shared.pending().live.drop_files(&snapshot.dead);
        self.note_reserve();
        Ok(true)
    }
}

impl NewestFile {
    fn file(&self) -> io::Result<&Arc<dyn DiskFile>> {
        match self {
            Self::Begun(file) => Ok(file),
            Self::Waiting(_) => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

/// Files in which nothing is live and nothing more will be written.
fn dead_files(pending: &Pending) -> Vec<u64> {
    let files = pending.live.files().iter();
    let dead = files.filter(|file_use| file_use.live_count == 0 && !pending.is_written_to(file_use.number));
    dead.map(|file_use| file_use.number).collect()
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
    let (name, index) = (log_name(number), index_name(number));
    if disk.exists(&index)? {
        disk.remove(&index)?;
    }
    if !disk.exists(&name)? {
        return Ok(());
    }
    if files.damaged.remove(&number) {
        return disk.rename(&name, &damaged_name(number));
    }
    if is_packed(number) { disk.remove(&name) } else { files.spares.keep(disk, &name) }
}
