//! The joins of pin, geo and user rows on `ind`.
//!
//! Whole rows never enter the graph. Each row is first projected to the columns that questions read: a [`PinProjection`],
//! [`GeoProjection`] or [`UserProjection`] has 8 or 16 bytes, no floats, and is compared without reading text.
//!
//! - [`latest_joins`]: `duplicates = "latest"`, at most one row per stream and key;
//! - [`KeepAllJoins`]: `duplicates = "keep"`, every delivery counts.

mod keep_all;
mod latest;
mod outputs;
mod projection;
mod trace_layout;

pub use keep_all::KeepAllJoins;
pub(crate) use keep_all::keep_all;
pub(crate) use latest::LATEST_OPERATOR;
pub use latest::{DeliveryStream, MarkRequest, RowCounters, latest_joins};
pub use outputs::{JoinOutputs, PairFn, TripleFn, UserFn};
pub use projection::{GeoProjection, PinProjection, ProjectedRow, RowTexts, UserProjection};

use timely::dataflow::StreamVec;

/// A stream of updates: (data, epoch, change of multiplicity), as in differential dataflow.
pub type UpdateStream<'s, D> = StreamVec<'s, u64, (D, u64, i64)>;
