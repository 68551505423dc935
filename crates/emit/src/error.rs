//! Why an emit failed.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use rdkafka::error::RDKafkaErrorCode;

use pinflow_connect::source::SourceError;
use pinflow_core::error_text::error_text;
use pinflow_core::secret::SecretError;
use pinflow_core::user_error::{ExitStatus, UsageError, UserError, user_error_text};
use pinflow_delta::DeltaError;
use pinflow_files::LINE_BYTES_MAX;
use pinflow_http::CaFileError;
use pinflow_kafka::{ClusterUnreachable, KafkaConnectionError};
use pinflow_kinesis::{KinesisConnectionError, KinesisError};
use pinflow_mysql::{DatabaseAddressError, MySqlError};
use pinflow_storage::StorageError;

/// Why the file of `--connection` cannot be used: an error of the program, which knows the format of configurations.
pub type ConnectionFileError = Box<dyn UserError + Send + Sync>;

/// Why an emit failed.
#[derive(Debug, thiserror::Error)]
pub enum EmitError {
    /// The flags cannot work.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The folder of `--to` or `--from` is invalid.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The file of `--connection` is wrong.
    #[error("{}", error_text(.0.as_ref()))]
    ConnectionFile(ConnectionFileError),
    /// The address of the database is incomplete or wrong.
    #[error(transparent)]
    DatabaseAddress(#[from] DatabaseAddressError),
    /// The brokers in `--to` are not `HOST:PORT`.
    #[error("read --to")]
    KafkaUrl(#[source] KafkaConnectionError),
    /// No Kafka client can be made.
    #[error(transparent)]
    KafkaConnection(#[from] KafkaConnectionError),
    /// No broker answers.
    #[error(transparent)]
    KafkaCluster(#[from] ClusterUnreachable),
    /// A topic does not exist.
    #[error("topic {topic} does not exist")]
    NoTopic {
        #[allow(missing_docs)]
        topic: String,
    },
    /// The brokers deny describing a topic.
    #[error("no permission to describe topic {topic}")]
    TopicDenied {
        #[allow(missing_docs)]
        topic: String,
    },
    /// A topic cannot be written.
    #[error("topic {topic} cannot be written: {code}")]
    TopicUnwritable {
        #[allow(missing_docs)]
        topic: String,
        /// Why, in the brokers' words.
        code: RDKafkaErrorCode,
    },
    /// `--region` and `--endpoint` are wrong.
    #[error("read --region and --endpoint")]
    KinesisRegion(#[source] KinesisConnectionError),
    /// Kinesis cannot be connected to.
    #[error(transparent)]
    KinesisConnection(#[from] KinesisConnectionError),
    /// A stream does not exist.
    #[error("stream {stream} does not exist")]
    NoStream {
        #[allow(missing_docs)]
        stream: String,
    },
    /// A stream cannot be described.
    #[error("describe stream {stream}: {error}")]
    StreamUnusable {
        #[allow(missing_docs)]
        stream: String,
        /// Why.
        error: KinesisError,
    },
    /// `--to` is not a URL.
    #[error("read --to")]
    GatewayUrl(#[source] url::ParseError),
    /// The token cannot be read.
    #[error("--token")]
    Token(#[source] SecretError),
    /// The file of `--ca` cannot be used.
    #[error(transparent)]
    CaFile(#[from] CaFileError),
    /// The HTTP client cannot be made.
    #[error("prepare requests")]
    HttpClient(#[source] reqwest::Error),
    /// A file of the recording exists.
    #[error("{} already exists: --force overwrites it, --append continues it", .0.display())]
    FileExists(PathBuf),
    /// A file, a destination or a thread failed.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The recording of `--from` cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The tables of `--from` cannot be read.
    #[error(transparent)]
    Tables(#[from] DeltaError),
    /// A file of `--from` holds several streams, and each stream has its own destination.
    #[error("{0} holds several streams; they can only go to one place: add --topic NAME")]
    SeveralStreams(String),
    /// A line of `--from` is too long.
    #[error("line {0} is longer than {LINE_BYTES_MAX} bytes and cannot be sent unchanged")]
    LineTooLong(String),
    /// The tables of the database hold no rows.
    #[error("the tables hold no rows; pinflow emit --init-mysql URL --replace fills them")]
    EmptyTables,
    /// Tables exist that would be replaced.
    #[error("{} already exist; --replace replaces them", .0.join(", "))]
    TablesExist(Vec<&'static str>),
    /// A view has the name of a table.
    #[error("{name} is a {kind}, which --replace does not replace; drop or rename it first")]
    NotATable {
        #[allow(missing_docs)]
        name: &'static str,
        /// What it is, in the words of the database.
        kind: String,
    },
    /// A signal came before the database answered.
    #[error("stopped before the database answered")]
    StoppedConnecting,
    /// A signal came before the tables were complete.
    #[error("stopped after {rows} rows; the tables are as they were before")]
    StoppedFilling {
        #[allow(missing_docs)]
        rows: u64,
    },
    /// The tables could not be filled.
    #[error("fill tables in {database}")]
    Fill {
        /// The database, without its password.
        database: String,
        /// Why.
        #[source]
        cause: Box<EmitError>,
    },
    /// A statement failed.
    #[error("{what}")]
    Statement {
        /// What was being done.
        what: String,
        /// Why.
        #[source]
        cause: MySqlError,
    },
    /// A statement failed.
    #[error(transparent)]
    MySql(#[from] MySqlError),
    /// A table of the database cannot be used.
    #[error(transparent)]
    Table(Box<dyn Error + Send + Sync>),
    /// A generated post is not JSON, which is a defect of pinflow.
    #[error("parse a generated post")]
    MadePost(#[source] serde_json::Error),
    /// An emit that can be continued.
    #[error("{}\n{resume}", user_error_text(cause.as_ref()))]
    Unfinished {
        /// Why it ended. Part of the message already, so not a `source`.
        cause: Box<EmitError>,
        /// The flags that continue it.
        resume: String,
    },
}

impl EmitError {
    /// What `map_err` takes: an I/O error with what was being done.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> EmitError {
        let what = what.into();
        |cause| EmitError::Io { what, cause }
    }

    /// What `map_err` takes: a database error with what was being done.
    pub(crate) fn statement(what: impl Into<String>) -> impl FnOnce(MySqlError) -> EmitError {
        let what = what.into();
        |cause| EmitError::Statement { what, cause }
    }

    /// Whether the reader of standard output is gone.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, EmitError::Io { cause, .. } if cause.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl UserError for EmitError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            EmitError::Usage(error) => error.exit_code(),
            EmitError::Storage(error) => error.exit_code(),
            EmitError::Tables(error) => error.exit_code(),
            EmitError::ConnectionFile(error) => error.exit_code(),
            EmitError::DatabaseAddress(error) => error.exit_code(),
            EmitError::KafkaUrl(error) | EmitError::KafkaConnection(error) => error.exit_code(),
            EmitError::KinesisRegion(error) | EmitError::KinesisConnection(error) => error.exit_code(),
            EmitError::Token(error) => error.exit_code(),
            // `--from` names nothing.
            EmitError::Source(SourceError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                ExitStatus::BadUsage
            }
            EmitError::Source(error) => error.exit_code(),
            EmitError::CaFile(error) => error.exit_code(),
            EmitError::GatewayUrl(_) => ExitStatus::BadUsage,
            EmitError::Fill { cause, .. } | EmitError::Unfinished { cause, .. } => cause.exit_code(),
            _ => ExitStatus::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            EmitError::NoTopic { topic } => Some(format!("`pinflow topics create {topic}` makes it")),
            EmitError::TopicDenied { topic } => Some(format!("grant Describe and Write on Topic {topic}")),
            EmitError::NoStream { stream } => Some(format!("`pinflow streams create {stream}` makes it")),
            EmitError::StreamUnusable { error, .. } => {
                let hint = error.hint();
                let hint = hint.trim_start_matches("; ");
                (!hint.is_empty()).then(|| hint.to_owned())
            }
            EmitError::ConnectionFile(error) => error.hint(),
            EmitError::Fill { cause, .. } => cause.hint(),
            _ => None,
        }
    }
}
