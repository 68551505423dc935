//! `[[question]]` and `--question`: questions of the user's own, in SQL.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pinflow_core::key_problem::KeyProblem;
use pinflow_dataflows::graph::GraphOptions;
use pinflow_dataflows::questions::{Question, QuestionName, QuestionOrigin, QuestionSet, question_parameters};
use pinflow_sql::bind::bind_question;
use pinflow_sql::catalog::POSTS;
use pinflow_sql::diagnostics::{QuestionError, QuestionProblem};
use serde::Deserialize;

/// The longest text of a question, bytes.
pub const QUESTION_BYTES_MAX: usize = 64 << 10;

/// `[[question]]`: a question in a file or in the configuration itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuestionConfig {
    /// The name of its answer. A question in a file is named after the file by default.
    pub name: Option<String>,
    /// A file with its text.
    pub file: Option<PathBuf>,
    /// Its text.
    pub sql: Option<String>,
    /// The flag that gave it, if it is not from a configuration.
    #[serde(skip)]
    pub(super) flag: Option<String>,
}

/// The text of a question, with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuestionText {
    /// The name of its answer.
    pub name: QuestionName,
    /// What errors call it: the name of its file, or its own.
    pub label: String,
    /// The text.
    pub sql: String,
}

/// Why a file cannot be used as a question.
#[derive(Debug, thiserror::Error)]
pub enum QuestionFileError {
    /// It cannot be read.
    #[error("cannot read {}: {}", path.display(), io_reason(cause))]
    Read {
        /// The path.
        path: PathBuf,
        /// The error.
        cause: io::Error,
    },
    /// It is not a file.
    #[error("{} is not a file; name a file with one SELECT", .0.display())]
    NotAFile(PathBuf),
    /// It holds no text.
    #[error("{what} is empty; write one SELECT")]
    Empty {
        /// The path, or `stdin`.
        what: String,
    },
    /// It is too large.
    #[error("{what} is larger than {} KiB, the most that a question can have", QUESTION_BYTES_MAX >> 10)]
    TooLarge {
        /// The path, or `stdin`.
        what: String,
    },
    /// Its name cannot be the name of an answer.
    #[error("{} gives no name: {reason}", path.display())]
    Unnamed {
        /// The path.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// What the operating system says, without its number.
fn io_reason(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::InvalidData => "it is not text in UTF-8".to_owned(),
        _ => cause.to_string(),
    }
}

impl QuestionConfig {
    /// The question in the file of a flag. A relative path is relative to the working directory.
    #[must_use]
    pub fn from_flag(path: &Path) -> QuestionConfig {
        let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let flag = Some(format!("--question {}", path.display()));
        QuestionConfig { name: None, file: Some(file), sql: None, flag }
    }

    /// The name and the text of the question. `base` is the directory that a relative path is relative to.
    fn load_text(&self, base: &Path) -> Result<QuestionText, KeyProblem> {
        match (&self.file, &self.sql) {
            (Some(_), Some(_)) => {
                Err(KeyProblem::new("sql", "a question has either `file` or `sql`; remove one").conflicts_with("file"))
            }
            (None, None) => {
                let what = "neither `file` nor `sql` is given; add file = \"questions/pins_by_category.sql\", or \
                            sql = \"SELECT category, count(*) AS pins FROM pin GROUP BY category\"";
                Err(KeyProblem::table(what))
            }
            (Some(file), None) => {
                let path = base.join(file);
                let sql = read_question_file(&path).map_err(|error| KeyProblem::new("file", error.to_string()))?;
                let name = match &self.name {
                    Some(name) => parse_name(name)?,
                    None => name_of_file(&path).map_err(|reason| {
                        let what = format!("{} gives no name: {reason}; add name = \"…\"", file.display());
                        KeyProblem::new("file", what)
                    })?,
                };
                Ok(QuestionText { name, label: file_label(&path), sql })
            }
            (None, Some(sql)) => {
                let Some(name) = &self.name else {
                    let what = "the key `name` is missing; add name = \"pins_by_category\" (only a question in a file is \
                                named after the file)";
                    return Err(KeyProblem::table(what));
                };
                let name = parse_name(name)?;
                check_text("it".to_owned(), sql).map_err(|error| KeyProblem::new("sql", error.to_string()))?;
                Ok(QuestionText { label: name.to_string(), name, sql: sql.clone() })
            }
        }
    }
}

fn parse_name(name: &str) -> Result<QuestionName, KeyProblem> {
    QuestionName::parse(name).map_err(|error| KeyProblem::new("name", error.to_string()))
}

/// The name of a file without its folder, which errors of its text begin with.
fn file_label(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The name of the question in a file: the file's name without its extension.
fn name_of_file(path: &Path) -> Result<QuestionName, String> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    QuestionName::parse(&stem).map_err(|error| error.to_string())
}

/// The question in a file, named after it.
///
/// # Errors
/// If the file cannot be read, or its name cannot be the name of an answer.
pub fn read_named_question(path: &Path) -> Result<QuestionText, QuestionFileError> {
    let sql = read_question_file(path)?;
    let name = name_of_file(path).map_err(|reason| QuestionFileError::Unnamed { path: path.to_owned(), reason })?;
    Ok(QuestionText { name, label: file_label(path), sql })
}

/// The text of a question in a file.
///
/// # Errors
/// If it cannot be read, is empty, too large or no text.
pub fn read_question_file(path: &Path) -> Result<String, QuestionFileError> {
    let failed = |cause| QuestionFileError::Read { path: path.to_owned(), cause };
    // Opening a named pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(QuestionFileError::NotAFile(path.to_owned()));
    }
    read_question_text(File::open(path).map_err(failed)?, &path.display().to_string()).map_err(|error| match error {
        QuestionFileError::Read { cause, .. } => failed(cause),
        other => other,
    })
}

/// The text of a question from a reader, such as stdin. `what` names it in errors.
///
/// # Errors
/// If it cannot be read, is empty, too large or no text.
pub fn read_question_text(from: impl Read, what: &str) -> Result<String, QuestionFileError> {
    let mut text = String::new();
    let mut limited = from.take(QUESTION_BYTES_MAX as u64 + 1);
    match limited.read_to_string(&mut text) {
        // A character that is cut off at the limit is no wrong one.
        Err(cause) if cause.kind() == io::ErrorKind::InvalidData && limited.limit() == 0 => {
            return Err(QuestionFileError::TooLarge { what: what.to_owned() });
        }
        Err(cause) => return Err(QuestionFileError::Read { path: PathBuf::from(what), cause }),
        Ok(_) => {}
    }
    // Some editors start a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    check_text(what.to_owned(), &text)?;
    Ok(text)
}

fn check_text(what: String, text: &str) -> Result<(), QuestionFileError> {
    if text.len() > QUESTION_BYTES_MAX {
        return Err(QuestionFileError::TooLarge { what });
    }
    if text.trim().is_empty() { Err(QuestionFileError::Empty { what }) } else { Ok(()) }
}

/// Compiles the text of a configured question with these options.
///
/// # Errors
/// All problems of the text.
pub fn compile_text(text: &QuestionText, options: &GraphOptions) -> Result<Question, QuestionError> {
    compile_as(text, options, QuestionOrigin::Configured)
}

/// Compiles the text of a question of this origin with these options.
///
/// # Errors
/// All problems of the text.
pub fn compile_as(
    text: &QuestionText,
    options: &GraphOptions,
    origin: QuestionOrigin,
) -> Result<Question, QuestionError> {
    let bound = bind_question(&text.label, &text.sql, &POSTS, &question_parameters(*options))?;
    let question = Question::from_bound(text.name.clone(), &text.sql, bound, origin);
    question.map_err(|error| {
        let problem = QuestionProblem { span: None, message: error.to_string() };
        QuestionError::new(&text.label, &text.sql, vec![problem])
    })
}

/// Reads and compiles all configured questions.
///
/// Returns those that can be maintained, and the problems of all others. Their keys begin with `question.` and the index
/// of the question in `configs`.
pub(super) fn load_questions(
    configs: &[QuestionConfig],
    base: &Path,
    options: &GraphOptions,
) -> (Vec<Question>, Vec<KeyProblem>) {
    let (mut questions, mut problems) = (Vec::new(), Vec::new());
    let mut names = QuestionNames { built_in: QuestionSet::built_in(*options), configured: Vec::new() };
    for (index, config) in configs.iter().enumerate() {
        let table = format!("question.{index}");
        let loaded = config.load_text(base).map_err(|problem| problem.within(&table));
        let loaded = loaded.and_then(|text| {
            let named_by = if config.name.is_some() { "name" } else { "file" };
            names.claim_name(&text.name, format!("{table}.{named_by}"))?;
            compile_text(&text, options).map_err(|error| {
                let key = if config.file.is_some() { "file" } else { "sql" };
                KeyProblem::new(key, error.to_string()).within(&table)
            })
        });
        match loaded {
            Ok(question) => questions.push(question),
            Err(problem) => problems.push(problem),
        }
    }
    (questions, problems)
}

/// The names of questions that are taken.
struct QuestionNames {
    built_in: QuestionSet,
    /// Each with the path of the key that it is from.
    configured: Vec<(QuestionName, String)>,
}

impl QuestionNames {
    /// Takes a name for the question that has it from this key.
    fn claim_name(&mut self, name: &QuestionName, key: String) -> Result<(), KeyProblem> {
        if self.built_in.names().any(|other| other.eq_ignore_ascii_case(name)) {
            let what = format!("`{name}` is the name of a built-in question; choose another name");
            return Err(KeyProblem::new(key, what));
        }
        let is_taken = |(other, _): &&(QuestionName, String)| other.eq_ignore_ascii_case(name);
        if let Some((_, other)) = self.configured.iter().find(is_taken) {
            let what = format!("another question is named `{name}`; names must differ in more than case");
            return Err(KeyProblem::new(key, what).conflicts_with(other));
        }
        self.configured.push((name.clone(), key));
        Ok(())
    }
}
