//! Independent readers of the tables: delta-rs and DuckDB, in a Python environment that `tests/readers/setup.sh` creates.

use std::path::PathBuf;

use crate::paths::workspace_root;

/// The Python of `tests/readers/setup.sh`. `None` if tests with other engines are skipped.
pub fn python() -> Option<PathBuf> {
    if std::env::var_os("PINFLOW_SKIP_READERS").is_some_and(|skip| skip == "1") {
        eprintln!("PINFLOW_SKIP_READERS=1: other engines do not read or change the tables");
        return None;
    }
    let built = || workspace_root().join("target/readers-venv");
    let venv = std::env::var_os("PINFLOW_READERS_VENV").map_or_else(built, PathBuf::from);
    let python = venv.join("bin/python");
    assert!(python.exists(), "no {}: run tests/readers/setup.sh, or set PINFLOW_SKIP_READERS=1", python.display());
    Some(python)
}
