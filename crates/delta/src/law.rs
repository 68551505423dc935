//! The ledger law, checked at every start: rows read = rows written + rejections, for each partition.
//!
//! A start reads the cleaned tables back anyway, so their rows are counted on the way; of `rejected` only the lineage is
//! read. What a table holds at or after the position at which a partition resumes does not count: it is read again, and
//! left out then. So lost commits, rows that others have deleted, restored or added, and rows that are there twice are
//! found before anything is written.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use pinflow_dataflows::record::{Lineage, Position};
use pinflow_dataflows::symbol::Symbol;
use tokio::sync::mpsc;

use super::error::DeltaError;
use super::input::FileAt;
use super::rows::{StoredRows, for_each_row_id};

/// Partitions that an error names; the others are counted.
const MAX_NAMED_PARTITIONS: usize = 5;

/// What the tables should hold of each partition, and what was found so far.
#[derive(Debug, Clone)]
pub(crate) struct LedgerLaw {
    root: PathBuf,
    partitions: HashMap<Symbol, PartitionRows>,
    /// Rows of sources that no position speaks of.
    unknown: BTreeMap<Symbol, u64>,
    rejected: Vec<FileAt>,
}

/// What the tables should hold of one partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartitionRows {
    /// Where it resumes.
    pub(crate) next: Position,
    /// Rows read before that.
    pub(crate) read: u64,
    /// Rows of them whose deletion was accepted.
    pub(crate) deleted: u64,
    /// Rows of them that were found.
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

    /// Counts rows; those of one source mostly stand together.
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

    /// Counts the rejections, and tells what is wrong.
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
                    violations.push(format!("and {more} partitions more"));
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
        let unknown = self.unknown.iter().map(|(source, rows)| {
            format!("{rows} rows say that they are from {}, of which no position is stored", source.text())
        });
        violations.extend(unknown);
        violations
    }
}

/// Passes chunks of rows on, and ends with an error if all of them together break the law.
pub(crate) fn check_while_reading(
    mut chunks: mpsc::Receiver<Result<StoredRows, DeltaError>>,
    mut law: LedgerLaw,
) -> mpsc::Receiver<Result<StoredRows, DeltaError>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(chunk) = chunks.recv().await {
            let has_failed = chunk.is_err();
            if let Ok(rows) = &chunk {
                law.count_rows(rows.lineages().iter().map(|lineage: &Lineage| (lineage.source, lineage.position)));
            }
            if sender.send(chunk).await.is_err() || has_failed {
                return;
            }
        }
        if let Err(broken) = law.check().await {
            // Nobody rebuilds any more: nothing follows from it.
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
    fn rows_before_the_position_count_and_later_ones_do_not() {
        let rows = [("recording/a", 1), ("recording/a", 9), ("recording/a", 10), ("recording/a", 11)];
        assert!(violations_after(law(2, 0), &rows).is_empty());
        assert!(violations_after(law(3, 1), &rows).is_empty());
        assert!(violations_after(law(3, 0), &rows)[0].contains("hold 2 of them"));
        assert!(violations_after(law(1, 0), &rows)[0].contains("1 rows were read"));
        assert!(violations_after(law(2, 1), &rows)[0].contains("1 deletions were accepted"));
    }

    #[test]
    fn rows_of_an_unknown_source_are_named() {
        let rows = [("recording/a", 1), ("elsewhere", 1), ("elsewhere", 2)];
        let found = violations_after(law(1, 0), &rows);
        assert!(found.len() == 1 && found[0].starts_with("2 rows say that they are from elsewhere"), "{found:?}");
    }
}
