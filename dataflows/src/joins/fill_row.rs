//! Rows of the tables, for a question that is added to a running graph.

use pinflow_sql::datum::Datum;
use serde::{Deserialize, Serialize};

use crate::record::Ind;
use crate::version::Version;

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
