//! Command-line arguments of `pinflow question`.

use std::io::IsTerminal;
use std::path::PathBuf;

use pinflow_dataflows::graph::{DuplicatePolicy, GraphOptions};

use super::flags::{RankingFlags, duplicate_policies};
use crate::query::RunAddress;

/// Explain questions in SQL, answer them once over tables, change those of a running pinflow, print the built-in ones
#[derive(Debug, Clone, clap::Args)]
pub struct QuestionArgs {
    #[command(subcommand)]
    pub(super) command: QuestionSubcommand,
}

impl QuestionArgs {
    /// Whether the output is for programs.
    pub(crate) fn is_data(&self) -> bool {
        match &self.command {
            QuestionSubcommand::Explain(args) => args.format == ExplainFormat::Json,
            QuestionSubcommand::Try(args) => args.output_format() != QuestionFormat::Table,
            QuestionSubcommand::List(args) => args.output_format() != QuestionFormat::Table,
            QuestionSubcommand::Builtin(_) => true,
            QuestionSubcommand::Add(_) | QuestionSubcommand::Replace(_) | QuestionSubcommand::Drop(_) => false,
        }
    }
}

/// The subcommand with its arguments.
#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum QuestionSubcommand {
    /// Show the columns of an answer, its plan, and what a run holds in memory for it. Needs no run, and tables only to measure
    /// the memory
    Explain(ExplainArgs),
    /// Answer a question once, over the rows that tables hold now. A run may be writing to them
    Try(TryArgs),
    /// Add a question to a running pinflow, and wait until it is answered
    Add(AddArgs),
    /// Replace an added question of a running pinflow. The old answer is shown until the new one is complete
    Replace(AddArgs),
    /// Drop an added question of a running pinflow
    Drop(DropArgs),
    /// List the questions of a running pinflow, with their states and costs
    List(ListArgs),
    /// List the built-in questions, or print the SQL of one, for a start
    Builtin(BuiltinArgs),
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct ExplainArgs {
    /// Files with one SELECT each; - reads stdin
    #[arg(value_name = "FILE.sql", required = true)]
    pub(super) files: Vec<PathBuf>,
    /// Measure the memory over these tables, which takes as much of it: a folder with pin, geo and user, or
    /// s3://BUCKET/PREFIX
    #[arg(long, value_name = "FOLDER|URL")]
    pub(super) tables: Option<PathBuf>,
    #[command(flatten)]
    pub(super) reading: ReadingFlags,
    /// Estimate the memory for this many `ind`, each with one row of every stream
    #[arg(long, value_name = "N", conflicts_with = "tables")]
    pub(super) inds: Option<u64>,
    /// How many groups they make [default: as many as there are `ind`]
    #[arg(long, value_name = "N", requires = "inds")]
    pub(super) groups: Option<u64>,
    #[command(flatten)]
    pub(super) rankings: RankingFlags,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: ExplainFormat,
}

/// Output format of an explanation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ExplainFormat {
    /// Text to read
    #[default]
    Text,
    /// One JSON object for each question
    Json,
}

impl ExplainArgs {
    /// The options of the questions.
    pub(super) fn graph_options(&self) -> GraphOptions {
        self.reading.apply(self.rankings.graph_options())
    }
}

/// How tables are read.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ReadingFlags {
    /// Connect to the bucket as `[objects]` of this configuration does. Without it, the environment and the AWS profile
    /// decide
    #[arg(long, value_name = "FILE.toml", requires = "tables")]
    pub(super) connection: Option<PathBuf>,
    /// Which rows of one `ind` count [default: latest]
    #[arg(long, value_name = "latest|keep", value_parser = duplicate_policies())]
    duplicates: Option<DuplicatePolicy>,
}

impl ReadingFlags {
    fn apply(&self, options: GraphOptions) -> GraphOptions {
        GraphOptions { duplicates: self.duplicates.unwrap_or(options.duplicates), ..options }
    }
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct TryArgs {
    /// A file with one SELECT; - reads stdin
    #[arg(value_name = "FILE.sql")]
    pub(super) file: PathBuf,
    /// The tables of a run: a folder with pin, geo and user, or s3://BUCKET/PREFIX
    #[arg(long, value_name = "FOLDER|URL")]
    pub(super) tables: PathBuf,
    #[command(flatten)]
    pub(super) reading: ReadingFlags,
    #[command(flatten)]
    rankings: RankingFlags,
    /// Print at most this many rows, the first ones of the answer [default: all]
    #[arg(long, value_name = "ROWS")]
    pub(super) limit: Option<usize>,
    /// Output format [default: table on a terminal, json elsewhere]
    #[arg(long, value_enum, alias = "output")]
    format: Option<QuestionFormat>,
}

impl TryArgs {
    /// The options of the question.
    pub(super) fn graph_options(&self) -> GraphOptions {
        self.reading.apply(self.rankings.graph_options())
    }

    /// The given format, or the default: a table on a terminal, else JSON.
    pub(super) fn output_format(&self) -> QuestionFormat {
        let by_default = if std::io::stdout().is_terminal() { QuestionFormat::Table } else { QuestionFormat::Json };
        self.format.unwrap_or(by_default)
    }
}

/// Output format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum QuestionFormat {
    /// A table to read
    Table,
    /// One JSON object with the columns and the rows
    Json,
    /// Comma-separated values
    Csv,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct BuiltinArgs {
    /// The question whose SQL is printed. Without one, the names are listed
    #[arg(value_name = "NAME")]
    pub(super) name: Option<String>,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct AddArgs {
    /// A file with one SELECT; - reads stdin
    #[arg(value_name = "FILE.sql")]
    pub(super) file: PathBuf,
    /// The name of the answer [default: the name of the file without its extension]
    #[arg(long, value_name = "ANSWER")]
    pub(super) name: Option<String>,
    /// Return once the run has accepted the question, without waiting for its answer
    #[arg(long)]
    pub(super) no_wait: bool,
    #[command(flatten)]
    pub(super) address: RunAddress,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct DropArgs {
    /// The question
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    #[command(flatten)]
    pub(super) address: RunAddress,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct ListArgs {
    /// Output format [default: table on a terminal, json elsewhere]
    #[arg(long, value_enum)]
    format: Option<QuestionFormat>,
    #[command(flatten)]
    pub(super) address: RunAddress,
}

impl ListArgs {
    /// The given format, or the default: a table on a terminal, else JSON.
    pub(super) fn output_format(&self) -> QuestionFormat {
        let by_default = if std::io::stdout().is_terminal() { QuestionFormat::Table } else { QuestionFormat::Json };
        self.format.unwrap_or(by_default)
    }
}
