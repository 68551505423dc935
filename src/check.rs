//! `pinflow check`: reaches every source and table, writes nothing, and names every fault.

use std::io::Write;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use crate::config::{Config, SourceConfig};
use pinflow_core::error_text::error_text;
use pinflow_core::finding::Finding;
use pinflow_delta as delta;
use pinflow_files as recording;
use pinflow_gateway as gateway;
use pinflow_kafka as kafka;
use pinflow_kinesis as kinesis;
use pinflow_storage::{Location, LocationEntries, LocationSpec};

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
        looks.push(gateway::check_backends(gateway, &config.base).await);
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
    let root = |root: Result<LocationSpec, String>| root.map_err(anyhow::Error::msg);
    faults += match &config.tables {
        None => told(Ok(vec!["no [tables]: answers only, nothing is kept".to_owned()]), out)?,
        Some(tables) => told(tables_facts(&root(tables.root(&config.base))?, config).await, out)?,
    };
    if let Some(archive) = &config.archive {
        faults += told(place_facts("the archive", &root(archive.location(&config.base))?, config).await, out)?;
    }
    if let Some(answers) = &config.answers.delta {
        faults += told(place_facts("answers' tables", &root(answers.root(&config.base))?, config).await, out)?;
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

/// Prints what is known of a place, or why nothing is; how many faults that are.
fn told(facts: anyhow::Result<Vec<String>>, out: &mut impl Write) -> std::io::Result<usize> {
    match facts {
        Ok(facts) => facts.iter().try_for_each(|line| writeln!(out, "ok     {line}")).map(|()| 0),
        Err(error) => writeln!(out, "fault  {}", error_text(error.as_ref())).map(|()| 1),
    }
}

/// What is found of a source without reading on in it.
async fn look_at(source: &SourceConfig, config: &Config) -> Vec<Finding> {
    match source {
        SourceConfig::Recording(recording) => {
            match recording::plan_anywhere(recording.clone(), &config.base, &config.objects).await {
                Ok(planned) => planned.check(),
                Err(error) => vec![Finding::Fault(error_text(&error))],
            }
        }
        SourceConfig::Kafka(source) => {
            let topics: Vec<String> = source.topics.list_names().iter().map(|(topic, _)| (*topic).to_owned()).collect();
            // It waits for brokers, on a thread that others need not share.
            let mut findings = tokio::task::block_in_place(|| {
                kafka::check_cluster(
                    &source.connection(),
                    &config.base,
                    &topics,
                    &source.consumer_group(&config.pipeline),
                )
            });
            if !findings.iter().any(|finding| matches!(finding, Finding::Fault(_))) {
                findings.extend(topic_risks(source.connection(), &topics, config).await);
            }
            findings
        }
        SourceConfig::Kinesis(source) => {
            let streams: Vec<String> = source.streams.list_names().iter().map(|(name, _)| (*name).to_owned()).collect();
            let consumer = source.consumer_name(&config.pipeline);
            kinesis::check_streams(source.connection(), &streams, consumer.as_deref()).await
        }
    }
}

/// What is risky about the settings of topics that can be read. What may not be looked at is no finding.
async fn topic_risks(connection: kafka::KafkaConnection, names: &[String], config: &Config) -> Vec<Finding> {
    let Ok(topics) = kafka::TopicAdmin::connect(connection, &config.base) else { return Vec::new() };
    let mut risks = Vec::new();
    for name in names {
        risks.extend(topics.risk(name).await.ok().flatten().map(Finding::Risk));
    }
    risks
}

/// What is known of the tables without touching them.
async fn tables_facts(target: &LocationSpec, config: &Config) -> anyhow::Result<Vec<String>> {
    let place = Location::connect(target, &config.objects).await?;
    if let Some(fact) = yet_to_be_made("tables", &place).await? {
        return Ok(vec![fact]);
    }
    let held = delta::inspect(&place, 0).await?;
    let missing = delta::missing_tables(&held);
    anyhow::ensure!(missing.is_empty(), "{place}: {}", missing.join("; "));
    Ok(held
        .iter()
        .map(|table| format!("table {}: {} rows, version {}", table.path.display(), table.rows, table.version))
        .collect())
}

/// What is known of a place without touching it.
async fn place_facts(what: &str, target: &LocationSpec, config: &Config) -> anyhow::Result<Vec<String>> {
    let place = Location::connect(target, &config.objects).await?;
    Ok(vec![yet_to_be_made(what, &place).await?.unwrap_or_else(|| format!("{what} at {place}"))])
}

/// Whether a place holds nothing yet and `what` can be made there; `None` if it holds something.
async fn yet_to_be_made(what: &str, place: &Location) -> anyhow::Result<Option<String>> {
    let Some(root) = place.local_folder() else {
        let is_empty = place.list_entries().await? == LocationEntries::default();
        let later = "that it keeps conditional writes is proved when a run opens them";
        return Ok(is_empty.then(|| format!("{what} will be made at {place}, which can be read; {later}")));
    };
    place.check_mounted()?;
    if !root.exists() {
        let parent = root.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
        anyhow::ensure!(
            access(parent, AccessFlags::W_OK).is_ok(),
            "{what} cannot be made at {place}: {} is not writable; choose another url or change its permissions",
            parent.display()
        );
        return Ok(Some(format!("{what} will be made at {place}")));
    }
    anyhow::ensure!(
        access(root, AccessFlags::W_OK).is_ok(),
        "{what} at {place} cannot be written: change the folder's permissions",
    );
    let is_empty = std::fs::read_dir(root)?.next().is_none();
    Ok(is_empty.then(|| format!("{what} will be made in the empty folder {place}")))
}
