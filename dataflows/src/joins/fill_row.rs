//! Rows of the tables, for a question that is added to a running graph.

use pinflow_sql::datum::Datum;
use serde::{Deserialize, Serialize};

use crate::keys::route_ind;
use crate::record::Ind;
use crate::version::Version;

/// What comes besides delivered rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FillInput {
    /// A row of the tables.
    Row(FillRow),
    /// The epoch has to be applied on this worker, by index, even if nothing else comes.
    Notice {
        /// The index of the worker.
        worker: u64,
    },
}

impl FillInput {
    /// The hash by which it is exchanged to a worker.
    pub(crate) fn route(&self) -> u64 {
        match self {
            FillInput::Row(row) => route_ind(row.ind),
            FillInput::Notice { worker } => *worker,
        }
    }
}

/// What a question needs of a row of the tables.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FillRow {
    /// The number of the question's id.
    pub(crate) question: u32,
    /// The index of the relation in the catalog.
    pub(crate) relation: u8,
    pub(crate) ind: Ind,
    pub(crate) version: Version,
    /// The values that the question needs, in an order that it knows.
    pub(crate) values: Box<[Datum]>,
}
