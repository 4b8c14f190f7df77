//! Publisher confirms of one channel (<https://www.rabbitmq.com/docs/confirms>).

use std::collections::VecDeque;

use crate::storage::record::Lsn;

/// A published message's number on its channel since `confirm.select`, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublishNumber(pub u64);

/// What was published and what of it was confirmed.
///
/// ```text
///   1 ..... confirmed ..... appended ..... published
///           waits for syncs |  waits to be appended
/// ```
#[derive(Debug, Default)]
pub struct Confirms {
    published: u64,
    /// Numbers up to here are with the log, or were refused.
    appended: u64,
    /// Numbers up to here are answered.
    confirmed: u64,
    /// Of these, those that were refused.
    refused: u64,
    /// What waits for a sync: in order, each with the last number that is safe with it.
    waiting: VecDeque<(Lsn, u64)>,
}

/// A `basic.ack` or `basic.nack` to the publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// The last message it is for.
    pub number: PublishNumber,
    /// It is for all before, too, that have no answer yet.
    pub multiple: bool,
    /// The message is safe, or in its queues if it is transient.
    pub is_ack: bool,
}

impl Confirms {
    /// One more message was published.
    pub fn publish(&mut self) {
        self.published += 1;
    }

    /// What was published is with the log and safe once that is synced up to `lsn`; none: it is as safe as it
    /// will be, and confirmed at once.
    pub fn appended(&mut self, lsn: Option<Lsn>, confirms: &mut Vec<Confirm>) {
        let first = self.appended + 1;
        self.appended = self.published;
        match lsn {
            _ if first > self.published => {}
            Some(lsn) => self.waiting.push_back((lsn, self.published)),
            None if self.waiting.is_empty() => self.confirm_up_to(self.published, true, confirms),
            // Nobody waits for the disk who needs not: one by one, since those before still wait.
            None => confirms.extend((first..=self.published).map(|number| Confirm {
                number: PublishNumber(number),
                multiple: false,
                is_ack: true,
            })),
        }
    }

    /// What was published was refused.
    pub fn refused(&mut self, confirms: &mut Vec<Confirm>) {
        let numbers = self.appended + 1..=self.published;
        self.refused += self.published - self.appended;
        self.appended = self.published;
        confirms.extend(numbers.map(|number| Confirm {
            number: PublishNumber(number),
            multiple: false,
            is_ack: false,
        }));
        self.note_answered();
    }

    /// The log is synced up to here.
    pub fn synced(&mut self, synced: Lsn, confirms: &mut Vec<Confirm>) {
        let mut last = None;
        while let Some((lsn, number)) = self.waiting.front()
            && *lsn <= synced
        {
            last = Some(*number);
            self.waiting.pop_front();
        }
        if let Some(last) = last {
            self.confirm_up_to(last, true, confirms);
            self.note_answered();
        }
    }

    /// The log failed: nothing that waits will be safe.
    pub fn failed(&mut self, confirms: &mut Vec<Confirm>) {
        if let Some((_, last)) = std::mem::take(&mut self.waiting).pop_back() {
            self.refused += last.saturating_sub(self.confirmed);
            self.confirm_up_to(last, false, confirms);
        }
    }

    /// Messages published and not yet confirmed.
    #[must_use]
    pub fn unconfirmed_count(&self) -> u64 {
        self.published - self.confirmed
    }

    /// Messages confirmed. Those that overtook others count when the others do.
    #[must_use]
    pub fn acked_count(&self) -> u64 {
        self.confirmed.saturating_sub(self.refused)
    }

    /// What the last one waits for.
    #[must_use]
    pub fn last_waiting(&self) -> Option<Lsn> {
        self.waiting.back().map(|(lsn, _)| *lsn)
    }

    /// When nothing waits, everything that was appended or refused has its answer.
    fn note_answered(&mut self) {
        if self.waiting.is_empty() {
            self.confirmed = self.appended;
        }
    }

    fn confirm_up_to(&mut self, number: u64, is_ack: bool, confirms: &mut Vec<Confirm>) {
        let multiple = number > self.confirmed + 1;
        self.confirmed = number;
        confirms.push(Confirm { number: PublishNumber(number), multiple, is_ack });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ack 3`, `ack ..3`, `nack 3`.
    fn said(act: impl FnOnce(&mut Vec<Confirm>)) -> String {
        let mut confirms = Vec::new();
        act(&mut confirms);
        let show = |confirm: &Confirm| {
            let (answer, up_to) =
                (if confirm.is_ack { "ack" } else { "nack" }, if confirm.multiple { ".." } else { "" });
            format!("{answer} {up_to}{}", confirm.number.0)
        };
        confirms.iter().map(show).collect::<Vec<_>>().join(", ")
    }

    fn published(confirms: &mut Confirms, count: u64) {
        (0..count).for_each(|_| confirms.publish());
    }

    #[test]
    fn what_needs_no_disk_is_confirmed_at_once_and_joined() {
        let mut confirms = Confirms::default();
        assert_eq!(said(|out| confirms.appended(None, out)), "");
        published(&mut confirms, 1);
        assert_eq!(said(|out| confirms.appended(None, out)), "ack 1");
        published(&mut confirms, 2);
        assert_eq!(said(|out| confirms.appended(None, out)), "ack ..3");
        assert_eq!(confirms.unconfirmed_count(), 0);
    }

    #[test]
    fn what_needs_the_disk_waits_for_its_sync() {
        let mut confirms = Confirms::default();
        for lsn in [5, 9, 12] {
            published(&mut confirms, 2);
            assert_eq!(said(|out| confirms.appended(Some(Lsn(lsn)), out)), "");
        }
        assert_eq!(said(|out| confirms.synced(Lsn(4), out)), "");
        assert_eq!(said(|out| confirms.synced(Lsn(9), out)), "ack ..4");
        assert_eq!(confirms.unconfirmed_count(), 2);
        assert_eq!(said(|out| confirms.synced(Lsn(20), out)), "ack ..6");
        assert_eq!(said(|out| confirms.synced(Lsn(20), out)), "");
    }

    #[test]
    fn the_transient_overtake_the_persistent() {
        let mut confirms = Confirms::default();
        published(&mut confirms, 1);
        confirms.appended(Some(Lsn(5)), &mut Vec::new());
        published(&mut confirms, 2);
        assert_eq!(said(|out| confirms.appended(None, out)), "ack 2, ack 3");
        assert_eq!(said(|out| confirms.synced(Lsn(5), out)), "ack 1");
        published(&mut confirms, 1);
        assert_eq!(said(|out| confirms.appended(None, out)), "ack 4");
        assert_eq!(confirms.unconfirmed_count(), 0);
    }

    #[test]
    fn failures_are_nacked() {
        let mut confirms = Confirms::default();
        published(&mut confirms, 3);
        confirms.appended(Some(Lsn(5)), &mut Vec::new());
        published(&mut confirms, 1);
        assert_eq!(said(|out| confirms.refused(out)), "nack 4");
        assert_eq!(said(|out| confirms.failed(out)), "nack ..3");
        published(&mut confirms, 1);
        assert_eq!(said(|out| confirms.refused(out)), "nack 5");
        assert_eq!(confirms.unconfirmed_count(), 0);
    }
}
