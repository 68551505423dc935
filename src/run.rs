//! Wires sources, engine, tables and serving into a run.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use pinflow_dataflows::graph::Options;
use tokio::sync::{mpsc, watch};

use crate::archive::Archive;
use crate::config::{Config, SourceConfig};
use crate::engine::{Engine, Frame, Gauges, Outcome};
use crate::objects::{Pauses, Place};
use crate::publish::publish;
use crate::serving::{Board, Closed, Format, HttpServer, Read, Stdout, StdoutSettings};
use crate::sinks::answers::AnswerTables;
use crate::sinks::delta::{self, Tables};
use crate::sinks::{NoTables, Resume, Sink};
use crate::sources::kafka::{self, KafkaSource};
use crate::sources::kinesis::{self, KinesisSource};
use crate::sources::recording::{self, RecordingSource};
use crate::sources::{Feed, SourceError};
use crate::telemetry::Progress;

/// Blocks between the sources and the engine: 16 of a quarter MiB.
const FEED_BLOCKS: usize = 16;
/// Epochs between the engine and serving.
const FRAMES: usize = 64;

/// Runs a configuration with answers on stdout until its sources end or `stop` turns true.
///
/// # Errors
/// What failed, where, and what to do. What is committed stays.
pub async fn run(config: Config, format: Format, stop: watch::Sender<bool>) -> anyhow::Result<Outcome> {
    let (frames, passed) = mpsc::channel(FRAMES);
    let gauges = Arc::new(Gauges::default());
    let (over, is_over) = watch::channel(false);
    let board = Arc::new(Board::default());
    let mut readers = Vec::new();
    if let Some(serve) = &config.serve {
        let server = HttpServer::bind(serve, &config.base)?;
        tracing::info!(address = %server.address()?, tls = serve.tls.is_some(), "answers are served over HTTP");
        gauges.look_closely();
        let named = (config.pipeline.clone(), config.questions);
        let serving = server.serve(Arc::clone(&board), Arc::clone(&gauges), named, is_over.clone());
        readers.push(tokio::spawn(serving));
    }
    if let Some(answers) = &config.answers.delta {
        let root = answers.root(&config.base).map_err(anyhow::Error::msg)?;
        let root = Place::reach(&root, &config.objects).await?;
        let tables = AnswerTables::open(answers, &root, &config.pipeline).await?;
        let read = if config.tables.is_some() { Read::Durable } else { Read::Live };
        let every = Duration::from_secs_f64(answers.every_secs);
        readers.push(tokio::spawn(publish(Arc::clone(&board), read, tables, every, is_over)));
    }
    let (to_serve, showing) = if readers.is_empty() {
        (passed, None)
    } else {
        let (on, to_serve) = mpsc::channel(FRAMES);
        (to_serve, Some(tokio::spawn(show(passed, board, on))))
    };
    let stdout = Stdout::new(StdoutSettings { format, every: Duration::from_millis(config.output.every_ms) });
    let progress = Progress::start(Arc::clone(&gauges), format == Format::Tables);
    let stop_after = StopWhenDropped(stop.clone());
    let server = std::thread::Builder::new().name("stdout".to_owned()).spawn(move || {
        // However serving ends, nobody sees answers any more: finish the window and end.
        let _stop_after = stop_after;
        stdout.serve(to_serve)
    })?;
    let outcome = run_with(config, frames, stop.subscribe(), gauges).await;
    drop(progress);
    // Everything is on the board before its readers are told that it is all.
    let panicked = |panic| anyhow::anyhow!("serving panicked: {panic}. This is a fault in pinflow");
    if let Some(showing) = showing {
        showing.await.map_err(panicked)?;
    }
    over.send_replace(true);
    for reader in readers {
        reader.await.map_err(panicked)?;
    }
    let served = server.join().map_err(|panic| {
        let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        anyhow::anyhow!("serving panicked: {message}. This is a fault in pinflow")
    });
    let outcome = outcome?;
    served?.context("write to stdout")?.unwrap_or_else(|Closed| tracing::debug!("stdout was closed by its reader"));
    Ok(outcome)
}

/// Puts passed epochs on the board, and hands them on.
async fn show(mut passed: mpsc::Receiver<Frame>, board: Arc<Board>, on: mpsc::Sender<Frame>) {
    while let Some(frame) = passed.recv().await {
        board.show(&frame);
        // Where stdout was closed the run is ending; what still passes is shown.
        let _ = on.send(frame).await;
    }
}

struct StopWhenDropped(watch::Sender<bool>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// Runs a configuration and hands each passed epoch to `frames`: the entrance for other programs.
///
/// # Errors
/// What failed, where, and what to do. What is committed stays.
pub async fn run_with(
    config: Config,
    frames: mpsc::Sender<Frame>,
    stop: watch::Receiver<bool>,
    gauges: Arc<Gauges>,
) -> anyhow::Result<Outcome> {
    let sources = plan(&config).await?;
    match &config.tables {
        None => start(&config, sources, (NoTables, None), Resume::default(), frames, stop, gauges).await,
        Some(tables) => {
            let tables_url = tables.url.as_str();
            let root = tables.root(&config.base).map_err(anyhow::Error::msg)?;
            let root = Place::reach(&root, &config.objects).await?;
            let pauses = Pauses::default();
            let settings = delta::Settings {
                compression: tables.compression,
                pauses: pauses.clone(),
                compaction: tables.compact.then_some(delta::Compaction::BESIDE),
                keep_hours: NonZeroU32::new(tables.keep_hours),
                ..delta::Settings::new(root, config.pipeline.clone())
            };
            let begun = Instant::now();
            let (tables, resume) = Tables::open(settings).await?;
            tracing::info!(
                tables = tables_url,
                rows = resume.rows,
                partitions = resume.positions.len(),
                read_all_time = resume.prior.read,
                rejected_all_time = resume.prior.rejected,
                seconds = begun.elapsed().as_secs_f64(),
                "the tables are open"
            );
            let archive = open_archive(&config, pauses).await?;
            start(&config, sources, (tables, archive), resume, frames, stop, gauges).await
        }
    }
}

/// The archive, if there is to be one. After the tables: whoever has them has it.
async fn open_archive(config: &Config, pauses: Pauses) -> anyhow::Result<Option<Archive>> {
    let Some(archive) = &config.archive else { return Ok(None) };
    let root = archive.root(&config.base).map_err(anyhow::Error::msg)?;
    let place = Place::reach(&root, &config.objects).await?;
    Ok(Some(Archive::open(archive.clone(), &place, pauses).await?))
}

/// Everything that is read, before anything of it is.
struct Planned {
    recordings: Vec<RecordingSource>,
    kafkas: Vec<KafkaSource>,
    kineses: Vec<KinesisSource>,
}

async fn plan(config: &Config) -> Result<Planned, SourceError> {
    let Config { base, pipeline, accepted, .. } = config;
    let mut planned = Planned { recordings: Vec::new(), kafkas: Vec::new(), kineses: Vec::new() };
    for source in &config.sources {
        match source {
            SourceConfig::Recording(one) => {
                planned.recordings.push(recording::plan_anywhere(one.clone(), base, &config.objects).await?);
            }
            SourceConfig::Kafka(one) => planned.kafkas.push(kafka::plan((**one).clone(), base, pipeline, accepted)?),
            SourceConfig::Kinesis(one) => planned.kineses.push(kinesis::plan((**one).clone(), pipeline, accepted)?),
        }
    }
    recording::tell_apart(&planned.recordings)?;
    kafka::tell_apart(&planned.kafkas)?;
    kinesis::tell_apart(&planned.kineses)?;
    Ok(planned)
}

impl Planned {
    fn start(self, feed: &Feed) -> Result<Vec<JoinHandle<()>>, SourceError> {
        let mut threads = Vec::new();
        for source in self.recordings {
            threads.extend(source.start(feed)?);
        }
        for source in self.kafkas {
            threads.extend(source.start(feed)?);
        }
        for source in self.kineses {
            threads.extend(source.start(feed)?);
        }
        Ok(threads)
    }
}

async fn start<S: Sink>(
    config: &Config,
    sources: Planned,
    (sink, archive): (S, Option<Archive>),
    mut resume: Resume,
    frames: mpsc::Sender<Frame>,
    stop: watch::Receiver<bool>,
    gauges: Arc<Gauges>,
) -> anyhow::Result<Outcome> {
    let (feed, events) = Feed::new(FEED_BLOCKS, std::mem::take(&mut resume.positions), stop.clone());
    let feed = feed.until_caught_up(config.until_caught_up);
    let threads = sources.start(&feed)?;
    let version = env!("CARGO_PKG_VERSION");
    let Options { duplicates, ties, top, median } = config.questions;
    tracing::info!(
        version,
        pipeline = config.pipeline,
        sources = config.sources.len(),
        %duplicates,
        %ties,
        %top,
        %median,
        "sources are started"
    );
    let settled = feed.settled().clone();
    // The engine knows that sources have ended when the last feed is dropped.
    drop(feed);
    let settings = config.engine_settings();
    let engine = Engine { settings, sink, archive, resume, events, settled, stop, frames, gauges };
    let outcome = engine.run().await;
    // Their feed is closed: each ends at its next block, or looks around and sees it.
    for thread in threads {
        let _ = thread.join();
    }
    Ok(outcome?)
}
