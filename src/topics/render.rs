//! Prints topics as tables or as JSON Lines.

use std::io::{self, Write};

use comfy_table::{CellAlignment, presets};
use serde_json::json;

use super::TopicsFormat;
use pinflow_kafka::{EnsuredTopic, PartitionInfo, TopicInfo, TopicOutcome};

pub(super) fn names<'a>(
    names: impl Iterator<Item = &'a String>,
    format: TopicsFormat,
    out: &mut dyn Write,
) -> io::Result<()> {
    for name in names {
        match format {
            TopicsFormat::Table => writeln!(out, "{name}")?,
            TopicsFormat::Json => writeln!(out, "{}", json!({ "topic": name }))?,
        }
    }
    Ok(())
}

pub(super) fn outcome(name: &str, outcome: TopicOutcome, format: TopicsFormat, out: &mut dyn Write) -> io::Result<()> {
    let words = match outcome {
        TopicOutcome::Created => "created",
        TopicOutcome::Exists => "already exists with the wanted settings",
        TopicOutcome::Deleted => "deleted",
        TopicOutcome::Absent => "did not exist",
    };
    match format {
        TopicsFormat::Table => writeln!(out, "{name}: {words}"),
        TopicsFormat::Json => writeln!(out, "{}", json!({ "topic": name, "outcome": outcome })),
    }
}

/// Prints the outcome of creating a topic, with a risk of its settings if there is one.
pub(super) fn created_topic(
    name: &str,
    ensured: &EnsuredTopic,
    format: TopicsFormat,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Some(risk) = &ensured.risk else { return outcome(name, ensured.outcome, format, out) };
    match format {
        TopicsFormat::Table => {
            outcome(name, ensured.outcome, format, out)?;
            writeln!(out, "risk: {risk}")
        }
        TopicsFormat::Json => writeln!(out, "{}", json!({ "topic": name, "outcome": ensured.outcome, "risk": risk })),
    }
}

pub(super) fn failure(name: &str, why: &str, format: TopicsFormat, out: &mut dyn Write) -> io::Result<()> {
    match format {
        // The error names the topic.
        TopicsFormat::Table => writeln!(out, "fault: {why}"),
        TopicsFormat::Json => writeln!(out, "{}", json!({ "topic": name, "error": why })),
    }
}

pub(super) fn topics(topics: &[TopicInfo], format: TopicsFormat, out: &mut dyn Write) -> io::Result<()> {
    match format {
        TopicsFormat::Json => topics.iter().try_for_each(|topic| writeln!(out, "{}", as_json(topic))),
        TopicsFormat::Table => topics.iter().try_for_each(|topic| as_table(topic, out)),
    }
}

fn as_json(topic: &TopicInfo) -> serde_json::Value {
    let settings = topic.settings.as_ref();
    let settings = settings.map(|settings| settings.iter().cloned().collect::<std::collections::BTreeMap<_, _>>());
    json!({ "topic": topic.topic, "partitions": topic.partitions, "config": settings })
}

fn as_table(topic: &TopicInfo, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", topic.topic)?;
    match &topic.settings {
        None => writeln!(out, "  config: no permission to read it")?,
        Some(settings) => settings.iter().try_for_each(|(key, value)| writeln!(out, "  {key} = {value}"))?,
    }
    let mut grid = comfy_table::Table::new();
    grid.load_style(presets::NOTHING).set_header([
        "partition",
        "leader",
        "replicas",
        "in sync",
        "oldest",
        "next",
        "records",
    ]);
    for column in grid.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for part in &topic.partitions {
        grid.add_row(row(part));
    }
    writeln!(out, "{grid}\n")
}

fn row(part: &PartitionInfo) -> [String; 7] {
    let brokers = |list: &[i32]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let offset = |offset: Option<i64>| offset.map_or("?".to_owned(), |offset| offset.to_string());
    let records = part.low.zip(part.high).map(|(low, high)| high - low);
    [
        part.partition.to_string(),
        if part.leader < 0 { "none".to_owned() } else { part.leader.to_string() },
        brokers(&part.replicas),
        brokers(&part.isr),
        offset(part.low),
        offset(part.high),
        offset(records),
    ]
}
