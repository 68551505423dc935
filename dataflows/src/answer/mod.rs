//! An answer: a named table that changes row by row.
//!
//! An answer is a bag: a row can be there several times. Its [`AnswerSchema`] has the columns and the order in which rows
//! are listed. A row may have hidden cells after those of its columns, which only the order reads.

mod answer_cell;
mod answer_row;
mod answer_schema;
mod live_answer;
mod question_progress;
mod sorted_rows;
mod state_disposal;

pub use answer_cell::{AnswerCell, ColumnType};
pub use answer_row::{AnswerChange, AnswerRow, NamedRow, QuestionId};
pub use answer_schema::{
    AnswerColumn, AnswerSchema, InvalidSchema, bool_column, double_column, long_column, text_column, time_column,
};
pub use live_answer::{InconsistentChange, LiveAnswer};
pub use pinflow_sql::plan::ListingKey;
pub use question_progress::{AnswerUpdate, FillProgress, QuestionUsage};
pub use state_disposal::{DisposeState, StateDisposal};
