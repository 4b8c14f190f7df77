//! What was appended to the log and is not yet with its writer.

use std::{collections::VecDeque, sync::Arc};

use crate::storage::{
    LogError,
    live::Live,
    log::LogOptions,
    log_file::{FILE_HEADER_SIZE, MARK_SIZE, is_packed, sector_end},
    record::{Body, HEAD_SIZE, Lsn, Record},
};

/// More than this is written at once even if nobody waits for it.
const LINGER_BYTES_MAX: usize = 64 << 10;

/// Records that are not yet with the writer, and where they will lie.
#[derive(Debug)]
pub(super) struct Pending {
    /// Complete batches, when a file ended.
    sealed: VecDeque<Batch>,
    /// The batch that gathers records, if there are any.
    open: Option<Batch>,
    /// The file that the next batch goes to.
    file: u64,
    /// Where in it.
    offset: u64,
    next_lsn: Lsn,
    /// All records ever appended, bytes.
    appended_bytes: u64,
    pub(super) live: Live,
    /// A batch's memory, to be used again.
    pub(super) idle_buffer: Vec<u8>,
    pub(super) failure: Option<LogError>,
    pub(super) is_closed: bool,
    pub(super) is_writer_waiting: bool,
    /// The writer waits a little for more of what nobody waits for.
    pub(super) is_writer_lingering: bool,
    /// Somebody waits for something that was appended.
    pub(super) is_urgent: bool,
}

/// What one write and one sync make durable.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) file: u64,
    pub(super) offset: u64,
    /// The mark's.
    pub(super) first_lsn: Lsn,
    pub(super) record_count: u32,
    /// Room for the mark, then the records.
    pub(super) bytes: Vec<u8>,
}

/// What recovery leaves the log to go on with.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) file: u64,
    pub(super) offset: u64,
    pub(super) next_lsn: Lsn,
    /// What was read since the checkpoint.
    pub(super) replayed_bytes: u64,
    pub(super) live: Live,
}

impl Pending {
    pub(super) fn new(start: Start) -> Self {
        Self {
            sealed: VecDeque::new(),
            open: None,
            file: start.file,
            offset: start.offset,
            next_lsn: start.next_lsn,
            appended_bytes: start.replayed_bytes,
            live: start.live,
            idle_buffer: Vec::new(),
            failure: None,
            is_closed: false,
            is_writer_waiting: false,
            is_writer_lingering: false,
            is_urgent: false,
        }
    }

    /// The batch to write next, with all that gathered in it.
    pub(super) fn take_batch(&mut self) -> Option<Batch> {
        if self.sealed.is_empty() {
            self.seal();
        }
        let batch = self.sealed.pop_front();
        // What is left after the end of a file may be what somebody waits for.
        self.is_urgent &= self.open.is_some() || !self.sealed.is_empty();
        batch
    }

    /// A batch of nothing but its mark; the one that gathers if there is one.
    pub(super) fn take_empty_batch(&mut self) -> Option<Batch> {
        if self.open.is_none() && self.sealed.is_empty() {
            self.open = Some(self.new_batch());
        }
        self.take_batch()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Where the next batch goes, when nothing waits to be written.
    pub(super) fn place_at_rest(&self) -> Option<(u64, u64)> {
        (self.open.is_none() && self.sealed.is_empty()).then_some((self.file, self.offset))
    }

    /// Whether a file, packed ones aside, is the newest or not complete.
    pub(super) fn is_written_to(&self, number: u64) -> bool {
        let first = self.sealed.front().map_or(self.file, |batch| batch.file);
        !is_packed(number) && number >= first
    }

    /// All records ever appended, bytes.
    pub(super) fn appended_bytes(&self) -> u64 {
        self.appended_bytes
    }

    /// The last number given.
    pub(super) fn last_lsn(&self) -> Lsn {
        Lsn(self.next_lsn.0 - 1)
    }

    /// Notes whether somebody waits; says whether the writer has to be told of it, or of the first work.
    pub(super) fn hurry(&mut self, is_urgent: bool) -> bool {
        self.is_urgent |= is_urgent;
        let is_lingering = self.is_writer_lingering && !self.may_linger();
        std::mem::take(&mut self.is_writer_waiting) || is_lingering
    }

    /// The same when somebody waits for a record: what came after it does not hurry because the record is with the
    /// writer already.
    pub(super) fn hurry_for(&mut self, lsn: Lsn) -> bool {
        let first = self.sealed.front().or(self.open.as_ref()).map(|batch| batch.first_lsn);
        first.is_some_and(|first| first <= lsn) && self.hurry(true)
    }

    /// Whether there is only a little, and nobody waits for it.
    pub(super) fn may_linger(&self) -> bool {
        let is_little = self.open.as_ref().is_some_and(|batch| batch.bytes.len() < LINGER_BYTES_MAX);
        is_little && self.sealed.is_empty() && !self.is_urgent && !self.is_closed
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open.is_none() && self.sealed.is_empty() && !self.is_closed
    }

    /// Why nothing is taken any more.
    pub(super) fn refusal(&self) -> Option<LogError> {
        match &self.failure {
            Some(LogError::Closed) => Some(LogError::Closed),
            Some(failure) => Some(LogError::Failed { cause: Arc::new(failure.clone()) }),
            None => self.is_closed.then_some(LogError::Closed),
        }
    }

    pub(super) fn push(&mut self, body: &Body<'_>, records: &[Record<'_>], options: &LogOptions) -> Lsn {
        let size = HEAD_SIZE + body.size();
        let used = self.offset + self.open.as_ref().map_or(MARK_SIZE, |batch| batch.bytes.len()) as u64;
        let is_unused = self.open.is_none() && self.offset == FILE_HEADER_SIZE;
        if used + size as u64 > options.file_size && !is_unused {
            self.seal();
            self.file += 1;
            self.offset = FILE_HEADER_SIZE;
            self.live.add_file(self.file, self.next_lsn, None);
        }
        let mut batch = self.open.take().unwrap_or_else(|| self.new_batch());
        let lsn = self.next_lsn;
        self.next_lsn.0 += 1;
        batch.record_count += 1;
        body.write(epoch(options.salt, self.file), lsn, &mut batch.bytes);
        self.open = Some(batch);
        self.appended_bytes += size as u64;
        self.live.apply_all(records, self.file, size as u64);
        lsn
    }

    /// A batch whose mark has its number, and nothing in it.
    fn new_batch(&mut self) -> Batch {
        let mut bytes = std::mem::take(&mut self.idle_buffer);
        bytes.resize(MARK_SIZE, 0);
        let first_lsn = self.next_lsn;
        self.next_lsn.0 += 1;
        Batch { file: self.file, offset: self.offset, first_lsn, record_count: 0, bytes }
    }

    fn seal(&mut self) {
        if let Some(batch) = self.open.take() {
            self.offset = sector_end(batch.offset + batch.bytes.len() as u64);
            self.sealed.push_back(batch);
        }
    }
}

impl Batch {
    pub(super) fn last_lsn(&self) -> Lsn {
        Lsn(self.first_lsn.0 + u64::from(self.record_count))
    }
}

/// The epoch of a file: another one each time it is used again.
pub(super) fn epoch(salt: u32, file: u64) -> u32 {
    salt ^ (file & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::queue_id::QueueId;

    fn pending() -> Pending {
        let live = Live::default();
        Pending::new(Start { file: 1, offset: FILE_HEADER_SIZE, next_lsn: Lsn(1), replayed_bytes: 0, live })
    }

    fn append(pending: &mut Pending) -> Lsn {
        let record = Record::Delete { queue: QueueId(1) };
        pending.push(&record.body(&mut Vec::new()), &[record], &LogOptions::tiny())
    }

    #[test]
    fn only_what_is_waited_for_hurries() {
        let mut pending = pending();
        let with_writer = append(&mut pending);
        pending.take_batch().unwrap();
        let gathering = append(&mut pending);
        pending.is_writer_lingering = true;
        assert!(!pending.hurry_for(with_writer));
        assert!(pending.may_linger());
        assert!(pending.hurry_for(gathering));
        assert!(!pending.may_linger());
        pending.take_batch().unwrap();
        append(&mut pending);
        pending.is_writer_lingering = true;
        assert!(pending.may_linger(), "the next one is not waited for");
    }

    #[test]
    fn what_is_left_after_the_end_of_a_file_still_hurries() {
        let mut pending = pending();
        while pending.sealed.is_empty() {
            append(&mut pending);
        }
        let last = pending.last_lsn();
        pending.hurry_for(last);
        pending.take_batch().unwrap();
        assert!(pending.open.is_some() && !pending.may_linger());
        pending.take_batch().unwrap();
        append(&mut pending);
        assert!(pending.may_linger());
    }
}
