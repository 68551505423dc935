//! The raw archive: each message once in immutable objects through crashes, and a replay with the same answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use nix::sys::signal::Signal;
use pinflow::dataflows::graph::GraphOptions;
use pinflow_archive::object_name::ArchivePartition;
use pinflow_archive::{decompress_object, envelope};

use pinflow_testkit::batch::assert_answers_equal_batch;
use pinflow_testkit::kafka;
use pinflow_testkit::kafka::site::{STREAMS, lines};
use pinflow_testkit::objects::proxy::{StoreFault, StoreProxy};
use pinflow_testkit::objects::site::with_credentials;
use pinflow_testkit::objects::skipped;
use pinflow_testkit::objects::store::{self, TestBucket};
use pinflow_testkit::{
    ProcessOutput, RunningProcess, create_temp_dir, emit, last_snapshot, pinflow, succeed, wait_until,
};

/// Objects by partition and first offset.
pub(crate) type ArchiveObjects = BTreeMap<ArchivePartition, BTreeMap<u64, Vec<u8>>>;

/// A recording that is read into tables on disk, and archived.
struct ArchiveSite {
    place: tempfile::TempDir,
    /// The bucket of the archive, if it is in a bucket.
    bucket: Option<TestBucket>,
    endpoint: String,
}

impl ArchiveSite {
    fn new(draws: u32, bucket: Option<TestBucket>, endpoint: &str) -> ArchiveSite {
        let place = create_temp_dir();
        emit(&place.path().join("recording"), draws.div_ceil(5), draws, 41, &["--malformed", "0.05"]);
        ArchiveSite { place, bucket, endpoint: endpoint.to_owned() }
    }

    fn on_disk(draws: u32) -> ArchiveSite {
        ArchiveSite::new(draws, None, "http://localhost:1")
    }

    fn in_bucket(draws: u32, endpoint: &str) -> ArchiveSite {
        ArchiveSite::new(draws, Some(TestBucket::new()), endpoint)
    }

    fn url(&self) -> String {
        match &self.bucket {
            Some(bucket) => format!("s3://{}/raw", bucket.name),
            None => "raw".to_owned(),
        }
    }

    fn objects(&self) -> String {
        format!("[objects]\nendpoint = \"{}\"\nregion = \"{}\"\ntimeout_secs = 2\n", self.endpoint, store::REGION)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn recording(&self) -> PathBuf {
        self.path("recording")
    }

    /// A configuration with additional lines of its source and of its archive.
    fn configure(&self, source: &str, archive: &str) -> PathBuf {
        let config = self.path("run.toml");
        let text = format!(
            "[[source]]\nkind = \"recording\"\npath = \"recording\"\n{source}\n[tables]\nurl = \"tables\"\n\
             commit_rows_max = 400\ncommit_age_secs_max = 0.05\n[engine]\nepoch_ms = 3\n\
             [archive]\nurl = \"{}\"\nrotate_secs = 0\n{archive}\n{}",
            self.url(),
            self.objects()
        );
        std::fs::write(&config, text).unwrap();
        config
    }

    fn run(&self, config: &Path) -> Command {
        let mut command = with_credentials(pinflow(["run", "--output", "snapshots"]));
        command.arg(config);
        command
    }

    /// Reads every object, and asserts that nothing else exists.
    fn read_archive(&self) -> ArchiveObjects {
        let folder = self.path("fetched");
        let root = match &self.bucket {
            Some(bucket) => {
                let _ = std::fs::remove_dir_all(&folder);
                bucket.download("raw", &folder);
                folder
            }
            None => self.path("raw"),
        };
        objects(&root)
    }

    /// Asserts that the archive has each line of the recording once, in order, in objects that start where their names say.
    fn assert_each_once(&self) {
        let objects = self.read_archive();
        assert_eq!(objects.len(), 3);
        for stream in STREAMS {
            let file = format!("{stream}.jsonl");
            let objects = &objects[&ArchivePartition::from_source(&format!("recording/{file}"))];
            let wanted = lines(&self.recording(), stream);
            assert_eq!(
                messages(objects, 1),
                wanted.iter().map(|line| Some(line.clone())).collect::<Vec<_>>(),
                "{file}"
            );
        }
    }

    /// Asserts that a replay of the archive gives the same answers, and the same rows except for their source.
    fn assert_replays(&self, answered: &ProcessOutput) {
        let config = self.path("replay.toml");
        let text = format!(
            "[[source]]\nkind = \"recording\"\npath = \"{}\"\n[tables]\nurl = \"replayed\"\n{}",
            self.url(),
            self.objects()
        );
        std::fs::write(&config, text).unwrap();
        let replayed = last_snapshot(&succeed(&mut self.run(&config)).stdout);
        assert_eq!(replayed.answers, answered.answers);
        assert_eq!(rows(&self.path("replayed")), rows(&self.path("tables")));
        // The next run resumes at the end, and finds nothing new.
        let again = last_snapshot(&succeed(&mut self.run(&config)).stdout);
        assert_eq!(again.answers, answered.answers);
        assert!(again.cut["sources"].as_array().unwrap().iter().all(|source| source["read"] == 0), "{}", again.cut);
        succeed(pinflow(["table", "--verify"]).arg(self.path("replayed")));
    }
}

/// The objects under a folder.
pub(crate) fn objects(root: &Path) -> ArchiveObjects {
    let mut found = ArchiveObjects::new();
    // A process that was killed early may not have created it.
    let mut folders = if root.exists() { vec![root.to_owned()] } else { Vec::new() };
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let key = path.strip_prefix(root).unwrap().to_str().unwrap();
            // Ignore staged files of a killed process, the probe of conditional puts, and
            // resume markers.
            if key.contains('#') || key.starts_with("_pinflow_proof_") || key.starts_with("resume/") {
                continue;
            }
            let (partition, first) = ArchivePartition::parse_key(key).unwrap_or_else(|| panic!("{key}"));
            let other =
                found.entry(partition).or_default().insert(first.narrow().unwrap(), std::fs::read(&path).unwrap());
            assert!(other.is_none(), "two objects begin with {key}");
        }
    }
    found
}

/// The messages of a partition. Asserts that each object starts where the previous one ended.
pub(crate) fn messages(objects: &BTreeMap<u64, Vec<u8>>, first: u64) -> Vec<Option<Vec<u8>>> {
    let mut messages = Vec::new();
    for (at, object) in objects {
        assert_eq!(*at, first + messages.len() as u64, "an object begins elsewhere than the one before it ended");
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut decompress_object(std::io::Cursor::new(object.clone())).unwrap(), &mut text)
            .unwrap();
        let lines = text.strip_suffix(b"\n").expect("every line has an end");
        for one in lines.split(|byte| *byte == b'\n') {
            serde_json::from_slice::<serde::de::IgnoredAny>(one).expect("every line is JSON");
            messages.push(envelope::decode_line(one).map(std::borrow::Cow::into_owned));
        }
    }
    messages
}

/// The rows of the cleaned tables and the rejections without their lineage, sorted.
fn rows(tables: &Path) -> BTreeMap<&'static str, Vec<String>> {
    let of = |table: &&'static str| {
        let read = pinflow_testkit::ledger::read(&tables.join(table));
        let kept: Vec<usize> = (0..read.columns.len()).filter(|at| !read.columns[*at].starts_with('_')).collect();
        let mut rows: Vec<String> =
            read.rows.iter().map(|row| format!("{:?}", kept.iter().map(|at| &row[*at]).collect::<Vec<_>>())).collect();
        rows.sort();
        (*table, rows)
    };
    pinflow_testkit::ledger::TABLES.iter().map(of).collect()
}

#[test]
fn replayed_archive_gives_the_same_answers() {
    for compression in ["none", "gzip", "zstd"] {
        let site = ArchiveSite::on_disk(1_500);
        let config = site.configure("rate_per_sec = 9000", &format!("compression = \"{compression}\""));
        let answered = last_snapshot(&succeed(&mut site.run(&config)).stdout);
        site.assert_each_once();
        let objects = site.read_archive();
        assert!(objects.values().all(|objects| (2..200).contains(&objects.len())), "neither one nor one a message");
        site.assert_replays(&answered);
    }
}

#[test]
fn one_record_per_object_matches_the_original_layout() {
    let site = ArchiveSite::on_disk(40);
    succeed(&mut site.run(&site.configure("", "flush_records = 1")));
    site.assert_each_once();
    let path = site.path("raw/topics/pin.jsonl/partition=0/pin.jsonl+0+0000000040.json");
    assert_eq!(std::fs::read(path).unwrap().iter().filter(|byte| **byte == b'\n').count(), 1);
}

#[test]
fn objects_of_the_original_connector_are_read() {
    let place = create_temp_dir();
    emit(&place.path().join("recording"), 20, 60, 43, &[]);
    for stream in STREAMS {
        let folder = place.path().join(format!("raw/topics/12e2.{stream}/partition=0"));
        std::fs::create_dir_all(&folder).unwrap();
        for (at, line) in lines(&place.path().join("recording"), stream).iter().enumerate() {
            // One object per message without a line end. Some are compressed.
            let (ending, bytes) = match at % 3 {
                0 => ("json", line.clone()),
                1 => ("json.zst", zstd::encode_all(&line[..], 1).unwrap()),
                _ => {
                    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                    std::io::Write::write_all(&mut gzip, line).unwrap();
                    ("json.gz", gzip.finish().unwrap())
                }
            };
            std::fs::write(folder.join(format!("12e2.{stream}+0+{at:010}.{ending}")), bytes).unwrap();
        }
    }
    let expected = last_snapshot(&succeed(pinflow(["run"]).arg(place.path().join("recording"))).stdout);
    let config = place.path().join("run.toml");
    std::fs::write(&config, "[[source]]\nkind = \"recording\"\npath = \"raw\"\n[tables]\nurl = \"tables\"\n").unwrap();
    let checked = succeed(pinflow(["check"]).arg(&config));
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains("recording/12e2.geo+0: geo, 60 objects"), "{said}");
    let replayed = last_snapshot(&succeed(pinflow(["run"]).arg(&config)).stdout);
    assert_eq!(replayed.answers, expected.answers);
    succeed(pinflow(["table", "--verify"]).arg(place.path().join("tables")));
}

/// Kills the program at every step and at random moments, and checks the archive after each kill.
fn kill_at_every_step(site: &ArchiveSite, rounds: usize) {
    let config = site.configure("rate_per_sec = 9000", "flush_records = 90");
    for round in 0..rounds {
        let mut command = site.run(&config);
        let steps =
            ["archive::before_put", "archive::after_put", "delta::rejected::before_commit", "delta::geo::after_commit"];
        if round % 2 == 0 {
            let step = steps[(round / 2) % steps.len()];
            command.env("FAILPOINTS", format!("{step}={}*off->1*return(abort)", (round * 5) % 13));
        }
        let mut running = RunningProcess::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        if round % 2 == 1 {
            std::thread::sleep(Duration::from_millis(90 + 53 * (round as u64 % 11)));
            if running.try_wait().is_none() {
                running.signal(Signal::SIGKILL);
            }
        }
        let status = running.wait();
        assert!(status.success() || status.code().is_none(), "round {round} ended with {status}");
        for (partition, objects) in site.read_archive() {
            let stream = &partition.topic[..partition.topic.find('.').unwrap()];
            let wanted = lines(&site.recording(), stream);
            let found = messages(&objects, 1);
            assert!(found.iter().flatten().eq(wanted.iter().take(found.len())), "round {round}: {partition:?}");
        }
        if status.success() {
            break;
        }
    }
    let answered = last_snapshot(&succeed(&mut site.run(&config)).stdout);
    site.assert_each_once();
    pinflow_testkit::ledger::assert_each_line_once(&site.recording(), &site.path("tables"));
    assert_answers_equal_batch(&site.path("tables"), GraphOptions::default(), &answered);
    site.assert_replays(&answered);
}

#[test]
fn run_killed_at_any_moment_archives_each_message_once_on_disk() {
    kill_at_every_step(&ArchiveSite::on_disk(8_000), 24);
}

#[test]
fn run_killed_at_any_moment_archives_each_message_once_in_a_bucket() {
    if !skipped() {
        kill_at_every_step(&ArchiveSite::in_bucket(8_000, &store::endpoint()), 24);
    }
}

#[test]
fn puts_with_unknown_outcome_are_archived_once() {
    if skipped() {
        return;
    }
    let faults = [
        (StoreFault::StoredBroken, 1),
        (StoreFault::StoredCut, 1),
        (StoreFault::StoredHung, 1),
        (StoreFault::Late(30), 1),
        (StoreFault::Late(600), 1),
        (StoreFault::Broken(503), 12),
    ];
    for (fault, times) in faults {
        let proxy = StoreProxy::start(store::port());
        let site = ArchiveSite::in_bucket(300, &proxy.endpoint());
        let config = site.configure("rate_per_sec = 3000", "flush_records = 50");
        proxy.plan(("PUT", "geo.jsonl"), fault, 2, times);
        let answered = last_snapshot(&succeed(&mut site.run(&config)).stdout);
        assert_eq!(proxy.clear_faults(), 0, "{fault:?} did not happen");
        site.assert_each_once();
        site.assert_replays(&answered);
    }
}

#[test]
fn second_writer_takes_over_and_archives_each_message_once() {
    if skipped() {
        return;
    }
    let site = ArchiveSite::in_bucket(3_000, &store::endpoint());
    let config = site.configure("rate_per_sec = 3000", "flush_records = 70");
    let mut first = RunningProcess::start(site.run(&config).stdout(Stdio::null()).stderr(Stdio::null()));
    wait_until("the first one has archived", || site.bucket.as_ref().unwrap().keys("raw").len() > 6);
    // Suspend the first run, and resume it after another one has taken over.
    first.signal(Signal::SIGSTOP);
    let mut second = RunningProcess::start(site.run(&config).stdout(Stdio::null()).stderr(Stdio::null()));
    let before = site.bucket.as_ref().unwrap().keys("raw").len();
    wait_until("the second one has archived", || site.bucket.as_ref().unwrap().keys("raw").len() > before + 6);
    first.signal(Signal::SIGCONT);
    assert_eq!(first.wait().code(), Some(75));
    assert!(second.wait().success());
    site.assert_each_once();
    pinflow_testkit::ledger::assert_each_line_once(&site.recording(), &site.path("tables"));
}

#[test]
fn recreated_tables_archive_nothing_twice() {
    let site = ArchiveSite::on_disk(300);
    let config = site.configure("rate_per_sec = 9000", "flush_records = 40");
    succeed(&mut site.run(&config));
    let before = site.read_archive();
    std::fs::remove_dir_all(site.path("tables")).unwrap();
    // Now with larger objects and other windows.
    let config = site.configure("", "flush_records = 1000\ncompression = \"gzip\"");
    succeed(&mut site.run(&config));
    assert_eq!(site.read_archive(), before);
    // An archive with other messages under the same names is refused.
    std::fs::remove_dir_all(site.path("tables")).unwrap();
    emit(&site.recording(), 60, 300, 44, &["--force"]);
    let refused = site.run(&config).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("choose another [archive] url"), "{said}");
    assert_eq!(site.read_archive(), before);
}

#[test]
fn kafka_run_is_archived_in_a_bucket_and_replayed() {
    if skipped() || kafka::skipped() {
        return;
    }
    let bucket = TestBucket::new();
    let site = kafka::site::PostsSite::new(kafka::broker::KafkaBroker::shared(), 3);
    let config = site.configure("");
    let objects = format!("[objects]\nendpoint = \"{}\"\nregion = \"{}\"\n", store::endpoint(), store::REGION);
    let archive =
        format!("[archive]\nurl = \"s3://{}\"\nrotate_secs = 0\ncompression = \"zstd\"\n{objects}", bucket.name);
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text + &archive).unwrap();
    let log = site.place.path().join("log");
    let mut command = with_credentials(pinflow(["run", "--output", "snapshots"]));
    let live = kafka::site::LiveSite::start_command(command.arg(&config), &log);
    site.emit(3_000, 51, &["--malformed", "0.02", "--order", "emulator"]);
    // Messages that cannot be a line of JSON: empty, not text, several lines, a tombstone.
    let mut sending = site.producer();
    for payload in [Some(&b""[..]), Some(b"\xff\x00\n"), Some(b"{\n\"ind\": 99999}\n"), Some(b"{}\r"), None] {
        sending.send(&site.topic("geo"), 1, payload);
    }
    sending.flush();
    live.wait_until_caught_up(&site.ends());
    let answered = live.stop();
    site.assert_answers_and_rows(&answered);

    let fetched = site.place.path().join("fetched");
    bucket.download("", &fetched);
    let found = self::objects(&fetched);
    assert_eq!(found.len(), 9);
    let tail: Vec<_> = messages(&found[&ArchivePartition::from_source(&format!("kafka/{}/1", site.topic("geo")))], 0);
    let tail = &tail[tail.len() - 5..];
    let wanted = [Some(&b""[..]), Some(b"\xff\x00\n"), Some(b"{\n\"ind\": 99999}\n"), Some(b"{}\r"), None];
    assert!(
        tail.iter().map(Option::as_deref).eq(wanted),
        "{:?}",
        tail.iter().flatten().map(|bytes| base64::prelude::BASE64_STANDARD.encode(bytes)).collect::<Vec<_>>()
    );

    let replay = site.place.path().join("replay.toml");
    let source = format!("[[source]]\nkind = \"recording\"\npath = \"s3://{}\"\n", bucket.name);
    std::fs::write(&replay, source + "[tables]\nurl = \"replayed\"\n" + &objects).unwrap();
    let mut command = with_credentials(pinflow(["run", "--output", "snapshots"]));
    let replayed = last_snapshot(&succeed(command.arg(&replay)).stdout);
    assert_eq!(replayed.answers, answered.answers);
    let replayed_tables = site.place.path().join("replayed");
    assert_eq!(rows(&replayed_tables), rows(&site.tables()));
    assert_answers_equal_batch(&replayed_tables, GraphOptions::default(), &replayed);
    succeed(pinflow(["table", "--verify"]).arg(&replayed_tables));
}

#[test]
fn conflicting_options_are_usage_errors() {
    let place = create_temp_dir();
    let config = place.path().join("run.toml");
    let tables = "[tables]\nurl = \"tables\"\n";
    for (text, said) in [
        ("[archive]\nurl = \"raw\"".to_owned(), "[archive]: needs [tables]"),
        (format!("{tables}[archive]\nflush_records = 1"), "[archive]: the key `url` is missing"),
        (format!("{tables}[archive]\nurl = \"raw\"\nflush_records = 0"), "flush_records: must be 1 to 10000000"),
        (format!("{tables}[archive]\nurl = \"raw\"\nrotate_secs = 100000"), "rotate_secs: must be 0 to 86400"),
        (
            format!("{tables}[archive]\nurl = \"raw\"\ncompression = \"snappy\""),
            "run.toml:8:15: [archive] compression: unknown value \"snappy\"",
        ),
        (
            format!("{tables}[archive]\nurl = \"raw\"\nflush = 1"),
            "[archive] flush: unknown key; did you mean `flush_records`?",
        ),
        (format!("{tables}[archive]\nurl = \"ftp://raw\""), "[archive] url"),
    ] {
        std::fs::write(&config, format!("[[source]]\nkind = \"recording\"\npath = \"recording\"\n{text}\n")).unwrap();
        let output = pinflow(["check"]).arg(&config).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && told.contains(said), "{text}: {told}");
    }
}

#[test]
fn folder_that_is_no_archive_is_refused_by_name() {
    let place = create_temp_dir();
    let config = place.path().join("run.toml");
    std::fs::create_dir_all(place.path().join("raw/topics/pin/partition=0")).unwrap();
    let check = |more: &str| {
        std::fs::write(&config, format!("[[source]]\nkind = \"recording\"\npath = \"raw\"\n{more}\n")).unwrap();
        let output = pinflow(["check"]).arg(&config).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(check("").contains("no object of an archive"), "{}", check(""));
    assert!(check("follow = true").contains("remove `follow`"));
    for ending in ["json", "json.gz"] {
        std::fs::write(place.path().join(format!("raw/topics/pin/partition=0/pin+0+0000000000.{ending}")), "").unwrap();
    }
    assert!(check("").contains("begin with the same message"));
}
