//! What the broker has not confirmed yet, and how long the rest took.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Nanos;
use crate::codec::method::Confirm;

/// The unconfirmed publishes of a channel: counts each confirm once, in whatever order and grouping it comes.
#[derive(Debug)]
pub struct Unconfirmed {
    /// All publishes below this number are confirmed.
    first: u64,
    /// Whether publish `first + n` is confirmed; never begins with `true`.
    confirmed: VecDeque<bool>,
    /// No more than this many can be outstanding.
    window: usize,
    /// Up to which number publishes were sent at which time; the oldest first.
    sent: VecDeque<(u64, Nanos)>,
    /// The latency of one publish in this many is of interest, if any is.
    sample_every: Option<u64>,
}

impl Unconfirmed {
    /// A channel on which at most `window` publishes are unconfirmed at once.
    pub fn new(window: usize, sample_every: Option<u64>) -> Self {
        Self { first: 1, confirmed: VecDeque::new(), window, sent: VecDeque::new(), sample_every }
    }

    /// Publishes up to this number have been sent, at `now` the latest of them.
    pub fn note_sent(&mut self, publish_number: u64, now: Nanos) {
        self.sent.push_back((publish_number, now));
    }

    /// Notes a confirm; says how many publishes it confirmed that were not before, and adds their latencies to
    /// `samples`. `None` when it speaks of a publish that cannot have happened.
    pub fn settle(&mut self, confirm: Confirm, now: Nanos, samples: &mut Vec<Duration>) -> Option<u64> {
        let Some(index) = confirm.publish_number.checked_sub(self.first) else { return Some(0) };
        let index = usize::try_from(index).ok().filter(|&index| index < self.window)?;
        if index >= self.confirmed.len() {
            self.confirmed.resize(index + 1, false);
        }
        let begin = if confirm.is_multiple { self.first } else { confirm.publish_number };
        self.sample(begin, confirm.publish_number, now, samples);
        let fresh = if confirm.is_multiple {
            let fresh = self.confirmed.drain(..=index).filter(|is_confirmed| !is_confirmed).count();
            self.first = confirm.publish_number + 1;
            fresh as u64
        } else {
            u64::from(!std::mem::replace(&mut self.confirmed[index], true))
        };
        while self.confirmed.front() == Some(&true) {
            self.confirmed.pop_front();
            self.first += 1;
        }
        while self.sent.front().is_some_and(|&(last, _)| last < self.first) {
            self.sent.pop_front();
        }
        Some(fresh)
    }

    /// The latencies of the publishes from `begin` to `end` that are confirmed just now.
    fn sample(&self, begin: u64, end: u64, now: Nanos, samples: &mut Vec<Duration>) {
        let Some(every) = self.sample_every else { return };
        // The first publish of a channel, and each that is as many later.
        let mut number = (begin - 1).next_multiple_of(every) + 1;
        while number <= end {
            let is_fresh = !self.confirmed[(number - self.first) as usize];
            let place = self.sent.partition_point(|&(last, _)| last < number);
            if let Some((_, sent_at)) = self.sent.get(place).filter(|_| is_fresh) {
                samples.push(now.since(*sent_at));
            }
            number += every;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(unconfirmed: &mut Unconfirmed, publish_number: u64, is_multiple: bool) -> Option<u64> {
        unconfirmed.settle(Confirm { publish_number, is_multiple }, Nanos(0), &mut Vec::new())
    }

    #[test]
    fn each_publish_counts_once() {
        let mut unconfirmed = Unconfirmed::new(10, Some(1));
        assert_eq!(settle(&mut unconfirmed, 3, false), Some(1));
        assert_eq!(settle(&mut unconfirmed, 1, false), Some(1));
        assert_eq!(settle(&mut unconfirmed, 1, false), Some(0));
        assert_eq!(settle(&mut unconfirmed, 5, true), Some(3));
        assert_eq!(settle(&mut unconfirmed, 4, true), Some(0));
        assert_eq!(settle(&mut unconfirmed, 7, false), Some(1));
        assert_eq!(settle(&mut unconfirmed, 6, false), Some(1));
        assert_eq!(unconfirmed.first, 8);
    }

    #[test]
    fn a_number_beyond_the_window_is_no_confirm() {
        let mut unconfirmed = Unconfirmed::new(2, Some(1));
        assert_eq!(settle(&mut unconfirmed, 3, true), None);
        assert_eq!(settle(&mut unconfirmed, 2, true), Some(2));
        assert_eq!(settle(&mut unconfirmed, 4, false), Some(1));
        assert_eq!(settle(&mut unconfirmed, u64::MAX, false), None);
    }

    #[test]
    fn latencies_are_those_of_the_write_that_sent_them() {
        let mut unconfirmed = Unconfirmed::new(10, Some(2));
        unconfirmed.note_sent(3, Nanos(100));
        unconfirmed.note_sent(6, Nanos(200));
        let mut samples = Vec::new();
        let mut settle = |publish_number, is_multiple, now| {
            unconfirmed.settle(Confirm { publish_number, is_multiple }, Nanos(now), &mut samples)
        };
        assert_eq!(settle(5, false, 250), Some(1));
        assert_eq!(settle(4, true, 300), Some(4));
        assert_eq!(settle(6, true, 900), Some(1));
        assert_eq!(samples, [50, 200, 200].map(Duration::from_nanos));
        assert!(unconfirmed.sent.is_empty());
    }
}
