//! Tracks the data files of a table while it is written, and checks what commits of other writers do to them. No I/O.
//!
//! delta-rs commits an OPTIMIZE even if another one has removed the same files in the meantime. Their rows are then in
//! the table twice. RESTORE, overwrite, DELETE and appends of other writers break the relation between rows and stored
//! positions. None of that conflicts with a writer that only appends, so each foreign commit is checked here.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The active files of a table, with the number of rows of each.
#[derive(Debug, Clone, Default)]
pub(crate) struct ActiveRows {
    files: HashMap<PathBuf, FileRows>,
    /// How many files were ever added.
    added: u64,
}

#[derive(Debug, Clone, Copy)]
struct FileRows {
    rows: u64,
    /// How many files were added before it.
    place: u64,
}

/// The files that a commit removes and adds, with the rows of added ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct FileChanges {
    pub(crate) removed: Vec<PathBuf>,
    pub(crate) added: Vec<(PathBuf, u64)>,
}

/// A change by a commit after which the table contains other rows than pinflow has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RowFault {
    /// It removed files that were no longer part of the table.
    Duplicated { files: u64 },
    /// It added more rows than it removed.
    Added { rows: u64 },
    /// It removed more rows than it added.
    Removed { rows: u64 },
}

impl ActiveRows {
    /// The files of a table, oldest first.
    pub(crate) fn new(files: impl IntoIterator<Item = (PathBuf, u64)>) -> ActiveRows {
        let mut active = ActiveRows::default();
        for (file, rows) in files {
            active.add_file(file, rows);
        }
        active
    }

    /// Adds a file. Returns the rows that it had before.
    fn add_file(&mut self, file: PathBuf, rows: u64) -> u64 {
        let place = self.added;
        self.added += 1;
        self.files.insert(file, FileRows { rows, place }).map_or(0, |before| before.rows)
    }

    /// The files with the number of their rows, in the order opposite to that in which they were added.
    pub(crate) fn newest_first(&self) -> Vec<(&Path, u64)> {
        let mut files: Vec<_> = self.files.iter().collect();
        files.sort_by_key(|(_, file)| Reverse(file.place));
        files.into_iter().map(|(path, file)| (path.as_path(), file.rows)).collect()
    }

    /// Applies a commit. The returned fault matters only for commits of other writers, because our own append rows.
    pub(crate) fn apply_changes(&mut self, changes: FileChanges) -> Option<RowFault> {
        let (mut unknown, mut removed, mut added) = (0_u64, 0_u64, 0_u64);
        for file in changes.removed {
            match self.files.remove(&file) {
                Some(file) => removed += file.rows,
                None => unknown += 1,
            }
        }
        for (file, rows) in changes.added {
            // An `add` of an active file replaces its metadata, and adds no rows.
            removed += self.add_file(file, rows);
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
                "took out {files} files that were no longer part of the table, as concurrent compactions do: their rows \
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
    fn commit_is_accepted_if_it_keeps_the_number_of_rows() {
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
    fn second_compaction_of_same_files_is_reported_as_duplicating_rows() {
        let mut active = active();
        assert_eq!(active.apply_changes(changes(&["a", "b"], &[("d", 30)])), None);
        let fault = active.apply_changes(changes(&["a", "b"], &[("e", 30)]));
        assert_eq!(fault, Some(RowFault::Duplicated { files: 2 }));
    }
}
