//! `GET /openapi.json`: the OpenAPI description. It is generated from the questions, so it is always up to date.

use axum::extract::State;
use axum::response::Response;
use pinflow_dataflows::answer::{AnswerColumn, ColumnType};
use pinflow_dataflows::questions::{Question, QuestionSet};
use serde_json::{Map, Value, json};

use super::cluster_status::processes_schema;
use super::database_schemas::database_schema;
use super::question_schemas::{add_question_paths, draft_problem_schema, question_schema, question_status_schema};
use super::verification::{add_verification_path, last_verification_schema};
use super::{SharedServingState, params, reply};
use crate::answer_hub::ReadConsistency;
use crate::history::MAX_SAMPLES;

/// `GET /openapi.json`
pub(super) async fn get_openapi(State(shared): State<SharedServingState>) -> Response {
    let view = shared.answer_hub.current_view(ReadConsistency::Live);
    let questions = view.map(|view| view.questions().clone()).unwrap_or_default();
    reply::json_response(&openapi_document(&questions))
}

fn kind_schema(kind: ColumnType) -> Value {
    match kind {
        ColumnType::Long => json!({ "type": "integer", "format": "int64" }),
        ColumnType::Text => json!({ "type": "string" }),
        ColumnType::Double => json!({ "type": "number", "format": "double" }),
        ColumnType::Bool => json!({ "type": "boolean" }),
        ColumnType::Time => timestamp_schema(),
    }
}

/// Schema of a column's values.
fn column_value_schema(column: &AnswerColumn) -> Value {
    let mut schema = kind_schema(column.kind);
    if column.nullable {
        schema["type"] = json!([schema["type"], "null"]);
    }
    schema
}

pub(super) fn parameter_object(name: &str, place: &str, what: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": place, "description": what, "required": place == "path", "schema": schema })
}

fn read_parameter() -> Value {
    let what = "live: as of the last epoch that passed; durable: as of the last one whose rows are committed";
    parameter_object(
        "read",
        "query",
        what,
        &json!({ "type": "string", "enum": ["live", "durable"], "default": "live" }),
    )
}

fn format_parameter(of: &[&str]) -> Value {
    parameter_object(
        "format",
        "query",
        "The form of the answer",
        &json!({ "type": "string", "enum": of, "default": "json" }),
    )
}

fn separator_parameter() -> Value {
    let what = "Separator of the cells of csv. Other formats ignore it. Many spreadsheets split at ;";
    let separators = json!({ "type": "string", "enum": params::CSV_SEPARATORS, "default": "," });
    parameter_object("separator", "query", what, &separators)
}

fn null_parameter(question: &Question) -> Value {
    let what = "Only rows in which the column of this name is null, or has one of the values given for it";
    let names: Vec<_> = question.columns().iter().map(|column| column.name.as_str()).collect();
    parameter_object("null", "query", what, &json!({ "type": "array", "items": { "enum": names } }))
}

/// Schema of an object with these required fields. Later versions may add fields.
pub(super) fn object_schema<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let properties: Map<_, _> = fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let required: Vec<_> = properties.keys().cloned().collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

pub(super) fn array_schema(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

pub(super) fn component_ref(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

pub(super) fn count_schema() -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": 0 })
}

pub(super) fn optional_count_schema() -> Value {
    json!({ "type": ["integer", "null"], "format": "int64", "minimum": 0 })
}

pub(super) fn text_schema() -> Value {
    json!({ "type": "string" })
}

pub(super) fn optional_text_schema() -> Value {
    json!({ "type": ["string", "null"] })
}

pub(super) fn timestamp_schema() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn row_schema(question: &Question) -> Value {
    object_schema(question.columns().iter().map(|column| (column.name.as_str(), column_value_schema(column))))
}

/// The name of the component with the rows of an answer. No other component ends so.
fn row_component(question: &Question) -> String {
    format!("{}_row", question.name)
}

fn row_ref(question: &Question) -> Value {
    component_ref(&row_component(question))
}

pub(super) fn get_operation(what: &str, parameters: &[Value], good: &Value) -> Value {
    json!({ "get": operation_object(what, parameters, &[("200", good)]) })
}

/// An operation with its good responses by status.
pub(super) fn operation_object(what: &str, parameters: &[Value], good: &[(&str, &Value)]) -> Value {
    let fault = json!({
        "description": "Why not",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Fault" } } }
    });
    let mut responses = json!({ "default": fault });
    for (status, response) in good {
        responses[*status] = (*response).clone();
    }
    json!({ "summary": what, "parameters": parameters, "responses": responses })
}

fn content_object(what: &str, types: &[(&str, Value)]) -> Value {
    let content: Map<_, _> =
        types.iter().map(|(name, schema)| ((*name).to_owned(), json!({ "schema": schema }))).collect();
    json!({ "description": what, "content": content })
}

fn answer_operation(question: &Question) -> Value {
    let mut parameters = vec![
        read_parameter(),
        format_parameter(&["json", "ndjson", "csv"]),
        separator_parameter(),
        null_parameter(question),
    ];
    parameters.extend(question.columns().iter().map(|column| {
        let what = "Only rows with this value; given more than once, with one of them";
        parameter_object(
            &params::filter_name(&column.name),
            "query",
            what,
            &json!({ "type": "array", "items": kind_schema(column.kind) }),
        )
    }));
    let fields = [
        ("answer", json!({ "const": question.name.as_str() })),
        ("epoch", count_schema()),
        ("as_of", timestamp_schema()),
        ("durable_epoch", optional_count_schema()),
        ("columns", array_schema(&component_ref("Column"))),
        ("order", array_schema(&component_ref("OrderKey"))),
        ("rows", array_schema(&row_ref(question))),
    ];
    let types = [
        ("application/json", object_schema(fields)),
        // One JSON document per line, for which OpenAPI has no schema.
        ("application/x-ndjson", text_schema()),
        ("text/csv", text_schema()),
    ];
    let whole = content_object("The answer, as of one epoch", &types);
    let part =
        content_object("The bytes of the answer that `Range` names", &types.map(|(kind, _)| (kind, text_schema())));
    let what = format!("The answer {}", question.name);
    json!({ "get": operation_object(&what, &parameters, &[("200", &whole), ("206", &part)]) })
}

fn event_stream_content() -> Value {
    content_object(
        "First a snapshot, then each change; ids for Last-Event-ID",
        &[("text/event-stream", json!({ "type": "string" }))],
    )
}

fn all_answers_schema(questions: &QuestionSet) -> Value {
    let answers: Vec<_> = questions
        .iter()
        .map(|(_, question)| {
            object_schema([
                ("answer", json!({ "const": question.name.as_str() })),
                ("columns", array_schema(&component_ref("Column"))),
                ("order", array_schema(&component_ref("OrderKey"))),
                ("rows", array_schema(&row_ref(question))),
            ])
        })
        .collect();
    object_schema([
        ("epoch", count_schema()),
        ("as_of", timestamp_schema()),
        ("durable_epoch", optional_count_schema()),
        ("sources", array_schema(&component_ref("Source"))),
        ("answers", array_schema(&json!({ "oneOf": answers }))),
    ])
}

fn fault_schema() -> Value {
    let mut fault = object_schema([("error", text_schema()), ("message", text_schema())]);
    fault["properties"]["problems"] =
        with_description(array_schema(&draft_problem_schema()), "Of the text of a question; only if it is wrong");
    fault
}

fn column_schema() -> Value {
    object_schema([
        ("name", text_schema()),
        ("type", json!({ "enum": ["long", "text", "double", "boolean", "timestamp"] })),
        ("nullable", json!({ "type": "boolean", "description": "Whether values can be null" })),
        (
            "group",
            json!({ "type": "boolean", "description": "Whether it is a grouping column of a built-in question" }),
        ),
    ])
}

/// Schema of one key of the order in which rows are listed.
fn order_key_schema() -> Value {
    object_schema([
        ("column", text_schema()),
        ("descending", json!({ "type": "boolean" })),
        ("nulls_first", json!({ "type": "boolean" })),
    ])
}

fn source_schema() -> Value {
    object_schema([
        ("source", text_schema()),
        ("position", json!({ "type": "string", "description": "The next position to be read" })),
        ("end", optional_text_schema()),
        ("lag", optional_count_schema()),
        ("lag_ms", optional_count_schema()),
        ("read", count_schema()),
        ("written", count_schema()),
        ("rejected", count_schema()),
        ("redelivered", count_schema()),
    ])
}

pub(super) fn with_description(mut schema: Value, what: &str) -> Value {
    schema["description"] = what.into();
    schema
}

pub(super) fn optional_number_schema() -> Value {
    json!({ "type": ["number", "null"] })
}

/// Schema of one sample of the history.
fn sample_schema() -> Value {
    object_schema([
        ("at", timestamp_schema()),
        (
            "records_per_sec",
            with_description(optional_number_schema(), "Since the sample before; null where there is none"),
        ),
        ("lag", with_description(optional_count_schema(), "Records that the sources still have; null if none knows")),
        (
            "latency_p50_ms",
            with_description(optional_number_schema(), "Of the epochs of this second; null if none had records"),
        ),
        (
            "latency_p99_ms",
            with_description(optional_number_schema(), "Of the epochs of this second; null if none had records"),
        ),
        ("memory_bytes", with_description(optional_count_schema(), "Resident memory of the process")),
        ("read", with_description(count_schema(), "Rows read in this run so far")),
        ("rejected", with_description(count_schema(), "Rows rejected in this run so far")),
    ])
}

/// Schemas of the counts of this run and of all runs.
fn run_count_schemas() -> [(&'static str, Value); 2] {
    let fault = object_schema([("table", text_schema()), ("column", text_schema()), ("count", count_schema())]);
    let this_run = object_schema([
        ("read", count_schema()),
        ("written", count_schema()),
        ("rejected", count_schema()),
        ("redelivered", count_schema()),
        ("rejections", json!({ "type": "object", "additionalProperties": count_schema() })),
        ("field_faults", array_schema(&fault)),
        ("unknown_fields", count_schema()),
        (
            "times_ahead",
            with_description(count_schema(), "Records whose time was too far in the future, and is unknown"),
        ),
        (
            "question_faults",
            with_description(count_schema(), "Operations of questions that had no result, and gave null"),
        ),
    ]);
    let all_time = object_schema([("read", count_schema()), ("rejected", count_schema())]);
    [
        ("this_run", with_description(this_run, "Rows since the start of this process")),
        ("all_time", with_description(all_time, "What the tables held at the start, and this run")),
    ]
}

/// Schemas of the options, the latency of recent epochs, and the commits of this run.
fn freshness_schemas() -> [(&'static str, Value); 3] {
    let top = json!({ "type": ["integer", "string"], "description": "How many ranks, or all" });
    let options = object_schema([
        ("duplicates", text_schema()),
        ("ties", text_schema()),
        ("top", top),
        ("median", text_schema()),
    ]);
    let latency = object_schema([
        ("epochs", count_schema()),
        ("p50_ms", optional_number_schema()),
        ("p99_ms", optional_number_schema()),
    ]);
    let last_at = json!({ "type": ["string", "null"], "format": "date-time" });
    let mut commits =
        object_schema([("count", count_schema()), ("last_at", last_at), ("last_seconds", json!({ "type": "number" }))]);
    commits["type"] = json!(["object", "null"]);
    [
        ("options", options),
        ("latency", with_description(latency, "From an epoch's first record to its answers, over the last minute")),
        ("commits", with_description(commits, "Of this run; null without tables")),
    ]
}

fn memory_schema() -> Value {
    let mut memory = object_schema([
        ("resident_bytes", optional_count_schema()),
        ("symbols", with_description(count_schema(), "Interned texts")),
        ("symbol_bytes", with_description(count_schema(), "Their approximate size")),
    ]);
    memory["properties"]["max_bytes"] =
        with_description(count_schema(), "Sources pause above it; absent without a limit");
    memory
}

fn status_schema() -> Value {
    let held = object_schema([("records", count_schema()), ("bytes", count_schema())]);
    let table = object_schema([
        ("table", text_schema()),
        ("version", count_schema()),
        ("rows", count_schema()),
        ("files", count_schema()),
        ("epoch", with_description(count_schema(), "The last epoch of this run whose rows the version has")),
    ]);
    let answer = object_schema([
        ("answer", text_schema()),
        ("columns", array_schema(&component_ref("Column"))),
        ("rows", count_schema()),
    ]);
    let measured = object_schema([("read_all_time", count_schema()), ("records_per_sec", optional_number_schema())]);
    let partition = json!({ "allOf": [component_ref("Source"), measured] });
    let fields = [
        ("pipeline", text_schema()),
        ("version", text_schema()),
        ("uptime_seconds", json!({ "type": "number", "minimum": 0 })),
        ("started_at", timestamp_schema()),
        ("server_time", timestamp_schema()),
        ("state", json!({ "enum": ["rebuilding", "paused", "running"] })),
        ("epoch", count_schema()),
        ("as_of", timestamp_schema()),
        ("durable_epoch", optional_count_schema()),
        ("sources", array_schema(&partition)),
        ("tables", array_schema(&table)),
        ("tables_url", with_description(optional_text_schema(), "Where they are; null without tables")),
        ("text_bytes_max", with_description(count_schema(), "Longer texts of stored rows count as null")),
        ("processes", processes_schema()),
        ("databases", with_description(array_schema(&database_schema()), "Those that answers are written to")),
        ("answers", array_schema(&answer)),
        ("questions", with_description(array_schema(&question_status_schema()), "Those that have no answer to show")),
        ("state_sizes", object_schema([("inds", held.clone()), ("rows", held.clone()), ("groups", held)])),
        ("memory", memory_schema()),
    ];
    let mut status = object_schema(fields.into_iter().chain(freshness_schemas()).chain(run_count_schemas()));
    let history = object_schema([("interval_ms", count_schema()), ("samples", array_schema(&sample_schema()))]);
    status["properties"]["history"] = with_description(history, "Only if it is asked for");
    let verification = json!({ "anyOf": [last_verification_schema(), { "type": "null" }] });
    status["properties"]["verification"] = with_description(verification, "What `pinflow verify` found; null before");
    status["properties"]["waits_for"] = with_description(text_schema(), "What it waits for; only while it does");
    status
}

fn status_operation() -> Value {
    let what = "Adds the newest samples of the last ten minutes, one per second, oldest first";
    let samples = json!({ "type": "integer", "minimum": 1, "maximum": MAX_SAMPLES });
    let what_is_shown = "Freshness, counts of this run and of all time, sources, tables, memory";
    let shown = json_content_object(what_is_shown, component_ref("Status"));
    get_operation("How the run is doing", &[parameter_object("history", "query", what, &samples)], &shown)
}

fn rejection_schema() -> Value {
    object_schema([
        ("rejected_at", timestamp_schema()),
        ("_source", text_schema()),
        ("_position", text_schema()),
        ("_sub", count_schema()),
        ("stream", json!({ "enum": ["pin", "geo", "user", null] })),
        ("reason", text_schema()),
        ("detail", text_schema()),
        ("payload", optional_text_schema()),
        ("payload_base64", optional_text_schema()),
        ("payload_bytes", count_schema()),
    ])
}

fn graph_schema() -> Value {
    let operator = object_schema([
        ("id", count_schema()),
        ("name", text_schema()),
        ("scope", optional_count_schema()),
        ("records", count_schema()),
        ("state_records", optional_count_schema()),
        ("state_bytes", optional_count_schema()),
    ]);
    let channel = object_schema([("from", count_schema()), ("to", count_schema()), ("records", count_schema())]);
    object_schema([
        ("epoch", count_schema()),
        ("operators", array_schema(&operator)),
        ("channels", array_schema(&channel)),
    ])
}

/// The named schemas: generators of clients make a type of each.
fn component_schemas(questions: &QuestionSet) -> Map<String, Value> {
    let fixed = [
        ("Fault", fault_schema()),
        ("Column", column_schema()),
        ("OrderKey", order_key_schema()),
        ("Question", question_schema()),
        ("Source", source_schema()),
        ("Status", status_schema()),
        ("Graph", graph_schema()),
        ("AllAnswers", all_answers_schema(questions)),
    ];
    let rows = questions.iter().map(|(_, question)| (row_component(question), row_schema(question)));
    fixed.map(|(name, schema)| (name.to_owned(), schema)).into_iter().chain(rows).collect()
}

pub(super) fn json_content_object(what: &str, schema: Value) -> Value {
    content_object(what, &[("application/json", schema)])
}

fn path_items(questions: &QuestionSet) -> Map<String, Value> {
    let mut paths = Map::new();
    let mut add = |path: &str, operation: Value| drop(paths.insert(path.to_owned(), operation));
    let types = [("application/json", component_ref("AllAnswers")), ("application/x-ndjson", text_schema())];
    let all = content_object("All answers as of one epoch", &types);
    add("/answers", get_operation("All answers", &[read_parameter(), format_parameter(&["json", "ndjson"])], &all));
    add("/changes", get_operation("Changes of all answers", &[read_parameter()], &event_stream_content()));
    for (_, question) in questions.iter() {
        add(&format!("/answers/{}", question.name), answer_operation(question));
        let changes =
            get_operation(&format!("Changes of {}", question.name), &[read_parameter()], &event_stream_content());
        add(&format!("/answers/{}/changes", question.name), changes);
    }
    add_question_paths(&mut paths);
    add_verification_path(&mut paths);
    let mut add = |path: &str, operation: Value| drop(paths.insert(path.to_owned(), operation));
    add("/status", status_operation());
    let most = json!({ "type": "integer", "minimum": 1, "maximum": 256, "default": 50 });
    let limit = parameter_object("limit", "query", "How many", &most);
    let newest = json_content_object("Newest first", array_schema(&rejection_schema()));
    add("/rejected", get_operation("The last rejections of this run", &[limit], &newest));
    let what = "Operators and channels, with the records that went along";
    add("/graph", get_operation("The dataflow that runs", &[], &json_content_object(what, component_ref("Graph"))));
    let plain = |what: &str| content_object(what, &[("text/plain", text_schema())]);
    add("/healthz", get_operation("Whether the process lives", &[], &plain("It does")));
    add("/readyz", get_operation("Whether answers can be read and rows written", &[], &plain("They can")));
    add("/metrics", get_operation("Figures for Prometheus", &[], &plain("The text format 0.0.4")));
    paths
}

fn openapi_document(questions: &QuestionSet) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": { "title": "pinflow", "version": env!("CARGO_PKG_VERSION"), "description": "Live answers over streams of posts" },
        "paths": path_items(questions),
        "components": {
            "schemas": component_schemas(questions),
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } }
        },
        "security": [{}, { "bearer": [] }]
    })
}
