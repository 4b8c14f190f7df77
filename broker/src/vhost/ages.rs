//! How long deliveries of a channel have been out, as far as looks now and then can tell: nothing is noted when one is
//! delivered or settled.
//!
//! Each look notes the last tag that was given by then. Whatever has that tag or an earlier one is at least as old as
//! the note.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The notes of one channel.
#[derive(Debug, Default)]
pub(super) struct Ages {
    /// Both tags and times grow.
    notes: VecDeque<Note>,
}

#[derive(Clone, Copy, Debug)]
struct Note {
    last_tag: u64,
    at: Instant,
}

/// Up to so many notes are kept whatever they say.
const NOTES_FREE: usize = 64;
/// Of more, only those are kept without which the age of something would be known less well than to this part of it.
const PRECISION: u32 = 8;

impl Ages {
    /// Notes the last tag that was given, and forgets what is about deliveries before `first_open`, the first that is
    /// unsettled; all, if there is none.
    pub(super) fn note(&mut self, first_open: Option<u64>, last_tag: u64, now: Instant) {
        let Some(first_open) = first_open else { return self.notes = VecDeque::new() };
        while self.notes.front().is_some_and(|note| note.last_tag < first_open) {
            self.notes.pop_front();
        }
        if self.notes.back().is_none_or(|note| note.last_tag < last_tag) {
            self.notes.push_back(Note { last_tag, at: now });
        }
        if self.notes.len() > NOTES_FREE {
            self.thin(now);
        }
    }

    /// Drops notes whose neighbours are as near to each other as their age allows. So there are few notes, and always
    /// one that is not much older than what is asked for.
    fn thin(&mut self, now: Instant) {
        let mut kept = VecDeque::with_capacity(self.notes.len());
        let mut before: Option<Note> = None;
        for (index, note) in self.notes.iter().enumerate() {
            let gap = before.zip(self.notes.get(index + 1)).map(|(before, after)| after.at - before.at);
            let age = now.saturating_duration_since(note.at);
            if gap.is_none_or(|gap| gap > age / PRECISION) {
                kept.push_back(*note);
                before = Some(*note);
            }
        }
        self.notes = kept;
    }

    /// Up to which tag deliveries are that old; 0 if none is.
    pub(super) fn last_older_than(&self, age: Duration, now: Instant) -> u64 {
        let is_old = |note: &Note| now.saturating_duration_since(note.at) >= age;
        let count = self.notes.partition_point(is_old);
        count.checked_sub(1).map_or(0, |last| self.notes[last].last_tag)
    }

    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::start_of_time;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_was_there_at_a_look_is_as_old_as_the_look() {
        let (mut ages, start) = (Ages::default(), start_of_time());
        ages.note(Some(1), 3, start);
        ages.note(Some(1), 3, start + SECOND);
        ages.note(Some(2), 7, start + 2 * SECOND);
        for (age, at, expected) in
            [(1, 0, 0), (1, 1, 3), (2, 2, 3), (0, 2, 7), (2, 3, 3), (2, 4, 7), (5, 4, 0)]
        {
            assert_eq!(ages.last_older_than(age * SECOND, start + at * SECOND), expected, "{age} {at}");
        }
        ages.note(Some(4), 7, start + 5 * SECOND);
        assert_eq!(ages.last_older_than(3 * SECOND, start + 5 * SECOND), 7);
        ages.note(None, 7, start + 6 * SECOND);
        assert!(ages.is_empty());
    }

    /// However long something is out, few notes are kept, and nothing seems older than it is.
    #[test]
    fn the_notes_do_not_pile_up() {
        let (mut ages, start) = (Ages::default(), start_of_time());
        for second in 1..10_000_u64 {
            let at = start + Duration::from_secs(second);
            ages.note(Some(1), second, at);
            assert!(ages.notes.len() <= 160, "{}", ages.notes.len());
            for age in [1, 10, second / 2, second - 1] {
                let last = ages.last_older_than(Duration::from_secs(age), at);
                assert!(last <= second.saturating_sub(age), "{second} {age} {last}");
            }
        }
        for age in [1, 10, 100, 1_000, 5_000, 7_000] {
            let last = ages.last_older_than(Duration::from_secs(age), start + Duration::from_secs(9_999));
            assert!(last >= 9_999 - age - age / 4 - 2, "{age} {last}");
        }
    }
}
