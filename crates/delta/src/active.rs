//! Which files make up a table while it is written, and what commits of others do to them. No I/O here.
//!
//! delta-rs commits an OPTIMIZE although another one has meanwhile taken out the files that it joined: then their rows
//! are in the table twice. A restored version, an overwrite, deleted and appended rows change what the stored positions
//! say has been read. None of that is a conflict to a writer that only appends, so each commit of others is checked.

use std::collections::HashMap;
use std::path::PathBuf;

/// The files of a table, with their rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct ActiveRows {
    files: HashMap<PathBuf, u64>,
}

/// The files that a commit takes out and puts in.
#[derive(Debug, Clone, Default)]
pub(crate) struct FileChanges {
    pub(crate) removed: Vec<PathBuf>,
    pub(crate) added: Vec<(PathBuf, u64)>,
}

/// What a commit did that leaves the table with other rows than were written to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RowFault {
    /// It took out files that were not part of the table any more.
    Duplicated { files: u64 },
    /// It put in more rows than it took out.
    Added { rows: u64 },
    /// It took out more rows than it put in.
    Removed { rows: u64 },
}

impl ActiveRows {
    pub(crate) fn new(files: impl IntoIterator<Item = (PathBuf, u64)>) -> ActiveRows {
        ActiveRows { files: files.into_iter().collect() }
    }

    /// Applies a commit. What is wrong with it matters only if it is another writer's: our own appends rows.
    pub(crate) fn apply_changes(&mut self, changes: FileChanges) -> Option<RowFault> {
        let (mut unknown, mut removed, mut added) = (0_u64, 0_u64, 0_u64);
        for file in changes.removed {
            match self.files.remove(&file) {
                Some(rows) => removed += rows,
                None => unknown += 1,
            }
        }
        for (file, rows) in changes.added {
            // A file that is there already is described anew.
            removed += self.files.insert(file, rows).unwrap_or(0);
            added += rows;
        }
        match (unknown, added.cmp(&removed)) {
            (0, std::cmp::Ordering::Equal) => None,
            (0, std::cmp::Ordering::Greater) => Some(RowFault::Added { rows: added - removed }),
            (0, std::cmp::Ordering::Less) => Some(RowFault::Removed { rows: removed - added }),
            (files, _) => Some(RowFault::Duplicated { files }),
        }
    }
}

impl std::fmt::Display for RowFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RowFault::Duplicated { files } => write!(
                f,
                "took out {files} files that were not part of the table any more, as two compactions at once do: their rows \
                 are there twice. Stop the other compaction (or set compact = false)"
            ),
            RowFault::Added { rows } => write!(f, "added {rows} rows that pinflow has not read"),
            RowFault::Removed { rows } => write!(f, "took out {rows} rows"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn active() -> ActiveRows {
        ActiveRows::new([("a".into(), 10), ("b".into(), 20), ("c".into(), 30)])
    }

    fn changes(removed: &[&str], added: &[(&str, u64)]) -> FileChanges {
        FileChanges {
            removed: removed.iter().map(PathBuf::from).collect(),
            added: added.iter().map(|(file, rows)| (PathBuf::from(file), *rows)).collect(),
        }
    }

    #[test]
    fn commit_that_moves_rows_is_sound_and_others_are_not() {
        for (removed, added, fault) in [
            (&[][..], &[][..], None),
            (&["a", "b"], &[("d", 30)], None),
            (&[], &[("a", 10)], None),
            (&["a"], &[("d", 9)], Some(RowFault::Removed { rows: 1 })),
            (&["a", "b", "c"], &[], Some(RowFault::Removed { rows: 60 })),
            (&["a"], &[("d", 12)], Some(RowFault::Added { rows: 2 })),
            (&["a", "x"], &[("d", 10)], Some(RowFault::Duplicated { files: 1 })),
        ] {
            assert_eq!(active().apply_changes(changes(removed, added)), fault, "{removed:?} {added:?}");
        }
    }

    #[test]
    fn second_compaction_of_the_same_files_is_found() {
        let mut active = active();
        assert_eq!(active.apply_changes(changes(&["a", "b"], &[("d", 30)])), None);
        let fault = active.apply_changes(changes(&["a", "b"], &[("e", 30)]));
        assert_eq!(fault, Some(RowFault::Duplicated { files: 2 }));
    }
}
