//! `pinflow check`: reaches every source and table, writes nothing, and names every fault.

use std::io::Write;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use crate::config::{Config, SourceConfig};
use crate::finding::Finding;
use crate::gateway;
use crate::kafka;
use crate::kinesis;
use crate::sinks::delta;
use crate::sources::recording;

/// Checks a configuration and prints a line for each thing that was looked at; returns the number of faults.
///
/// # Errors
/// Only if the findings cannot be written.
pub async fn run(config: &Config, out: &mut impl Write) -> anyhow::Result<usize> {
    let mut faults = 0;
    writeln!(out, "ok     configuration of pipeline `{}`", config.pipeline)?;
    let mut looks = Vec::new();
    for source in &config.sources {
        looks.push(look_at(source, config).await);
    }
    if let Some(gateway) = &config.gateway {
        looks.push(gateway::check(gateway, &config.base).await);
    }
    for findings in looks {
        for finding in findings {
            faults += usize::from(matches!(finding, Finding::Fault(_)));
            match finding {
                Finding::Well(what) => writeln!(out, "ok     {what}")?,
                Finding::Risk(what) => writeln!(out, "risk   {what}")?,
                Finding::Fault(what) => writeln!(out, "fault  {what}")?,
            }
        }
    }
    match &config.tables {
        None => writeln!(out, "ok     no [tables]: answers only, nothing is kept")?,
        Some(tables) => match tables_facts(&tables.root(&config.base).map_err(anyhow::Error::msg)?).await {
            Ok(facts) => facts.iter().try_for_each(|line| writeln!(out, "ok     {line}"))?,
            Err(error) => {
                faults += 1;
                writeln!(out, "fault  {error:#}")?;
            }
        },
    }
    let settings = config.engine_settings();
    writeln!(out, "ok     {} workers, epochs of {:?}", settings.workers, settings.epoch)?;
    match faults {
        0 => writeln!(out, "nothing is wrong")?,
        1 => writeln!(out, "1 fault")?,
        n => writeln!(out, "{n} faults")?,
    }
    Ok(faults)
}

/// What is found of a source without reading on in it.
async fn look_at(source: &SourceConfig, config: &Config) -> Vec<Finding> {
    match source {
        SourceConfig::Recording(recording) => match recording::plan(recording.clone(), &config.base) {
            Ok(planned) => planned.check().into_iter().map(Finding::Well).collect(),
            Err(error) => vec![Finding::Fault(format!("{:#}", anyhow::Error::new(error)))],
        },
        SourceConfig::Kafka(source) => {
            let topics: Vec<String> = source.topics.each().iter().map(|(topic, _)| (*topic).to_owned()).collect();
            // It waits for brokers, on a thread that others need not share.
            tokio::task::block_in_place(|| {
                kafka::check(&source.connection(), &config.base, &topics, &source.group(&config.pipeline))
            })
        }
        SourceConfig::Kinesis(source) => {
            let streams: Vec<String> = source.streams.each().iter().map(|(name, _)| (*name).to_owned()).collect();
            let consumer = source.consumer(&config.pipeline);
            kinesis::check(source.connection(), &streams, consumer.as_deref()).await
        }
    }
}

/// What is known of the tables without touching them.
async fn tables_facts(root: &Path) -> anyhow::Result<Vec<String>> {
    if !root.exists() {
        let parent = root.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
        anyhow::ensure!(
            access(parent, AccessFlags::W_OK).is_ok(),
            "tables cannot be made at {}: {} is not writable; choose another url or change its permissions",
            root.display(),
            parent.display()
        );
        return Ok(vec![format!("tables will be made at {}", root.display())]);
    }
    anyhow::ensure!(
        access(root, AccessFlags::W_OK).is_ok(),
        "tables at {} cannot be written: change the folder's permissions",
        root.display()
    );
    if std::fs::read_dir(root)?.next().is_none() {
        return Ok(vec![format!("tables will be made in the empty folder {}", root.display())]);
    }
    let held = delta::inspect(root, 0).await?;
    Ok(held
        .iter()
        .map(|table| format!("table {}: {} rows, version {}", table.path.display(), table.rows, table.version))
        .collect())
}
