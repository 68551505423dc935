//! A journal of file and folder changes, and the states that a power loss can leave.
//!
//! The model: bytes written after the last sync of a file, and names added, replaced or removed after the last sync of
//! their folder, may be lost or kept independently of each other. A rename is atomic. Synced changes are durable.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::FaultChoices;

/// A name that changed in a folder.
enum NameChange {
    Folder { path: PathBuf },
    Added { path: PathBuf },
    Replaced { from: PathBuf, path: PathBuf, kept: Option<PathBuf> },
    Removed { path: PathBuf, kept: Option<PathBuf> },
}

impl NameChange {
    fn path(&self) -> &Path {
        match self {
            NameChange::Folder { path }
            | NameChange::Added { path }
            | NameChange::Replaced { path, .. }
            | NameChange::Removed { path, .. } => path,
        }
    }

    /// Undoes the change, as if it had never reached the disk.
    fn undo(&self) {
        match self {
            NameChange::Folder { path } => drop(fs::remove_dir_all(path)),
            NameChange::Added { path } => drop(fs::remove_file(path)),
            NameChange::Replaced { from, path, kept } => {
                drop(fs::rename(path, from));
                restore(kept.as_deref(), path);
            }
            NameChange::Removed { path, kept } => restore(kept.as_deref(), path),
        }
    }
}

fn restore(kept: Option<&Path>, path: &Path) {
    if let Some(kept) = kept {
        // The folder itself may be lost too.
        drop(fs::hard_link(kept, path));
    }
}

/// Sizes of a file, bytes.
#[derive(Default, Clone, Copy)]
struct FileSizes {
    written: u64,
    synced: u64,
}

/// The changes that are not synced at the end of a journal.
#[derive(Default)]
pub(super) struct UnsyncedState {
    names: Vec<NameChange>,
    sizes: BTreeMap<u64, FileSizes>,
    paths: BTreeMap<PathBuf, u64>,
}

impl UnsyncedState {
    /// Reads a journal.
    pub(super) fn read(journal: &Path) -> UnsyncedState {
        let mut state = UnsyncedState::default();
        let text = fs::read_to_string(journal).unwrap_or_default();
        for line in text.lines() {
            state.apply(&line.split('\t').collect::<Vec<_>>());
        }
        state
    }

    fn apply(&mut self, fields: &[&str]) {
        let inode = || fields[1].parse::<u64>().expect("an inode");
        let size = || fields[2].parse::<u64>().expect("a size");
        let kept = |field: &str| (field != "-").then(|| PathBuf::from(field));
        match fields[0] {
            "create" => {
                self.paths.insert(fields[2].into(), inode());
                self.sizes.insert(inode(), FileSizes::default());
                self.names.push(NameChange::Added { path: fields[2].into() });
            }
            "write" => self.sizes.entry(inode()).or_default().written = size(),
            "sync" => self.sizes.entry(inode()).or_default().synced = size(),
            "syncdir" => {
                let folder = Path::new(fields[1]);
                self.names.retain(|change| change.path().parent() != Some(folder));
            }
            "mkdir" => self.names.push(NameChange::Folder { path: fields[1].into() }),
            "link" => {
                self.paths.insert(fields[3].into(), inode());
                self.names.push(NameChange::Added { path: fields[3].into() });
            }
            "rename" => {
                self.paths.remove(Path::new(fields[2]));
                self.paths.insert(fields[3].into(), inode());
                let (from, path) = (fields[2].into(), fields[3].into());
                self.names.push(NameChange::Replaced { from, path, kept: kept(fields[4]) });
            }
            "unlink" => {
                self.paths.remove(Path::new(fields[2]));
                self.names.push(NameChange::Removed { path: fields[2].into(), kept: kept(fields[3]) });
            }
            other => panic!("the journal has an unknown line: {other}"),
        }
    }

    /// Changes the disk to one of the states that a power loss may leave. Returns descriptions of the lost changes.
    pub(super) fn lose_power(self, choices: &mut FaultChoices) -> Vec<String> {
        let mut lost = Vec::new();
        // Bytes first, while every file still has a name.
        let mut seen = BTreeSet::new();
        for (path, inode) in &self.paths {
            let sizes = self.sizes.get(inode).copied().unwrap_or_default();
            if sizes.synced < sizes.written && seen.insert(*inode) {
                lost.push(format!("{}: {}", path.display(), cut(path, sizes, choices)));
            }
        }
        // Undo the latest change first.
        for change in self.names.iter().rev() {
            if choices.below(2) == 0 {
                lost.push(format!("{}: its name", change.path().display()));
                change.undo();
            }
        }
        lost
    }
}

/// Loses unsynced bytes of a file: it becomes shorter, empty, or filled with zeros from there on.
fn cut(path: &Path, sizes: FileSizes, choices: &mut FaultChoices) -> String {
    let Ok(file) = fs::OpenOptions::new().write(true).open(path) else { return "gone".to_owned() };
    let remains = match choices.below(3) {
        0 => sizes.synced,
        1 => sizes.synced + choices.below(sizes.written - sizes.synced),
        _ => {
            file.set_len(sizes.synced).expect("cut");
            file.set_len(sizes.written).expect("filled with zeros");
            return format!("zeros from byte {}", sizes.synced);
        }
    };
    file.set_len(remains).expect("cut");
    format!("{remains} of {} bytes", sizes.written)
}
