//! Configuration: a TOML file, or a folder of recorded posts, and the flags that override it.
//!
//! Everything that is wrong with a file is reported at once, each problem with line and column. Unknown keys are errors.
//! Relative paths are relative to the file. Secrets are never in a file: they come from the environment, from files of
//! their own or from a credential chain.

mod connection;
mod document;
mod file;
mod memory;
mod other_format;
mod problem;
mod schema;
mod suggestion;
mod value_type;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pinflow_dataflows::graph::GraphOptions;
use pinflow_dataflows::ingest::MessageLimits;
use serde::Deserialize;

pub use connection::{kafka_connection, kinesis_connection, storage_connection};
pub use file::{ConfigError, ConfigFile, ConfigUse};
pub use memory::ByteSize;
use memory::default_memory_max;
pub use other_format::OtherFormat;
pub use problem::ConfigProblem;

pub use pinflow_connect::source::AcceptedLoss;

use crate::telemetry::TelemetryConfig;
use pinflow_archive::ArchiveConfig;
use pinflow_connect::source::source_kind::{PlanContext, SourceConfig};
use pinflow_core::key_problem::KeyProblem;
use pinflow_delta as delta;
use pinflow_delta::answers::AnswerTablesConfig;
use pinflow_engine::{CommitPolicy, EngineSettings};
use pinflow_files::RecordingConfig;
use pinflow_gateway::GatewayConfig;
use pinflow_serving::{HttpConfig, StdoutFormat};
use pinflow_storage::{self as storage, LocationSpec};

const NO_SOURCE: &str = "there is no source; add [[source]] with kind = \"recording\" and path = \"FOLDER\"";

/// A window is full with this many bytes of messages, however few they are: few large ones must not fill the memory.
const WINDOW_BYTES_MAX: usize = 256 << 20;
/// The same where its messages are kept until they are archived.
const ARCHIVED_WINDOW_BYTES_MAX: usize = 64 << 20;

/// A run, as configured.
#[derive(Debug, Clone)]
pub struct Config {
    /// Names this pipeline's positions in the tables.
    pub pipeline: String,
    /// Where records come from.
    pub sources: Vec<Arc<dyn SourceConfig>>,
    /// What the answers mean.
    pub questions: GraphOptions,
    /// Where rows go; nowhere if absent.
    pub tables: Option<TablesConfig>,
    /// Where messages go as they were received; nowhere if absent.
    pub archive: Option<ArchiveConfig>,
    /// How buckets are reached.
    pub objects: storage::StorageConnection,
    /// Whether, and where, answers are kept as tables.
    pub answers: AnswersConfig,
    /// How the engine runs.
    pub engine: EngineConfig,
    /// What stdout shows.
    pub output: OutputConfig,
    /// Whether, and how, answers are served over HTTP.
    pub serve: Option<HttpConfig>,
    /// The front door that `pinflow gateway` opens; nothing to a run.
    pub gateway: Option<GatewayConfig>,
    /// Whether, and where, logs and spans are exported.
    pub telemetry: Option<TelemetryConfig>,
    /// What relative paths are relative to.
    pub base: PathBuf,
    /// Ends the run once what was there when it began is read: said on the command line.
    pub until_caught_up: bool,
    /// Records that may be missing: only ever said on the command line, for one start.
    pub accepted: Vec<AcceptedLoss>,
}

/// `[tables]`: the Delta tables.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TablesConfig {
    /// Where the four tables lie: a folder, or `s3://BUCKET/PREFIX`.
    pub url: String,
    /// Rows held before a commit is forced.
    #[serde(default = "TablesConfig::commit_rows_max")]
    pub commit_rows_max: u64,
    /// Age of the oldest held row before a commit is forced, seconds.
    #[serde(default = "TablesConfig::commit_age_secs_max")]
    pub commit_age_secs_max: f64,
    /// How parquet files are compressed.
    #[serde(default)]
    pub compression: delta::Compression,
    /// Whether small files are joined beside the run.
    #[serde(default = "TablesConfig::compact")]
    pub compact: bool,
    /// Files to which no version of so many hours refers are removed beside the run; 0: never.
    #[serde(default = "TablesConfig::keep_hours")]
    pub keep_hours: u32,
    /// Files of a table to which its newest version does not refer, at the most; above that only those of the last
    /// minutes are kept. 0: no bound.
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

    /// Tables at a place, all else by default.
    #[must_use]
    pub fn at(url: &str) -> TablesConfig {
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

    /// Where they are to lie. `base` is what relative paths are relative to.
    ///
    /// # Errors
    /// What it cannot be, and the mend.
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

/// `[answers]`: where answers go besides stdout and HTTP.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnswersConfig {
    /// As small Delta tables.
    pub delta: Option<AnswerTablesConfig>,
}

/// `[engine]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Worker threads; by default one per core.
    pub workers: Option<usize>,
    /// Least time from one epoch to the next, and the longest a record waits for its epoch, milliseconds.
    pub epoch_ms: u64,
    /// An epoch closes early when it holds this many bytes per worker.
    pub epoch_bytes_max: usize,
    /// Closed epochs under way in the graph before sources have to wait.
    pub epochs_in_flight_max: usize,
    /// The longest message that is read; a longer one is rejected as `too_large`.
    pub message_bytes_max: usize,
    /// The longest `category`, `poster_name`, `country`, `first_name` or `last_name`, bytes; a longer one is null.
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
    /// In which form; by default tables on a terminal, snapshots elsewhere.
    pub format: Option<StdoutFormat>,
    /// Least time between two snapshots, or two drawings of the tables, milliseconds.
    pub every_ms: u64,
}

impl Default for OutputConfig {
    fn default() -> OutputConfig {
        OutputConfig { format: None, every_ms: 1000 }
    }
}

impl Config {
    /// A run over one recording, all else by default and without tables.
    #[must_use]
    pub fn recording(path: &Path) -> Config {
        Config {
            pipeline: "posts".to_owned(),
            sources: vec![Arc::new(RecordingConfig::with_path(path))],
            questions: GraphOptions::default(),
            tables: None,
            archive: None,
            objects: storage::StorageConnection::default(),
            answers: AnswersConfig::default(),
            engine: EngineConfig::default(),
            output: OutputConfig::default(),
            serve: None,
            gateway: None,
            telemetry: None,
            base: PathBuf::new(),
            until_caught_up: false,
            accepted: Vec::new(),
        }
    }

    /// What is wrong though every key can be read. Keys are named by their path from the top, as in `tables.url`.
    #[must_use]
    pub fn problems(&self, wanted: ConfigUse) -> Vec<KeyProblem> {
        let mut problems = Vec::new();
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if self.pipeline.is_empty() || self.pipeline.len() > 63 || !self.pipeline.chars().all(named) {
            problems.push(KeyProblem::range("pipeline", "1 to 63 of a-z, 0-9, _ and -"));
        }
        problems.extend(self.missing(wanted));
        let mut add = |table: &str, found: Vec<KeyProblem>| {
            problems.extend(found.into_iter().map(|problem| problem.within(table)));
        };
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
        add("answers.delta", self.answers.delta.iter().flat_map(|answers| answers.faults(&self.base)).collect());
        add("serve", self.serve.iter().flat_map(|serve| serve.validate(&self.base)).collect());
        add("gateway", self.gateway.iter().flat_map(|gateway| gateway.validate(&self.base)).collect());
        add("telemetry", self.telemetry.iter().flat_map(TelemetryConfig::faults).collect());
        for (index, source) in self.sources.iter().enumerate() {
            add(&format!("source.{index}"), source.validate(&self.base));
        }
        problems
    }

    /// The table that a command needs and that is not there.
    fn missing(&self, wanted: ConfigUse) -> Option<KeyProblem> {
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

    /// What sources need of the other settings.
    #[must_use]
    pub fn plan_context(&self) -> PlanContext<'_> {
        PlanContext { base: &self.base, pipeline: &self.pipeline, accepted: &self.accepted, objects: &self.objects }
    }

    /// How the engine is to run.
    #[must_use]
    pub fn engine_settings(&self) -> EngineSettings {
        // More than there are cores would only be slower.
        let workers = self.engine.workers.unwrap_or_else(cores).min(cores());
        let tables = self.tables.clone().unwrap_or_else(|| TablesConfig::at("none"));
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
            questions: self.questions,
            limits: MessageLimits {
                bytes_max: self.engine.message_bytes_max,
                text_bytes_max: self.engine.text_bytes_max,
                ..MessageLimits::default()
            },
            memory_max: self.engine.memory_max.map(|ByteSize(bytes)| bytes).or_else(default_memory_max),
        }
    }
}

/// The least that `memory_max` may be, bytes.
const MEMORY_MIN: u64 = 64 << 20;

/// Cores that this process may use.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
