//! The errors that end a command, and their exit codes.

use std::io;

use crate::check::CheckError;
use crate::cluster::ClusterRunError;
use crate::config::ConfigError;
use crate::demo::DemoError;
use crate::init::InitError;
use crate::man_pages::ManPageError;
use crate::query::QueryError;
use crate::question::QuestionCommandError;
use crate::rejected::RejectionCommandError;
use crate::run::RunError;
use crate::streams::StreamsCommandError;
use crate::table::TableError;
use crate::telemetry::TelemetryError;
use crate::topics::TopicsCommandError;
use crate::verify::VerificationError;
use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_emit::EmitError;
use pinflow_gateway::GatewayStartError;
use pinflow_terminal::output::OutputError;

/// Why a command of the program failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Positions, tokens and log files hold Unix times, and the Delta library panics on a negative one.
    #[error("this machine's clock is set to before 1970; set it, and start again")]
    ClockBefore1970,
    /// `pinflow gateway` without a `[gateway]`.
    #[error("the configuration has no [gateway]")]
    NoGateway,
    /// The threads of the runtime cannot be started.
    #[error("start the threads of the runtime")]
    Runtime(#[source] io::Error),
    /// Signal handlers cannot be installed.
    #[error("listen for signals")]
    Signals(#[source] io::Error),
    /// Standard output cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// This process cannot take part in its cluster.
    #[error(transparent)]
    Cluster(Box<ClusterRunError>),
    /// Logs and spans cannot be exported.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// `pinflow run` failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// `pinflow demo` failed.
    #[error(transparent)]
    Demo(Box<DemoError>),
    /// `pinflow init` failed.
    #[error(transparent)]
    Init(#[from] InitError),
    /// `pinflow man` failed.
    #[error(transparent)]
    ManPages(#[from] ManPageError),
    /// `pinflow gateway` failed.
    #[error(transparent)]
    Gateway(#[from] GatewayStartError),
    /// `pinflow check` failed.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// `pinflow table` failed.
    #[error(transparent)]
    Table(Box<TableError>),
    /// `pinflow query` failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// `pinflow question` failed.
    #[error(transparent)]
    Question(#[from] QuestionCommandError),
    /// `pinflow rejected` failed.
    #[error(transparent)]
    Rejected(Box<RejectionCommandError>),
    /// The run of `pinflow rejected replay` failed.
    #[error(transparent)]
    ReplayRun(Box<CommandError>),
    /// `pinflow verify` failed.
    #[error(transparent)]
    Verify(Box<VerificationError>),
    /// `pinflow emit` failed.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// `pinflow topics` failed.
    #[error(transparent)]
    Topics(#[from] TopicsCommandError),
    /// `pinflow streams` failed.
    #[error(transparent)]
    Streams(#[from] StreamsCommandError),
}

// These two are boxed because they are by far the largest of these errors.
impl From<DemoError> for CommandError {
    fn from(error: DemoError) -> CommandError {
        CommandError::Demo(Box::new(error))
    }
}

impl From<TableError> for CommandError {
    fn from(error: TableError) -> CommandError {
        CommandError::Table(Box::new(error))
    }
}

impl From<RejectionCommandError> for CommandError {
    fn from(error: RejectionCommandError) -> CommandError {
        CommandError::Rejected(Box::new(error))
    }
}

impl From<VerificationError> for CommandError {
    fn from(error: VerificationError) -> CommandError {
        CommandError::Verify(Box::new(error))
    }
}

impl From<ClusterRunError> for CommandError {
    fn from(error: ClusterRunError) -> CommandError {
        CommandError::Cluster(Box::new(error))
    }
}

impl CommandError {
    /// The error of the command, if it has its own exit code or hint.
    fn of_command(&self) -> Option<&dyn UserError> {
        Some(match self {
            CommandError::Config(error) => error,
            CommandError::Cluster(error) => &**error,
            CommandError::Telemetry(error) => error,
            CommandError::Run(error) => error,
            CommandError::Demo(error) => &**error,
            CommandError::Init(error) => error,
            CommandError::ManPages(error) => error,
            CommandError::Gateway(error) => error,
            CommandError::Check(error) => error,
            CommandError::Table(error) => &**error,
            CommandError::Query(error) => error,
            CommandError::Question(error) => error,
            CommandError::Rejected(error) => &**error,
            CommandError::ReplayRun(error) => &**error,
            CommandError::Verify(error) => &**error,
            CommandError::Emit(error) => error,
            CommandError::Topics(error) => error,
            CommandError::Streams(error) => error,
            CommandError::ClockBefore1970
            | CommandError::NoGateway
            | CommandError::Runtime(_)
            | CommandError::Signals(_)
            | CommandError::Output(_) => return None,
        })
    }
}

impl UserError for CommandError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            CommandError::NoGateway => ExitStatus::BadUsage,
            _ => self.of_command().map_or(ExitStatus::Failed, UserError::exit_code),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            CommandError::ReplayRun(error) if error.exit_code() == ExitStatus::Fenced => Some(
                "another run writes to these tables: stop it, and start the replay again, which continues where it ended"
                    .to_owned(),
            ),
            _ => self.of_command().and_then(UserError::hint),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::path::PathBuf;

    use crate::config::QuestionFileError;
    use crate::rejected::ReplayError;
    use crate::table_location::TableLocationError;
    use pinflow_connect::sink::SinkError;
    use pinflow_connect::source::SourceError;
    use pinflow_core::secret::SecretError;
    use pinflow_core::user_error::UsageError;
    use pinflow_delta::DeltaError;
    use pinflow_engine::EngineError;
    use pinflow_http::CaFileError;
    use pinflow_kafka::{BrokerList, ClusterUnreachable, KafkaConnectionError, TopicError};
    use pinflow_kinesis::{KinesisConnectionError, StreamError};
    use pinflow_mysql::DatabaseAddressError;
    use pinflow_serving::HttpError;
    use pinflow_storage::StorageError;

    use super::*;

    const PAGE: &str = include_str!("../docs/reference/exit-codes.md");

    /// The exit codes on the page, with their meanings.
    fn documented() -> Vec<(u8, &'static str)> {
        let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
        rows.filter_map(|(code, meaning)| Some((code.parse().ok()?, meaning))).collect()
    }

    fn missing() -> io::Error {
        io::ErrorKind::NotFound.into()
    }

    fn usage() -> UsageError {
        UsageError::new("")
    }

    fn secret() -> SecretError {
        SecretError::NoVariable("TOKEN".to_owned())
    }

    fn fenced() -> DeltaError {
        DeltaError::Fenced { table: PathBuf::new(), pipeline: String::new() }
    }

    fn no_ca_file() -> CaFileError {
        CaFileError::Read { path: PathBuf::new(), cause: missing() }
    }

    fn unreachable_cluster() -> ClusterUnreachable {
        ClusterUnreachable { brokers: BrokerList::new("b:9092"), waited: std::time::Duration::ZERO, errors: Vec::new() }
    }

    fn no_folder() -> StorageError {
        StorageError::NotFound { location: "/nope".to_owned(), cause: missing() }
    }

    fn config() -> ConfigError {
        ConfigError::Invalid { path: PathBuf::new(), problems: Vec::new() }
    }

    fn secret_of_kafka() -> KafkaConnectionError {
        KafkaConnectionError::Secret { what: "sasl password", cause: secret() }
    }

    /// Errors, each with the words of the page that select its exit code.
    fn errors() -> Vec<(CommandError, &'static str)> {
        let mut all = errors_of_pipelines();
        all.extend(errors_of_table_readers());
        all.extend(errors_of_clients());
        all
    }

    fn unreadable_partition() -> SourceError {
        SourceError::Read { partition: String::new(), cause: missing() }
    }

    /// Errors of the commands that run or check a pipeline, or work on its tables.
    fn errors_of_pipelines() -> Vec<(CommandError, &'static str)> {
        let read = unreadable_partition;
        let engine = |error| CommandError::Run(RunError::Engine(error));
        let (failed, value, file) = ("something failed", "invalid key or value", "missing file");
        let taken = "another pinflow has taken over the tables";
        vec![
            (CommandError::ClockBefore1970, failed),
            (CommandError::NoGateway, value),
            (CommandError::Runtime(missing()), failed),
            (CommandError::Signals(missing()), failed),
            (OutputError::from(missing()).into(), failed),
            (config().into(), value),
            (ConfigError::Read { path: PathBuf::new(), cause: missing() }.into(), file),
            (TelemetryError::Header(secret()).into(), "missing secret"),
            (RunError::Url(String::new()).into(), value),
            (RunError::Storage(StorageError::NoRegion).into(), "AWS region"),
            (RunError::Storage(StorageError::NoCredentialChain).into(), failed),
            (RunError::Source(SourceError::Misconfigured(String::new())).into(), value),
            (RunError::Source(read()).into(), failed),
            (RunError::Delta(fenced()).into(), taken),
            (RunError::Delta(StorageError::NoRegion.into()).into(), "AWS region"),
            (RunError::Delta(DeltaError::Abandoned).into(), failed),
            (RunError::Archive(StorageError::NoRegion.into()).into(), "AWS region"),
            (RunError::Http(HttpError::Token(secret())).into(), "missing secret"),
            (RunError::Address(missing()).into(), failed),
            (RunError::StdoutThread(missing()).into(), failed),
            (RunError::Output(missing()).into(), failed),
            (RunError::ServingPanicked(String::new()).into(), failed),
            (engine(EngineError::Sink(SinkError::Fenced(String::new()))), taken),
            (engine(EngineError::Sink(SinkError::Failed(Box::new(missing())))), failed),
            (engine(EngineError::Source(SourceError::Misconfigured(String::new()))), "missing secret"),
            (engine(EngineError::Source(read())), failed),
            (engine(EngineError::Rebuild(Box::new(missing()))), failed),
            (DemoError::NotADemo(PathBuf::new()).into(), value),
            (DemoError::Io { what: String::new(), cause: missing() }.into(), failed),
            (DemoError::Listen { address: ([127, 0, 0, 1], 1).into(), cause: missing() }.into(), failed),
            (DemoError::Signals(missing()).into(), failed),
            (DemoError::Config(config()).into(), value),
            (DemoError::Feed(EmitError::EmptyTables).into(), failed),
            (DemoError::Run(RunError::Delta(fenced())).into(), taken),
            (InitError::FileExists(PathBuf::new()).into(), value),
            (InitError::Write { path: PathBuf::new(), cause: missing() }.into(), failed),
            (InitError::Output(missing()).into(), failed),
            (GatewayStartError::Token(secret()).into(), "missing secret"),
            (GatewayStartError::FolderName(String::new()).into(), value),
            (GatewayStartError::KafkaConnection(secret_of_kafka()).into(), "missing secret"),
            (GatewayStartError::KafkaCluster(unreachable_cluster()).into(), failed),
            (GatewayStartError::Kinesis(KinesisConnectionError::NoRegion.into()).into(), "AWS region"),
            (CheckError::Url(String::new()).into(), value),
            (CheckError::Output(missing()).into(), failed),
            (TableError::Location(config().into()).into(), value),
            (TableError::Location(StorageError::Invalid(Vec::new()).into()).into(), value),
            (TableError::Delta(no_folder().into()).into(), file),
            (TableError::Delta(fenced()).into(), taken),
            (TableError::Accept(DeltaError::Place(no_folder()).into()).into(), file),
            (TableError::Unsafe { keep: 1 }.into(), value),
            (TableError::Print(missing()).into(), failed),
        ]
    }

    /// What a run replies for an answer that it does not have.
    fn absent_answer() -> QueryError {
        let at = Box::new(url::Url::parse("http://localhost").unwrap());
        QueryError::Rejected { at, status: reqwest::StatusCode::NOT_FOUND, name: String::new(), message: String::new() }
    }

    /// Errors of the commands that read the tables of a run.
    fn errors_of_table_readers() -> Vec<(CommandError, &'static str)> {
        let (failed, value, file) = ("something failed", "invalid key or value", "missing file");
        let uncompared = "could not compare the answers";
        vec![
            (RejectionCommandError::Since(String::new()).into(), value),
            (RejectionCommandError::Position(String::new()).into(), value),
            (RejectionCommandError::SeveralRows { subs: String::new() }.into(), value),
            (RejectionCommandError::RawToTerminal.into(), value),
            (RejectionCommandError::NoPayload.into(), failed),
            (RejectionCommandError::Location(TableLocationError::Config(config())).into(), value),
            (RejectionCommandError::Delta(no_folder().into()).into(), file),
            (RejectionCommandError::Output(missing()).into(), failed),
            (RejectionCommandError::Replay(ReplayError::NoTables).into(), value),
            (
                CommandError::ReplayRun(Box::new(RunError::Delta(fenced()).into())),
                "another pinflow has taken over the tables",
            ),
            (RejectionCommandError::Replay(ReplayError::Storage(StorageError::NoRegion)).into(), "AWS region"),
            (VerificationError::NoTables.into(), value),
            (VerificationError::TablesElsewhere(String::new()).into(), value),
            (VerificationError::UnknownAnswer(String::new()).into(), value),
            (VerificationError::Run(Box::new(QueryError::Usage(usage()))).into(), value),
            (VerificationError::Run(Box::new(absent_answer())).into(), uncompared),
            (VerificationError::Location(TableLocationError::Location(no_folder())).into(), file),
            (VerificationError::Tables(DeltaError::Abandoned).into(), uncompared),
            (
                VerificationError::Tables(DeltaError::Pipeline {
                    path: PathBuf::new(),
                    theirs: String::new(),
                    ours: String::new(),
                })
                .into(),
                value,
            ),
            (VerificationError::AllSkipped.into(), uncompared),
            (VerificationError::Output(missing()).into(), uncompared),
        ]
    }

    /// Errors of the commands that ask or feed other programs.
    fn errors_of_clients() -> Vec<(CommandError, &'static str)> {
        let at = url::Url::parse("http://localhost").unwrap();
        let kafka = |what: &str| KafkaConnectionError::Invalid(vec![what.to_owned()]);
        let refused = || KafkaConnectionError::Refused { brokers: String::new(), what: String::new() };
        let (failed, value, file) = ("something failed", "invalid key or value", "missing file");
        vec![
            (QueryError::Usage(usage()).into(), value),
            (QueryError::Token(secret()).into(), "missing secret"),
            (QueryError::CaFile(no_ca_file()).into(), file),
            (QueryError::Unreachable { at: Box::new(at.clone()), reason: String::new() }.into(), failed),
            (absent_answer().into(), failed),
            (QueryError::Output(missing()).into(), failed),
            (QuestionCommandError::File(QuestionFileError::Empty { what: String::new() }).into(), file),
            (QuestionCommandError::Wrong(Vec::new()).into(), value),
            (QuestionCommandError::Unknown(String::new()).into(), value),
            (QuestionCommandError::Location(config().into()).into(), value),
            (QuestionCommandError::Location(StorageError::NoRegion.into()).into(), "AWS region"),
            (QuestionCommandError::Delta(no_folder().into()).into(), file),
            (QuestionCommandError::Panicked(String::new()).into(), failed),
            (QuestionCommandError::Output(missing()).into(), failed),
            (EmitError::Usage(usage()).into(), value),
            (EmitError::ConnectionFile(Box::new(config())).into(), value),
            (EmitError::DatabaseAddress(DatabaseAddressError::NoMode).into(), value),
            (EmitError::KafkaUrl(kafka("port")).into(), value),
            (EmitError::KafkaConnection(refused()).into(), failed),
            (EmitError::KinesisRegion(KinesisConnectionError::NoRegion).into(), "AWS region"),
            (EmitError::NoTopic { topic: String::new() }.into(), failed),
            (EmitError::Token(secret()).into(), "missing secret"),
            (EmitError::CaFile(no_ca_file()).into(), file),
            (EmitError::FileExists(PathBuf::new()).into(), failed),
            (EmitError::Tables(no_folder().into()).into(), file),
            (EmitError::Source(unreadable_partition()).into(), file),
            (EmitError::Unfinished { cause: Box::new(EmitError::EmptyTables), resume: String::new() }.into(), failed),
            (TopicsCommandError::Usage(usage()).into(), value),
            (TopicsCommandError::Connection(kafka("port")).into(), value),
            (TopicsCommandError::Cluster(unreachable_cluster()).into(), failed),
            (TopicsCommandError::Topic(TopicError::Connection(secret_of_kafka())).into(), "missing secret"),
            (TopicsCommandError::Topic(TopicError::Absent(String::new())).into(), failed),
            (StreamsCommandError::Usage(usage()).into(), value),
            (StreamsCommandError::Connection(KinesisConnectionError::NoRegion).into(), "AWS region"),
            (StreamsCommandError::Stream(StreamError::Slow { stream: String::new() }).into(), failed),
        ]
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let codes: Vec<u8> = documented().into_iter().map(|(code, _)| code).collect();
        let all = [
            ExitStatus::Success,
            ExitStatus::Failed,
            ExitStatus::BadUsage,
            ExitStatus::Unverified,
            ExitStatus::PeerLost,
            ExitStatus::Fenced,
        ];
        assert_eq!(codes, all.map(ExitStatus::code));
    }

    #[test]
    fn every_error_has_the_exit_code_that_the_page_gives_it() {
        for (error, words) in errors() {
            let codes: Vec<u8> =
                documented().into_iter().filter(|(_, meaning)| meaning.contains(words)).map(|(code, _)| code).collect();
            assert_eq!(codes, [error.exit_code().code()], "{words}: {error:?}");
        }
    }

    #[test]
    fn query_errors_say_what_to_do_after_the_message() {
        let at = url::Url::parse("http://localhost").unwrap();
        let error = QueryError::Unreachable { at: Box::new(at), reason: "connection refused".to_owned() };
        let text = pinflow_core::user_error::user_error_text(&CommandError::from(error));
        assert!(
            text.starts_with("cannot reach http://localhost/: connection refused; does a run serve there"),
            "{text}"
        );
    }
}
