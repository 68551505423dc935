//! How far questions that are filled are, in an operator of one worker.
//!
//! Groups and the operators above them take updates without emitting changes while the leaves of a question are filled. Once the
//! leaves on all workers have given all rows, groups emit the row of each group, once, some in each epoch. Once the
//! groups on all workers have done so, the operators of the upper plan do the same, one after the other. So a group that is
//! touched in a thousand epochs of a fill makes one change above it instead of two thousand.
//!
//! Reports flow with the updates: the report of an operator comes in the same epoch as its last rows.

use std::collections::BTreeMap;

use super::updates::FillReport;

/// The questions that are filled, by the numbers of their ids.
#[derive(Debug, Default)]
pub(super) struct GroupFills(BTreeMap<u32, GroupFill>);

/// How far a question is filled in the operator below this one.
#[derive(Debug, Default)]
pub(super) struct GroupFill {
    /// How much is done on this worker, and of how much. `None` before it begins.
    pub(super) own: Option<(u64, u64)>,
    /// Whether all is done on this worker.
    pub(super) is_own_last: bool,
    /// The number of workers on which all is done, as far as this one is told.
    last_reports: usize,
}

impl GroupFill {
    /// Whether all is done on all workers.
    pub(super) fn has_all_rows(&self, workers: usize) -> bool {
        self.last_reports == workers
    }
}

impl GroupFills {
    /// A question is added that will be filled.
    pub(super) fn add(&mut self, question: u32) {
        self.0.insert(question, GroupFill::default());
    }

    /// A question is complete, or dropped.
    pub(super) fn remove(&mut self, question: u32) {
        self.0.remove(&question);
    }

    /// Takes in a report. Those of questions that were dropped are ignored.
    pub(super) fn record(&mut self, report: &FillReport, worker: usize) {
        let Some(fill) = self.0.get_mut(&report.question) else { return };
        if report.from == worker as u64 {
            // Groups that come and go while the question is filled must not turn it back.
            let (done, total) = fill.own.unwrap_or_default();
            fill.own = Some((done.max(report.done), total.max(report.total)));
            fill.is_own_last = report.is_last;
        }
        fill.last_reports += usize::from(report.is_last);
    }

    /// How far a question is. `None` if it is not filled.
    pub(super) fn get(&self, question: u32) -> Option<&GroupFill> {
        self.0.get(&question)
    }

    /// The questions whose fill has begun on this worker, with how much is done and of how much.
    pub(super) fn begun(&self) -> Vec<(u32, (u64, u64))> {
        self.0.iter().filter_map(|(question, fill)| Some((*question, fill.own?))).collect()
    }

    /// Whether there is more to do in the next epoch.
    pub(super) fn is_under_way(&self) -> bool {
        self.0.values().any(|fill| fill.own.is_some())
    }
}
