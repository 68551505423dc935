//! A histogram of durations with fixed buckets, for `/metrics`.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The upper bounds of the buckets, seconds: from an epoch of a few records to a commit to a slow object store. They are
/// part of the metrics' interface, so that figures of two versions can be compared.
pub const HISTOGRAM_BOUNDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Counts durations by size. Shared by threads.
#[derive(Debug, Default)]
pub struct DurationHistogram {
    /// Counts of the buckets. The last one has no upper bound.
    buckets: [AtomicU64; HISTOGRAM_BOUNDS.len() + 1],
    sum_nanos: AtomicU64,
}

/// The state of a [`DurationHistogram`], as Prometheus wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramCounts {
    /// For each of [`HISTOGRAM_BOUNDS`], how many durations were at most as long.
    pub at_most: [u64; HISTOGRAM_BOUNDS.len()],
    /// How many there were.
    pub count: u64,
    /// Their sum, seconds.
    pub sum: f64,
}

impl DurationHistogram {
    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = HISTOGRAM_BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(HISTOGRAM_BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        // 2^64 nanoseconds are 584 years.
        self.sum_nanos.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// The counts so far. The count and the buckets fit together, whatever other threads do meanwhile.
    #[must_use]
    pub fn counts(&self) -> HistogramCounts {
        let mut at_most = [0; HISTOGRAM_BOUNDS.len()];
        let mut count = 0;
        for (bucket, at_most) in self.buckets.iter().zip(&mut at_most) {
            count += bucket.load(Relaxed);
            *at_most = count;
        }
        count += self.buckets[HISTOGRAM_BOUNDS.len()].load(Relaxed);
        let sum = Duration::from_nanos(self.sum_nanos.load(Relaxed)).as_secs_f64();
        HistogramCounts { at_most, count, sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_in_all_buckets_that_are_at_least_as_long() {
        let histogram = DurationHistogram::default();
        for millis in [0, 1, 2, 250, 60_000, 61_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let counts = histogram.counts();
        assert_eq!(counts.at_most, [2, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 5]);
        assert_eq!((counts.count, counts.sum), (6, 121.253));
    }

    #[test]
    fn bounds_ascend() {
        assert!(HISTOGRAM_BOUNDS.is_sorted());
    }
}
