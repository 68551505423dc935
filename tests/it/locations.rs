//! Locations of every kind, end to end: exactly the given location is used, or it is refused.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use pinflow_testkit::{create_temp_dir, emit, last_snapshot, pinflow, succeed};

/// Unusual folder names.
fn odd_names() -> Vec<String> {
    let odd = [
        "a%41",
        "job%2Fbranch",
        "a%zz",
        "100%",
        "My Data",
        r"a\b",
        r"C\data",
        "a#1",
        "a#b",
        "a?b=c",
        "a+b",
        "a&b;c",
        "-x",
        "--x",
        "été",
        "日本語",
        "a'b\"c",
        "a*b[c]{d}",
        "a:b",
        "a=b,c@d",
        "..a",
        "a..",
        "a~1",
        "<a>|b^`",
        "trailing/",
        "x/../y",
        "./z",
        "a//b",
        " leading",
        "trailing ",
    ];
    odd.into_iter().map(str::to_owned).chain(["x".repeat(255), ["y"; 300].join("/")]).collect()
}

struct LocationSite {
    place: tempfile::TempDir,
}

impl LocationSite {
    fn new() -> LocationSite {
        let place = create_temp_dir();
        emit(&place.path().join("recording"), 20, 40, 3, &["--malformed", "0.1"]);
        LocationSite { place }
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    /// Writes a configuration with all settings that take a location, and runs it.
    fn run(&self, source: &str, tables: &str, archive: &str, answers: &str) -> Output {
        let quoted = |text: &str| Value::from(text).to_string();
        let text = format!(
            "[[source]]\nkind = \"recording\"\npath = {}\n[tables]\nurl = {}\n[archive]\nurl = {}\n[answers.delta]\nurl = {}\n",
            quoted(source),
            quoted(tables),
            quoted(archive),
            quoted(answers)
        );
        std::fs::write(self.path().join("c.toml"), text).unwrap();
        let mut command = pinflow(["run", "--output", "snapshots", "c.toml"]);
        command.current_dir(self.path()).output().unwrap()
    }

    fn table(&self, path: &str) -> Output {
        pinflow(["table", "--verify", "--"]).arg(path).current_dir(self.path()).output().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The folders in a folder, except those that a run creates.
fn folders(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<String> =
        entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn odd_names_work_for_tables_archive_answers_and_source() {
    for name in odd_names() {
        let site = LocationSite::new();
        let of = |kind: &str| format!("{kind}/{name}");
        let source = site.path().join(of("source"));
        std::fs::create_dir_all(&source).unwrap();
        for file in ["pin.jsonl", "geo.jsonl", "user.jsonl"] {
            std::fs::copy(site.path().join("recording").join(file), source.join(file)).unwrap();
        }
        let wanted = last_snapshot(&succeed(pinflow(["run", "--output", "snapshots"]).arg(&source)).stdout).answers;
        let output = site.run(&of("source"), &of("tables"), &of("archive"), &of("answers"));
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        assert_eq!(last_snapshot(&output.stdout).answers, wanted, "{name}");
        for (kind, inside) in [("tables", "pin/_delta_log"), ("archive", "topics"), ("answers", "users_joined_by_year")]
        {
            assert!(site.path().join(of(kind)).join(inside).is_dir(), "{name}: {kind}");
        }
        let verified = site.table(&of("tables"));
        assert!(verified.status.success(), "{name}: {} {}", text(&verified.stdout), text(&verified.stderr));
        // A second run reads the tables back, and finds nothing new.
        let again = site.run(&of("source"), &of("tables"), &of("archive"), &of("answers"));
        assert!(again.status.success(), "{name}: {}", text(&again.stderr));
        assert_eq!(last_snapshot(&again.stdout).answers, wanted, "{name}");
        // The archive can be read, and has every message.
        let mut replay = pinflow(["run", "--output", "snapshots", "--"]);
        let replayed = succeed(replay.arg(of("archive")).current_dir(site.path()));
        assert_eq!(last_snapshot(&replayed.stdout).answers, wanted, "{name}");
        // Nothing was created under a percent-decoded name.
        assert_eq!(folders(site.path()), ["answers", "archive", "recording", "source", "tables"], "{name}");
    }
}

#[test]
fn odd_name_works_as_flag_and_next_to_a_folder_with_the_decoded_name() {
    let site = LocationSite::new();
    let run = |tables: &str| {
        let mut command = pinflow(["run", "--output", "none"]);
        succeed(command.arg("recording").arg(format!("--tables={tables}")).current_dir(site.path()))
    };
    run("aA");
    for name in ["a%41", "-x", "a b#1", r"a\b"] {
        run(name);
        assert!(site.path().join(name).join("pin/_delta_log").is_dir(), "{name}");
        assert!(site.table(name).status.success(), "{name}");
        for action in ["optimize", "vacuum", "doctor"] {
            let mut command = pinflow(["table"]);
            // After `--` there can be no action, and without it a name with a dash would be a flag.
            command.arg(format!("./{name}")).arg(action).current_dir(site.path());
            let output = command.output().unwrap();
            assert!(output.status.success(), "{name} {action}: {}", text(&output.stderr));
        }
    }
    assert_eq!(folders(site.path()), ["-x", "a b#1", "a%41", "aA", r"a\b", "recording"]);
}

#[test]
fn file_urls_are_decoded_to_local_folders() {
    let site = LocationSite::new();
    let path = site.path().to_str().unwrap();
    for (at, (url, folder)) in [
        (format!("file://{path}/one%20two"), "one two"),
        (format!("file:{path}/three%2541"), "three%41"),
        (format!("file://localhost{path}/four%23"), "four#"),
    ]
    .into_iter()
    .enumerate()
    {
        let source = format!("file:{path}/recording");
        let (archive, answers) = (format!("archive{at}"), format!("file:{path}/answers{at}"));
        let output = site.run(&source, &url, &archive, &answers);
        assert!(output.status.success(), "{url}: {}", text(&output.stderr));
        assert!(site.path().join(folder).join("pin/_delta_log").is_dir(), "{url}");
        assert!(site.path().join(format!("answers{at}")).is_dir(), "{url}");
        assert!(site.table(&url).status.success(), "{url}");
        succeed(pinflow(["run", "--output", "none", &source]).arg("--tables").arg(&url).current_dir(site.path()));
        succeed(pinflow(["check", &source]).arg("--tables").arg(&url).current_dir(site.path()));
    }
}

#[test]
fn malformed_url_is_refused_everywhere_with_the_valid_form() {
    let site = LocationSite::new();
    for (location, form) in [
        ("s3:/bucket/x", "s3://bucket/x"),
        ("s3a://bucket/x", "s3://bucket/x"),
        ("dbfs:/x", "/dbfs/x"),
        ("hdfs:/x", "folder of this machine"),
        ("gs:x", "folder of this machine"),
        ("file://host/x", "file:///FOLDER"),
        ("file:x", "file:///FOLDER"),
        ("~/x", "./~/x"),
        (" s3://bucket/x", "spaces"),
        ("s3://bucket/a%41", "letters, digits"),
    ] {
        let refused = |what: &str, output: Output| {
            let said = text(&output.stdout) + &text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{what} {location}: {said}");
            assert!(said.contains(form), "{what} {location}: {said}");
        };
        refused("tables", site.run("recording", location, "b", "c"));
        refused("archive", site.run("recording", "a", location, "c"));
        refused("answers", site.run("recording", "a", "b", location));
        refused("source", site.run(location, "a", "b", "c"));
        refused("table", site.table(location));
        for command in ["run", "check"] {
            let mut flag = pinflow([command, "recording", "--tables", location]);
            refused(command, flag.current_dir(site.path()).output().unwrap());
            let mut path = pinflow([command, location]);
            refused(command, path.current_dir(site.path()).output().unwrap());
        }
        let gateway = format!("[gateway]\nlisten = \"127.0.0.1:0\"\nrecording = {}\n", Value::from(location));
        std::fs::write(site.path().join("g.toml"), gateway).unwrap();
        let mut command = pinflow(["gateway", "g.toml"]);
        if !location.trim().starts_with("s3://") {
            refused("gateway", command.current_dir(site.path()).output().unwrap());
            let mut emit = pinflow(["emit", "--inds", "1", "--count", "1", "--to", location]);
            refused("emit", emit.current_dir(site.path()).output().unwrap());
        }
    }
    assert_eq!(folders(site.path()), ["recording"], "nothing was made");
}

#[test]
fn folder_name_that_no_store_supports_is_refused() {
    let site = LocationSite::new();
    let odd = PathBuf::from(OsStr::from_bytes(b"a\xff"));
    let output = pinflow([OsStr::new("table"), odd.as_os_str()]).current_dir(site.path()).output().unwrap();
    assert!(!output.status.success());
    for name in ["a\nb", &"x".repeat(256)] {
        let output = site.run("recording", name, "b", "c");
        assert_eq!(output.status.code(), Some(2), "{name:?}: {}", text(&output.stderr));
    }
    assert_eq!(folders(site.path()), ["recording"]);
}
