//! How many files the process may have open.

use std::io;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files that a run has open besides the recordings that it follows: tables, sockets, logs.
pub const OTHER_FILES: u64 = 100;

/// Raises the soft limit to the hard one: many systems set the soft one to 1,024 for programs that cannot do with more.
pub fn raise_soft_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::debug!(soft, hard, %error, "the limit of open files could not be raised");
    }
}

/// The limit of open files. `None` if the system does not report it.
#[must_use]
pub fn limit() -> Option<u64> {
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft)
}

/// How to raise the limit so that this many files can be open.
#[must_use]
pub fn remedy(files: u64) -> String {
    format!(
        "raise the limit to {files} or more: `ulimit -Hn {files}` in the shell (as root), LimitNOFILE={files} in a systemd \
         unit, --ulimit nofile={files} for a container"
    )
}

/// Adds the limit and the remedy to an error about too many open files. Other errors are unchanged.
#[must_use]
pub fn explain(cause: io::Error) -> io::Error {
    let of_process = cause.raw_os_error() == Some(Errno::EMFILE as i32);
    match limit().filter(|_| of_process) {
        None => cause,
        Some(limit) => {
            let what = format!("the process has {limit} files open and may not open more (RLIMIT_NOFILE)");
            io::Error::new(cause.kind(), format!("{what}; {}", remedy(limit.saturating_mul(4).max(65_536))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_open_files_names_the_limit_and_the_remedy() {
        let explained = explain(io::Error::from_raw_os_error(Errno::EMFILE as i32)).to_string();
        let limit = limit().map(|limit| limit.to_string()).unwrap_or_default();
        assert!(explained.contains(&limit) && explained.contains("LimitNOFILE="), "{explained}");
        let other = explain(io::Error::from_raw_os_error(Errno::ENOENT as i32));
        assert_eq!(other.raw_os_error(), Some(Errno::ENOENT as i32));
    }
}
