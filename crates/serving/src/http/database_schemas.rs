//! The part of `/openapi.json` about databases that answers are written to.

use serde_json::{Value, json};

use super::openapi::{
    array_schema, count_schema, object_schema, optional_count_schema, optional_text_schema, text_schema,
};

/// Schema of the state of a writer of a database.
pub(super) fn database_schema() -> Value {
    object_schema([
        ("database", json!({ "enum": ["postgres", "mysql"] })),
        ("target", text_schema()),
        ("connected", json!({ "type": "boolean" })),
        ("epoch", optional_count_schema()),
        ("lag_seconds", json!({ "type": "number", "minimum": 0 })),
        ("writes", count_schema()),
        ("failures", count_schema()),
        ("rows_inserted", count_schema()),
        ("rows_deleted", count_schema()),
        ("values_replaced", count_schema()),
        ("refused", array_schema(&text_schema())),
        ("problem", optional_text_schema()),
    ])
}
