//! Tables in a bucket are compacted, vacuumed and read like tables on disk.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use pinflow_testkit::ledger::assert_each_line_once;
use pinflow_testkit::objects::site::{ObjectsSite, TABLES_PREFIX, with_credentials};
use pinflow_testkit::objects::{skipped, store};
use pinflow_testkit::readers::python;
use pinflow_testkit::{RunningProcess, emit, pinflow, succeed, wait_until};

/// The rows of all four tables, read by another engine directly from the bucket.
fn read_by_other_engine(site: &ObjectsSite) -> Option<Value> {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/rows.py");
    let mut command = with_credentials(Command::new(python()?));
    command.arg(script).arg(site.url()).args(["pin", "geo", "user", "rejected"]);
    command.env("AWS_ENDPOINT_URL", store::endpoint()).env("AWS_REGION", store::REGION).env("AWS_ALLOW_HTTP", "true");
    Some(serde_json::from_slice(&succeed(&mut command).stdout).unwrap())
}

#[test]
fn optimized_and_vacuumed_tables_read_the_same_in_other_engines() {
    if skipped() {
        return;
    }
    let site = ObjectsSite::new(1_000, &store::endpoint());
    site.configure(60, "rate_per_sec = 3000");
    site.finish();
    let before = read_by_other_engine(&site);
    let files = |table: &str| {
        site.bucket
            .keys(&format!("{TABLES_PREFIX}/{table}"))
            .into_iter()
            .filter(|key| key.ends_with(".parquet"))
            .count()
    };
    assert!(files("pin") > 5 && files("geo") > 5);
    succeed(&mut site.table(["optimize"]));
    // An uncommitted file, and files that are not part of the newest version.
    site.bucket.put(&format!("{TABLES_PREFIX}/pin/part-00000-left-c000.snappy.parquet"), b"");
    succeed(&mut site.table(["vacuum", "--keep", "0", "--nothing-writes"]));
    assert_eq!((files("pin"), files("geo"), files("user")), (1, 1, 1));
    let said = String::from_utf8(succeed(&mut site.table(["doctor"])).stdout).unwrap();
    assert!(said.contains("none lost, none twice"), "{said}");
    assert_eq!(read_by_other_engine(&site), before);
    assert_each_line_once(&site.recording(), &site.copy_tables());
}

#[test]
fn long_run_creates_checkpoints_and_compacts_in_the_background() {
    if skipped() {
        return;
    }
    let site = ObjectsSite::new(200, &store::endpoint());
    site.configure(20, "follow = true");
    let mut running = RunningProcess::start(site.run().stdout(Stdio::null()).stderr(Stdio::null()));
    let keys = |ends: &str| site.bucket.keys(TABLES_PREFIX).iter().filter(|key| key.ends_with(ends)).count();
    wait_until("checkpoints are made and files joined", || {
        emit(&site.recording(), 40, 40, 29, &["--append"]);
        let log = site.bucket.keys(&format!("{TABLES_PREFIX}/geo/_delta_log"));
        let joined =
            log.iter().rev().take(40).any(|key| {
                key.ends_with(".json") && String::from_utf8(site.bucket.get(key)).unwrap().contains("OPTIMIZE")
            });
        keys(".checkpoint.parquet") > 0 && joined
    });
    running.signal(Signal::SIGTERM);
    assert!(running.wait().success());
    site.configure(5_000, "");
    site.finish();
}

#[test]
fn damaged_checkpoint_is_moved_aside_by_repair() {
    if skipped() {
        return;
    }
    let site = ObjectsSite::new(100, &store::endpoint());
    site.finish();
    let hint = format!("{TABLES_PREFIX}/pin/_delta_log/_last_checkpoint");
    site.bucket.put(&hint, b"garbage");
    let said = String::from_utf8(succeed(&mut site.table(["--repair"])).stdout).unwrap();
    assert!(said.contains("_damaged/_last_checkpoint"), "{said}");
    assert!(!site.bucket.keys(TABLES_PREFIX).contains(&hint));
    site.finish();
}

#[test]
fn answers_tables_are_written_to_a_bucket() {
    if skipped() {
        return;
    }
    let site = ObjectsSite::new(300, &store::endpoint());
    let answers = format!("s3://{}/answers", site.bucket.name);
    let text = std::fs::read_to_string(site.config()).unwrap();
    let more = format!("[answers.delta]\nurl = \"{answers}\"\nchanges = true\nevery_secs = 0.1\n");
    std::fs::write(site.config(), text + &more).unwrap();
    let checked = succeed(with_credentials(pinflow(["check"])).arg(site.config()));
    assert!(String::from_utf8_lossy(&checked.stdout).contains("answers' tables will be created at s3://"));
    let answered = pinflow_testkit::last_snapshot(&succeed(&mut site.run()).stdout);
    // Without changes nothing is written.
    let before = site.bucket.keys("answers").len();
    site.finish();
    assert_eq!(site.bucket.keys("answers").len(), before);
    let copied = site.place.path().join("answers");
    site.bucket.download("answers", &copied);
    for (name, rows) in &answered.answers {
        assert_eq!(pinflow_testkit::ledger::read(&copied.join(name)).rows.len(), rows.len(), "{name}");
    }
}
