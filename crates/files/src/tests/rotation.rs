//! Followed files that leave their names, and what may come back under them.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use tokio::sync::{mpsc, watch};

use super::super::config::{RecordingConfig, StreamSetting};
use super::super::file_discovery;
use super::super::folder_follower::FolderFollower;
use super::super::followed_file::FollowedFile;
use super::harness::{ReceivedEvents, SMALL, TestCompression, append};
use pinflow_connect::source::reader_thread::ReaderExit;
use pinflow_connect::source::{SourceContext, SourceEvent};
use pinflow_core::position::ResumePositions;

/// A recording that is followed without a thread. The test triggers each check.
struct FollowedRecording {
    follow: FolderFollower,
    files: Vec<FollowedFile>,
    unread: HashSet<String>,
    events: mpsc::Receiver<SourceEvent>,
    received: ReceivedEvents,
    _stop: watch::Sender<bool>,
}

impl FollowedRecording {
    fn start(config: RecordingConfig, stored: ResumePositions) -> FollowedRecording {
        let (stop, stopped) = watch::channel(false);
        let (context, events) = SourceContext::new(256, stored, stopped);
        let path = config.path.clone();
        let found = file_discovery::find_files(&config, &path, |_| false).unwrap();
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        let follow = FolderFollower { context, config, path, rate_limiter: None, limits: SMALL };
        let files = found.files.into_iter().map(|file| FollowedFile::open(&follow, file).unwrap()).collect();
        FollowedRecording {
            follow,
            files,
            unread: HashSet::new(),
            events,
            received: ReceivedEvents::default(),
            _stop: stop,
        }
    }

    /// Looks at the names, then reads everything that is there.
    fn poll_all(&mut self) -> Result<(), String> {
        let looked = self.follow.check_names(&mut self.files, &mut self.unread).and_then(|()| {
            for file in &mut self.files {
                while file.poll(&self.follow)? {}
            }
            Ok(())
        });
        while let Ok(event) = self.events.try_recv() {
            self.received.receive(event);
        }
        looked.map_err(|halt| match halt {
            ReaderExit::Failed(failed) => failed.to_string(),
            ReaderExit::Stopped => panic!("nobody stopped it"),
        })
    }

    fn lines_of(&self, file: &str) -> Vec<String> {
        let records = self.received.records.get(&format!("recording/{file}"));
        records.into_iter().flatten().map(|(_, line)| String::from_utf8(line.clone()).unwrap()).collect()
    }
}

/// What happens to `pin.jsonl` between two looks. A list of steps happens without a look in between.
#[derive(Debug, Clone)]
enum FileStep {
    /// It is moved out of the folder.
    MoveAway,
    /// What was moved away comes back.
    MoveBack,
    Remove,
    Append(&'static str),
    /// Another file with this text takes the name.
    Replace(&'static str),
    /// The same, with these bytes.
    ReplaceBytes(Vec<u8>),
    /// The file is truncated, and this text written.
    Rewrite(&'static str),
    /// It gets this name in the same folder.
    RenameTo(&'static str),
    /// A folder takes the name.
    ReplaceByFolder,
    /// Nothing.
    Wait,
}

impl FileStep {
    fn take(&self, folder: &Path) {
        let (file, away) = (folder.join("pin.jsonl"), folder.with_extension("away"));
        match self {
            FileStep::MoveAway => fs::rename(file, away).unwrap(),
            FileStep::MoveBack => fs::rename(away, file).unwrap(),
            FileStep::Remove => fs::remove_file(file).unwrap(),
            FileStep::Append(text) => append(&file, text),
            FileStep::Replace(text) => FileStep::ReplaceBytes(text.as_bytes().to_vec()).take(folder),
            FileStep::ReplaceBytes(bytes) => {
                let new = folder.with_extension("new");
                fs::write(&new, bytes).unwrap();
                fs::rename(new, file).unwrap();
            }
            FileStep::Rewrite(text) => fs::write(file, text).unwrap(),
            FileStep::RenameTo(name) => fs::rename(file, folder.join(name)).unwrap(),
            FileStep::ReplaceByFolder => {
                fs::remove_file(&file).unwrap();
                fs::create_dir(file).unwrap();
            }
            FileStep::Wait => {}
        }
    }
}

/// The lines of `pin.jsonl` that were read in all, or why the run ended.
type ExpectedLines = Result<&'static [&'static str], &'static str>;

const GONE: ExpectedLines = Err("it was removed or renamed while it was followed");
const OTHER_BEGINNING: ExpectedLines = Err("it does not begin as the one that was read");
const ABC: ExpectedLines = Ok(&["a", "b", "c"]);
const ABCD: ExpectedLines = Ok(&["a", "b", "c", "d"]);

/// Sequences of steps after `a b c` were read, with a look after each list of steps; what follows from them without
/// `allow_removed`, and with it.
fn sequences() -> Vec<(&'static str, Vec<Vec<FileStep>>, ExpectedLines, ExpectedLines)> {
    use FileStep::*;
    let short = [vec![Remove], vec![Replace("a\nb\n")]];
    let waits = [Wait, Wait, Wait, Wait].map(|wait| vec![wait]);
    vec![
        ("gone and back between two looks", vec![vec![MoveAway, MoveBack]], ABC, ABC),
        ("gone and back", vec![vec![MoveAway], vec![MoveBack]], GONE, ABC),
        ("gone, back and grown", vec![vec![MoveAway], vec![MoveBack], vec![Append("d\n")]], GONE, ABCD),
        ("gone for long and back", vec![vec![MoveAway], vec![Wait], vec![Wait], vec![MoveBack]], GONE, ABC),
        ("gone twice", [MoveAway, MoveBack, MoveAway, MoveBack].map(|step| vec![step]).to_vec(), GONE, ABC),
        ("removed and made again the same", vec![vec![Remove], vec![Replace("a\nb\nc\n")]], GONE, ABC),
        ("back longer", vec![vec![Remove], vec![Replace("a\nb\nc\nd\n")]], GONE, ABCD),
        ("back shorter", [&short[..], &waits[..]].concat(), GONE, Err("6 bytes were read, and it holds only 4")),
        ("a copy under way", [&short[..], &[vec![Append("c\nd\n")]]].concat(), GONE, ABCD),
        (
            "a slow copy",
            [&short[..], &waits[..2], &[vec![Append("c")]], &waits[..2], &[vec![Append("\n")]]].concat(),
            GONE,
            ABC,
        ),
        ("back empty", [&[vec![Remove], vec![Replace("")]], &waits[..]].concat(), GONE, Err("it holds only 0")),
        (
            "back as another file of the same length",
            vec![vec![Remove], vec![Replace("x\ny\nz\n")]],
            GONE,
            OTHER_BEGINNING,
        ),
        ("replaced by a continuation", vec![vec![Replace("a\nb\nc\nd\n")]], ABCD, ABCD),
        (
            "replaced by another file of the same length",
            vec![vec![Replace("x\ny\nz\n")]],
            OTHER_BEGINNING,
            OTHER_BEGINNING,
        ),
        ("replaced by a longer other file", vec![vec![Replace("x\ny\nz\nmore\n")]], OTHER_BEGINNING, OTHER_BEGINNING),
        (
            "replaced by a file without the last line written",
            vec![vec![Append("d\n"), Replace("a\nb\nc\ne\n")]],
            OTHER_BEGINNING,
            OTHER_BEGINNING,
        ),
        (
            "replaced by a compressed file",
            vec![vec![ReplaceBytes(TestCompression::Gzip.compress(b"a\nb\nc\n"))]],
            OTHER_BEGINNING,
            OTHER_BEGINNING,
        ),
        ("replaced by a folder", vec![vec![ReplaceByFolder]], Err("not a regular file"), Err("not a regular file")),
        ("copied and truncated", vec![vec![Rewrite("")]], Err("it holds only 0"), Err("it holds only 0")),
        ("truncated and refilled", vec![vec![Rewrite("x\ny\nz\nmore\n")]], Err("line 3 held"), Err("line 3 held")),
        ("rotated by renaming", vec![vec![RenameTo("pin.jsonl.1"), Replace("n\n")]], OTHER_BEGINNING, OTHER_BEGINNING),
        (
            "rotated, and created again later",
            vec![vec![RenameTo("pin.jsonl.1")], vec![Replace("n\n")]],
            GONE,
            OTHER_BEGINNING,
        ),
        (
            "rotated to a name that is read, too",
            vec![vec![RenameTo("pin-1.jsonl")]],
            GONE,
            Err("it was renamed to recording/pin-1.jsonl, under which its 3 lines would be read a second time"),
        ),
        ("written on and removed between two looks", vec![vec![Append("d\n"), Remove]], GONE, ABCD),
        ("gone for good", vec![vec![Remove], vec![Wait]], GONE, ABC),
    ]
}

/// A folder, not followed yet, with `a b c` in `pin.jsonl`.
fn folder_of_three() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("posts");
    fs::create_dir(&folder).unwrap();
    append(&folder.join("pin.jsonl"), "a\nb\nc\n");
    (place, folder)
}

fn followed(path: PathBuf, allow_removed: bool) -> RecordingConfig {
    RecordingConfig { follow: true, allow_removed, ..RecordingConfig::with_path(path) }
}

fn take_and_look(following: &mut FollowedRecording, folder: &Path, steps: &[Vec<FileStep>]) -> Result<(), String> {
    for together in steps {
        together.iter().for_each(|step| step.take(folder));
        following.poll_all()?;
    }
    Ok(())
}

#[test]
fn moved_file_is_neither_read_twice_nor_skipped_silently() {
    for (what, steps, strict, lenient) in sequences() {
        for (allow_removed, expected) in [(false, strict), (true, lenient)] {
            for single_file in [false, true] {
                if single_file && what == "rotated to a name that is read, too" {
                    continue;
                }
                let what = format!("{what}, allow_removed = {allow_removed}, single file: {single_file}");
                let (_place, folder) = folder_of_three();
                let path = if single_file { folder.join("pin.jsonl") } else { folder.clone() };
                let mut following = FollowedRecording::start(followed(path, allow_removed), ResumePositions::new());
                following.poll_all().unwrap();
                match (take_and_look(&mut following, &folder, &steps), expected) {
                    (Ok(()), Ok(lines)) => assert_eq!(following.lines_of("pin.jsonl"), lines, "{what}"),
                    (Err(failure), Err(part)) => {
                        assert!(failure.contains(part) && failure.contains("recording/pin.jsonl"), "{what}: {failure}");
                        assert!(
                            failure.to_lowercase().contains("put it back") || failure.contains("Put back"),
                            "{failure}"
                        );
                    }
                    (ended, _) => panic!("{what}: {ended:?}"),
                }
                assert!(following.received.ended.is_empty(), "{what}: it may come back, so it has not ended");
            }
        }
    }
}

#[test]
fn replaced_file_with_same_beginning_is_recognised_by_its_last_record() {
    let (_place, folder) = folder_of_three();
    let long = "the same beginning\n".repeat(100);
    fs::write(folder.join("pin.jsonl"), format!("{long}last\n")).unwrap();
    let mut following = FollowedRecording::start(followed(folder.clone(), true), ResumePositions::new());
    following.poll_all().unwrap();
    FileStep::ReplaceBytes(format!("{long}LAST\nmore\n").into_bytes()).take(&folder);
    let failure = following.poll_all().unwrap_err();
    assert!(failure.contains("line 101 held"), "{failure}");
}

#[test]
fn other_files_continue_while_one_is_missing() {
    let (_place, folder) = folder_of_three();
    append(&folder.join("geo.jsonl"), "1\n");
    let mut following = FollowedRecording::start(followed(folder.clone(), true), ResumePositions::new());
    following.poll_all().unwrap();
    FileStep::MoveAway.take(&folder);
    append(&folder.join("geo.jsonl"), "2\n");
    append(&folder.join("user.jsonl"), "u\n");
    following.poll_all().unwrap();
    following.poll_all().unwrap();
    FileStep::MoveBack.take(&folder);
    append(&folder.join("geo.jsonl"), "3\n");
    following.poll_all().unwrap();
    assert_eq!(following.lines_of("pin.jsonl"), ["a", "b", "c"]);
    assert_eq!(following.lines_of("geo.jsonl"), ["1", "2", "3"]);
    assert_eq!(following.lines_of("user.jsonl"), ["u"]);
    assert_eq!(following.received.opened.len(), 3, "no partition is opened twice");
}

#[test]
fn folder_that_returns_continues() {
    let (place, folder) = folder_of_three();
    let mut following = FollowedRecording::start(followed(folder.clone(), true), ResumePositions::new());
    following.poll_all().unwrap();
    fs::rename(&folder, place.path().join("elsewhere")).unwrap();
    following.poll_all().unwrap();
    fs::rename(place.path().join("elsewhere"), &folder).unwrap();
    append(&folder.join("pin.jsonl"), "d\n");
    following.poll_all().unwrap();
    assert_eq!(following.lines_of("pin.jsonl"), ["a", "b", "c", "d"]);
}

#[test]
fn renamed_file_is_refused_and_hard_link_is_not() {
    let (_place, folder) = folder_of_three();
    let config = RecordingConfig { stream: Some(StreamSetting::Auto), ..followed(folder.clone(), true) };
    let mut following = FollowedRecording::start(config, ResumePositions::new());
    following.poll_all().unwrap();
    fs::hard_link(folder.join("pin.jsonl"), folder.join("linked")).unwrap();
    following.poll_all().unwrap();
    assert_eq!(following.lines_of("linked"), ["a", "b", "c"], "a second name is a file like any other");
    FileStep::RenameTo("pin.jsonl.1").take(&folder);
    FileStep::Replace("").take(&folder);
    let failure = following.poll_all().unwrap_err();
    assert!(failure.contains("it was renamed to recording/pin.jsonl.1"), "{failure}");
}

#[test]
fn file_missing_during_a_restart_continues_when_it_returns() {
    for (text, expected) in [("a\nb\nc\nd\n", Ok(["d"])), ("x\ny\nz\nd\n", Err("line 3 held"))] {
        let (_place, folder) = folder_of_three();
        let mut first = FollowedRecording::start(followed(folder.clone(), true), ResumePositions::new());
        first.poll_all().unwrap();
        FileStep::Remove.take(&folder);
        let mut second = FollowedRecording::start(followed(folder.clone(), true), first.received.reached.clone());
        second.poll_all().unwrap();
        FileStep::Replace(text).take(&folder);
        match (second.poll_all(), expected) {
            (Ok(()), Ok(lines)) => assert_eq!(second.lines_of("pin.jsonl"), lines),
            (Err(failure), Err(part)) => assert!(failure.contains(part), "{failure}"),
            (looked, _) => panic!("{looked:?}"),
        }
        if expected.is_ok() {
            FileStep::MoveAway.take(&folder);
            second.poll_all().unwrap();
            FileStep::MoveBack.take(&folder);
            second.poll_all().unwrap();
            assert_eq!(second.lines_of("pin.jsonl"), ["d"], "gone and back again in the second run");
        }
    }
}

#[test]
fn single_missing_file_counts_as_caught_up() {
    let (_place, folder) = folder_of_three();
    let mut following = FollowedRecording::start(followed(folder.join("pin.jsonl"), true), ResumePositions::new());
    following.poll_all().unwrap();
    FileStep::Remove.take(&folder);
    following.poll_all().unwrap();
    assert!(following.files[0].is_caught_up());
    FileStep::Replace("a\n").take(&folder);
    following.poll_all().unwrap();
    assert!(!following.files[0].is_caught_up(), "what is shorter than what was read is not done with");
}
