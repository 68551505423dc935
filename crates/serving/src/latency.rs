//! Latency of recent epochs: from an epoch's first record to its published answers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Epochs published within this time are recent.
pub(super) const LATENCY_WINDOW: Duration = Duration::from_secs(60);
/// Most epochs that are kept: one minute of the shortest epochs, which are 2 ms long by default.
const MAX_EPOCHS: usize = 30_720;

/// The latencies of recent epochs.
///
/// Latency is measured from when the engine takes an epoch's first record to when its answers can be read. The time that a
/// record waits in its source before that is lag.
#[derive(Debug, Default)]
pub(super) struct EpochLatencies(VecDeque<EpochLatency>);

#[derive(Debug, Clone, Copy)]
struct EpochLatency {
    shown_at: Instant,
    took: Duration,
}

/// Percentiles of latency, milliseconds. `None` if no epoch had records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct LatencySummary {
    /// Epochs with records.
    pub(super) epochs: usize,
    /// Median.
    pub(super) p50_ms: Option<f64>,
    /// 99th percentile.
    pub(super) p99_ms: Option<f64>,
}

impl EpochLatencies {
    /// Adds an epoch that is published at `shown_at`.
    pub(super) fn record_epoch(&mut self, first_record_at: Instant, shown_at: Instant) {
        if self.0.len() == MAX_EPOCHS {
            self.0.pop_front();
        }
        self.0.push_back(EpochLatency { shown_at, took: shown_at.saturating_duration_since(first_record_at) });
    }

    /// Summarises the epochs published after `since`, or all that are kept.
    pub(super) fn summarize_since(&self, since: Option<Instant>) -> LatencySummary {
        let recent = self.0.iter().rev().take_while(|epoch| since.is_none_or(|since| epoch.shown_at > since));
        let mut took: Vec<Duration> = recent.map(|epoch| epoch.took).collect();
        took.sort_unstable();
        LatencySummary { epochs: took.len(), p50_ms: percentile(&took, 50), p99_ms: percentile(&took, 99) }
    }
}

/// The value at rank ⌈n·percent/100⌉, in milliseconds rounded to hundredths.
fn percentile(sorted: &[Duration], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    let value = sorted.get(rank.checked_sub(1)?)?;
    Some((value.as_secs_f64() * 1e5).round() / 1e2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_cover_recent_epochs_only() {
        let mut latencies = EpochLatencies::default();
        let start = Instant::now();
        assert_eq!(latencies.summarize_since(None), LatencySummary::default());
        let later = start + Duration::from_secs(100);
        latencies.record_epoch(start, start + Duration::from_secs(90));
        for ms in 1..=100 {
            latencies.record_epoch(later, later + Duration::from_millis(ms));
        }
        let recent = latencies.summarize_since(Some(later));
        assert_eq!((recent.epochs, recent.p50_ms, recent.p99_ms), (100, Some(50.0), Some(99.0)));
        let all = latencies.summarize_since(Some(start));
        assert_eq!((all.epochs, all.p99_ms), (101, Some(100.0)));
    }

    #[test]
    fn latency_of_oldest_epochs_is_dropped_beyond_the_bound() {
        let (mut latencies, start) = (EpochLatencies::default(), Instant::now());
        for ms in 1..=(MAX_EPOCHS as u64 + 10) {
            latencies.record_epoch(start, start + Duration::from_millis(ms));
        }
        assert_eq!(latencies.0.len(), MAX_EPOCHS);
        assert_eq!(latencies.0[0].took, Duration::from_millis(11));
    }
}
