//! The command line: what was typed becomes what is meant.

use std::io::IsTerminal;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};
use pinflow_dataflows::graph::{Duplicates, Median, Ties, Top};
use tokio::sync::watch;

use crate::config::{AcceptedLoss, Config, ConfigError, Fault, TablesConfig};
use crate::engine::EngineError;
use crate::kafka::ConnectionError;
use crate::objects::{ObjectsError, Target};
use crate::output::CommandOutput;
use crate::serving::{Format, HttpConfig};
use crate::shutdown::{SHUTDOWN_DEADLINE, ShutdownPolicy, stop_on_signals};
use crate::sinks::SinkError;
use crate::sinks::delta::DeltaError;
use crate::{check, config, emit, gateway, kinesis, query, run, streams, table, telemetry, topics};

/// Everything was done.
const DONE: u8 = 0;
/// Something failed while running.
const FAILED: u8 = 1;
/// The command line or the configuration is wrong.
const BAD_USAGE: u8 = 2;
/// Another writer has taken the tables over.
const FENCED: u8 = 75;

/// How long a gateway may take to stop beyond the longest wait for an answer.
const GATEWAY_GRACE: Duration = Duration::from_secs(10);

/// Live answers over streams of posts, and their cleaned rows in Delta Lake, exactly once.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep the answers and the tables up to date, until the sources end or a signal comes
    Run(RunArgs),
    /// Read a configuration, reach every source and table, write nothing, and name every fault
    Check(CheckArgs),
    /// Tell what a table holds: rows, files, positions, history; --verify proves that nothing is lost or repeated
    Table(table::TableArgs),
    /// Ask a running pinflow that serves over HTTP: one answer, its changes, or which answers there are
    Query(query::QueryArgs),
    /// Take records over HTTP as Confluent's REST proxy and a Kinesis proxy do, and put them into Kafka, Kinesis or files
    Gateway(GatewayArgs),
    /// Make posts, as the original system's emulator would send them
    Emit(Box<emit::EmitArgs>),
    /// Make, list, describe and delete topics of a Kafka cluster
    Topics(topics::TopicsArgs),
    /// Make, list, describe, split, merge and delete streams of Amazon Kinesis
    Streams(streams::StreamsArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// A configuration (.toml), or a recording: a folder with pin.jsonl, geo.jsonl and user.jsonl
    config: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
    /// Go on though these records are gone from the brokers, as the error that names them says: kafka/TOPIC/PARTITION:FIRST-LAST
    /// or kinesis/STREAM/SHARD:FIRST-LAST; a row of `rejected` tells of each such loss
    #[arg(long, value_name = "RANGE")]
    accept_loss: Vec<AcceptedLoss>,
    /// Read what is there now, make it durable, and end: for cron, systemd timers and the like
    #[arg(long)]
    until_caught_up: bool,
}

#[derive(Debug, Args)]
struct GatewayArgs {
    /// A configuration (.toml) with a [gateway]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// A configuration (.toml), or a recording
    config: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
}

/// Flags that go before what the file says.
#[derive(Debug, Args)]
struct Overrides {
    /// Write cleaned rows to Delta tables in this folder, or at s3://BUCKET/PREFIX
    #[arg(long, value_name = "FOLDER")]
    tables: Option<String>,
    /// Which delivery of an ind counts: latest or keep
    #[arg(long)]
    duplicates: Option<Duplicates>,
    /// What happens to equal ranks: first or all
    #[arg(long)]
    ties: Option<Ties>,
    /// Ranks per group: a number, or all
    #[arg(long)]
    top: Option<Top>,
    /// Which median: exact or lower
    #[arg(long)]
    median: Option<Median>,
    /// Worker threads; by default one per core
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Serve the answers over HTTP at this address and port; an address of this machine only, without a configuration
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<std::net::SocketAddr>,
    /// What stdout shows; by default tables on a terminal, snapshots elsewhere
    #[arg(long, value_enum)]
    output: Option<Format>,
}

impl Overrides {
    fn apply(self, config: &mut Config) {
        if let Some(url) = self.tables {
            match &mut config.tables {
                Some(tables) => tables.url = url,
                None => config.tables = Some(TablesConfig::at(&url)),
            }
            // A path that was typed is relative to where it was typed.
            if let Some(tables) = &mut config.tables
                && !tables.url.is_empty()
                && Target::is_path(&tables.url)
                && let Ok(absolute) = std::path::absolute(&tables.url)
            {
                tables.url = absolute.to_string_lossy().into_owned();
            }
        }
        let questions = &mut config.questions;
        questions.duplicates = self.duplicates.unwrap_or(questions.duplicates);
        questions.ties = self.ties.unwrap_or(questions.ties);
        questions.top = self.top.unwrap_or(questions.top);
        questions.median = self.median.unwrap_or(questions.median);
        config.engine.workers = self.workers.or(config.engine.workers);
        config.output.format = self.output.or(config.output.format);
        if let Some(listen) = self.listen {
            match &mut config.serve {
                Some(serve) => serve.listen = listen,
                None => config.serve = Some(HttpConfig::at(listen)),
            }
        }
    }

    /// Reads a configuration and puts these flags over it.
    fn over(self, path: &Path, for_run: bool) -> Result<Config, ConfigError> {
        let mut config = Config::load(path)?;
        self.apply(&mut config);
        let expects_source = for_run || config.gateway.is_none();
        config.checked(path, expects_source)
    }
}

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    #[cfg(feature = "failpoints")]
    let _armed = crate::sinks::delta::failpoints::arm();
    ExitCode::from(obey(cli.command).unwrap_or_else(|error| {
        // The chain, outermost first, as one sentence.
        eprint_line(&format!("pinflow: {error:#}"));
        exit_code(&error)
    }))
}

/// Refuses a clock before 1970. Positions, tokens and log files hold Unix times, and the Delta library panics on one that is
/// negative.
fn check_clock() -> anyhow::Result<()> {
    let is_before_unix_epoch = SystemTime::now().duration_since(UNIX_EPOCH).is_err();
    anyhow::ensure!(!is_before_unix_epoch, "this machine's clock is set to before 1970; set it, and start again");
    Ok(())
}

fn obey(command: Command) -> anyhow::Result<u8> {
    check_clock()?;
    // Where a run logs to stands in its configuration.
    if !matches!(command, Command::Run(_) | Command::Gateway(_)) {
        telemetry::start(None, Path::new(""), "")?;
    }
    match command {
        Command::Emit(args) => emit::run(*args).map(|()| DONE),
        Command::Run(args) => in_runtime(run_command(args)),
        Command::Gateway(args) => in_runtime(gateway_command(args)),
        Command::Check(args) => in_runtime(check_command(args)),
        Command::Table(args) => in_runtime(table_command(args)),
        Command::Query(args) => in_runtime(query_command(args)),
        Command::Topics(args) => in_runtime(topics_command(args)),
        Command::Streams(args) => in_runtime(streams_command(args)),
    }
}

#[allow(clippy::print_stderr, reason = "the one place where the process says why it failed")]
fn eprint_line(line: &str) {
    eprintln!("{line}");
}

/// Runs on threads of its own: delta-rs hangs on a single-threaded runtime.
fn in_runtime(work: impl Future<Output = anyhow::Result<u8>>) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("tokio").build()?;
    let done = runtime.block_on(work);
    // A blocking read that hangs must not keep a finished process alive.
    runtime.shutdown_background();
    done
}

async fn run_command(args: RunArgs) -> anyhow::Result<u8> {
    let mut config = args.overrides.over(&args.config, true)?;
    config.accepted = args.accept_loss;
    config.until_caught_up = args.until_caught_up;
    let telemetry = telemetry::start(config.telemetry.as_ref(), &config.base, &config.pipeline)?;
    let done = run_logged(config).await;
    if let Err(error) = &done {
        tracing::error!(target: telemetry::FAILED, "{error:#}");
    }
    telemetry.finish().await;
    done
}

async fn run_logged(config: Config) -> anyhow::Result<u8> {
    let by_default = if std::io::stdout().is_terminal() { Format::Tables } else { Format::Snapshots };
    let format = config.output.format.unwrap_or(by_default);
    if let Some(workers) = config.engine.workers.filter(|workers| *workers > config::cores()) {
        tracing::warn!(
            workers,
            cores = config::cores(),
            "more workers than cores would be slower; one per core is used"
        );
    }
    let (stop, _) = watch::channel(false);
    let policy = ShutdownPolicy {
        orderly: "finishing the window",
        unfinished: "what is committed is safe, a restart resumes there",
        deadline: SHUTDOWN_DEADLINE,
        report: log_stopping,
    };
    stop_on_signals(policy, stop.clone())?;
    let outcome = run::run(config, format, stop).await?;
    let totals = &outcome.totals;
    telemetry::log_findings(&totals.counts);
    tracing::info!(
        rows = totals.rows,
        rejected = totals.rejected,
        epoch = outcome.epoch,
        stopped = outcome.stopped,
        "done"
    );
    Ok(DONE)
}

fn log_stopping(how: &str) {
    tracing::info!(how, "stopping");
}

async fn gateway_command(args: GatewayArgs) -> anyhow::Result<u8> {
    let config = Config::load(&args.config)?;
    let telemetry = telemetry::start(config.telemetry.as_ref(), &config.base, &config.pipeline)?;
    let Some(gateway) = config.gateway else {
        let what = "no [gateway]: add one with listen = \"127.0.0.1:8082\" and kafka, kinesis or recording";
        let fault = Fault { line: None, what: what.to_owned() };
        return Err(ConfigError::Faulty { path: args.config, faults: vec![fault] }.into());
    };
    let (stop, stopped) = watch::channel(false);
    let policy = ShutdownPolicy {
        orderly: "answering what was asked",
        unfinished: "a record that was not answered for may or may not be stored",
        deadline: Duration::from_secs(gateway.answer_secs_max) + GATEWAY_GRACE,
        report: log_stopping,
    };
    stop_on_signals(policy, stop)?;
    let served = gateway::run(gateway, &config.base, stopped).await;
    if let Err(error) = &served {
        tracing::error!(target: telemetry::FAILED, "{error:#}");
    }
    telemetry.finish().await;
    served.map(|()| DONE)
}

async fn check_command(args: CheckArgs) -> anyhow::Result<u8> {
    let config = args.overrides.over(&args.config, false)?;
    let mut out = CommandOutput::default();
    let faults = check::run(&config, &mut out).await;
    out.finish(faults.map(|faults| if faults == 0 { DONE } else { FAILED }))
}

async fn table_command(args: table::TableArgs) -> anyhow::Result<u8> {
    let mut out = CommandOutput::default();
    let holds = table::run(args, &mut out).await.map_err(anyhow::Error::new);
    out.finish(holds.map(|holds| if holds { DONE } else { FAILED }))
}

async fn query_command(args: query::QueryArgs) -> anyhow::Result<u8> {
    let mut out = CommandOutput::default();
    let asked = query::run(args, &mut out).await;
    out.finish(asked.map(|()| DONE))
}

async fn topics_command(args: topics::TopicsArgs) -> anyhow::Result<u8> {
    let mut out = CommandOutput::default();
    let well = topics::run(args, &mut out).await;
    out.finish(well.map(|well| if well { DONE } else { FAILED }))
}

async fn streams_command(args: streams::StreamsArgs) -> anyhow::Result<u8> {
    let mut out = CommandOutput::default();
    let well = streams::run(args, &mut out).await;
    out.finish(well.map(|well| if well { DONE } else { FAILED }))
}

/// What the caller of the process learns from an error.
fn exit_code(error: &anyhow::Error) -> u8 {
    let fenced = error.chain().any(|cause| {
        matches!(cause.downcast_ref::<EngineError>(), Some(EngineError::Sink(SinkError::Fenced(_))))
            || cause.downcast_ref::<DeltaError>().is_some_and(DeltaError::is_fenced)
    });
    if fenced {
        FENCED
    } else if error.chain().any(|cause| {
        cause.is::<ConfigError>()
            || cause.is::<kinesis::ConnectionError>()
            || matches!(cause.downcast_ref(), Some(ObjectsError::Faulty(_) | ObjectsError::NoRegion))
            || matches!(cause.downcast_ref::<ConnectionError>(), Some(ConnectionError::Faulty(_)))
    }) {
        BAD_USAGE
    } else {
        FAILED
    }
}
