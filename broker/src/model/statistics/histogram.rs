//! How often a number was how large.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts by size. Has one writer, for whom counting is cheap; others may read at any time.
#[derive(Debug)]
pub struct Histogram {
    /// The largest number of each bucket but the last, which takes all that are larger.
    bounds: &'static [u64],
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramCounts {
    /// The largest number of each bucket, and how many there were up to it.
    pub buckets: Vec<(u64, u64)>,
    /// How many there were.
    pub count: u64,
    /// All of them together.
    pub sum: u64,
}

impl Histogram {
    /// With these buckets, which ascend.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Counts one more. Only for the one who writes it.
    pub fn add(&self, number: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < number);
        let add = |counter: &AtomicU64, number| {
            counter.store(counter.load(Relaxed).saturating_add(number), Relaxed);
        };
        if let Some(count) = self.counts.get(bucket) {
            add(count, 1);
        }
        add(&self.sum, number);
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> HistogramCounts {
        let counts: Vec<u64> = self.counts.iter().map(|count| count.load(Relaxed)).collect();
        let mut up_to = 0;
        let buckets = self.bounds.iter().zip(&counts).map(|(bound, count)| {
            up_to += count;
            (*bound, up_to)
        });
        HistogramCounts {
            buckets: buckets.collect(),
            count: counts.iter().sum(),
            sum: self.sum.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_in_the_first_bucket_that_takes_it_and_all_after() {
        let histogram = Histogram::new(&[10, 100]);
        for number in [0, 10, 11, 100, 101, 5_000] {
            histogram.add(number);
        }
        let counts = histogram.counts();
        assert_eq!(counts, HistogramCounts { buckets: vec![(10, 2), (100, 4)], count: 6, sum: 5_222 });
    }
}
