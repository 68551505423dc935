//! The real program on a real disk, with failing file calls and power losses.
//!
//! `file_calls.c` is preloaded into the program. It makes calls fail, or records changes and syncs in a journal.

mod faults;
mod gateway;
mod journal;
mod power_loss;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The library to preload, compiled once for all tests of this process.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/file_calls/file_calls.c");
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("file_calls-{}.so", std::process::id()));
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(&built)
            .arg(&source)
            .args(["-ldl", "-lpthread"])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "cc compiles {}", source.display());
        built
    })
}

/// Preloads the library into a program. It intercepts file calls under `root`.
fn preload<'a>(command: &'a mut Command, root: &Path) -> &'a mut Command {
    command.env("LD_PRELOAD", library()).env("FILE_CALLS_ROOT", root)
}

/// Draws the choices of a test, which are the same for the same seed (splitmix64).
pub(crate) struct FaultChoices(u64);

impl FaultChoices {
    pub(crate) fn new(seed: u64) -> FaultChoices {
        FaultChoices(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound` - 1.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).expect("an index")]
    }
}

/// The number of rounds of a test, from an environment variable or the default.
pub(crate) fn rounds(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect("a number of rounds"))
}
