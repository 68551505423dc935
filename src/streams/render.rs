//! Streams on standard output: for people, or as JSON Lines.

use std::io::{self, Write};

use comfy_table::presets;
use serde_json::json;

use super::Format;
use crate::kinesis::{Outcome, Shard, Summary};

pub(super) fn names<'a>(
    names: impl Iterator<Item = &'a String>,
    format: Format,
    out: &mut dyn Write,
) -> io::Result<()> {
    for name in names {
        match format {
            Format::Table => writeln!(out, "{name}")?,
            Format::Json => writeln!(out, "{}", json!({ "stream": name }))?,
        }
    }
    Ok(())
}

pub(super) fn outcome(name: &str, outcome: Outcome, format: Format, out: &mut dyn Write) -> io::Result<()> {
    let words = match outcome {
        Outcome::Created => "created",
        Outcome::Exists => "is there already, as it is wanted",
        Outcome::Deleted => "deleted",
        Outcome::Absent => "was not there",
        Outcome::Resharded => "its shards are as it is wanted",
    };
    match format {
        Format::Table => writeln!(out, "{name}: {words}"),
        Format::Json => writeln!(out, "{}", json!({ "stream": name, "outcome": outcome })),
    }
}

pub(super) fn failure(name: &str, why: &str, format: Format, out: &mut dyn Write) -> io::Result<()> {
    match format {
        // The error names the stream.
        Format::Table => writeln!(out, "fault: {why}"),
        Format::Json => writeln!(out, "{}", json!({ "stream": name, "error": why })),
    }
}

pub(super) fn stream(
    name: &str,
    summary: &Summary,
    shards: &[Shard],
    format: Format,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Json => writeln!(out, "{}", as_json(name, summary, shards)),
        Format::Table => as_table(name, summary, shards, out),
    }
}

fn as_json(name: &str, summary: &Summary, shards: &[Shard]) -> serde_json::Value {
    let shard = |shard: &Shard| {
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

fn as_table(name: &str, summary: &Summary, shards: &[Shard], out: &mut dyn Write) -> io::Result<()> {
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
