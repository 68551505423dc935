//! Prints streams as tables or as JSON Lines.

use std::io::{self, Write};

use comfy_table::presets;
use serde_json::json;

use super::StreamsFormat;
use pinflow_kinesis::{ShardInfo, StreamOutcome, StreamSummary};

pub(super) fn names<'a>(
    names: impl Iterator<Item = &'a String>,
    format: StreamsFormat,
    out: &mut dyn Write,
) -> io::Result<()> {
    for name in names {
        match format {
            StreamsFormat::Table => writeln!(out, "{name}")?,
            StreamsFormat::Json => writeln!(out, "{}", json!({ "stream": name }))?,
        }
    }
    Ok(())
}

pub(super) fn outcome(
    name: &str,
    outcome: StreamOutcome,
    format: StreamsFormat,
    out: &mut dyn Write,
) -> io::Result<()> {
    let words = match outcome {
        StreamOutcome::Created => "created",
        StreamOutcome::Exists => "already exists with the wanted settings",
        StreamOutcome::Deleted => "deleted",
        StreamOutcome::Absent => "did not exist",
        StreamOutcome::Resharded => "has the wanted number of shards",
    };
    match format {
        StreamsFormat::Table => writeln!(out, "{name}: {words}"),
        StreamsFormat::Json => writeln!(out, "{}", json!({ "stream": name, "outcome": outcome })),
    }
}

pub(super) fn failure(name: &str, why: &str, format: StreamsFormat, out: &mut dyn Write) -> io::Result<()> {
    match format {
        // The error names the stream.
        StreamsFormat::Table => writeln!(out, "fault: {why}"),
        StreamsFormat::Json => writeln!(out, "{}", json!({ "stream": name, "error": why })),
    }
}

pub(super) fn stream(
    name: &str,
    summary: &StreamSummary,
    shards: &[ShardInfo],
    format: StreamsFormat,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        StreamsFormat::Json => writeln!(out, "{}", as_json(name, summary, shards)),
        StreamsFormat::Table => as_table(name, summary, shards, out),
    }
}

fn as_json(name: &str, summary: &StreamSummary, shards: &[ShardInfo]) -> serde_json::Value {
    let shard = |shard: &ShardInfo| {
        let (first_key, last_key) = &shard.hash_keys;
        json!({
            "shard": shard.id, "closed": shard.is_closed, "parents": shard.parents,
            "first_key": first_key, "last_key": last_key,
        })
    };
    let shards: Vec<_> = shards.iter().map(shard).collect();
    json!({
        "stream": name, "arn": summary.arn, "ready": summary.is_ready, "created_ms": summary.created_ms,
        "retention_hours": summary.retention_ms / 3_600_000, "shards": shards,
    })
}

fn as_table(name: &str, summary: &StreamSummary, shards: &[ShardInfo], out: &mut dyn Write) -> io::Result<()> {
    let state = if summary.is_ready { "" } else { ", not ready" };
    writeln!(out, "{name}\n  {}\n  records kept for {} h{state}", summary.arn, summary.retention_ms / 3_600_000)?;
    let mut grid = comfy_table::Table::new();
    grid.load_style(presets::NOTHING).set_header(["shard", "state", "parents", "first key", "last key"]);
    for shard in shards {
        grid.add_row([
            shard.id.as_str(),
            if shard.is_closed { "closed" } else { "open" },
            &shard.parents.join(", "),
            &shard.hash_keys.0,
            &shard.hash_keys.1,
        ]);
    }
    writeln!(out, "{grid}\n")
}
