//! Checks the ledger law at every start: for each partition, rows read = rows in cleaned tables + rejections.
//!
//! A start reads the cleaned tables back anyway, and their rows are counted meanwhile. Only the lineage of `rejected`
//! is read. Rows at or after the position at which a partition resumes do not count, because they are read again and
//! skipped then. The check finds lost commits, duplicate rows, and rows that other writers deleted, restored or added,
//! before anything is written.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use pinflow_dataflows::record::{Lineage, Position};
use pinflow_dataflows::symbol::Symbol;
use tokio::sync::{mpsc, oneshot};

use super::error::DeltaError;
use super::input::FileAt;
use super::rows::{StoredRows, for_each_row_id};
use pinflow_connect::sink::StoredCounts;

/// The most partitions that an error names. The others are counted.
const MAX_NAMED_PARTITIONS: usize = 5;

/// The expected rows of each partition, and those found so far.
#[derive(Debug, Clone)]
pub(crate) struct LedgerLaw {
    root: PathBuf,
    partitions: HashMap<Symbol, PartitionRows>,
    /// The number of rows of sources without a stored position.
    unknown: BTreeMap<Symbol, u64>,
    rejected: Vec<FileAt>,
}

/// The expected and found rows of one partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartitionRows {
    /// The position at which it resumes.
    pub(crate) next: Position,
    /// The number of rows read before that.
    pub(crate) read: u64,
    /// How many of them were deleted with acceptance.
    pub(crate) deleted: u64,
    /// How many of them were found.
    pub(crate) found: u64,
}

impl LedgerLaw {
    pub(crate) fn new(
        root: PathBuf,
        partitions: impl IntoIterator<Item = (Symbol, PartitionRows)>,
        rejected: Vec<FileAt>,
    ) -> LedgerLaw {
        LedgerLaw { root, partitions: partitions.into_iter().collect(), unknown: BTreeMap::new(), rejected }
    }

    /// Counts rows. Rows of one source are mostly adjacent, which saves lookups.
    fn count_rows(&mut self, lineages: impl Iterator<Item = (Symbol, Position)>) {
        let mut lineages = lineages.peekable();
        while let Some((source, first)) = lineages.next() {
            let next = self.partitions.get(&source).map(|rows| rows.next);
            let counts = |position: Position| u64::from(next.is_none_or(|next| position < next));
            let mut rows = counts(first);
            while let Some((_, position)) = lineages.next_if(|(of, _)| *of == source) {
                rows += counts(position);
            }
            match self.partitions.get_mut(&source) {
                Some(partition) => partition.found += rows,
                None => *self.unknown.entry(source).or_default() += rows,
            }
        }
    }

    /// By source: rows at or after this position do not count.
    pub(crate) fn limits(&self) -> Vec<(Symbol, Position)> {
        self.partitions.iter().map(|(source, rows)| (*source, rows.next)).collect()
    }

    /// Counts rows that another process has read.
    fn add_counts(&mut self, StoredCounts(counts): StoredCounts) {
        for (source, rows) in counts {
            match self.partitions.get_mut(&source) {
                Some(partition) => partition.found += rows,
                None => *self.unknown.entry(source).or_default() += rows,
            }
        }
    }

    /// What was counted.
    fn into_counts(self) -> StoredCounts {
        let known = self.partitions.into_iter().map(|(source, rows)| (source, rows.found));
        StoredCounts(known.filter(|(_, rows)| *rows > 0).chain(self.unknown).collect())
    }

    /// Counts the rejections, and checks the law.
    ///
    /// # Errors
    /// [`DeltaError::Law`] if it is violated.
    async fn check(mut self) -> Result<(), DeltaError> {
        let counted = tokio::task::spawn_blocking(move || {
            for file in std::mem::take(&mut self.rejected) {
                let mut lineages = Vec::new();
                for_each_row_id(&file, |delivery| lineages.push((delivery.source, delivery.position)))?;
                self.count_rows(lineages.into_iter());
            }
            Ok::<_, DeltaError>(self)
        });
        let counted = counted.await.map_err(|_| DeltaError::Died { what: "counting rejections" })??;
        match counted.violations() {
            violations if violations.is_empty() => Ok(()),
            mut violations => {
                let more = violations.len().saturating_sub(MAX_NAMED_PARTITIONS);
                violations.truncate(MAX_NAMED_PARTITIONS);
                if more > 0 {
                    violations.push(format!("and {more} more partitions"));
                }
                Err(DeltaError::Law { root: counted.root, what: violations.join("; ") })
            }
        }
    }

    fn violations(&self) -> Vec<String> {
        let mut violations = Vec::new();
        let mut partitions: Vec<_> = self.partitions.iter().collect();
        partitions.sort_by_key(|(source, _)| *source);
        for (source, PartitionRows { next, read, deleted, found }) in partitions {
            if read.checked_sub(*deleted) != Some(*found) {
                let source = source.text();
                let but = if *deleted > 0 { format!(" and {deleted} deletions were accepted") } else { String::new() };
                violations.push(format!(
                    "{source}: {read} rows were read before position {next}{but}, the tables hold {found} of them"
                ));
            }
        }
        let unknown = self
            .unknown
            .iter()
            .map(|(source, rows)| format!("{rows} rows are from {}, which has no stored position", source.text()));
        violations.extend(unknown);
        violations
    }
}

type RowChunks = mpsc::Receiver<Result<StoredRows, DeltaError>>;

/// Passes on chunks of rows and counts them. Returns `None` if that ended early.
async fn count_while_reading(
    mut chunks: RowChunks,
    mut law: LedgerLaw,
    to: &mpsc::Sender<Result<StoredRows, DeltaError>>,
) -> Option<LedgerLaw> {
    while let Some(chunk) = chunks.recv().await {
        let has_failed = chunk.is_err();
        if let Ok(rows) = &chunk {
            law.count_rows(rows.lineages().iter().map(|lineage: &Lineage| (lineage.source, lineage.position)));
        }
        if to.send(chunk).await.is_err() || has_failed {
            return None;
        }
    }
    Some(law)
}

/// Passes on chunks of rows. Their counts are known once all were read, unless that fails.
pub(crate) fn count_share(
    chunks: RowChunks,
    limits: Vec<(Symbol, Position)>,
) -> (RowChunks, oneshot::Receiver<StoredCounts>) {
    let rows = |next| PartitionRows { next, read: 0, deleted: 0, found: 0 };
    let partitions = limits.into_iter().map(|(source, next)| (source, rows(next)));
    let law = LedgerLaw::new(PathBuf::new(), partitions, Vec::new());
    let ((sender, receiver), (counted, counts)) = (mpsc::channel(1), oneshot::channel());
    tokio::spawn(async move {
        if let Some(law) = count_while_reading(chunks, law, &sender).await {
            // If the receiver is gone, the run is ending anyway.
            let _ = counted.send(law.into_counts());
        }
    });
    (receiver, counts)
}

/// Passes on chunks of rows and counts them, and takes the counts of `others` that read the rest. Ends with an error if they
/// violate the law.
pub(crate) fn check_while_reading(
    chunks: RowChunks,
    law: LedgerLaw,
    others: usize,
    mut counts: mpsc::UnboundedReceiver<StoredCounts>,
) -> RowChunks {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let Some(mut law) = count_while_reading(chunks, law, &sender).await else { return };
        for _ in 0..others {
            // A process that is lost ends the run.
            let Some(counted) = counts.recv().await else { return };
            law.add_counts(counted);
        }
        if let Err(broken) = law.check().await {
            // If the receiver is gone, the run is ending anyway.
            let _ = sender.send(Err(broken)).await;
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn law(read: u64, deleted: u64) -> LedgerLaw {
        let rows = PartitionRows { next: 10.into(), read, deleted, found: 0 };
        LedgerLaw::new("tables".into(), [(Symbol::new("recording/a"), rows)], Vec::new())
    }

    fn violations_after(mut law: LedgerLaw, rows: &[(&str, u64)]) -> Vec<String> {
        law.count_rows(rows.iter().map(|(source, position)| (Symbol::new(source), (*position).into())));
        law.violations()
    }

    #[test]
    fn only_rows_before_the_position_are_counted() {
        let rows = [("recording/a", 1), ("recording/a", 9), ("recording/a", 10), ("recording/a", 11)];
        assert!(violations_after(law(2, 0), &rows).is_empty());
        assert!(violations_after(law(3, 1), &rows).is_empty());
        assert!(violations_after(law(3, 0), &rows)[0].contains("hold 2 of them"));
        assert!(violations_after(law(1, 0), &rows)[0].contains("1 rows were read"));
        assert!(violations_after(law(2, 1), &rows)[0].contains("1 deletions were accepted"));
    }

    #[test]
    fn rows_that_other_processes_count_are_added() {
        let count = |rows: &[(&str, u64)]| {
            let mut counting = law(0, 0);
            counting.count_rows(rows.iter().map(|(source, position)| (Symbol::new(source), (*position).into())));
            counting.into_counts()
        };
        let mut sum = law(3, 0);
        sum.add_counts(count(&[("recording/a", 1), ("recording/a", 12)]));
        sum.add_counts(count(&[("recording/a", 2), ("elsewhere", 1), ("recording/a", 9)]));
        let found = sum.violations();
        assert!(found.len() == 1 && found[0].starts_with("1 rows are from elsewhere"), "{found:?}");
    }

    #[test]
    fn rows_of_unknown_source_are_reported() {
        let rows = [("recording/a", 1), ("elsewhere", 1), ("elsewhere", 2)];
        let found = violations_after(law(1, 0), &rows);
        assert!(found.len() == 1 && found[0].starts_with("2 rows are from elsewhere"), "{found:?}");
    }
}
