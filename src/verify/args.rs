//! Command-line arguments of `pinflow verify`.

use std::path::PathBuf;

use crate::query::RunAddress;

/// Verify a running pinflow: recompute its durable answers from its tables, and compare. The run goes on meanwhile
#[derive(Debug, Clone, clap::Args)]
pub struct VerificationArgs {
    /// The answers to verify [default: all]
    #[arg(value_name = "ANSWER")]
    pub(super) answers: Vec<String>,
    /// The tables of the run: a folder with pin, geo and user, or s3://BUCKET/PREFIX. Needed if the run writes to a folder
    /// of another machine [default: where the run writes them]
    #[arg(long, value_name = "FOLDER|URL")]
    pub(super) tables: Option<PathBuf>,
    /// Connect to the bucket as `[objects]` of this configuration does. Without it, the environment and the AWS profile
    /// decide
    #[arg(long, value_name = "FILE.toml")]
    pub(super) connection: Option<PathBuf>,
    /// Show at most this many differing rows of each side of an answer
    #[arg(long, value_name = "ROWS", default_value_t = 5)]
    pub(super) differences: usize,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: VerificationFormat,
    /// Do not show the result in the run's `/status` and on its page, which needs the admin token if the run has tokens
    #[arg(long)]
    pub(super) no_report: bool,
    #[command(flatten)]
    pub(super) address: RunAddress,
}

impl VerificationArgs {
    /// Whether the output is for programs.
    pub(crate) fn is_data(&self) -> bool {
        self.format == VerificationFormat::Json
    }
}

/// Output format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum VerificationFormat {
    /// A line for each answer, with the rows that differ
    #[default]
    Text,
    /// One JSON object
    Json,
}
