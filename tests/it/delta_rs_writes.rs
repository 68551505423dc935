//! delta-rs (from Python) writes to the tables of pinflow, as a nightly job or an operator would.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pinflow_testkit::readers::python;
use pinflow_testkit::{create_temp_dir, emit, pinflow, succeed};

struct EnginesSite {
    place: tempfile::TempDir,
    python: PathBuf,
}

impl EnginesSite {
    /// Tables of 300 rows each in many small files. `None` if tests with other engines are skipped.
    fn new() -> Option<EnginesSite> {
        let site = EnginesSite { place: create_temp_dir(), python: python()? };
        emit(&site.path("recording"), 300, 300, 29, &["--malformed", "0.02"]);
        let text = "[[source]]\nkind = \"recording\"\npath = \"recording\"\nfollow = true\n\
                    [tables]\nurl = \"tables\"\ncommit_rows_max = 50\ncompact = false\n[engine]\nepoch_ms = 1\n\
                    epoch_bytes_max = 1024\n";
        std::fs::write(site.path("run.toml"), text).unwrap();
        succeed(&mut site.run());
        Some(site)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn run(&self) -> Command {
        let mut command = pinflow(["run", "--until-caught-up", "--output", "none"]);
        command.arg(self.path("run.toml"));
        command
    }

    fn table(&self, more: &[&str]) -> Output {
        pinflow(["table"]).arg(self.path("tables")).args(more).output().unwrap()
    }

    /// Runs Python code in which `dt` is the table of this name.
    fn run_python(&self, table: &str, text: &str) -> String {
        let script = format!(
            "import os, sys, deltalake, pyarrow as pa\ndt = deltalake.DeltaTable({:?})\n{text}\nsys.stdout.flush(); os._exit(0)\n",
            self.path("tables").join(table)
        );
        let output = Command::new(&self.python).arg("-c").arg(script).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Asserts that `run`, `--verify` and `doctor` fail, and that the error of `run` contains these words.
    fn assert_refused(&self, words: &[&str]) {
        assert_eq!(self.table(&["--verify"]).status.code(), Some(1));
        assert_eq!(self.table(&["doctor"]).status.code(), Some(1));
        let output = self.run().output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
    }

    fn assert_verified(&self) {
        let verified = self.table(&["--verify"]);
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
        succeed(&mut self.run());
    }
}

fn newest_version(folder: &Path) -> u64 {
    let names = std::fs::read_dir(folder.join("_delta_log")).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter_map(|name| name.to_string_lossy().strip_suffix(".json")?.parse().ok()).max().unwrap()
}

#[test]
fn deleted_rows_are_refused_until_the_deletion_is_accepted() {
    let Some(site) = EnginesSite::new() else { return };
    site.run_python("pin", "ind = dt.to_pyarrow_table()['ind'][0].as_py(); dt.delete(f'ind = {ind}')");
    site.assert_refused(&["the tables do not hold what was read", "accept-deletion"]);
    let accepted = site.table(&["accept-deletion"]);
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    site.assert_verified();
    site.run_python("rejected", "dt.create_checkpoint()");
    site.assert_verified();
    // Delete again.
    site.run_python("pin", "ind = dt.to_pyarrow_table()['ind'][0].as_py(); dt.delete(f'ind = {ind}')");
    site.assert_refused(&["deletions were accepted", "accept-deletion"]);
    assert!(site.table(&["accept-deletion"]).status.success());
    site.assert_verified();
}

#[test]
fn appended_rows_are_refused_with_the_commit_that_added_them() {
    let Some(site) = EnginesSite::new() else { return };
    let append = "rows = dt.to_pyarrow_table().slice(0, 3)\n\
                  for name in ('_source', '_position', '_sub'):\n    \
                  at = rows.schema.get_field_index(name)\n    \
                  rows = rows.set_column(at, rows.schema.field(at), pa.nulls(3, rows.schema.field(at).type))\n\
                  deltalake.write_deltalake(dt, rows, mode='append')";
    site.run_python("geo", append);
    let version = newest_version(&site.path("tables/geo"));
    site.assert_refused(&["without lineage"]);
    let said = String::from_utf8(site.table(&["--verify"]).stdout).unwrap();
    assert!(said.contains(&format!("version {version},")) && said.contains("delta-rs"), "{said}");
    // The recommended action helps.
    site.run_python("geo", "dt.delete('_source is null')");
    site.assert_verified();
}

#[test]
fn restored_and_overwritten_tables_are_refused() {
    let Some(site) = EnginesSite::new() else { return };
    let before = newest_version(&site.path("tables/user"));
    site.run_python("user", "dt.restore(dt.version() - 2)");
    site.assert_refused(&["the tables do not hold what was read"]);
    site.run_python("user", &format!("dt.restore({before})"));
    site.assert_verified();
    site.run_python("user", "deltalake.write_deltalake(dt, dt.to_pyarrow_table().slice(0, 7), mode='overwrite')");
    site.assert_refused(&["the tables do not hold what was read"]);
}

#[test]
fn concurrent_compactions_of_the_same_files_are_detected() {
    let Some(site) = EnginesSite::new() else { return };
    // Python has read the table before pinflow compacts it, and delta-rs commits nevertheless.
    let optimize = format!(
        "import subprocess\nsubprocess.run([{:?}, 'table', {:?}, 'optimize'], check=True, stdout=subprocess.DEVNULL)\n\
         dt.optimize.compact()\nprint(dt.to_pyarrow_table().num_rows)",
        pinflow_testkit::program(),
        site.path("tables")
    );
    let rows: u64 = site.run_python("pin", &optimize).trim().parse().unwrap();
    if rows > 300 {
        site.assert_refused(&["the tables do not hold what was read"]);
        let before = newest_version(&site.path("tables/pin")) - 1;
        site.run_python("pin", &format!("dt.restore({before})"));
    }
    site.assert_verified();
}

#[test]
fn checkpoint_vacuum_and_log_cleanup_by_delta_rs_are_accepted() {
    let Some(site) = EnginesSite::new() else { return };
    for table in ["pin", "geo", "user", "rejected"] {
        site.run_python(table, "dt.create_checkpoint(); dt.cleanup_metadata(); dt.vacuum(dry_run=False)");
        site.run_python(table, "dt.optimize.compact()");
    }
    site.assert_verified();
}
