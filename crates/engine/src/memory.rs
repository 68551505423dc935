//! The limit of the process's memory, and a report of what uses it when the limit is exceeded.
//!
//! The resident memory of the process counts, as the kernel and the control group count it. Above the limit sources pause,
//! the open window is committed, and texts that no row refers to are freed. A question that fills pauses, too, and is stopped
//! after [`QUESTION_MEMORY_GRACE`]. If that does not help within [`MEMORY_GRACE`], the run stops gracefully: every row that was read is committed, and the error reports what uses the memory.

use std::fmt;
use std::time::Duration;

use pinflow_dataflows::graph;
use tokio::time::Instant;

/// How long the memory may stay above the limit before the run ends.
pub const MEMORY_GRACE: Duration = Duration::from_secs(10);
/// How long it may stay above while a question fills. Then the question is stopped, which leaves time to free its memory.
pub(super) const QUESTION_MEMORY_GRACE: Duration = Duration::from_secs(5);
/// How often the memory is measured.
pub(super) const MEMORY_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// What to do about the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemoryAction {
    /// Nothing.
    Continue,
    /// Take no more blocks; `begins`: the memory has just exceeded its limit.
    Pause { begins: bool },
    /// End the run.
    GiveUp,
}

/// Compares the memory with its limit. Pure: measurements and the time are arguments.
#[derive(Debug)]
pub(super) struct MemoryGuard {
    bytes_max: Option<u64>,
    grace: Duration,
    over_since: Option<Instant>,
    check_at: Instant,
}

impl MemoryGuard {
    pub(super) fn new(bytes_max: Option<u64>, grace: Duration, now: Instant) -> MemoryGuard {
        MemoryGuard { bytes_max, grace, over_since: None, check_at: now }
    }

    /// When the next measurement is due. `None` without a limit.
    pub(super) fn check_at(&self) -> Option<Instant> {
        self.bytes_max.map(|_| self.check_at)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over_since.is_some()
    }

    /// For how long the memory has been above the limit. `None` if it is not.
    pub(super) fn over_for(&self, now: Instant) -> Option<Duration> {
        self.over_since.map(|since| now.duration_since(since))
    }

    /// Evaluates a measurement. Once above the limit, the memory must fall to 95 % of it.
    pub(super) fn observe_resident(&mut self, resident: u64, now: Instant) -> MemoryAction {
        self.check_at = now + MEMORY_CHECK_INTERVAL;
        let Some(max) = self.bytes_max else { return MemoryAction::Continue };
        let bound = if self.is_over() { max / 20 * 19 } else { max };
        if resident <= bound {
            self.over_since = None;
            return MemoryAction::Continue;
        }
        let begins = self.over_since.is_none();
        let since = *self.over_since.get_or_insert(now);
        if now.duration_since(since) >= self.grace { MemoryAction::GiveUp } else { MemoryAction::Pause { begins } }
    }
}

/// What uses the memory, for a run that pauses or ends because of it. All figures but `sizes` and `texts` are bytes.
#[derive(Debug, Clone, Copy)]
pub struct HeldMemory {
    /// Resident memory of the process.
    pub resident: u64,
    /// Its limit.
    pub max: u64,
    /// Texts of rows and sources.
    pub texts: graph::StateSize,
    /// Sizes of the graph's state.
    pub sizes: graph::StateSizes,
    /// Messages as received of the filling window.
    pub window: u64,
    /// Messages that the workers have not read.
    pub blocks: u64,
}

impl fmt::Display for HeldMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HeldMemory { resident, max, texts, sizes, window, blocks } = *self;
        let (inds, rows, groups) = (sizes.inds(), sizes.rows(), sizes.groups());
        let states = [("texts", texts), ("inds", inds), ("rows", rows), ("entries of groups", groups)];
        write!(f, "the process holds {}, and [engine] memory_max is {}. Of it", format_mib(resident), format_mib(max))?;
        for (what, state) in states {
            write!(f, " {} {what} take {},", state.records, format_mib(state.bytes as u64))?;
        }
        let counted: usize = states.iter().map(|(_, state)| state.bytes).sum();
        let rest = resident.saturating_sub(counted as u64 + blocks);
        write!(
            f,
            " messages under way {}, and all else (answers, clients, rows that wait for their commit",
            format_mib(blocks)
        )?;
        write!(f, " of {} of messages) {}", format_mib(window), format_mib(rest))
    }
}

fn format_mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Resident memory of this process in bytes. `None` if the system does not report it.
pub(super) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    #[test]
    fn memory_above_limit_pauses_then_gives_up_after_grace() {
        let start = Instant::now();
        let after = |secs: u64| start + Duration::from_secs(secs);
        let mut guard = MemoryGuard::new(Some(1_000), GRACE, start);
        assert_eq!(guard.observe_resident(1_000, after(0)), MemoryAction::Continue);
        assert_eq!(guard.observe_resident(1_001, after(1)), MemoryAction::Pause { begins: true });
        assert_eq!(guard.observe_resident(1_001, after(10)), MemoryAction::Pause { begins: false });
        assert_eq!(guard.observe_resident(951, after(10)), MemoryAction::Pause { begins: false }, "falls to 95 % only");
        assert_eq!(guard.observe_resident(951, after(11)), MemoryAction::GiveUp);
    }

    #[test]
    fn memory_that_fell_in_time_gets_whole_grace_again() {
        let start = Instant::now();
        let after = |secs: u64| start + Duration::from_secs(secs);
        let mut guard = MemoryGuard::new(Some(1_000), GRACE, start);
        assert_eq!(guard.observe_resident(2_000, after(0)), MemoryAction::Pause { begins: true });
        assert_eq!(guard.observe_resident(950, after(9)), MemoryAction::Continue);
        assert!(!guard.is_over());
        assert_eq!(guard.observe_resident(2_000, after(12)), MemoryAction::Pause { begins: true });
        assert_eq!(guard.observe_resident(2_000, after(21)), MemoryAction::Pause { begins: false });
    }

    #[test]
    fn memory_without_limit_is_not_watched() {
        let mut guard = MemoryGuard::new(None, GRACE, Instant::now());
        assert_eq!(guard.check_at(), None);
        assert_eq!(guard.observe_resident(u64::MAX, Instant::now()), MemoryAction::Continue);
    }
}
