//! Latencies, kept in buckets that grow with the value.

use serde::Serialize;

use std::time::Duration;

/// Buckets of each power of two, as in an HDR histogram: a percentile is at most 1/256 too high.
const BUCKETS_PER_OCTAVE: u64 = 256;
const BUCKET_BITS: u32 = BUCKETS_PER_OCTAVE.trailing_zeros();
const BUCKET_COUNT: usize = (64 - BUCKET_BITS as usize + 1) * BUCKETS_PER_OCTAVE as usize;

/// How often which latency was seen.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Box<[u64]>,
    sample_count: u64,
    min_nanos: u64,
    max_nanos: u64,
}

/// The usual percentiles, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    pub samples: u64,
    pub min_us: f64,
    pub p50_us: f64,
    pub p75_us: f64,
    pub p95_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

impl Histogram {
    pub fn new() -> Self {
        Self {
            counts: vec![0; BUCKET_COUNT].into_boxed_slice(),
            sample_count: 0,
            min_nanos: u64::MAX,
            max_nanos: 0,
        }
    }

    pub fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.sample_count += 1;
        self.min_nanos = self.min_nanos.min(nanos);
        self.max_nanos = self.max_nanos.max(nanos);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        *self = Self {
            counts: std::mem::take(&mut self.counts),
            sample_count: 0,
            min_nanos: u64::MAX,
            max_nanos: 0,
        };
    }

    /// `None` when nothing was recorded.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let micros = |nanos: u64| nanos as f64 / 1e3;
        (self.sample_count > 0).then(|| Percentiles {
            samples: self.sample_count,
            min_us: micros(self.min_nanos),
            p50_us: micros(self.percentile(50.0)),
            p75_us: micros(self.percentile(75.0)),
            p95_us: micros(self.percentile(95.0)),
            p99_us: micros(self.percentile(99.0)),
            p999_us: micros(self.percentile(99.9)),
            max_us: micros(self.max_nanos),
        })
    }

    /// The smallest value, in nanoseconds and up to the width of a bucket, that `percent` of the samples
    /// do not exceed.
    fn percentile(&self, percent: f64) -> u64 {
        let rank = ((self.sample_count as f64 * percent / 100.0).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return bucket_max(index as u64).min(self.max_nanos);
            }
        }
        self.max_nanos
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// Values below 256 have a bucket each; above, the eight bits after the leading one choose it.
fn bucket(nanos: u64) -> usize {
    let octave = (u64::BITS - nanos.leading_zeros()).saturating_sub(BUCKET_BITS + 1);
    let index = (u64::from(octave) << BUCKET_BITS) + (nanos >> octave);
    index as usize
}

fn bucket_max(index: u64) -> u64 {
    let octave = (index >> BUCKET_BITS).saturating_sub(1);
    let lowest = (index - (octave << BUCKET_BITS)) << octave;
    lowest + ((1 << octave) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_narrow() {
        let mut values: Vec<u64> =
            (0..63).flat_map(|shift| [1 << shift, (1 << shift) + 1, (5 << shift) >> 2]).collect();
        values.extend([0, u64::MAX - 1, u64::MAX]);
        values.sort_unstable();
        for pair in values.windows(2) {
            assert!(bucket(pair[0]) <= bucket(pair[1]), "{pair:?}");
        }
        for value in values {
            let max = bucket_max(bucket(value) as u64);
            assert!(
                max >= value && max - value <= value / BUCKETS_PER_OCTAVE,
                "{value} in a bucket up to {max}"
            );
        }
    }

    #[test]
    fn percentiles_of_a_ramp() {
        let mut histogram = Histogram::new();
        for micros in (1..=1_000).rev() {
            histogram.record(Duration::from_micros(micros));
        }
        let found = histogram.percentiles().unwrap();
        assert_eq!((found.samples, found.min_us, found.max_us), (1_000, 1.0, 1_000.0));
        for (value, exact) in [
            (found.p50_us, 500.0),
            (found.p75_us, 750.0),
            (found.p95_us, 950.0),
            (found.p99_us, 990.0),
            (found.p999_us, 999.0),
        ] {
            assert!(value >= exact && value <= exact * 1.004, "{value} instead of {exact}");
        }
    }

    #[test]
    fn one_sample_is_every_percentile() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.percentiles(), None);
        histogram.record(Duration::from_nanos(12_345));
        let found = histogram.percentiles().unwrap();
        assert_eq!([found.min_us, found.p50_us, found.p999_us, found.max_us], [12.345; 4]);
        histogram.clear();
        assert_eq!(histogram.percentiles(), None);
    }
}
