//! What is asked of a history: the numbers now, how fast they grow, and samples of the past.

use std::array;

use super::{History, LookTimes};
use crate::{limits::SAMPLES_MAX, model::timestamp::Timestamp};

/// Which samples a request may ask for, each kind with a range of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// Messages in queues.
    Lengths,
    /// Messages that come and go.
    Messages,
    /// Bytes.
    Data,
    /// What a node uses.
    Node,
}

/// The times of the samples that are asked for, by kind; and what time it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// Seconds since 1970.
    pub now: u64,
    looks: LookTimes,
    times: [Vec<u64>; 4],
}

/// An age or an interval of 0, or more samples than [`SAMPLES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRange;

/// Numbers now, their growth and their past. Curves of the same ranges can be added.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve<const N: usize> {
    /// Now.
    pub values: [u64; N],
    /// In a second.
    pub rates: [f64; N],
    samples: [Vec<[u64; N]>; 4],
}

impl Ranges {
    /// Without samples.
    #[must_use]
    pub fn at(now: Timestamp, looks: LookTimes) -> Self {
        Self { now: now.seconds(), looks, ..Self::default() }
    }

    /// Asks for samples of a kind: one each `interval` seconds, back to `age` seconds ago.
    pub fn ask(&mut self, kind: SampleKind, age: u64, interval: u64) -> Result<(), InvalidRange> {
        let intervals = age.checked_div(interval).ok_or(InvalidRange)?;
        if age == 0 || intervals >= SAMPLES_MAX {
            return Err(InvalidRange);
        }
        let last = self.now - self.now % interval;
        self.times[kind as usize] =
            (0..=intervals).rev().map(|ago| last.saturating_sub(ago * interval)).collect();
        Ok(())
    }

    /// The times of a kind's samples, ascending; none if they are not asked for.
    #[must_use]
    pub fn times(&self, kind: SampleKind) -> &[u64] {
        &self.times[kind as usize]
    }
}

impl<const N: usize> Curve<N> {
    /// Of a history with the numbers as they are now. Without a history they have been what they are for long.
    #[must_use]
    pub fn of(history: Option<&History<N>>, values: [u64; N], ranges: &Ranges) -> Self {
        let samples = array::from_fn(|kind| {
            let times: &[u64] = &ranges.times[kind];
            match history {
                _ if times.is_empty() => Vec::new(),
                Some(history) => history.at(times),
                None => vec![values; times.len()],
            }
        });
        let rates = history.map_or([0.0; N], |history| history.rates(&ranges.looks));
        Self { values, rates, samples }
    }

    /// Of nothing at all.
    #[must_use]
    pub fn zero(ranges: &Ranges) -> Self {
        Self::of(None, [0; N], ranges)
    }

    /// One column, or the sum of several, over time: ascending as [`Ranges::times`].
    pub fn samples<'a>(&'a self, kind: SampleKind, columns: &'a [usize]) -> impl Iterator<Item = u64> + 'a {
        self.samples[kind as usize].iter().map(|row| columns.iter().map(|column| row[*column]).sum())
    }

    /// Adds another's numbers.
    pub fn add(&mut self, other: &Self) {
        let add = |sums: &mut [u64; N], row: &[u64; N]| {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum = sum.wrapping_add(*value));
        };
        add(&mut self.values, &other.values);
        self.rates.iter_mut().zip(&other.rates).for_each(|(sum, rate)| *sum += rate);
        for (sums, rows) in self.samples.iter_mut().zip(&other.samples) {
            sums.iter_mut().zip(rows).for_each(|(sums, row)| add(sums, row));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::statistics::{BASIC, Look};

    fn ranges(seconds: u64) -> Ranges {
        let now = Timestamp(seconds * 1_000);
        Ranges::at(now, LookTimes::at(now))
    }

    #[test]
    fn samples_stand_at_multiples_of_their_interval() {
        let mut ranges = ranges(1_003);
        ranges.ask(SampleKind::Lengths, 20, 10).unwrap();
        assert_eq!(ranges.times(SampleKind::Lengths), [980, 990, 1_000]);
        assert_eq!(ranges.times(SampleKind::Messages), [0; 0]);
        for (age, interval) in [(60, 0), (0, 5), (u64::MAX, 1)] {
            assert_eq!(ranges.ask(SampleKind::Data, age, interval), Err(InvalidRange));
        }
    }

    #[test]
    fn curves_add_up() {
        let mut ranges = ranges(1_000);
        ranges.ask(SampleKind::Lengths, 10, 5).unwrap();
        let at = |seconds: u64| Timestamp(seconds * 1_000);
        let mut history = History::new(BASIC, [0, 0], at(985));
        history.look(Look { previous: at(989), now: at(990) }, [10, 1]);
        let mut curve = Curve::of(Some(&history), [10, 1], &ranges);
        curve.add(&Curve::of(None, [5, 5], &ranges));
        assert_eq!(curve.values, [15, 6]);
        assert_eq!(curve.samples(SampleKind::Lengths, &[0]).collect::<Vec<_>>(), [15, 15, 15]);
        assert_eq!(curve.samples(SampleKind::Lengths, &[0, 1]).collect::<Vec<_>>(), [21, 21, 21]);
        assert_eq!(curve.samples(SampleKind::Messages, &[0]).count(), 0);
    }
}
