//! A configuration file: its settings, its problems, and the flags that override it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeValue;

use super::Config;
use super::document::{ConfigDocument, SourceTable};
use super::other_format::{self, OtherFormat};
use super::problem::{ConfigProblem, KeyPlaces};
use super::question::{QuestionConfig, load_questions};
use super::question_options::QuestionOptions;
use pinflow_core::key_problem::KeyProblem;
use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_files::RecordingConfig;
use pinflow_storage::LocationSpec;

/// The purpose of a configuration, which determines the required tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigUse {
    /// `pinflow run`, which needs a source.
    Run,
    /// `pinflow check`, which needs a source or a gateway.
    Check,
    /// `pinflow gateway`, which needs a gateway.
    Gateway,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}; name a configuration (.toml), or a folder or file of recorded posts", path.display())]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The I/O error.
        #[source]
        cause: std::io::Error,
    },
    /// The file contains settings in a format other than TOML.
    #[error("{} is {}; {}", path.display(), found.format, found.remedy)]
    Format {
        /// The path of the file.
        path: PathBuf,
        /// Its format, and what to write instead.
        found: OtherFormat,
    },
    /// The configuration is invalid.
    #[error("{} has {} error{}{}", path.display(), problems.len(), if problems.len() == 1 { "" } else { "s" }, list(path, problems))]
    Invalid {
        /// The path of the file.
        path: PathBuf,
        /// All problems, in the order of the file.
        problems: Vec<ConfigProblem>,
    },
}

impl UserError for ConfigError {
    fn exit_code(&self) -> ExitStatus {
        ExitStatus::BadUsage
    }
}

/// One line per problem, in a format that editors and terminals can jump to.
fn list(path: &Path, problems: &[ConfigProblem]) -> String {
    let line = |problem: &ConfigProblem| match problem.place {
        Some((line, column)) => format!("\n{}:{line}:{column}: {}", path.display(), problem.what),
        None => format!("\n{}", problem.what),
    };
    problems.iter().map(line).collect()
}

/// A configuration that was read, and that flags can still override.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    path: PathBuf,
    /// Whether `path` is a configuration file and not a recording.
    is_file: bool,
    /// The settings. Invalid ones have their defaults.
    pub config: Config,
    /// Problems found by reading.
    problems: Vec<ConfigProblem>,
    places: KeyPlaces,
    too_wide: Vec<KeyProblem>,
    indices: ListIndices,
    /// Keys that were set by flags, each with its flag as given.
    flags: BTreeMap<&'static str, String>,
}

/// The index in the file of each table of a list that was read.
#[derive(Debug, Clone, Default)]
struct ListIndices {
    sources: Vec<usize>,
    questions: Vec<usize>,
}

impl ListIndices {
    /// A path in which the index of a source or question that was read is that in the file. `None` for other paths.
    fn path_in_file(&self, path: &str) -> Option<String> {
        let (list, rest) = path.split_once('.')?;
        let indices = match list {
            "source" => &self.sources,
            "question" => &self.questions,
            _ => return None,
        };
        let (index, key) = rest.split_once('.').map_or((rest, None), |(index, key)| (index, Some(key)));
        let index = indices.get(index.parse::<usize>().ok()?)?;
        Some(key.map_or_else(|| format!("{list}.{index}"), |key| format!("{list}.{index}.{key}")))
    }
}

impl ConfigFile {
    /// Reads a configuration file; a folder, a file of recorded posts, or an archive in a bucket is read as a recording.
    ///
    /// # Errors
    /// [`ConfigError::Read`] if the file does not exist. [`ConfigFile::finish`] reports its problems, after flags have
    /// overridden some keys.
    pub fn read(path: &Path) -> Result<ConfigFile, ConfigError> {
        let is_config = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
        let is_url = path.to_str().is_some_and(|text| !LocationSpec::is_path(text));
        if is_url || path.is_dir() {
            return Ok(ConfigFile::recording(path));
        }
        if path.is_file() && !is_config {
            return match other_format::detect(path) {
                Some(found) => Err(ConfigError::Format { path: path.to_owned(), found }),
                None => Ok(ConfigFile::recording(path)),
            };
        }
        let text = read_text(path)?;
        Ok(ConfigFile::parse(&text, path))
    }

    fn recording(path: &Path) -> ConfigFile {
        ConfigFile {
            path: path.to_owned(),
            is_file: false,
            config: Config::recording(path),
            problems: Vec::new(),
            places: KeyPlaces::default(),
            too_wide: Vec::new(),
            indices: ListIndices::default(),
            flags: BTreeMap::new(),
        }
    }

    /// Lets the recording that the command line names be followed, as `follow = true` in a `[[source]]` does. A file of
    /// settings says so itself: there the flag is a problem.
    pub fn follow_recording(&mut self) {
        if self.is_file {
            let what =
                "--follow: is for a recording that the command line names; write follow = true in its [[source]]";
            self.problems.push(ConfigProblem { place: None, what: what.to_owned() });
        } else {
            self.config.sources =
                vec![Arc::new(RecordingConfig { follow: true, ..RecordingConfig::with_path(&self.path) })];
        }
    }

    /// Reads a configuration text; `path` is the file that it is from.
    #[must_use]
    pub fn parse(text: &str, path: &Path) -> ConfigFile {
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        let mut document = ConfigDocument::parse(text);
        document.check_tables();
        let sources = document.check_sources();
        let questions = document.check_questions();
        let (config, indices) = read_config(&mut document, sources, questions, base);
        let (problems, places, too_wide) = document.finish();
        let (path, flags) = (path.to_owned(), BTreeMap::new());
        ConfigFile { path, is_file: true, config, problems, places, too_wide, indices, flags }
    }

    /// Notes that a flag has set a key, so that errors name the flag and not the file.
    pub fn set_by_flag(&mut self, key: &'static str, flag: String) {
        self.flags.insert(key, flag);
    }

    /// Returns the configuration if it has no problems.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every problem, in the order of the file.
    pub fn finish(mut self, wanted: ConfigUse) -> Result<Config, ConfigError> {
        let config = &self.config;
        let (questions, of_questions) = load_questions(&config.own_questions, &config.base, &config.questions);
        let (of_flags, of_file): (Vec<_>, Vec<_>) =
            of_questions.into_iter().partition(|problem| self.question_flag(problem).is_some());
        let found = config.problems(wanted).into_iter().chain(of_file);
        let found: Vec<_> = found.map(|problem| self.as_in_file(problem)).collect();
        // A number that its type cannot hold was replaced by a valid one. Its range is reported too.
        let is_known = |problem: &KeyProblem| found.iter().any(|other| other.key == problem.key);
        let too_wide = self.too_wide.iter().filter(|problem| !is_known(problem));
        let mut problems: Vec<_> = found.iter().chain(too_wide).filter_map(|problem| self.locate(problem)).collect();
        problems.extend(of_flags.iter().filter_map(|problem| self.flag_problem(problem)));
        problems.append(&mut self.problems);
        problems.sort();
        problems.dedup();
        self.config.compiled_questions = questions;
        if problems.is_empty() { Ok(self.config) } else { Err(ConfigError::Invalid { path: self.path, problems }) }
    }

    /// A problem in which the index of a source or question is that in the file.
    fn as_in_file(&self, problem: KeyProblem) -> KeyProblem {
        let counted = |path: String| self.indices.path_in_file(&path).unwrap_or(path);
        KeyProblem { key: counted(problem.key), conflicts_with: problem.conflicts_with.map(counted), ..problem }
    }

    /// The flag that gave the question with this problem.
    fn question_flag(&self, problem: &KeyProblem) -> Option<&str> {
        let (index, _) = problem.key.strip_prefix("question.")?.split_once('.')?;
        self.config.own_questions.get(index.parse::<usize>().ok()?)?.flag.as_deref()
    }

    /// The problem of a question that a flag gave.
    fn flag_problem(&self, problem: &KeyProblem) -> Option<ConfigProblem> {
        let flag = self.question_flag(problem)?;
        Some(ConfigProblem { place: None, what: format!("{flag}: {}", problem.what) })
    }

    fn locate(&self, problem: &KeyProblem) -> Option<ConfigProblem> {
        match self.flags.get(problem.key.as_str()) {
            Some(flag) => Some(ConfigProblem { place: None, what: format!("{flag}: {}", problem.what) }),
            None if self.is_file => self.places.locate(problem),
            None => Some(ConfigProblem { place: None, what: problem.to_string() }),
        }
    }
}

/// The text of a configuration file.
pub(super) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
    // Some editors start a file with a byte order mark.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The settings of a document, and which of its sources and questions were read.
fn read_config<'a>(
    document: &mut ConfigDocument<'a>,
    sources: Vec<SourceTable<'a>>,
    questions: Vec<(usize, Spanned<DeValue<'a>>)>,
    base: PathBuf,
) -> (Config, ListIndices) {
    let (mut read, mut own_questions, mut indices) = (Vec::new(), Vec::new(), ListIndices::default());
    for SourceTable { index, kind, value } in sources {
        let path = format!("source.{index}");
        let source = document.read_with(&path, value, kind.read);
        indices.sources.extend(source.is_some().then_some(index));
        read.extend(source);
    }
    for (index, value) in questions {
        let question: Option<QuestionConfig> = document.read(&format!("question.{index}"), value);
        indices.questions.extend(question.is_some().then_some(index));
        own_questions.extend(question);
    }
    let options: QuestionOptions = document.read_top_level("questions").unwrap_or_default();
    let config = Config {
        pipeline: document.read_top_level("pipeline").unwrap_or_else(|| "posts".to_owned()),
        sources: read,
        questions: options.graph_options(),
        question_limits: options.limits(),
        own_questions,
        compiled_questions: Vec::new(),
        tables: document.read_top_level("tables"),
        archive: document.read_top_level("archive"),
        objects: document.read_top_level("objects").unwrap_or_default(),
        answers: document.read_top_level("answers").unwrap_or_default(),
        engine: document.read_top_level("engine").unwrap_or_default(),
        output: document.read_top_level("output").unwrap_or_default(),
        serve: document.read_top_level("serve"),
        cluster: document.read_top_level("cluster"),
        process: None,
        gateway: document.read_top_level("gateway"),
        telemetry: document.read_top_level("telemetry"),
        base,
        until_caught_up: false,
        accepted: Vec::new(),
    };
    (config, indices)
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod reference_tests;

#[cfg(test)]
#[path = "file_tests.rs"]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests;
