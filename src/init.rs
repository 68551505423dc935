//! `pinflow init`: prints a configuration to start from, or writes it to a new file.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::config::ConfigTemplate;
use pinflow_core::user_error::{ExitStatus, UserError};

/// The name of the file in the comments of a configuration that is printed.
const DEFAULT_NAME: &str = "posts.toml";

/// The command line of `pinflow init`.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// The source of the configuration, or a gateway
    #[arg(value_name = "KIND", value_enum)]
    pub template: ConfigTemplate,

    /// Write the configuration to this file, which must not exist [default: standard output]
    #[arg(long, value_name = "FILE.toml")]
    pub to: Option<PathBuf>,

    /// Add every other key as a comment, with its default and meaning
    #[arg(long)]
    pub all_keys: bool,
}

/// Why `pinflow init` failed.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The file of `--to` exists.
    #[error("{} exists, and is not overwritten; name another file with --to", .0.display())]
    FileExists(PathBuf),
    /// The file cannot be written.
    #[error("write {}", path.display())]
    Write {
        #[allow(missing_docs)]
        path: PathBuf,
        #[allow(missing_docs)]
        #[source]
        cause: io::Error,
    },
    /// Standard output cannot be written.
    #[error("write to stdout")]
    Output(#[from] io::Error),
}

impl UserError for InitError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            InitError::FileExists(_) => ExitStatus::BadUsage,
            InitError::Write { .. } | InitError::Output(_) => ExitStatus::Failed,
        }
    }
}

/// Prints the configuration to `out`, or writes it to the file of `--to`.
///
/// # Errors
/// If the file exists or cannot be written.
pub fn run(args: InitArgs, out: &mut impl Write) -> Result<(), InitError> {
    let Some(path) = args.to else {
        let text = args.template.text(DEFAULT_NAME, args.all_keys);
        return Ok(out.write_all(text.as_bytes())?);
    };
    // In a comment, a line break in a name would begin a line that is none.
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.contains(char::is_control));
    let text = args.template.text(name.unwrap_or(DEFAULT_NAME), args.all_keys);
    let written = File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => InitError::FileExists(path),
        _ => InitError::Write { path, cause },
    })
}
