//! Paths of the program under test, the workspace and scratch folders.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The root of the workspace.
pub fn workspace_root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it is in the folder of crates");
        crates.parent().expect("the folder of crates is in the workspace").to_owned()
    })
}

/// The program under test.
///
/// Cargo sets its path for integration tests and benches. A test binary that is started without Cargo uses the program
/// that was built beside it, in the parent of its own folder `deps`.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let told = std::env::var_os("CARGO_BIN_EXE_pinflow").map(PathBuf::from);
        let program = told.unwrap_or_else(|| build_folder().join("pinflow"));
        assert!(program.is_file(), "no {}: cargo build --release --features failpoints", program.display());
        program
    })
}

/// Creates a temporary folder for a test. It is removed when dropped.
pub fn create_temp_dir() -> tempfile::TempDir {
    tempfile::tempdir_in(scratch_folder()).expect("a scratch folder")
}

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a new folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

/// The folder `tmp` of Cargo's target folder. It is on disk, whereas `/tmp` may be in memory.
pub fn scratch_folder() -> &'static Path {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        let folder = build_folder().parent().expect("the profile's folder is in another").join("tmp");
        std::fs::create_dir_all(&folder).expect("a scratch folder");
        folder
    })
}

/// The folder of the profile, which holds `deps` with the running test binary.
fn build_folder() -> PathBuf {
    let running = std::env::current_exe().expect("the path of the running test");
    running.ancestors().nth(2).expect("a test binary is in target/<profile>/deps").to_owned()
}

/// The shared real posts, if they are stored next to this checkout.
pub fn find_real_posts() -> Option<PathBuf> {
    let folder = workspace_root().join("../shared/data/real");
    folder.is_dir().then_some(folder)
}
