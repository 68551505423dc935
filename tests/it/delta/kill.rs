//! Processes that die at every failpoint. This test binary starts itself as the process to kill.

#![cfg(feature = "failpoints")]

use std::path::Path;
use std::process::Command;

use pinflow_delta::{FAILPOINTS, failpoints};

use super::model::{ModelEngine, assert_every_row_once, partitions, run_rounds};

const VICTIM_ROOT_VAR: &str = "PINFLOW_TEST_VICTIM";
const RECORDS: u64 = 24;

/// The process to kill. Does nothing unless the environment variable is set.
#[test]
fn victim() {
    let Ok(root) = std::env::var(VICTIM_ROOT_VAR) else { return };
    let _armed = failpoints::arm();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut engine = ModelEngine::start(Path::new(&root), &partitions(RECORDS)).await.unwrap();
        engine.run(RECORDS, 1).await.unwrap();
    });
}

/// Runs the victim with one armed failpoint. Returns whether it was killed there.
async fn run_until_killed(root: &Path, failpoints: &str) -> bool {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "delta::kill::victim", "--test-threads=1"])
        .env(VICTIM_ROOT_VAR, root)
        .env("FAILPOINTS", failpoints)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let status = tokio::task::spawn_blocking(move || victim.wait()).await.unwrap();
    !status.unwrap().success()
}

#[tokio::test(flavor = "multi_thread")]
async fn process_killed_at_any_failpoint_loses_and_repeats_nothing() {
    run_rounds(FAILPOINTS, async |point| {
        let root = tempfile::tempdir().unwrap();
        // Frequent steps are killed late, so that rows are already stored.
        let often = point.ends_with("_file") || point.ends_with("_commit");
        let action = if often { "3*off->1*return(abort)" } else { "1*return(abort)" };
        assert!(run_until_killed(root.path(), &format!("{point}={action}")).await, "{point} was never reached");
        // Kill it again while it recovers, and then run to the end.
        if often {
            run_until_killed(root.path(), &format!("{point}=1*return(abort)")).await;
        }
        let mut engine = ModelEngine::start(root.path(), &partitions(RECORDS)).await.unwrap();
        engine.run(RECORDS, 7).await.unwrap();
        assert_every_row_once(root.path(), &partitions(RECORDS), RECORDS).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_panics_at_failpoints_are_recovered_from() {
    let is_in_run = |point: &&&str| !point.ends_with("_create") && !point.ends_with("_fence");
    run_rounds(FAILPOINTS.iter().filter(is_in_run), async |point| {
        let root = tempfile::tempdir().unwrap();
        assert!(!run_until_killed(root.path(), &format!("{point}=1*return->1*panic")).await, "{point}");
        assert_every_row_once(root.path(), &partitions(RECORDS), RECORDS).await;
    })
    .await;
}
