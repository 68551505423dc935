//! What a path can hold.

use std::fs;
use std::path::Path;

use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::record::Stream;

use super::super::{RecordingConfig, RecordingSource, StreamSetting, plan};
use super::harness::{SMALL, SourceRun, TestCompression, read, recording};
use pinflow_connect::source::source_kind::{PlannedSource, check_unique};
use pinflow_core::finding::Finding;
use pinflow_core::position::ResumePositions;

fn refused(config: RecordingConfig) -> String {
    let failed = plan(config, Path::new("/")).unwrap_err();
    match std::error::Error::source(&failed) {
        Some(cause) => format!("{failed}: {cause}"),
        None => failed.to_string(),
    }
}

#[test]
fn folder_with_all_three_streams_is_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pin.jsonl"), "p\n").unwrap();
    fs::write(folder.path().join("geo.jsonl.gz"), TestCompression::Gzip.compress(b"g\n")).unwrap();
    fs::write(folder.path().join("user.ndjson.zst"), TestCompression::Zstd.compress(b"u\n")).unwrap();
    let received = read(folder.path(), ResumePositions::new());
    let stream_hint: Vec<StreamHint> = received.opened.values().map(|partition| partition.stream_hint).collect();
    for stream in Stream::ALL {
        assert!(stream_hint.contains(&StreamHint::Only(stream)));
    }
    assert_eq!(received.records.keys().collect::<Vec<_>>(), received.reached.keys().collect::<Vec<_>>());
    assert_eq!(received.records["recording/user.ndjson.zst"], [(1, b"u".to_vec())]);
}

#[test]
fn files_named_after_the_notebook_tables_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [("pinterest_data.jsonl", "p\n"), ("geolocation_data.ndjson", "g\n"), ("user_data.json", "u\n")]
    {
        fs::write(folder.path().join(file), text).unwrap();
    }
    let received = read(folder.path(), ResumePositions::new());
    // Partitions are opened in the order of the folder, which is any order.
    let stream_hint =
        |name: &str| received.opened.values().find(|opened| *opened.name == *name).map(|opened| opened.stream_hint);
    for (name, stream) in [
        ("recording/pinterest_data.jsonl", Stream::Pin),
        ("recording/geolocation_data.ndjson", Stream::Geo),
        ("recording/user_data.json", Stream::User),
    ] {
        assert_eq!(stream_hint(name), Some(StreamHint::Only(stream)));
    }
    assert_eq!(received.records["recording/pinterest_data.jsonl"], [(1, b"p".to_vec())]);
}

#[test]
fn unread_files_that_look_like_data_are_faults_in_check() {
    let folder = tempfile::tempdir().unwrap();
    let make = |file: &str| {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "{}\n").unwrap();
    };
    ["pin.jsonl", "pinterest.jsonl", "old/geo.jsonl", "geo.csv", "notes.txt", "README.md", "t/pin/_delta_log/0.json"]
        .into_iter()
        .for_each(make);
    let checked = recording(folder.path()).check();
    let problems: Vec<&String> = checked
        .iter()
        .filter_map(|finding| match finding {
            Finding::Problem(what) => Some(what),
            _ => None,
        })
        .collect();
    assert_eq!(problems.len(), 3, "{checked:?}");
    for part in ["pinterest.jsonl: the name does not tell", "geo.csv: CSV is not read", "old: folders in the folder"] {
        assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {checked:?}");
    }
    assert!(checked.iter().any(|finding| matches!(finding, Finding::Risk(what) if what.contains("notes.txt"))));
    assert!(checked.iter().any(|finding| matches!(finding, Finding::Passed(what) if what.contains("README.md"))));
}

#[test]
fn each_of_many_files_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    for file in 0..100 {
        fs::write(folder.path().join(format!("pin-{file:03}.jsonl")), format!("{file}\n")).unwrap();
    }
    let received = read(folder.path(), ResumePositions::new());
    assert_eq!((received.records.len(), received.ended.len()), (100, 100));
    assert_eq!(received.records["recording/pin-042.jsonl"], [(1, b"42".to_vec())]);
}

#[test]
fn configured_stream_allows_any_file_name() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["part-00000", "data.txt", "pin.jsonl", "_SUCCESS", ".hidden", "half.tmp"] {
        fs::write(folder.path().join(file), "a\n").unwrap();
    }
    let config = RecordingConfig { stream: Some(StreamSetting::Auto), ..RecordingConfig::with_path(folder.path()) };
    let source = plan(config, Path::new("/")).unwrap();
    let checked = source.check();
    let Some(Finding::Passed(unread)) = checked.last() else { panic!("{checked:?}") };
    assert!(["_SUCCESS", ".hidden", "half.tmp"].iter().all(|file| unread.contains(file)), "{unread}");
    let received = SourceRun::start(source, SMALL, ResumePositions::new()).finish();
    assert_eq!(received.records.len(), 3);
    assert!(received.opened.values().all(|partition| partition.stream_hint == StreamHint::Auto));
}

#[test]
fn single_file_without_stream_in_name_or_setting_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("geo.jsonl"), "a\n").unwrap();
    fs::write(folder.path().join("posts.log"), "a\n").unwrap();
    let base = folder.path();
    let config = RecordingConfig { name: Some("spring".to_owned()), ..RecordingConfig::with_path("geo.jsonl") };
    let received = SourceRun::start(plan(config, base).unwrap(), SMALL, ResumePositions::new()).finish();
    assert_eq!(received.records.keys().collect::<Vec<_>>(), ["recording/spring/geo.jsonl"]);
    let what = plan(RecordingConfig::with_path("posts.log"), base).unwrap_err().to_string();
    assert!(what.contains("set stream = "), "{what}");
    let config = RecordingConfig { stream: Some(StreamSetting::User), ..RecordingConfig::with_path("posts.log") };
    assert_eq!(
        plan(config, base).unwrap().check(),
        [Finding::Passed("recording/posts.log: user, plain, 2 bytes".to_owned())]
    );
}

#[test]
fn unusable_files_are_reported_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let what = refused(RecordingConfig::with_path(folder.path()));
    assert!(what.contains("`pin`, `geo` or `user`") && what.contains("it is empty"), "{what}");
    fs::write(folder.path().join("pins.jsonl"), "").unwrap();
    let what = refused(RecordingConfig::with_path(folder.path()));
    assert!(what.contains("pins.jsonl: the name does not tell the stream"), "{what}");
    let what = refused(RecordingConfig::with_path(folder.path().join("nowhere")));
    assert!(what.contains("nowhere: No such file"), "{what}");
    for name in ["", "a/b", "a b"] {
        let name = Some(name.to_owned());
        let what = refused(RecordingConfig { name, ..RecordingConfig::with_path(folder.path()) });
        assert!(what.contains("name = "), "{what}");
    }
}

fn planned<const N: usize>(sources: [RecordingSource; N]) -> Vec<Box<dyn PlannedSource>> {
    sources.into_iter().map(|source| Box::new(source) as Box<dyn PlannedSource>).collect()
}

#[test]
fn recordings_with_possibly_equal_partition_names_are_refused() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&one, &other] {
        fs::write(folder.path().join("pin.jsonl"), "a\n").unwrap();
        fs::write(folder.path().join("geo.jsonl"), "a\n").unwrap();
    }
    let named = |path: &Path, name: &str| {
        plan(RecordingConfig { name: Some(name.to_owned()), ..RecordingConfig::with_path(path) }, Path::new("/"))
            .unwrap()
    };
    let (folder, pin, geo) = (one.path(), one.path().join("pin.jsonl"), other.path().join("geo.jsonl"));
    assert!(check_unique(&planned([recording(folder), recording(other.path())])).is_err());
    assert!(check_unique(&planned([named(folder, "a"), named(other.path(), "a")])).is_err());
    assert!(check_unique(&planned([recording(&other.path().join("pin.jsonl")), recording(&pin)])).is_err());
    assert!(check_unique(&planned([recording(folder), recording(&geo)])).is_err());
    assert!(check_unique(&planned([recording(&pin), recording(&geo)])).is_ok());
    assert!(check_unique(&planned([recording(folder), named(other.path(), "a"), named(other.path(), "b")])).is_ok());
}

#[test]
fn file_removed_after_planning_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pin.jsonl"), "a\n").unwrap();
    let source = recording(folder.path());
    fs::remove_file(folder.path().join("pin.jsonl")).unwrap();
    let received = SourceRun::start(source, SMALL, ResumePositions::new()).finish();
    assert!(received.failure().starts_with("read recording/pin.jsonl: "), "{}", received.failure());
}

#[test]
fn panic_of_a_reader_is_reported() {
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let (context, mut events) = pinflow_connect::source::SourceContext::new(1, ResumePositions::new(), stopped);
    let thread =
        pinflow_connect::source::reader_thread::spawn_thread("test".to_owned(), &context, "posts".to_owned(), |_| {
            panic!("a fault of ours")
        })
        .unwrap();
    match events.blocking_recv() {
        Some(pinflow_connect::source::SourceEvent::Failed(failed)) => {
            assert_eq!(failed.to_string(), "read posts: panicked: a fault of ours");
        }
        other => panic!("{other:?}"),
    }
    thread.join().unwrap();
}
