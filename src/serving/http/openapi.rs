//! `/openapi.json`: what can be asked, for programs. Made from the questions, so it cannot be out of date.

use axum::response::Response;
use pinflow_dataflows::answer::ColumnType;
use pinflow_dataflows::questions::{self, Question};
use serde_json::{Map, Value, json};

use super::{params, reply};
use crate::serving::history::MAX_SAMPLES;

/// `GET /openapi.json`
pub(super) async fn document() -> Response {
    reply::json(&openapi())
}

fn schema(kind: ColumnType) -> Value {
    match kind {
        ColumnType::Long => json!({ "type": "integer", "format": "int64" }),
        ColumnType::Text => json!({ "type": "string" }),
        ColumnType::Double => json!({ "type": "number", "format": "double" }),
    }
}

fn parameter(name: &str, place: &str, what: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": place, "description": what, "required": place == "path", "schema": schema })
}

fn read() -> Value {
    let what = "live: as of the last epoch that passed; durable: as of the last one whose rows are committed";
    parameter("read", "query", what, &json!({ "type": "string", "enum": ["live", "durable"], "default": "live" }))
}

fn format(of: &[&str]) -> Value {
    parameter("format", "query", "The form of the answer", &json!({ "type": "string", "enum": of, "default": "json" }))
}

fn separator() -> Value {
    let what = "What stands between the cells of csv, and of no other form; many spreadsheets split at ;";
    let separators = json!({ "type": "string", "enum": params::CSV_SEPARATORS, "default": "," });
    parameter("separator", "query", what, &separators)
}

/// An object that has all of these fields; further ones may be added.
fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let properties: Map<_, _> = fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let required: Vec<_> = properties.keys().cloned().collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn array(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn component(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn count() -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": 0 })
}

fn optional_count() -> Value {
    json!({ "type": ["integer", "null"], "format": "int64", "minimum": 0 })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn optional_text() -> Value {
    json!({ "type": ["string", "null"] })
}

fn moment() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn row(question: &Question) -> Value {
    object(question.columns.iter().map(|column| (column.name, schema(column.kind))))
}

fn get(what: &str, parameters: &[Value], good: &Value) -> Value {
    let fault = json!({
        "description": "Why not",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Fault" } } }
    });
    json!({ "get": { "summary": what, "parameters": parameters, "responses": { "200": good, "default": fault } } })
}

fn content(what: &str, types: &[(&str, Value)]) -> Value {
    let content: Map<_, _> =
        types.iter().map(|(name, schema)| ((*name).to_owned(), json!({ "schema": schema }))).collect();
    json!({ "description": what, "content": content })
}

fn one(question: &Question) -> Value {
    let groups = question.columns[..question.group_columns()].iter();
    let mut parameters = vec![read(), format(&["json", "ndjson", "csv"]), separator()];
    parameters.extend(groups.map(|column| {
        let what = "Only rows with this value; given more than once, with one of them";
        parameter(column.name, "query", what, &json!({ "type": "array", "items": schema(column.kind) }))
    }));
    let fields = [
        ("answer", json!({ "const": question.name })),
        ("epoch", count()),
        ("as_of", moment()),
        ("durable_epoch", optional_count()),
        ("columns", array(&component("Column"))),
        ("rows", array(&row(question))),
    ];
    let types = [
        ("application/json", object(fields)),
        // A line each, so there is no one schema for all of it.
        ("application/x-ndjson", text()),
        ("text/csv", text()),
    ];
    get(&format!("The answer {}", question.name), &parameters, &content("The answer, as of one epoch", &types))
}

fn events() -> Value {
    content(
        "First a snapshot, then each change; ids for Last-Event-ID",
        &[("text/event-stream", json!({ "type": "string" }))],
    )
}

fn all_answers() -> Value {
    let answers: Vec<_> = questions::ALL
        .iter()
        .map(|question| {
            object([
                ("answer", json!({ "const": question.name })),
                ("columns", array(&component("Column"))),
                ("rows", array(&row(question))),
            ])
        })
        .collect();
    object([
        ("epoch", count()),
        ("as_of", moment()),
        ("durable_epoch", optional_count()),
        ("sources", array(&component("Source"))),
        ("answers", array(&json!({ "oneOf": answers }))),
    ])
}

fn column() -> Value {
    object([
        ("name", text()),
        ("type", json!({ "enum": ["long", "text", "double"] })),
        ("group", json!({ "type": "boolean", "description": "Whether rows can be filtered by it" })),
    ])
}

fn source() -> Value {
    object([
        ("source", text()),
        ("position", json!({ "type": "string", "description": "The next position to be read" })),
        ("end", optional_text()),
        ("lag", optional_count()),
        ("lag_ms", optional_count()),
        ("read", count()),
        ("written", count()),
        ("rejected", count()),
        ("redelivered", count()),
    ])
}

fn described(mut schema: Value, what: &str) -> Value {
    schema["description"] = what.into();
    schema
}

fn optional_number() -> Value {
    json!({ "type": ["number", "null"] })
}

/// One second of the history.
fn sample() -> Value {
    object([
        ("at", moment()),
        ("records_per_sec", described(optional_number(), "Since the sample before; null where there is none")),
        ("lag", described(optional_count(), "Records that the sources still have; null if none knows")),
        ("latency_p50_ms", described(optional_number(), "Of the epochs of this second; null if none had records")),
        ("latency_p99_ms", described(optional_number(), "Of the epochs of this second; null if none had records")),
        ("memory_bytes", described(optional_count(), "Resident memory of the process")),
        ("read", described(count(), "Rows read in this run so far")),
        ("rejected", described(count(), "Rows rejected in this run so far")),
    ])
}

/// What was read, and what came of it: of this run, and of all.
fn run_counts() -> [(&'static str, Value); 2] {
    let fault = object([("table", text()), ("column", text()), ("count", count())]);
    let this_run = object([
        ("read", count()),
        ("written", count()),
        ("rejected", count()),
        ("redelivered", count()),
        ("rejections", json!({ "type": "object", "additionalProperties": count() })),
        ("field_faults", array(&fault)),
        ("unknown_fields", count()),
        ("times_ahead", described(count(), "Records whose time was too far in the future, and is unknown")),
    ]);
    let all_time = object([("read", count()), ("rejected", count())]);
    [
        ("this_run", described(this_run, "Rows since the start of this process")),
        ("all_time", described(all_time, "What the tables held at the start, and this run")),
    ]
}

/// Freshness: the options in force, the latency of recent epochs, and the commits of this run.
fn freshness() -> [(&'static str, Value); 3] {
    let top = json!({ "type": ["integer", "string"], "description": "How many ranks, or all" });
    let options = object([("duplicates", text()), ("ties", text()), ("top", top), ("median", text())]);
    let latency = object([("epochs", count()), ("p50_ms", optional_number()), ("p99_ms", optional_number())]);
    let last_at = json!({ "type": ["string", "null"], "format": "date-time" });
    let mut commits = object([("count", count()), ("last_at", last_at), ("last_seconds", json!({ "type": "number" }))]);
    commits["type"] = json!(["object", "null"]);
    [
        ("options", options),
        ("latency", described(latency, "From an epoch's first record to its answers, over the last minute")),
        ("commits", described(commits, "Of this run; null without tables")),
    ]
}

fn status_schema() -> Value {
    let held = object([("records", count()), ("bytes", count())]);
    let table = object([("table", text()), ("version", count()), ("rows", count()), ("files", count())]);
    let answer = object([("answer", text()), ("columns", array(&component("Column"))), ("rows", count())]);
    let measured = object([("read_all_time", count()), ("records_per_sec", optional_number())]);
    let partition = json!({ "allOf": [component("Source"), measured] });
    let fields = [
        ("pipeline", text()),
        ("version", text()),
        ("uptime_seconds", json!({ "type": "number", "minimum": 0 })),
        ("started_at", moment()),
        ("server_time", moment()),
        ("state", json!({ "enum": ["rebuilding", "paused", "running"] })),
        ("epoch", count()),
        ("as_of", moment()),
        ("durable_epoch", optional_count()),
        ("sources", array(&partition)),
        ("tables", array(&table)),
        ("answers", array(&answer)),
        ("state_sizes", object([("inds", held.clone()), ("rows", held.clone()), ("groups", held)])),
        ("memory", object([("resident_bytes", optional_count()), ("symbols", count())])),
    ];
    let mut status = object(fields.into_iter().chain(freshness()).chain(run_counts()));
    let history = object([("interval_ms", count()), ("samples", array(&sample()))]);
    status["properties"]["history"] = described(history, "Only if it is asked for");
    status["properties"]["waits_for"] = described(text(), "What it waits for; only while it does");
    status
}

fn status() -> Value {
    let what = "Adds the newest samples of the last ten minutes, one per second, oldest first";
    let samples = json!({ "type": "integer", "minimum": 1, "maximum": MAX_SAMPLES });
    let what_is_shown = "Freshness, counts of this run and of all time, sources, tables, memory";
    let shown = json_content(what_is_shown, status_schema());
    get("How the run is doing", &[parameter("history", "query", what, &samples)], &shown)
}

fn rejection() -> Value {
    object([
        ("rejected_at", moment()),
        ("_source", text()),
        ("_position", text()),
        ("_sub", count()),
        ("stream", json!({ "enum": ["pin", "geo", "user", null] })),
        ("reason", text()),
        ("detail", text()),
        ("payload", optional_text()),
        ("payload_base64", optional_text()),
        ("payload_bytes", count()),
    ])
}

fn graph() -> Value {
    let operator = object([
        ("id", count()),
        ("name", text()),
        ("scope", optional_count()),
        ("records", count()),
        ("state_records", optional_count()),
        ("state_bytes", optional_count()),
    ]);
    let channel = object([("from", count()), ("to", count()), ("records", count())]);
    object([("epoch", count()), ("operators", array(&operator)), ("channels", array(&channel))])
}

fn json_content(what: &str, schema: Value) -> Value {
    content(what, &[("application/json", schema)])
}

fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    let mut add = |path: &str, operation: Value| drop(paths.insert(path.to_owned(), operation));
    let types = [("application/json", all_answers()), ("application/x-ndjson", text())];
    let all = content("All answers as of one epoch", &types);
    add("/answers", get("All answers", &[read(), format(&["json", "ndjson"])], &all));
    add("/changes", get("Changes of all answers", &[read()], &events()));
    for question in &questions::ALL {
        add(&format!("/answers/{}", question.name), one(question));
        let changes = get(&format!("Changes of {}", question.name), &[read()], &events());
        add(&format!("/answers/{}/changes", question.name), changes);
    }
    add("/status", status());
    let most = json!({ "type": "integer", "minimum": 1, "maximum": 256, "default": 50 });
    let limit = parameter("limit", "query", "How many", &most);
    let newest = json_content("Newest first", array(&rejection()));
    add("/rejected", get("The last rejections of this run", &[limit], &newest));
    let what = "Operators and channels, with the records that went along";
    add("/graph", get("The dataflow that runs", &[], &json_content(what, graph())));
    let plain = |what: &str| content(what, &[("text/plain", text())]);
    add("/healthz", get("Whether the process lives", &[], &plain("It does")));
    add("/readyz", get("Whether answers can be read and rows written", &[], &plain("They can")));
    add("/metrics", get("Figures for Prometheus", &[], &plain("The text format 0.0.4")));
    paths
}

fn openapi() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": { "title": "pinflow", "version": env!("CARGO_PKG_VERSION"), "description": "Live answers over streams of posts" },
        "paths": paths(),
        "components": {
            "schemas": {
                "Fault": object([("error", text()), ("message", text())]),
                "Column": column(),
                "Source": source()
            },
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } }
        },
        "security": [{}, { "bearer": [] }]
    })
}
