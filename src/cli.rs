//! The command line: parses the arguments and calls the commands.

mod examples;

use std::io::{IsTerminal, Write};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use pinflow_dataflows::graph::DuplicatePolicy;
use tokio::sync::watch;

use crate::config::{
    AcceptedLoss, ClusterConfig, Config, ConfigFile, ConfigUse, ProcessNumber, QuestionConfig, TablesConfig,
};
use pinflow_http::parse_listen_address;

use crate::check;
use crate::cluster::{ClusterRunError, share_hash_seed};
use crate::completions;
use crate::config;
use crate::demo;
use crate::error::CommandError;
use crate::init;
use crate::man_pages;
use crate::query;
use crate::question::{self, RankingFlags, duplicate_policies};
use crate::rejected;
use crate::run;
use crate::streams;
use crate::table;
use crate::telemetry;
use crate::topics;
use crate::verify;
use pinflow_core::file_limit;
use pinflow_core::user_error::{ExitStatus, UserError, user_error_text};
use pinflow_emit as emit;
use pinflow_gateway as gateway;
use pinflow_serving::{HttpConfig, StdoutFormat};
use pinflow_storage::LocationSpec;
use pinflow_terminal as terminal;
use pinflow_terminal::output::{CommandOutput, OutputError};
use pinflow_terminal::panics;
use pinflow_terminal::shutdown::{SHUTDOWN_DEADLINE, ShutdownPolicy, stop_on_signals};
use pinflow_terminal::{WhenClosed, write_error_line};

/// The result of a command.
type CommandResult = Result<ExitStatus, CommandError>;

/// Reads the file of `--connection` for `pinflow emit`.
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
    Run(RunArgs),
    /// Show pinflow at work: a live feed of generated posts, a page with their answers, and Delta tables
    Demo(demo::DemoArgs),
    /// Print a configuration to start from
    Init(init::InitArgs),
    /// Check a configuration and reach every source and table, without writing anything
    Check(CheckArgs),
    /// Show what tables hold: rows, files, positions and history. --verify proves that no row is lost or repeated
    Table(table::TableArgs),
    /// Look at the records that were rejected: list them, count them by reason, show the bytes of one
    Rejected(rejected::RejectionArgs),
    /// Query a running pinflow over HTTP: one answer, its changes, or the list of answers
    Query(query::QueryArgs),
    /// Explain questions in SQL, answer them once over tables, and print the built-in ones
    Question(question::QuestionArgs),
    /// Verify a running pinflow: recompute its durable answers from its tables, and compare. The run goes on meanwhile
    Verify(verify::VerificationArgs),
    /// Serve a gateway that takes records over HTTP (Kafka REST v2 or Kinesis) and writes them to Kafka, Kinesis or files
    Gateway(GatewayArgs),
    /// Generate posts, or send recorded ones again: to files, Kafka, Kinesis or a gateway
    Emit(Box<emit::EmitArgs>),
    /// Create, list, describe and delete topics of a Kafka cluster
    Topics(topics::TopicsArgs),
    /// Create, list, describe, split, merge and delete streams of Amazon Kinesis
    Streams(streams::StreamsArgs),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Print a script that lets a shell complete commands, flags, values and the names of answers
    Completions(completions::CompletionsArgs),
    /// Write the manual pages of all commands
    Man(man_pages::ManArgs),
    /// Print the names of a run's answers, for the scripts of `pinflow completions`
    #[command(hide = true)]
    AnswerNames(query::AnswerNamesArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// A configuration (.toml), or a recording: a folder with pin.jsonl, geo.jsonl and user.jsonl, a file, or s3://BUCKET/PREFIX
    #[arg(value_name = "CONFIG|FOLDER")]
    config: PathBuf,
    #[command(flatten)]
    overrides: RunOverrides,
    /// Continue without these records, which expired before they were read. The range is
    /// kafka/TOPIC/PARTITION:FIRST-LAST or kinesis/STREAM/SHARD:FIRST-LAST, as the error names it. Each loss is recorded
    /// in table `rejected`. Can be repeated
    #[arg(long, value_name = "RANGE")]
    accept_loss: Vec<AcceptedLoss>,
    /// Read what exists now, commit it, and exit: for cron, systemd timers and schedulers
    #[arg(long)]
    until_caught_up: bool,
}

#[derive(Debug, Args)]
struct GatewayArgs {
    /// A configuration (.toml) with a table [gateway]
    #[arg(value_name = "CONFIG")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// A configuration (.toml), or a recording: a folder, a file, or s3://BUCKET/PREFIX
    #[arg(value_name = "CONFIG|FOLDER")]
    config: PathBuf,
    #[command(flatten)]
    overrides: RunOverrides,
}

/// Flags that override the configuration file.
#[derive(Debug, Args)]
struct RunOverrides {
    /// Append cleaned rows to Delta tables in this folder, or at s3://BUCKET/PREFIX. Overrides tables.url of the
    /// configuration, as all flags override its keys [default: no tables]
    #[arg(long, value_name = "FOLDER|URL")]
    tables: Option<String>,
    /// Which rows of one `ind` count in the answers [default: latest]
    #[arg(long, value_name = "latest|keep", value_parser = duplicate_policies())]
    duplicates: Option<DuplicatePolicy>,
    /// Keep reading as files of the recording grow and appear, until a signal: as `follow = true` in a configuration
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    rankings: RankingFlags,
    /// A further question: a file with one SELECT over pin, geo and user. Its answer is named after the file. Can be
    /// repeated [default: none]
    #[arg(long, value_name = "FILE.sql")]
    question: Vec<PathBuf>,
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Serve the page and the HTTP API here: ADDRESS:PORT, localhost:PORT, :PORT or PORT. Without an address only this
    /// machine can connect. Other addresses need tokens and TLS from a configuration [default: not served]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_listen_address)]
    listen: Option<std::net::SocketAddr>,
    /// Which process of the cluster this is: its place in [cluster] processes, from 0. auto: the number at the end of the
    /// host name [default: none]
    #[arg(long, value_name = "N|auto", env = "PINFLOW_PROCESS")]
    process: Option<ProcessNumber>,
    /// The addresses of all processes that run the pipeline together, in order: HOST:PORT,… The first one leads [default:
    /// one process]
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    cluster: Vec<String>,
    /// What to print [default: tables on a terminal, snapshots elsewhere]
    #[arg(long, value_enum, value_name = "FORMAT")]
    output: Option<StdoutFormat>,
}

impl RunOverrides {
    /// Overrides a configuration with these flags, and records which keys they set.
    fn apply(self, file: &mut ConfigFile) {
        if self.follow {
            file.follow_recording();
        }
        let config = &mut file.config;
        let mut set = Vec::new();
        if let Some(url) = self.tables {
            set.push(("tables.url", format!("--tables {url}")));
            match &mut config.tables {
                Some(tables) => tables.url = url,
                None => config.tables = Some(TablesConfig::with_url(&url)),
            }
            // A path on the command line is relative to the working directory, not to the configuration file.
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
        self.rankings.apply(questions);
        config.own_questions.extend(self.question.iter().map(|path| QuestionConfig::from_flag(path)));
        set.extend(self.workers.map(|workers| ("engine.workers", format!("--workers {workers}"))));
        config.engine.workers = self.workers.or(config.engine.workers);
        config.output.format = self.output.or(config.output.format);
        config.process = self.process;
        if !self.cluster.is_empty() {
            set.push(("cluster.processes", format!("--cluster {}", self.cluster.join(","))));
            match &mut config.cluster {
                Some(cluster) => cluster.processes = self.cluster,
                None => config.cluster = Some(ClusterConfig::of_processes(self.cluster)),
            }
        }
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

    /// Reads a configuration and overrides it with these flags.
    fn read_config(self, path: &Path, wanted: ConfigUse) -> Result<Config, CommandError> {
        let mut file = ConfigFile::read(path)?;
        self.apply(&mut file);
        // Before questions are compiled, which hashes their texts.
        if wanted == ConfigUse::Run {
            share_hash_seed(&file.config).map_err(ClusterRunError::from)?;
        }
        Ok(file.finish(wanted)?)
    }
}

/// The command line with the examples of all commands, for parsing and for the reference page.
#[must_use]
pub fn command_line() -> Command {
    add_examples(CommandLine::command(), "")
}

/// Adds the examples of this command and of all commands below it. `path` is the words that select it.
fn add_examples(mut command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    for name in names {
        let words = format!("{path} {name}");
        command = command.mut_subcommand(&name, |below| add_examples(below, words.trim_start()));
    }
    match examples::EXAMPLES.iter().find(|(words, _)| *words == path) {
        Some((_, text)) => command.after_help(*text),
        None => command,
    }
}

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = CommandLine::from_arg_matches(&command_line().get_matches())
        .unwrap_or_else(|error| error.format(&mut command_line()).exit());
    file_limit::raise_soft_limit();
    #[cfg(feature = "failpoints")]
    let _armed = pinflow_delta::failpoints::arm();
    panics::watch(ExitStatus::Failed.code());
    let done = std::panic::catch_unwind(AssertUnwindSafe(|| dispatch(cli.command)));
    let status = match done {
        // The panic hook has already printed the reason.
        Err(_) => ExitStatus::Failed,
        Ok(Ok(ExitStatus::Success)) if panics::has_panicked() => ExitStatus::Failed,
        Ok(Ok(status)) => status,
        Ok(Err(error)) => {
            // One line: the error, its causes, and then the hint.
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
    // `run` and `gateway` start telemetry themselves, because its settings are in their configuration.
    if !matches!(command, PinflowCommand::Run(_) | PinflowCommand::Gateway(_)) {
        telemetry::start(None, Path::new(""), "")?;
    }
    match command {
        PinflowCommand::Emit(args) => Ok(emit::run(*args, &CONNECTION_READERS).map(|()| ExitStatus::Success)?),
        PinflowCommand::Run(args) => in_runtime(run_command(args)),
        PinflowCommand::Demo(args) => in_runtime(demo_command(args)),
        PinflowCommand::Init(args) => print_with(|out| init::run(args, out).map_err(CommandError::from)),
        PinflowCommand::Schema => print_text(config::CONFIG_JSON_SCHEMA),
        PinflowCommand::Completions(args) => {
            print_with(
                |out| Ok(completions::write_script(args.shell, &command_line(), out).map_err(OutputError::from)?),
            )
        }
        PinflowCommand::Man(args) => man_command(&args.to),
        PinflowCommand::AnswerNames(args) => in_runtime(answer_names_command(args)),
        PinflowCommand::Gateway(args) => in_runtime(gateway_command(args)),
        PinflowCommand::Check(args) => in_runtime(check_command(args)),
        PinflowCommand::Table(args) => in_runtime(table_command(args)),
        PinflowCommand::Rejected(args) => in_runtime(rejected_command(args)),
        PinflowCommand::Query(args) => in_runtime(query_command(args)),
        PinflowCommand::Question(args) => in_runtime(question_command(args)),
        PinflowCommand::Verify(args) => in_runtime(verify_command(args)),
        PinflowCommand::Topics(args) => in_runtime(topics_command(args)),
        PinflowCommand::Streams(args) => in_runtime(streams_command(args)),
    }
}

/// Runs a command on a multi-threaded runtime, because delta-rs hangs on a single-threaded one.
fn in_runtime<'a>(work: impl Future<Output = CommandResult> + 'a) -> CommandResult {
    // `block_on` is compiled for each type of its argument, and each copy holds several of the command. Boxed, all commands
    // have one type.
    let work: Pin<Box<dyn Future<Output = CommandResult> + 'a>> = Box::pin(work);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("tokio").build();
    let runtime = runtime.map_err(CommandError::Runtime)?;
    let done = runtime.block_on(work);
    panics::ignore_background_threads();
    // A blocking read that hangs must not keep a finished process alive.
    runtime.shutdown_background();
    done
}

/// Prints a text that is for a file or another program.
fn print_text(text: &str) -> CommandResult {
    print_with(|out| Ok(out.write_all(text.as_bytes()).map_err(OutputError::from)?))
}

/// Runs a command that only prints.
fn print_with(print: impl FnOnce(&mut CommandOutput) -> Result<(), CommandError>) -> CommandResult {
    let mut out = CommandOutput::default();
    let printed = print(&mut out);
    out.finish(printed.map(|()| ExitStatus::Success))
}

fn man_command(folder: &Path) -> CommandResult {
    let pages = man_pages::write_pages(folder, command_line())?;
    print_text(&terminal::sanitize(&format!("{pages} manual pages are in {}\n", folder.display())))
}

async fn demo_command(args: demo::DemoArgs) -> CommandResult {
    let mut out = CommandOutput::new(terminal::stdout(false, WhenClosed::Discard));
    let done = demo::run(args, &mut out).await;
    out.finish(done.map(|()| ExitStatus::Success).map_err(CommandError::from))
}

async fn answer_names_command(args: query::AnswerNamesArgs) -> CommandResult {
    let mut out = CommandOutput::default();
    let printed = query::write_answer_names(&args.address, args.added, &mut out).await;
    out.finish(printed.map(|()| ExitStatus::Success).map_err(CommandError::from))
}

async fn run_command(args: RunArgs) -> CommandResult {
    let mut config = args.overrides.read_config(&args.config, ConfigUse::Run)?;
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
    // The supervisor starts this process again, as it does with those that were not asked to stop.
    Ok(if outcome.stopped_by_peer { ExitStatus::PeerLost } else { ExitStatus::Success })
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
        orderly: "finishing open requests",
        unfinished: "a record without a reply may or may not be stored",
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
    let config = args.overrides.read_config(&args.config, ConfigUse::Check)?;
    let mut out = CommandOutput::new(terminal::stdout(false, WhenClosed::Fail));
    let problems = check::run(&config, &mut out).await;
    out.finish(problems.map(|problems| status_of_check(problems == 0)).map_err(CommandError::from))
}

async fn table_command(args: table::TableArgs) -> CommandResult {
    let mut out = CommandOutput::new(terminal::stdout(args.format == table::TableOutputFormat::Json, WhenClosed::Fail));
    let holds = table::run(args, &mut out).await;
    out.finish(holds.map(status_of_check).map_err(CommandError::from))
}

async fn rejected_command(args: rejected::RejectionArgs) -> CommandResult {
    let mut out = CommandOutput::new(terminal::stdout(args.is_data(), WhenClosed::Fail));
    let done = rejected::run(args, &mut out).await;
    match out.finish(done.map_err(CommandError::from))? {
        Some(replaying) => run_logged(replaying).await.map_err(|error| CommandError::ReplayRun(Box::new(error))),
        None => Ok(ExitStatus::Success),
    }
}

async fn query_command(args: query::QueryArgs) -> CommandResult {
    let mut out = CommandOutput::new(terminal::stdout(args.is_data(), WhenClosed::Fail));
    let asked = query::run(args, &mut out).await;
    out.finish(asked.map(|()| ExitStatus::Success).map_err(CommandError::from))
}

async fn question_command(args: question::QuestionArgs) -> CommandResult {
    let mut out = CommandOutput::new(terminal::stdout(args.is_data(), WhenClosed::Fail));
    let done = question::run(args, &mut out).await;
    out.finish(done.map(|()| ExitStatus::Success).map_err(CommandError::from))
}

async fn verify_command(args: verify::VerificationArgs) -> CommandResult {
    let mut out = CommandOutput::new(terminal::stdout(args.is_data(), WhenClosed::Fail));
    let verified = verify::run(args, &mut out).await;
    out.finish(verified.map_err(CommandError::from))
}

async fn topics_command(args: topics::TopicsArgs) -> CommandResult {
    let mut out = CommandOutput::new(terminal::stdout(args.is_json(), WhenClosed::Fail));
    let succeeded = topics::run(args, &mut out).await;
    out.finish(succeeded.map(status_of_check).map_err(CommandError::from))
}

async fn streams_command(args: streams::StreamsArgs) -> CommandResult {
    let mut out = CommandOutput::new(terminal::stdout(args.is_json(), WhenClosed::Fail));
    let succeeded = streams::run(args, &mut out).await;
    out.finish(succeeded.map(status_of_check).map_err(CommandError::from))
}

/// The exit code of a command that checks for problems or does several things.
fn status_of_check(is_success: bool) -> ExitStatus {
    if is_success { ExitStatus::Success } else { ExitStatus::Failed }
}
