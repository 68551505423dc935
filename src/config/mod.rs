//! Configuration: what a TOML file, or a folder and some flags, says of a run.
//!
//! Unknown keys are errors, and every fault is reported at once. Relative paths are relative to the file.
//! Secrets never stand here: they come from the environment, from files or from a credential chain.

mod connection;
mod toml_faults;

use std::path::{Path, PathBuf};
use std::time::Duration;

use pinflow_dataflows::graph::Options;
use pinflow_dataflows::ingest::Limits;
use serde::Deserialize;

pub use connection::{kafka_connection, kinesis_connection, objects_connection};
use toml_faults::Document;
pub use toml_faults::Fault;

pub use crate::sources::AcceptedLoss;

use crate::archive::ArchiveConfig;
use crate::engine::{CommitPolicy, Settings};
use crate::gateway::GatewayConfig;
use crate::objects::{self, Target};
use crate::serving::{Format, HttpConfig};
use crate::sinks::answers::AnswerTablesConfig;
use crate::sinks::delta;
use crate::sources::kafka::KafkaConfig;
use crate::sources::kinesis::KinesisConfig;
use crate::sources::recording::RecordingConfig;
use crate::telemetry::TelemetryConfig;

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
    pub sources: Vec<SourceConfig>,
    /// What the answers mean.
    pub questions: Options,
    /// Where rows go; nowhere if absent.
    pub tables: Option<TablesConfig>,
    /// Where messages go as they were received; nowhere if absent.
    pub archive: Option<ArchiveConfig>,
    /// How buckets are reached.
    pub objects: objects::Connection,
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

/// One `[[source]]`.
#[derive(Debug, Clone)]
pub enum SourceConfig {
    /// Recorded files.
    Recording(RecordingConfig),
    /// Topics of a Kafka cluster.
    Kafka(Box<KafkaConfig>),
    /// Streams of Amazon Kinesis.
    Kinesis(Box<KinesisConfig>),
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
        }
    }

    /// Where they are to lie. `base` is what relative paths are relative to.
    ///
    /// # Errors
    /// What it cannot be, and the mend.
    pub fn root(&self, base: &Path) -> Result<Target, String> {
        Target::parse(&self.url, base, "[tables] url")
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
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        EngineConfig {
            workers: None,
            epoch_ms: 10,
            epoch_bytes_max: 8 << 20,
            epochs_in_flight_max: 2,
            message_bytes_max: Limits::default().bytes_max,
        }
    }
}

/// `[output]`: what stdout shows.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// In which form; by default tables on a terminal, snapshots elsewhere.
    pub format: Option<Format>,
    /// Least time between two snapshots, or two drawings of the tables, milliseconds.
    pub every_ms: u64,
}

impl Default for OutputConfig {
    fn default() -> OutputConfig {
        OutputConfig { format: None, every_ms: 1000 }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read configuration {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Faults in it, all that were found.
    #[error("{path} has {} fault{}:{}", faults.len(), if faults.len() == 1 { "" } else { "s" }, list(faults))]
    Faulty {
        /// The file.
        path: PathBuf,
        /// Each with its line and mend.
        faults: Vec<Fault>,
    },
}

fn list(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}

impl Config {
    /// A run over one recording, all else by default and without tables.
    #[must_use]
    pub fn recording(path: &Path) -> Config {
        Config {
            pipeline: "posts".to_owned(),
            sources: vec![SourceConfig::Recording(RecordingConfig::at(path))],
            questions: Options::default(),
            tables: None,
            archive: None,
            objects: objects::Connection::default(),
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

    /// Reads a configuration file; a folder, a file of recorded posts, or an archive in a bucket is read as a recording.
    ///
    /// # Errors
    /// [`ConfigError`], with every fault at once.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let is_config = path.extension().is_some_and(|extension| extension == "toml");
        let is_url = path.to_str().is_some_and(|text| !Target::is_path(text));
        if is_url || path.is_dir() || (path.is_file() && !is_config) {
            return Ok(Config::recording(path));
        }
        let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        Config::parse(&text, base).map_err(|faults| ConfigError::Faulty { path: path.to_owned(), faults })
    }

    /// The configuration, if nothing is wrong with it. For a run it has a source.
    ///
    /// # Errors
    /// Every fault of it; `path` says what was read.
    pub fn checked(self, path: &Path, expects_source: bool) -> Result<Config, ConfigError> {
        let faults: Vec<_> = self.faults(expects_source).into_iter().map(|what| Fault { line: None, what }).collect();
        if faults.is_empty() { Ok(self) } else { Err(ConfigError::Faulty { path: path.to_owned(), faults }) }
    }

    /// Reads a configuration text.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn parse(text: &str, base: PathBuf) -> Result<Config, Vec<Fault>> {
        let mut document = Document::parse(text).map_err(|fault| vec![fault])?;
        let pipeline = document.optional::<String>("pipeline");
        let mut sources = Vec::new();
        for (at, mut table) in document.tables("source") {
            match toml_faults::take_text(&mut table, "kind").as_deref() {
                Some("recording") => sources.extend(document.read("source", table).map(SourceConfig::Recording)),
                Some("kafka") => {
                    sources.extend(document.read("source", table).map(|read| SourceConfig::Kafka(Box::new(read))));
                }
                Some("kinesis") => {
                    sources.extend(document.read("source", table).map(|read| SourceConfig::Kinesis(Box::new(read))));
                }
                Some(kind) => {
                    let what = format!("[[source]] kind `{kind}` is unknown; known are recording, kafka and kinesis");
                    document.fault(Some(at), what);
                }
                None => document
                    .fault(Some(at), "[[source]] lacks its kind; write kind = \"recording\", \"kafka\" or \"kinesis\""),
            }
        }
        let config = Config {
            pipeline: pipeline.unwrap_or_else(|| "posts".to_owned()),
            sources,
            questions: document.section("questions"),
            tables: document.optional("tables"),
            archive: document.optional("archive"),
            objects: document.section("objects"),
            answers: document.section("answers"),
            engine: document.section("engine"),
            output: document.section("output"),
            serve: document.optional("serve"),
            gateway: document.optional("gateway"),
            telemetry: document.optional("telemetry"),
            base,
            until_caught_up: false,
            accepted: Vec::new(),
        };
        document.refuse_rest(
            "pipeline, source, questions, tables, archive, objects, answers, engine, output, serve, gateway, telemetry",
        );
        // A source that could not be read is a fault already, not an absence; a gateway needs none.
        let expects_source = document.faults.is_empty() && config.gateway.is_none();
        for what in config.faults(expects_source) {
            document.fault(None, what);
        }
        if document.faults.is_empty() { Ok(config) } else { Err(document.faults) }
    }

    /// What is wrong though every key can be read.
    #[must_use]
    pub fn faults(&self, expects_source: bool) -> Vec<String> {
        let mut faults = Vec::new();
        let mut require = |holds: bool, what: &str| {
            if !holds {
                faults.push(what.to_owned());
            }
        };
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        require(
            !self.pipeline.is_empty() && self.pipeline.len() <= 63 && self.pipeline.chars().all(named),
            "pipeline must be 1 to 63 of a-z, 0-9, _ and -",
        );
        require(
            !expects_source || !self.sources.is_empty(),
            "no source: add a [[source]] with kind = \"recording\" and path = \"…\"",
        );
        let engine = &self.engine;
        require(engine.workers != Some(0), "workers must be at least 1");
        require((1..=10_000).contains(&engine.epoch_ms), "[engine] epoch_ms must be 1 to 10000");
        require((1..=64).contains(&engine.epochs_in_flight_max), "[engine] epochs_in_flight_max must be 1 to 64");
        require(engine.epoch_bytes_max >= 1024, "[engine] epoch_bytes_max must be at least 1024");
        require(
            (1024..=256 << 20).contains(&engine.message_bytes_max),
            "[engine] message_bytes_max must be 1024 to 268435456",
        );
        require(self.output.every_ms >= 1, "[output] every_ms must be at least 1");
        if let Some(tables) = &self.tables {
            require(tables.commit_rows_max >= 1, "[tables] commit_rows_max must be at least 1");
            require(
                (0.01..=86_400.0).contains(&tables.commit_age_secs_max),
                "[tables] commit_age_secs_max must be 0.01 to 86400",
            );
            require(
                tables.keep_hours == 0 || (24..=87_600).contains(&tables.keep_hours),
                "[tables] keep_hours must be 24 to 87600, or 0 to remove nothing: readers of older versions need a day",
            );
            if let Err(what) = tables.root(&self.base) {
                faults.push(what);
            }
        }
        if let Some(archive) = &self.archive {
            faults.extend(archive.faults(&self.base));
            if self.tables.is_none() {
                faults.push(
                    "[archive] needs [tables]: they hold how far it has got; add them, or leave it out".to_owned(),
                );
            }
        }
        faults.extend(self.objects.faults());
        if let Some(answers) = &self.answers.delta {
            faults.extend(answers.faults(&self.base));
        }
        if let Some(serve) = &self.serve {
            faults.extend(serve.faults(&self.base));
        }
        if let Some(gateway) = &self.gateway {
            faults.extend(gateway.faults(&self.base));
        }
        faults.extend(self.telemetry.iter().flat_map(TelemetryConfig::faults));
        for source in &self.sources {
            match source {
                SourceConfig::Recording(recording) => {
                    let path = recording.path.to_str().unwrap_or(".");
                    faults.extend(Target::parse(path, &self.base, "path of a recording").err());
                }
                SourceConfig::Kafka(kafka) => faults.extend(kafka.faults(&self.base)),
                SourceConfig::Kinesis(kinesis) => faults.extend(kinesis.faults()),
            }
        }
        faults
    }

    /// How the engine is to run.
    #[must_use]
    pub fn engine_settings(&self) -> Settings {
        // More than there are cores would only be slower.
        let workers = self.engine.workers.unwrap_or_else(cores).min(cores());
        let tables = self.tables.clone().unwrap_or_else(|| TablesConfig::at("none"));
        let rotate = Duration::from_secs(self.archive.as_ref().map_or(0, |archive| archive.rotate_secs));
        Settings {
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
            limits: Limits { bytes_max: self.engine.message_bytes_max, ..Limits::default() },
        }
    }
}

/// Cores that this process may use.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
