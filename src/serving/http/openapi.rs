//! `/openapi.json`: what can be asked, for programs. Made from the questions, so it cannot be out of date.

use axum::response::Response;
use pinflow_dataflows::answer::Kind;
use pinflow_dataflows::questions::{self, Question};
use serde_json::{Map, Value, json};

use super::reply;
use crate::serving::history::SAMPLES_MAX;

/// `GET /openapi.json`
pub(super) async fn document() -> Response {
    reply::json(&openapi())
}

fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Long => json!({ "type": "integer", "format": "int64" }),
        Kind::Text => json!({ "type": "string" }),
        Kind::Double => json!({ "type": "number", "format": "double" }),
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

fn row(question: &Question) -> Value {
    let properties: Map<_, _> =
        question.columns.iter().map(|column| (column.name.to_owned(), schema(column.kind))).collect();
    let required: Vec<_> = question.columns.iter().map(|column| column.name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
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
    let groups = question.columns[..question.groups()].iter();
    let mut parameters = vec![read(), format(&["json", "ndjson", "csv"])];
    parameters.extend(groups.map(|column| {
        let what = "Only rows with this value; given more than once, with one of them";
        parameter(column.name, "query", what, &json!({ "type": "array", "items": schema(column.kind) }))
    }));
    let rows = json!({ "type": "array", "items": row(question) });
    let properties = json!({
        "answer": { "const": question.name }, "epoch": { "type": "integer" },
        "as_of": { "type": "string", "format": "date-time" }, "durable_epoch": { "type": ["integer", "null"] },
        "columns": { "type": "array" }, "rows": rows
    });
    let types = [
        ("application/json", json!({ "type": "object", "properties": properties })),
        ("application/x-ndjson", row(question)),
        ("text/csv", json!({ "type": "string" })),
    ];
    get(&format!("The answer {}", question.name), &parameters, &content("The answer, as of one epoch", &types))
}

fn events() -> Value {
    content(
        "First a snapshot, then each change; ids for Last-Event-ID",
        &[("text/event-stream", json!({ "type": "string" }))],
    )
}

fn status() -> Value {
    let time = || json!({ "type": "string", "format": "date-time" });
    let number = |what: &str| json!({ "type": ["number", "null"], "description": what });
    let count = |what: &str| json!({ "type": "integer", "description": what });
    let sample = json!({ "type": "object", "properties": {
        "at": time(),
        "records_per_sec": number("Since the sample before; null where there is none"),
        "lag": { "type": ["integer", "null"], "description": "Records that the sources still have; null if none knows" },
        "latency_p50_ms": number("Of the epochs of this second; null if none had records"),
        "latency_p99_ms": number("Of the epochs of this second; null if none had records"),
        "memory_bytes": { "type": ["integer", "null"], "description": "Resident memory of the process" },
        "read": count("Rows read in this run so far"), "rejected": count("Rows rejected in this run so far")
    } });
    let properties = json!({
        "started_at": time(), "server_time": time(), "epoch": { "type": "integer" }, "as_of": time(),
        "durable_epoch": { "type": ["integer", "null"] },
        "options": { "type": "object", "description": "duplicates, ties, top and median, as they are in force" },
        "latency": { "type": "object", "description": "From an epoch's first record to its answers, over the last minute", "properties": {
            "epochs": count("Epochs with records"), "p50_ms": number("Half took no longer"), "p99_ms": number("99 of 100 took no longer")
        } },
        "commits": { "type": ["object", "null"], "description": "Of this run: count, last_at, last_seconds; null without tables" },
        "this_run": { "type": "object", "description": "Rows since the start of this process, rejections by reason, field faults by column" },
        "all_time": { "type": "object", "description": "What the tables held at the start, and this run", "properties": {
            "read": count("Rows read"), "rejected": count("Rows rejected")
        } },
        "sources": { "type": "array" }, "tables": { "type": "array" }, "answers": { "type": "array" },
        "history": { "type": "object", "description": "Only if it is asked for", "properties": {
            "interval_ms": count("From one sample to the next"), "samples": { "type": "array", "items": sample }
        } }
    });
    let what = "Adds the newest samples of the last ten minutes, one per second, oldest first";
    let history =
        parameter("history", "query", what, &json!({ "type": "integer", "minimum": 1, "maximum": SAMPLES_MAX }));
    let schema = json!({ "type": "object", "properties": properties });
    let what = "Freshness, counts of this run and of all time, sources, tables, memory";
    get("How the run is doing", &[history], &content(what, &[("application/json", schema)]))
}

fn openapi() -> Value {
    let object = json!({ "type": "object" });
    let text = |what: &str| content(what, &[("text/plain", json!({ "type": "string" }))]);
    let mut paths = Map::new();
    let all = content(
        "All answers as of one epoch",
        &[("application/json", object.clone()), ("application/x-ndjson", object.clone())],
    );
    paths.insert("/answers".to_owned(), get("All answers", &[read(), format(&["json", "ndjson"])], &all));
    paths.insert("/changes".to_owned(), get("Changes of all answers", &[read()], &events()));
    for question in &questions::ALL {
        paths.insert(format!("/answers/{}", question.name), one(question));
        let what = format!("Changes of {}", question.name);
        paths.insert(format!("/answers/{}/changes", question.name), get(&what, &[read()], &events()));
    }
    let json_of = |what: &str| content(what, &[("application/json", object.clone())]);
    paths.insert("/status".to_owned(), status());
    let limit = parameter(
        "limit",
        "query",
        "How many",
        &json!({ "type": "integer", "minimum": 1, "maximum": 256, "default": 50 }),
    );
    paths.insert("/rejected".to_owned(), get("The last rejections of this run", &[limit], &json_of("Newest first")));
    let what = "Operators and channels, with the records that went along";
    paths.insert("/graph".to_owned(), get("The dataflow that runs", &[], &json_of(what)));
    paths.insert("/healthz".to_owned(), get("Whether the process lives", &[], &text("It does")));
    paths.insert("/readyz".to_owned(), get("Whether answers can be read and rows written", &[], &text("They can")));
    paths.insert("/metrics".to_owned(), get("Figures for Prometheus", &[], &text("The text format 0.0.4")));
    json!({
        "openapi": "3.1.0",
        "info": { "title": "pinflow", "version": env!("CARGO_PKG_VERSION"), "description": "Live answers over streams of posts" },
        "paths": paths,
        "components": {
            "schemas": { "Fault": { "type": "object", "properties": { "error": { "type": "string" }, "message": { "type": "string" } } } },
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } }
        },
        "security": [{}, { "bearer": [] }]
    })
}
