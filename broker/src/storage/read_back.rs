//! Messages that are not in memory any more, back from the log.

use crate::{
    model::{queue::Position, queue_id::QueueId},
    storage::{
        live::Placed,
        log::{Log, RecoveredMessage},
        log_file::log_name,
        reader::Found,
    },
};

/// Messages looked up at once.
const COUNT_MAX: usize = 1_024;
/// So often a message is looked up that is not where it was; it moves rarely.
const TRIES: usize = 4;

/// What was read of a queue.
#[derive(Debug)]
pub struct ReadBack {
    /// In order. Whether one was delivered before only the delivery count tells.
    pub messages: Vec<RecoveredMessage>,
    /// What is damaged, one sentence each. It stays in its file, but nobody asks for it again before a restart.
    pub lost: Vec<String>,
    /// Why no more could be read now: it may pass.
    pub refusal: Option<String>,
    /// Where to go on.
    pub next: Position,
}

impl Log {
    /// Reads the live messages of a queue from `from` to before `to`: about `bytes_max` of them.
    /// They lie below [`Log::readable_below`], and the queue is locked, so that none of them is settled meanwhile.
    #[must_use]
    pub fn read(&self, queue: QueueId, (from, to): (Position, Position), bytes_max: usize) -> ReadBack {
        let placed = self.shared.pending().live.placed(queue, from, to, COUNT_MAX);
        let mut back = ReadBack { messages: Vec::new(), lost: Vec::new(), refusal: None, next: to };
        let (mut rest, mut bytes) = (placed.as_slice(), 0);
        while let Some(first) = rest.first()
            && bytes < bytes_max
        {
            let same_file = rest.iter().take_while(|placed| placed.file == first.file).count();
            let found = self.read_from(queue, &rest[..same_file], bytes_max - bytes);
            let mut read = found.len();
            for (index, (placed, found)) in rest.iter().zip(found).enumerate() {
                match self.settle_finding(queue, *placed, found) {
                    Found::Message(message) => {
                        bytes += message.size();
                        back.messages.push(RecoveredMessage {
                            position: placed.position,
                            message,
                            delivery_count: placed.delivery_count,
                        });
                    }
                    Found::Not(lost) => back.lost.push(lost),
                    Found::NotNow(refusal) => {
                        back.refusal = Some(refusal);
                        read = index;
                        break;
                    }
                }
            }
            rest = &rest[read..];
            if back.refusal.is_some() {
                break;
            }
        }
        match (rest.first(), placed.last()) {
            (Some(left), _) => back.next = left.position,
            (None, Some(last)) if placed.len() == COUNT_MAX => back.next = Position(last.position.0 + 1),
            (None, _) => {}
        }
        self.shared.statistics().count_reads(back.messages.len() as u64, bytes as u64);
        back
    }

    /// Messages of a queue below this can be read back, as far as they were appended at all; none: all of them.
    #[must_use]
    pub fn readable_below(&self, queue: QueueId) -> Option<Position> {
        let written = self.shared.written_file();
        self.shared.pending().live.first_position_in(queue, written)
    }

    /// At least one; all in one file.
    fn read_from(&self, queue: QueueId, placed: &[Placed], bytes_max: usize) -> Vec<Found> {
        let number = placed.first().map_or(0, |placed| placed.file);
        let file_use = self.shared.pending().live.file(number).cloned();
        match file_use {
            Some(file_use) => self.shared.reader().read(queue, placed, &file_use, bytes_max),
            None => placed.iter().map(|_| Found::Not("its file is gone".to_owned())).collect(),
        }
    }

    /// What was not found is looked up again, for it may have been moved.
    fn settle_finding(&self, queue: QueueId, placed: Placed, found: Found) -> Found {
        let (mut placed, mut found) = (placed, found);
        for _ in 0..TRIES {
            let Found::Not(reason) = found else { return found };
            let file = self.shared.pending().live.file_of(queue, placed.position);
            match file {
                Some(file) if file != placed.file => placed.file = file,
                _ => {
                    let (file, position) = (log_name(placed.file), placed.position.0);
                    let lost = format!("{file}: message {position} of queue {} is lost: {reason}", queue.0);
                    return Found::Not(lost);
                }
            }
            let again = self.read_from(queue, &[placed], 0);
            found = again.into_iter().next().unwrap_or(Found::Not(reason));
        }
        Found::NotNow(format!("message {} of queue {} is moved too often", placed.position.0, queue.0))
    }
}
