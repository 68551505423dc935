//! Conditions of the machine: a wrong clock, a full disk.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace_root;

/// Debian's libfaketime, which changes the time of a program. `None` if these tests are skipped.
#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
pub fn find_faketime() -> Option<PathBuf> {
    if std::env::var("PINFLOW_SKIP_FAKETIME").is_ok_and(|skip| skip == "1") {
        eprintln!("PINFLOW_SKIP_FAKETIME is set: a wrong clock is not tested");
        return None;
    }
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];
    let found = folders.map(|folder| Path::new(folder).join("faketime/libfaketime.so.1"));
    let found = found.into_iter().find(|path| path.exists());
    Some(found.expect("no libfaketime: apt-get install faketime, or set PINFLOW_SKIP_FAKETIME=1"))
}

/// A program that checks files, such as `groff`, from `PATH` or from `target/NAME`. `None` if such tests are skipped.
///
/// # Panics
/// If there is none.
#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
pub fn find_checker(name: &str) -> Option<PathBuf> {
    if std::env::var("PINFLOW_SKIP_CHECKERS").is_ok_and(|skip| skip == "1") {
        eprintln!("PINFLOW_SKIP_CHECKERS is set: nothing is checked by {name}");
        return None;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([workspace_root().join("target").join(name)]);
    let found = folders.map(|folder| folder.join(name)).find(|program| program.is_file());
    Some(found.unwrap_or_else(|| panic!("no {name}: run scripts/test.sh, or set PINFLOW_SKIP_CHECKERS=1")))
}

/// Whether tests that mount a small file system are skipped. Prints so.
#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
pub fn skip_without_tmpfs() -> bool {
    let skips = std::env::var_os("PINFLOW_SKIP_TMPFS").is_some();
    if skips {
        eprintln!("PINFLOW_SKIP_TMPFS is set: no small file system is mounted, a full disk is not tested");
    }
    skips
}

/// A file system of a few megabytes. Unmounted when dropped.
pub struct SmallDisk(pub PathBuf);

impl SmallDisk {
    /// Mounts a file system of this size, such as `2m`.
    pub fn mount(at: &Path, size: &str) -> SmallDisk {
        std::fs::create_dir_all(at).expect("a place to mount at");
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "a tmpfs cannot be mounted (root only); PINFLOW_SKIP_TMPFS=1 leaves this test out"
        );
        SmallDisk(at.to_owned())
    }

    /// Fills the disk with a file, whose path it returns.
    pub fn fill(&self) -> PathBuf {
        let filler = self.0.join("filler");
        let mut file = std::fs::File::create(&filler).expect("a file on the disk");
        let copied = std::io::copy(&mut std::io::repeat(0), &mut file);
        assert!(copied.is_err(), "the disk has no end");
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
