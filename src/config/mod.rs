//! Configuration: a TOML file, or a folder of recorded posts, and the flags that override it.
//!
//! Every problem of a file is reported at once, with line and column. Unknown keys are errors.
//! Relative paths are relative to the file. Secrets are never in a file: they come from the environment, from separate
//! files or from a credential chain.

mod cluster;
mod connection;
mod document;
mod file;
mod json_schema;
mod memory;
mod other_format;
mod problem;
mod question;
mod question_options;
mod schema;
mod suggestion;
mod template;
mod value_repair;
mod value_type;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pinflow_dataflows::graph::GraphOptions;
use pinflow_dataflows::ingest::MessageLimits;
use pinflow_dataflows::questions::{Question, QuestionSet};
use serde::Deserialize;

pub use cluster::{ClusterConfig, ClusterConfigError, ClusterTlsFiles, ProcessNumber};
pub use connection::{kafka_connection, kinesis_connection, storage_connection};
pub use file::{ConfigError, ConfigFile, ConfigUse};
pub use json_schema::CONFIG_JSON_SCHEMA;
pub use memory::ByteSize;
use memory::default_memory_max;
pub use other_format::OtherFormat;
pub use problem::ConfigProblem;
pub use question::{
    QUESTION_BYTES_MAX, QuestionConfig, QuestionFileError, QuestionText, compile_as, compile_text, read_named_question,
    read_question_file, read_question_text,
};
pub use question_options::QuestionOptions;
pub use template::ConfigTemplate;

pub use pinflow_connect::source::AcceptedLoss;

use crate::telemetry::TelemetryConfig;
use pinflow_archive::ArchiveConfig;
use pinflow_connect::source::source_kind::{PlanContext, PlannedSource, SourceConfig, check_unique};
use pinflow_connect::source::{ReadShare, SourceError};
use pinflow_core::key_problem::KeyProblem;
use pinflow_databases::{DatabaseTarget, MySqlAnswersConfig, PostgresAnswersConfig};
use pinflow_delta as delta;
use pinflow_delta::answers::AnswerTablesConfig;
use pinflow_engine::{CommitPolicy, EngineSettings, QuestionLimits};
use pinflow_files::RecordingConfig;
use pinflow_gateway::GatewayConfig;
use pinflow_serving::{HttpConfig, StdoutFormat};
use pinflow_storage::{self as storage, LocationSpec};

const NO_SOURCE: &str = "there is no source; add [[source]] with kind = \"recording\" and path = \"FOLDER\"";

/// A window is complete at this many bytes of messages, because a few large messages must not fill the memory.
const WINDOW_BYTES_MAX: usize = 256 << 20;
/// The same limit if messages are kept in memory until they are archived.
const ARCHIVED_WINDOW_BYTES_MAX: usize = 64 << 20;

/// The configuration of a run.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name under which this pipeline stores its positions in the tables.
    pub pipeline: String,
    /// Where records come from.
    pub sources: Vec<Arc<dyn SourceConfig>>,
    /// What the answers mean.
    pub questions: GraphOptions,
    /// What each question may hold that is not built in.
    pub question_limits: QuestionLimits,
    /// Questions of the user's own, as configured.
    pub own_questions: Vec<QuestionConfig>,
    /// The same questions, compiled with the options, and those that were added to an earlier run. Set once the
    /// configuration is complete.
    pub compiled_questions: Vec<Question>,
    /// The tables for cleaned rows, if there are any.
    pub tables: Option<TablesConfig>,
    /// The archive for messages as received, if there is one.
    pub archive: Option<ArchiveConfig>,
    /// The connection to object stores.
    pub objects: storage::StorageConnection,
    /// Whether and where answers are stored as tables.
    pub answers: AnswersConfig,
    /// Settings of the engine.
    pub engine: EngineConfig,
    /// Settings of the output on stdout.
    pub output: OutputConfig,
    /// The HTTP server for answers, if there is one.
    pub serve: Option<HttpConfig>,
    /// The processes that run the pipeline together, if there are several.
    pub cluster: Option<ClusterConfig>,
    /// Which of them this one is. Only set on the command line and by `PINFLOW_PROCESS`.
    pub process: Option<ProcessNumber>,
    /// The gateway of `pinflow gateway`. A run ignores it.
    pub gateway: Option<GatewayConfig>,
    /// The export of logs and spans, if there is one.
    pub telemetry: Option<TelemetryConfig>,
    /// The directory that relative paths are relative to.
    pub base: PathBuf,
    /// Ends the run once the backlog is read. Only set on the command line.
    pub until_caught_up: bool,
    /// Ranges of records that may be missing. Only set on the command line, for one start.
    pub accepted: Vec<AcceptedLoss>,
}

/// `[tables]`: the Delta tables.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TablesConfig {
    /// Location of the four tables: a directory, or `s3://BUCKET/PREFIX`.
    pub url: String,
    /// Number of buffered rows that forces a commit.
    #[serde(default = "TablesConfig::commit_rows_max")]
    pub commit_rows_max: u64,
    /// Age of the oldest buffered row that forces a commit, in seconds.
    #[serde(default = "TablesConfig::commit_age_secs_max")]
    pub commit_age_secs_max: f64,
    /// Compression of the parquet files.
    #[serde(default)]
    pub compression: delta::Compression,
    /// Whether small files are compacted in the background.
    #[serde(default = "TablesConfig::compact")]
    pub compact: bool,
    /// Retention of old table versions in hours: files that no newer version refers to are vacuumed in the background;
    /// 0: never.
    #[serde(default = "TablesConfig::keep_hours")]
    pub keep_hours: u32,
    /// Maximum number of files that the newest version of a table does not refer to. Above it only those of the last
    /// minutes are kept. 0: no limit.
    #[serde(default = "TablesConfig::keep_files_max")]
    pub keep_files_max: u32,
}

impl TablesConfig {
    fn commit_rows_max() -> u64 {
        100_000
    }
    fn commit_age_secs_max() -> f64 {
        10.0
    }
    fn compact() -> bool {
        true
    }

    fn keep_hours() -> u32 {
        168
    }

    fn keep_files_max() -> u32 {
        5_000
    }

    /// Tables at a location, with defaults for everything else.
    #[must_use]
    pub fn with_url(url: &str) -> TablesConfig {
        TablesConfig {
            url: url.to_owned(),
            commit_rows_max: Self::commit_rows_max(),
            commit_age_secs_max: Self::commit_age_secs_max(),
            compression: delta::Compression::default(),
            compact: Self::compact(),
            keep_hours: Self::keep_hours(),
            keep_files_max: Self::keep_files_max(),
        }
    }

    /// The location of the tables. `base` resolves a relative path.
    ///
    /// # Errors
    /// Why the location is invalid, and what to do.
    pub fn root(&self, base: &Path) -> Result<LocationSpec, String> {
        LocationSpec::parse(&self.url, base, "[tables] url")
    }

    fn problems(&self, base: &Path) -> Vec<KeyProblem> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, key: &str, range: &str| {
            if !holds {
                problems.push(KeyProblem::range(key, range));
            }
        };
        require(self.commit_rows_max >= 1, "commit_rows_max", "at least 1");
        require((0.01..=86_400.0).contains(&self.commit_age_secs_max), "commit_age_secs_max", "0.01 to 86400");
        let keeps_enough = self.keep_hours == 0 || (24..=87_600).contains(&self.keep_hours);
        require(
            keeps_enough,
            "keep_hours",
            "24 to 87600, or 0 to remove nothing (readers of older versions need a day)",
        );
        problems.extend(self.root(base).err().map(|what| KeyProblem::new("url", what)));
        problems
    }
}

/// `[answers]`: destinations of answers besides stdout and HTTP.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnswersConfig {
    /// Small Delta tables.
    pub delta: Option<AnswerTablesConfig>,
    /// Tables of PostgreSQL.
    pub postgres: Option<PostgresAnswersConfig>,
    /// Tables of MySQL or MariaDB.
    pub mysql: Option<MySqlAnswersConfig>,
}

impl AnswersConfig {
    /// The databases that answers are written to.
    pub fn databases(&self) -> impl Iterator<Item = DatabaseTarget> {
        let postgres = self.postgres.clone().map(DatabaseTarget::Postgres);
        postgres.into_iter().chain(self.mysql.clone().map(DatabaseTarget::MySql))
    }
}

/// `[engine]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Number of worker threads; by default one per core.
    pub workers: Option<usize>,
    /// The longest time that a record waits for its epoch, in milliseconds, and the least between epochs of a busy graph.
    pub epoch_ms: u64,
    /// An epoch closes early when it holds this many bytes per worker.
    pub epoch_bytes_max: usize,
    /// Maximum number of closed epochs in the graph before sources have to wait.
    pub epochs_in_flight_max: usize,
    /// Maximum size of a message in bytes. A longer one is rejected as `too_large`.
    pub message_bytes_max: usize,
    /// Maximum size of `category`, `poster_name`, `country`, `first_name` or `last_name` in bytes. A longer value
    /// becomes null.
    pub text_bytes_max: usize,
    /// Resident memory above which sources pause, and the run ends if that does not help; by default three quarters of
    /// what the machine or the control group has.
    pub memory_max: Option<ByteSize>,
}

impl EngineConfig {
    fn problems(&self) -> Vec<KeyProblem> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, key: &str, range: &str| {
            if !holds {
                problems.push(KeyProblem::range(key, range));
            }
        };
        require(self.workers != Some(0), "workers", "at least 1");
        require((1..=10_000).contains(&self.epoch_ms), "epoch_ms", "1 to 10000");
        require((1..=64).contains(&self.epochs_in_flight_max), "epochs_in_flight_max", "1 to 64");
        require(self.epoch_bytes_max >= 1024, "epoch_bytes_max", "at least 1024");
        require((1024..=256 << 20).contains(&self.message_bytes_max), "message_bytes_max", "1024 to 268435456");
        require((1..=65_536).contains(&self.text_bytes_max), "text_bytes_max", "1 to 65536");
        let is_enough = self.memory_max.is_none_or(|ByteSize(bytes)| bytes >= MEMORY_MIN);
        require(is_enough, "memory_max", "at least 64MiB");
        problems
    }
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        EngineConfig {
            workers: None,
            epoch_ms: 10,
            epoch_bytes_max: 8 << 20,
            epochs_in_flight_max: 2,
            message_bytes_max: MessageLimits::default().bytes_max,
            text_bytes_max: MessageLimits::default().text_bytes_max,
            memory_max: None,
        }
    }
}

/// `[output]`: what stdout shows.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// The format. By default tables on a terminal, and snapshots elsewhere.
    pub format: Option<StdoutFormat>,
    /// Minimum time between two snapshots, or two updates of the tables, in milliseconds.
    pub every_ms: u64,
}

impl Default for OutputConfig {
    fn default() -> OutputConfig {
        OutputConfig { format: None, every_ms: 1000 }
    }
}

impl Config {
    /// Where the tables are, for clients. A folder is named from the root.
    ///
    /// # Errors
    /// Why the location is invalid, and what to do.
    pub fn tables_url(&self) -> Result<Option<String>, String> {
        let Some(tables) = &self.tables else { return Ok(None) };
        Ok(Some(match tables.root(&self.base)? {
            LocationSpec::Folder(folder) => std::path::absolute(&folder).unwrap_or(folder).display().to_string(),
            bucket => bucket.to_string(),
        }))
    }

    /// A run over one recording with default settings and without tables.
    #[must_use]
    pub fn recording(path: &Path) -> Config {
        Config {
            pipeline: "posts".to_owned(),
            sources: vec![Arc::new(RecordingConfig::with_path(path))],
            questions: GraphOptions::default(),
            question_limits: QuestionLimits::default(),
            own_questions: Vec::new(),
            compiled_questions: Vec::new(),
            tables: None,
            archive: None,
            objects: storage::StorageConnection::default(),
            answers: AnswersConfig::default(),
            engine: EngineConfig::default(),
            output: OutputConfig::default(),
            serve: None,
            cluster: None,
            process: None,
            gateway: None,
            telemetry: None,
            base: PathBuf::new(),
            until_caught_up: false,
            accepted: Vec::new(),
        }
    }

    /// The problems of values that have the right type. Keys are named by their full path, as in `tables.url`.
    #[must_use]
    pub fn problems(&self, wanted: ConfigUse) -> Vec<KeyProblem> {
        let mut problems = Vec::new();
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if self.pipeline.is_empty() || self.pipeline.len() > 63 || !self.pipeline.chars().all(named) {
            problems.push(KeyProblem::range("pipeline", "1 to 63 of a-z, 0-9, _ and -"));
        }
        problems.extend(self.missing_table(wanted));
        let mut add = |table: &str, found: Vec<KeyProblem>| {
            problems.extend(found.into_iter().map(|problem| problem.within(table)));
        };
        add("questions", question_options::limit_problems(&self.question_limits));
        add("engine", self.engine.problems());
        if self.output.every_ms == 0 {
            add("output", vec![KeyProblem::range("every_ms", "at least 1")]);
        }
        add("tables", self.tables.iter().flat_map(|tables| tables.problems(&self.base)).collect());
        if let Some(archive) = &self.archive {
            add("archive", archive.validate(&self.base));
            if self.tables.is_none() {
                let what = "needs [tables], which hold how far the archive has got; add [tables], or remove [archive]";
                add("archive", vec![KeyProblem::table(what)]);
            }
        }
        add("objects", self.objects.validate());
        add("answers.delta", self.answers.delta.iter().flat_map(|answers| answers.problems(&self.base)).collect());
        let has_tables = self.tables.is_some();
        let postgres = self.answers.postgres.iter().flat_map(|config| config.problems(&self.base, has_tables));
        add("answers.postgres", postgres.collect());
        add("answers.mysql", self.answers.mysql.iter().flat_map(|config| config.problems(has_tables)).collect());
        add("serve", self.serve.iter().flat_map(|serve| serve.validate(&self.base)).collect());
        add("cluster", self.cluster.iter().flat_map(|cluster| cluster.problems(&self.base)).collect());
        add("gateway", self.gateway.iter().flat_map(|gateway| gateway.validate(&self.base)).collect());
        add("telemetry", self.telemetry.iter().flat_map(TelemetryConfig::problems).collect());
        for (index, source) in self.sources.iter().enumerate() {
            add(&format!("source.{index}"), source.validate(&self.base));
        }
        problems
    }

    /// The missing table that a command requires.
    fn missing_table(&self, wanted: ConfigUse) -> Option<KeyProblem> {
        let has_source = !self.sources.is_empty();
        match wanted {
            ConfigUse::Gateway if self.gateway.is_none() => Some(KeyProblem::new(
                "gateway",
                "the table is missing; add it with listen = \"127.0.0.1:8082\" and kafka, kinesis or recording",
            )),
            ConfigUse::Run if !has_source => Some(KeyProblem::new("source", NO_SOURCE)),
            ConfigUse::Check if !has_source && self.gateway.is_none() => Some(KeyProblem::new("source", NO_SOURCE)),
            _ => None,
        }
    }

    /// The settings outside their own table that sources need, in a process that reads this share.
    #[must_use]
    pub fn plan_context(&self, share: ReadShare) -> PlanContext<'_> {
        let Config { base, pipeline, accepted, objects, .. } = self;
        PlanContext { base, pipeline, accepted, objects, share }
    }

    /// Finds the partitions that a process of a cluster reads, before anything is read.
    ///
    /// # Errors
    /// What a source cannot read, and what to do.
    pub async fn plan_sources(
        &self,
        process: usize,
        processes: usize,
    ) -> Result<Vec<Box<dyn PlannedSource>>, SourceError> {
        let share = ReadShare { process, processes };
        let mut planned = Vec::new();
        for source in self.sources.iter().filter(|source| source.is_read_by(share)) {
            planned.push(source.plan(&self.plan_context(share)).await?);
        }
        check_unique(&planned)?;
        Ok(planned)
    }

    /// The questions that the run starts with.
    #[must_use]
    pub fn question_set(&self) -> QuestionSet {
        let built_in = QuestionSet::built_in(self.questions);
        self.compiled_questions.iter().fold(built_in, |set, question| {
            // Cannot fail: a configuration in which two questions have one name is refused.
            set.with_question(question.clone()).map(|(larger, _)| larger).unwrap_or(set)
        })
    }

    /// The limits of messages.
    #[must_use]
    pub fn message_limits(&self) -> MessageLimits {
        MessageLimits {
            bytes_max: self.engine.message_bytes_max,
            text_bytes_max: self.engine.text_bytes_max,
            ..MessageLimits::default()
        }
    }

    /// The engine's settings for these questions.
    #[must_use]
    pub fn engine_settings(&self, questions: QuestionSet) -> EngineSettings {
        // More workers than cores would only be slower.
        let workers = self.engine.workers.unwrap_or_else(cores).min(cores());
        let tables = self.tables.clone().unwrap_or_else(|| TablesConfig::with_url("none"));
        let rotate = Duration::from_secs(self.archive.as_ref().map_or(0, |archive| archive.rotate_secs));
        EngineSettings {
            workers,
            epoch: Duration::from_millis(self.engine.epoch_ms),
            epoch_bytes_max: self.engine.epoch_bytes_max * workers,
            epochs_in_flight_max: self.engine.epochs_in_flight_max,
            commit: CommitPolicy {
                rows_max: tables.commit_rows_max,
                age_max: Duration::from_secs_f64(tables.commit_age_secs_max).max(rotate),
                bytes_max: if self.archive.is_some() { ARCHIVED_WINDOW_BYTES_MAX } else { WINDOW_BYTES_MAX },
                windows_in_flight_max: 2,
            },
            questions,
            question_limits: self.question_limits,
            graph_options: self.questions,
            limits: self.message_limits(),
            memory_max: self.engine.memory_max.map(|ByteSize(bytes)| bytes).or_else(default_memory_max),
        }
    }
}

/// Lower bound of `memory_max`, in bytes.
const MEMORY_MIN: u64 = 64 << 20;

/// Cores that this process may use.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
