//! The size of a graph's state.

use serde::{Deserialize, Serialize};

/// The size of the graph's state on one worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateSizes {
    /// Distinct `ind`s.
    pub inds: usize,
    /// Pin rows that count.
    pub pins: usize,
    /// Geo rows that count.
    pub geos: usize,
    /// User rows that count.
    pub users: usize,
    /// Groups over all answers.
    pub groups: usize,
    /// Entries over all groups: counted labels and values.
    pub entries: usize,
    /// Bytes of the table of `ind`s.
    pub ind_bytes: usize,
    /// Operations without a result while questions were evaluated: their values are null.
    pub faults: u64,
    /// Bytes of the groups of questions of the fast path, approximately.
    pub group_bytes: usize,
    /// Bytes of the groups, rows and extra columns that questions of the general path hold.
    pub general_bytes: usize,
    /// Bytes of the stored rows. 0 with `duplicates = "keep"`, where rows are in arrangements.
    pub row_bytes: usize,
}

/// The size of a part of the state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StateSize {
    /// The number of records.
    pub records: usize,
    /// Their approximate size in memory, bytes.
    pub bytes: usize,
}

impl StateSizes {
    /// The distinct `ind`s.
    #[must_use]
    pub fn inds(&self) -> StateSize {
        StateSize { records: self.inds, bytes: self.ind_bytes }
    }

    /// The rows that count. With `duplicates = "keep"`, `bytes` is 0.
    #[must_use]
    pub fn rows(&self) -> StateSize {
        StateSize { records: self.pins + self.geos + self.users, bytes: self.row_bytes }
    }

    /// The groups of all answers.
    #[must_use]
    pub fn groups(&self) -> StateSize {
        StateSize { records: self.entries, bytes: self.group_bytes + self.general_bytes }
    }
}

impl std::ops::AddAssign for StateSizes {
    fn add_assign(&mut self, other: StateSizes) {
        self.inds += other.inds;
        self.pins += other.pins;
        self.geos += other.geos;
        self.users += other.users;
        self.groups += other.groups;
        self.entries += other.entries;
        self.ind_bytes += other.ind_bytes;
        self.row_bytes += other.row_bytes;
        self.group_bytes += other.group_bytes;
        self.general_bytes += other.general_bytes;
        self.faults += other.faults;
    }
}
