//! The command line: what was typed becomes what is meant.

mod examples;

use std::io::IsTerminal;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};
use pinflow_dataflows::graph::{DuplicatePolicy, MedianMethod, RankLimit, TieRule};
use tokio::sync::watch;

use crate::config::{AcceptedLoss, Config, ConfigError, ConfigFile, ConfigUse, TablesConfig};
use pinflow_http::parse_listen_address;

use crate::check;
use crate::config;
use crate::error::CommandError;
use crate::query;
use crate::run;
use crate::streams;
use crate::table;
use crate::telemetry;
use crate::topics;
use pinflow_core::file_limit;
use pinflow_core::user_error::{ExitStatus, UserError, user_error_text};
use pinflow_emit as emit;
use pinflow_gateway as gateway;
use pinflow_serving::{HttpConfig, StdoutFormat};
use pinflow_storage::LocationSpec;
use pinflow_terminal as terminal;
use pinflow_terminal::output::CommandOutput;
use pinflow_terminal::panics;
use pinflow_terminal::shutdown::{SHUTDOWN_DEADLINE, ShutdownPolicy, stop_on_signals};
use pinflow_terminal::{WhenClosed, write_error_line};

/// How a command ends.
type CommandResult = Result<ExitStatus, CommandError>;

/// How an emit reads the file of `--connection`.
const CONNECTION_READERS: emit::ConnectionReaders = emit::ConnectionReaders {
    kafka: |path| config::kafka_connection(path).map_err(|error| Box::new(error) as emit::ConnectionFileError),
    kinesis: |path| config::kinesis_connection(path).map_err(|error| Box::new(error) as emit::ConnectionFileError),
};

/// How long a gateway may take to stop beyond the longest wait for an answer.
const GATEWAY_GRACE: Duration = Duration::from_secs(10);

/// Live answers over streams of posts, and their cleaned rows in Delta Lake, exactly once.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 110)]
struct CommandLine {
    #[command(subcommand)]
    command: PinflowCommand,
}

#[derive(Debug, Subcommand)]
enum PinflowCommand {
    /// Run a pipeline: read the sources, keep the answers up to date, append cleaned rows to Delta Lake
    #[command(after_help = examples::RUN)]
    Run(RunArgs),
    /// Check a configuration and reach every source and table, without writing anything
    #[command(after_help = examples::CHECK)]
    Check(CheckArgs),
    /// Show what tables hold: rows, files, positions, history; --verify proves that no row is lost or repeated
    #[command(after_help = examples::TABLE)]
    Table(table::TableArgs),
    /// Query a running pinflow over HTTP: one answer, its changes, or the list of answers
    #[command(after_help = examples::QUERY)]
    Query(query::QueryArgs),
    /// Serve a gateway that takes records over HTTP (Kafka REST v2, or Kinesis) for Kafka, Kinesis or files
    #[command(after_help = examples::GATEWAY)]
    Gateway(GatewayArgs),
    /// Generate posts, or send recorded ones again: to files, Kafka, Kinesis or a gateway
    #[command(after_help = examples::EMIT)]
    Emit(Box<emit::EmitArgs>),
    /// Create, list, describe and delete topics of a Kafka cluster
    #[command(after_help = examples::TOPICS)]
    Topics(topics::TopicsArgs),
    /// Create, list, describe, split, merge and delete streams of Amazon Kinesis
    #[command(after_help = examples::STREAMS)]
    Streams(streams::StreamsArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// A configuration (.toml), or a recording: a folder with pin.jsonl, geo.jsonl and user.jsonl, a file, or s3://BUCKET/PREFIX
    #[arg(value_name = "CONFIG|FOLDER")]
    config: PathBuf,
    #[command(flatten)]
    overrides: RunOverrides,
    /// Continue without these records, which expired before they were read: kafka/TOPIC/PARTITION:FIRST-LAST or
    /// kinesis/STREAM/SHARD:FIRST-LAST, as the error names them. Each loss is recorded in table `rejected`. Repeatable
    #[arg(long, value_name = "RANGE")]
    accept_loss: Vec<AcceptedLoss>,
    /// Read what is there now, commit it, and exit: for cron, systemd timers and schedulers
    #[arg(long)]
    until_caught_up: bool,
}

#[derive(Debug, Args)]
struct GatewayArgs {
    /// A configuration (.toml) with a [gateway]
    #[arg(value_name = "CONFIG")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// A configuration (.toml), or a recording
    #[arg(value_name = "CONFIG|FOLDER")]
    config: PathBuf,
    #[command(flatten)]
    overrides: RunOverrides,
}

/// Flags that override the configuration file.
#[derive(Debug, Args)]
struct RunOverrides {
    /// Append cleaned rows to Delta tables in this folder, or at s3://BUCKET/PREFIX [default: no tables]
    #[arg(long, value_name = "FOLDER|URL")]
    tables: Option<String>,
    /// Whether only the latest row of an `ind` counts, or every row: latest, keep [default: latest]
    #[arg(long, value_name = "latest|keep")]
    duplicates: Option<DuplicatePolicy>,
    /// Which of several rows with the same rank to list: the first by name, or all [default: first]
    #[arg(long, value_name = "first|all")]
    ties: Option<TieRule>,
    /// Ranks to list per group: a number from 1, or all [default: 1]
    #[arg(long, value_name = "N|all")]
    top: Option<RankLimit>,
    /// The median of an even count: the mean of the middle two (exact), or the lower one [default: exact]
    #[arg(long, value_name = "exact|lower")]
    median: Option<MedianMethod>,
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Serve the page and the HTTP API here: ADDRESS:PORT, localhost:PORT, :PORT or PORT. Without an address only this
    /// machine can connect. Other addresses need tokens and TLS from a configuration
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_listen_address)]
    listen: Option<std::net::SocketAddr>,
    /// What to print [default: tables on a terminal, snapshots elsewhere]
    #[arg(long, value_enum)]
    output: Option<StdoutFormat>,
}

impl RunOverrides {
    /// Puts these flags over a configuration, and notes which keys they set.
    fn apply(self, file: &mut ConfigFile) {
        let config = &mut file.config;
        let mut set = Vec::new();
        if let Some(url) = self.tables {
            set.push(("tables.url", format!("--tables {url}")));
            match &mut config.tables {
                Some(tables) => tables.url = url,
                None => config.tables = Some(TablesConfig::at(&url)),
            }
            // A path that was typed is relative to where it was typed.
            if let Some(tables) = &mut config.tables
                && !tables.url.is_empty()
                && LocationSpec::is_path(&tables.url)
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
        set.extend(self.workers.map(|workers| ("engine.workers", format!("--workers {workers}"))));
        config.engine.workers = self.workers.or(config.engine.workers);
        config.output.format = self.output.or(config.output.format);
        if let Some(listen) = self.listen {
            set.push(("serve.listen", format!("--listen {listen}")));
            match &mut config.serve {
                Some(serve) => serve.listen = listen,
                None => config.serve = Some(HttpConfig::listening_on(listen)),
            }
        }
        for (key, flag) in set {
            file.set_by_flag(key, flag);
        }
    }

    /// Reads a configuration and puts these flags over it.
    fn over(self, path: &Path, wanted: ConfigUse) -> Result<Config, ConfigError> {
        let mut file = ConfigFile::read(path)?;
        self.apply(&mut file);
        file.finish(wanted)
    }
}

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = CommandLine::parse();
    file_limit::raise_soft_limit();
    #[cfg(feature = "failpoints")]
    let _armed = pinflow_delta::failpoints::arm();
    panics::watch(ExitStatus::Failed.code());
    let done = std::panic::catch_unwind(AssertUnwindSafe(|| dispatch(cli.command)));
    let status = match done {
        // The panic has said why.
        Err(_) => ExitStatus::Failed,
        Ok(Ok(ExitStatus::Success)) if panics::has_panicked() => ExitStatus::Failed,
        Ok(Ok(status)) => status,
        Ok(Err(error)) => {
            // The chain, outermost first, as one sentence, and then what to do.
            write_error_line(&format!("pinflow: {}", user_error_text(&error)));
            error.exit_code()
        }
    };
    ExitCode::from(status.code())
}

/// Refuses a clock before 1970.
fn check_clock() -> Result<(), CommandError> {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map(|_| ()).map_err(|_| CommandError::ClockBefore1970)
}

fn dispatch(command: PinflowCommand) -> CommandResult {
    check_clock()?;
    // Where a run logs to stands in its configuration.
    if !matches!(command, PinflowCommand::Run(_) | PinflowCommand::Gateway(_)) {
        telemetry::start(None, Path::new(""), "")?;
    }
    match command {
        PinflowCommand::Emit(args) => Ok(emit::run(*args, &CONNECTION_READERS).map(|()| ExitStatus::Success)?),
        PinflowCommand::Run(args) => in_runtime(run_command(args)),
        PinflowCommand::Gateway(args) => in_runtime(gateway_command(args)),
        PinflowCommand::Check(args) => in_runtime(check_command(args)),
        PinflowCommand::Table(args) => in_runtime(table_command(args)),
        PinflowCommand::Query(args) => in_runtime(query_command(args)),
        PinflowCommand::Topics(args) => in_runtime(topics_command(args)),
        PinflowCommand::Streams(args) => in_runtime(streams_command(args)),
    }
}

/// Runs on threads of its own: delta-rs hangs on a single-threaded runtime.
fn in_runtime(work: impl Future<Output = CommandResult>) -> CommandResult {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("tokio").build();
    let runtime = runtime.map_err(CommandError::Runtime)?;
    let done = runtime.block_on(work);
    // A blocking read that hangs must not keep a finished process alive.
    runtime.shutdown_background();
    done
}

async fn run_command(args: RunArgs) -> CommandResult {
    let mut config = args.overrides.over(&args.config, ConfigUse::Run)?;
    config.accepted = args.accept_loss;
    config.until_caught_up = args.until_caught_up;
    let telemetry = telemetry::start(config.telemetry.as_ref(), &config.base, &config.pipeline)?;
    let done = run_logged(config).await;
    if let Err(error) = &done {
        tracing::error!(target: telemetry::FAILED, "{}", user_error_text(error));
    }
    telemetry.finish().await;
    done
}

async fn run_logged(config: Config) -> CommandResult {
    let by_default = if std::io::stdout().is_terminal() { StdoutFormat::Tables } else { StdoutFormat::Snapshots };
    let format = config.output.format.unwrap_or(by_default);
    if let Some(workers) = config.engine.workers.filter(|workers| *workers > config::cores()) {
        tracing::warn!(
            workers,
            cores = config::cores(),
            "more workers than cores would be slower; one per core is used"
        );
    }
    let (stop, _) = watch::channel(false);
    panics::stop_through(stop.clone());
    let policy = ShutdownPolicy {
        orderly: "finishing the window",
        unfinished: "what is committed is safe, a restart resumes there",
        deadline: SHUTDOWN_DEADLINE,
        report: log_stopping,
    };
    stop_on_signals(policy, stop.clone()).map_err(CommandError::Signals)?;
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
    Ok(ExitStatus::Success)
}

fn log_stopping(how: &str) {
    tracing::info!(how, "stopping");
}

async fn gateway_command(args: GatewayArgs) -> CommandResult {
    let config = ConfigFile::read(&args.config)?.finish(ConfigUse::Gateway)?;
    let telemetry = telemetry::start(config.telemetry.as_ref(), &config.base, &config.pipeline)?;
    let gateway = config.gateway.ok_or(CommandError::NoGateway)?;
    let (stop, stopped) = watch::channel(false);
    panics::stop_through(stop.clone());
    let policy = ShutdownPolicy {
        orderly: "answering what was asked",
        unfinished: "a record that was not answered for may or may not be stored",
        deadline: Duration::from_secs(gateway.answer_secs_max) + GATEWAY_GRACE,
        report: log_stopping,
    };
    stop_on_signals(policy, stop).map_err(CommandError::Signals)?;
    let served = gateway::run(gateway, &config.base, stopped).await;
    if let Err(error) = &served {
        tracing::error!(target: telemetry::FAILED, "{}", user_error_text(error));
    }
    telemetry.finish().await;
    Ok(served.map(|()| ExitStatus::Success)?)
}

async fn check_command(args: CheckArgs) -> CommandResult {
    let config = args.overrides.over(&args.config, ConfigUse::Check)?;
    let mut out = CommandOutput::new(terminal::stdout(false, WhenClosed::Fail));
    let faults = check::run(&config, &mut out).await;
    out.finish(faults.map(|faults| status_of_check(faults == 0)).map_err(CommandError::from))
}

async fn table_command(args: table::TableArgs) -> CommandResult {
    let mut out = CommandOutput::new(terminal::stdout(args.format == table::TableOutputFormat::Json, WhenClosed::Fail));
    let holds = table::run(args, &mut out).await;
    out.finish(holds.map(status_of_check).map_err(CommandError::from))
}

async fn query_command(args: query::QueryArgs) -> CommandResult {
    let mut out = CommandOutput::new(terminal::stdout(args.is_data(), WhenClosed::Fail));
    let asked = query::run(args, &mut out).await;
    out.finish(asked.map(|()| ExitStatus::Success).map_err(CommandError::from))
}

async fn topics_command(args: topics::TopicsArgs) -> CommandResult {
    let mut out = CommandOutput::new(terminal::stdout(args.is_json(), WhenClosed::Fail));
    let well = topics::run(args, &mut out).await;
    out.finish(well.map(status_of_check).map_err(CommandError::from))
}

async fn streams_command(args: streams::StreamsArgs) -> CommandResult {
    let mut out = CommandOutput::new(terminal::stdout(args.is_json(), WhenClosed::Fail));
    let well = streams::run(args, &mut out).await;
    out.finish(well.map(status_of_check).map_err(CommandError::from))
}

/// The exit code of a command that looks for problems, or does several things.
fn status_of_check(is_well: bool) -> ExitStatus {
    if is_well { ExitStatus::Success } else { ExitStatus::Failed }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// The example commands in a help text: their lines begin with `  pinflow`.
    fn example_commands(help: &str) -> Vec<Vec<String>> {
        let lines = help.lines().filter(|line| line.starts_with("  pinflow "));
        lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn help_of_every_command_has_examples_that_parse() {
        for command in CommandLine::command().get_subcommands_mut() {
            let name = command.get_name().to_owned();
            let help = command.render_long_help().to_string();
            assert!(help.contains("Examples:") && help.contains("Exit status:"), "{name}:\n{help}");
            let examples = example_commands(&command.get_after_help().unwrap().to_string());
            assert!(!examples.is_empty(), "{name}");
            for words in examples {
                assert_eq!(words[1], name);
                if let Err(error) = CommandLine::try_parse_from(&words) {
                    panic!("{}: {error}", words.join(" "));
                }
            }
        }
    }

    #[test]
    fn value_names_are_more_than_the_flag_repeated() {
        let names = ["run", "check", "query", "table", "gateway"];
        for command in CommandLine::command().get_subcommands().filter(|command| names.contains(&command.get_name())) {
            for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
                let names = argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string);
                let flag = argument.get_id().as_str().to_uppercase();
                let has_values = !argument.get_possible_values().is_empty();
                let names: Vec<String> = names.collect();
                let is_flag = names.contains(&flag) && argument.get_long().is_some();
                assert!(has_values || !is_flag, "{} --{flag}", command.get_name());
            }
        }
    }
}
