//! Samples of the run's throughput, lag, latency and memory: one per second for the last ten minutes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

use super::answer_view::AnswerView;
use super::latency::LatencySummary;
use super::render::as_millis;
use pinflow_engine::SourceStatus;

/// Time between two samples, milliseconds.
pub(super) const SAMPLE_INTERVAL_MS: u64 = 1_000;
/// Most samples that are kept (ten minutes).
pub(super) const MAX_SAMPLES: usize = 600;
/// Samples over which the rates of partitions are averaged. Between two samples they are mostly noise.
const RATE_SAMPLES: usize = 5;
/// Longest time between two samples that gives a rate. If it was longer, the process or the machine slept.
const MAX_RATE_SPAN: Duration = Duration::from_secs(10);

/// One second of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct StatusSample {
    /// When it was taken.
    #[serde(serialize_with = "as_millis")]
    pub(super) at: Timestamp,
    /// Records read per second since the previous sample. `None` if there is none.
    pub(super) records_per_sec: Option<f64>,
    /// Records that are not read yet. `None` if no source knows.
    pub(super) lag: Option<u64>,
    /// Median latency of the epochs of this second, milliseconds. `None` if no epoch had records.
    pub(super) latency_p50_ms: Option<f64>,
    /// 99th percentile of their latency, milliseconds.
    pub(super) latency_p99_ms: Option<f64>,
    /// Resident memory of the process, bytes.
    pub(super) memory_bytes: Option<u64>,
    /// Rows read since the start of this run.
    pub(super) read: u64,
    /// Rows rejected since the start of this run.
    pub(super) rejected: u64,
}

/// The kept samples, oldest first.
#[derive(Debug, Default)]
pub(super) struct StatusHistory(Mutex<KeptSamples>);

#[derive(Debug, Default)]
struct KeptSamples {
    samples: VecDeque<StatusSample>,
    /// State of the partitions at the last few samples, for their rates.
    partitions: VecDeque<(Instant, Arc<[SourceStatus]>)>,
    last: Option<(Instant, u64)>,
}

impl StatusHistory {
    /// Takes a sample now.
    pub(super) fn add_sample(&self, view: &AnswerView, latency: LatencySummary, memory_bytes: Option<u64>) {
        self.add_sample_at(Instant::now(), Timestamp::now(), &view.sources, latency, memory_bytes);
    }

    fn add_sample_at(
        &self,
        now: Instant,
        at: Timestamp,
        sources: &Arc<[SourceStatus]>,
        latency: LatencySummary,
        memory_bytes: Option<u64>,
    ) {
        let mut kept = self.lock_samples();
        let read = sources.iter().map(|source| source.read).sum();
        let records_per_sec =
            kept.last.and_then(|(before, had)| records_per_second(now.duration_since(before), had, read));
        kept.last = Some((now, read));
        let lags = sources.iter().filter_map(|source| source.lag);
        let sample = StatusSample {
            at,
            records_per_sec,
            lag: lags.fold(None, |sum: Option<u64>, lag| Some(sum.unwrap_or(0).saturating_add(lag))),
            latency_p50_ms: latency.p50_ms,
            latency_p99_ms: latency.p99_ms,
            memory_bytes,
            read,
            rejected: sources.iter().map(|source| source.rejected).sum(),
        };
        if kept.samples.len() == MAX_SAMPLES {
            kept.samples.pop_front();
        }
        kept.samples.push_back(sample);
        if kept.partitions.len() == RATE_SAMPLES {
            kept.partitions.pop_front();
        }
        kept.partitions.push_back((now, Arc::clone(sources)));
    }

    /// The newest samples, oldest first.
    pub(super) fn newest_samples(&self, limit: usize) -> Vec<StatusSample> {
        let kept = self.lock_samples();
        kept.samples.iter().skip(kept.samples.len().saturating_sub(limit)).cloned().collect()
    }

    /// Records per second of each partition over the last few samples. `None` where it is not known yet.
    pub(super) fn partition_rates(&self, sources: &[SourceStatus]) -> Vec<Option<f64>> {
        let kept = self.lock_samples();
        let (Some((first, before)), Some((last, after))) = (kept.partitions.front(), kept.partitions.back()) else {
            return vec![None; sources.len()];
        };
        let span = last.duration_since(*first);
        // A partition keeps its index: new ones are appended.
        let read = |sources: &[SourceStatus], at: usize, source: &SourceStatus| {
            sources.get(at).filter(|one| one.source == source.source).map(|one| one.read)
        };
        let of = |(at, source)| records_per_second(span, read(before, at, source)?, read(after, at, source)?);
        sources.iter().enumerate().map(of).collect()
    }

    fn lock_samples(&self) -> MutexGuard<'_, KeptSamples> {
        self.0.lock()
    }
}

/// Records per second, rounded to a tenth. `None` if `span` is 0 or too long.
fn records_per_second(span: Duration, before: u64, after: u64) -> Option<f64> {
    if span.is_zero() || span > MAX_RATE_SPAN {
        return None;
    }
    let records = after.checked_sub(before)?;
    Some((records as f64 / span.as_secs_f64() * 10.0).round() / 10.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn source_status(name: &str, read: u64, lag: Option<u64>) -> SourceStatus {
        SourceStatus {
            source: name.to_owned(),
            position: (read + 1).to_string(),
            end: None,
            lag,
            lag_ms: None,
            read,
            written: read,
            rejected: 0,
            redelivered: 0,
            read_all_time: read,
        }
    }

    /// A history with samples at these seconds, between which source `a` reads 10 records.
    fn history_sampled_at(seconds: &[u64]) -> StatusHistory {
        let (history, start) = (StatusHistory::default(), Instant::now());
        for (count, second) in (0..).zip(seconds) {
            let at = Timestamp::from_second(i64::try_from(*second).unwrap()).unwrap();
            let sources =
                Arc::new([source_status("a", 10 * count, Some(3)), source_status("b", 0, None)]) as Arc<[SourceStatus]>;
            history.add_sample_at(
                start + Duration::from_secs(*second),
                at,
                &sources,
                LatencySummary::default(),
                Some(7),
            );
        }
        history
    }

    #[test]
    fn history_keeps_the_newest_samples_and_no_more() {
        let seconds: Vec<u64> = (0..MAX_SAMPLES as u64 + 5).collect();
        let history = history_sampled_at(&seconds);
        let all = history.newest_samples(MAX_SAMPLES + 100);
        assert_eq!((all.len(), all[0].at, all[599].read), (600, Timestamp::from_second(5).unwrap(), 6_040));
        assert_eq!(history.newest_samples(2), all[598..]);
        assert_eq!((all[0].records_per_sec, all[0].lag, all[0].memory_bytes), (Some(10.0), Some(3), Some(7)));
    }

    #[test]
    fn rate_is_unknown_for_the_first_sample_and_after_a_long_pause() {
        let history = history_sampled_at(&[0, 2, 100, 101]);
        let rates: Vec<_> = history.newest_samples(9).iter().map(|sample| sample.records_per_sec).collect();
        assert_eq!(rates, [None, Some(5.0), None, Some(10.0)]);
    }

    #[test]
    fn partition_rates_are_averages_over_the_last_samples() {
        let sources = [source_status("a", 0, None), source_status("b", 0, None), source_status("new", 0, None)];
        assert_eq!(StatusHistory::default().partition_rates(&sources), [None; 3]);
        assert_eq!(history_sampled_at(&[0]).partition_rates(&sources), [None; 3]);
        let history = history_sampled_at(&[0, 1, 2, 3, 4, 5, 7]);
        assert_eq!(history.partition_rates(&sources), [Some(8.0), Some(0.0), None]);
    }

    #[test]
    fn lag_is_unknown_if_no_source_knows_it() {
        let history = StatusHistory::default();
        let sources = Arc::new([source_status("a", 1, None)]) as Arc<[SourceStatus]>;
        history.add_sample_at(Instant::now(), Timestamp::UNIX_EPOCH, &sources, LatencySummary::default(), None);
        assert_eq!(history.newest_samples(1)[0].lag, None);
    }
}
