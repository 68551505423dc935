//! The part of `/openapi.json` about questions.

use serde_json::{Map, Value, json};

use super::openapi::{
    array_schema, component_ref, count_schema, get_operation, json_content_object, object_schema, operation_object,
    optional_count_schema, optional_number_schema, optional_text_schema, parameter_object, text_schema,
    with_description,
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

/// Schema of a question that has no answer to show, in `/status`.
pub(super) fn question_status_schema() -> Value {
    let progress = json!({ "type": ["number", "null"], "minimum": 0, "maximum": 1 });
    object_schema([
        ("name", text_schema()),
        ("state", json!({ "enum": ["filling", "waiting", "stopped"] })),
        ("progress", with_description(progress, "How much of it is filled; null unless it fills")),
        ("reason", with_description(optional_text_schema(), "Why it was stopped")),
    ])
}

/// Schema of a problem of a question's text.
pub(super) fn draft_problem_schema() -> Value {
    let place = |what: &str| with_description(optional_count_schema(), what);
    object_schema([
        ("line", place("From 1; null if the whole text is the problem")),
        ("column", place("In characters, from 1")),
        ("length", place("In characters")),
        ("message", text_schema()),
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
    let mut questions = get_operation("All questions", &[], &all);
    questions["post"] = post_operation();
    paths.insert("/questions".to_owned(), questions);
    let name = parameter_object("name", "path", "The name of the question", &name_schema());
    let one = json_content_object("The question", component_ref("Question"));
    let mut question = get_operation("A question", std::slice::from_ref(&name), &one);
    let dropped = json_content_object("It is dropped", object_schema([("name", text_schema())]));
    question["delete"] = operation_object("Drop an added question (admin)", &[name], &[("202", &dropped)]);
    paths.insert("/questions/{name}".to_owned(), question);
}

/// Schema of the name of a question.
fn name_schema() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,62}$" })
}

/// `POST /questions`
fn post_operation() -> Value {
    let flag = json!({ "type": "boolean", "default": false });
    let parameters = [
        parameter_object(
            "name",
            "query",
            "The name of its answer; needed unless it is tried or explained",
            &name_schema(),
        ),
        parameter_object("replace", "query", "Replace the added question of this name", &flag),
        parameter_object("dry_run", "query", "Explain the question, and change nothing", &flag),
        parameter_object("try", "query", "Answer the question once over the tables, and change nothing", &flag),
        parameter_object("limit", "query", "The most rows that a tried question returns", &count_schema()),
    ];
    let state = json!({ "enum": ["live", "filling", "waiting", "stopped"] });
    let stored = json!({ "type": "boolean", "description": "Whether a restart keeps it" });
    let accepted = object_schema([("name", text_schema()), ("state", state), ("stored", stored)]);
    let accepted = json_content_object("It is accepted, and fills", accepted);
    let what = "What `pinflow question explain` or `pinflow question try` prints as JSON";
    let shown = json_content_object(what, json!({ "type": "object" }));
    let what = "Add, replace, explain or try a question (admin)";
    let mut operation = operation_object(what, &parameters, &[("200", &shown), ("202", &accepted)]);
    let text = json!({ "type": "string", "description": "One SELECT, at most 64 KiB" });
    operation["requestBody"] = json!({ "required": true, "content": { "text/plain": { "schema": text } } });
    operation
}
