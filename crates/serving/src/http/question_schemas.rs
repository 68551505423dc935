//! The part of `/openapi.json` about questions.

use serde_json::{Map, Value, json};

use super::openapi::{
    array_schema, component_ref, get_operation, json_content_object, object_schema, optional_count_schema,
    optional_number_schema, optional_text_schema, parameter_object, text_schema, with_description,
};

/// Schema of a question with its state and its costs.
pub(super) fn question_schema() -> Value {
    let flag = |what: &str| json!({ "type": "boolean", "description": what });
    let progress = json!({ "type": ["number", "null"], "minimum": 0, "maximum": 1 });
    object_schema([
        ("name", text_schema()),
        ("origin", json!({ "enum": ["builtin", "configured", "added"] })),
        ("state", json!({ "enum": ["live", "filling", "waiting", "stopped", "invalid"] })),
        ("progress", with_description(progress, "How much of it is filled; null unless it fills")),
        ("reason", with_description(optional_text_schema(), "Why it is stopped or invalid")),
        (
            "since_epoch",
            with_description(optional_count_schema(), "Since when it is live or stopped; null for those of the start"),
        ),
        ("sql", text_schema()),
        ("plan", with_description(text_schema(), "One operator a line, with its inputs below it")),
        ("columns", array_schema(&component_ref("Column"))),
        ("replaces", flag("Whether it takes the place of the question of this name once it is filled")),
        ("editable", flag("Whether it can be replaced and dropped")),
        ("groups", with_description(optional_count_schema(), "Groups held; null if not known")),
        ("rows", with_description(optional_count_schema(), "Rows of its answer; null if not known")),
        ("bytes", with_description(optional_count_schema(), "Bytes held, about; null if not known")),
        ("texts", with_description(optional_count_schema(), "Texts held; null if not known")),
        ("faults", with_description(optional_count_schema(), "Operations without a result; null if not known")),
        ("ns_per_ind", with_description(optional_number_schema(), "Time of an evaluation; null if not known")),
    ])
}

/// Adds the routes of questions.
pub(super) fn add_question_paths(paths: &mut Map<String, Value>) {
    let list = object_schema([
        ("questions", array_schema(&component_ref("Question"))),
        ("editing", json!({ "type": "boolean", "description": "Whether questions can be added and dropped" })),
        ("trying", json!({ "type": "boolean", "description": "Whether questions can be tried" })),
    ]);
    let all = json_content_object("All questions with their state and costs", list);
    paths.insert("/questions".to_owned(), get_operation("All questions", &[], &all));
    let name = parameter_object("name", "path", "The name of the question", &text_schema());
    let one = json_content_object("The question", component_ref("Question"));
    paths.insert("/questions/{name}".to_owned(), get_operation("A question", &[name], &one));
}
