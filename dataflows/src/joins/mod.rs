//! The joins of pin, geo and user rows on `ind`.
//!
//! Whole rows never enter the graph. Each row is first projected to the columns that questions read: a [`PinProjection`],
//! [`GeoProjection`] or [`UserProjection`] has 8 or 16 bytes, no floats, and is compared without reading text.
//!
//! - [`latest_joins`]: `duplicates = "latest"`, at most one row per stream and key;
//! - [`KeepAllJoins`]: `duplicates = "keep"`, every delivery counts.

mod extra_slabs;
mod fill_row;
mod joined_row;
mod keep_all;
mod key_changes;
mod latest;
mod outputs;
mod projection;
mod trace_layout;

pub(crate) use extra_slabs::text_count;
pub use extra_slabs::{ColumnCosts, ExtraSlabs};
pub use fill_row::{FillInput, FillRow};
pub(crate) use joined_row::column_or_year;
pub use joined_row::{HeldColumn, JoinedRow, RelationSet};
pub use keep_all::KeepAllJoins;
pub(crate) use keep_all::keep_all;
pub use key_changes::{KeyChangeConsumer, RowsOfKey};
pub(crate) use latest::LATEST_OPERATOR;
pub use latest::{DeliveryStream, LatestInputs, RowCounters, WalkStep, latest_joins};
use outputs::joined_row;
pub use outputs::{JoinOutputs, OutputFunction};
pub use projection::{AnyProjection, GeoProjection, PinProjection, ProjectedRow, RowTexts, UserProjection};

use timely::dataflow::StreamVec;

/// A stream of updates: (data, epoch, change of multiplicity), as in differential dataflow.
pub type UpdateStream<'s, D> = StreamVec<'s, u64, (D, u64, i64)>;
