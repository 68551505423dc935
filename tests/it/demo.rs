//! `pinflow demo`: what it prints works, and it leaves nothing behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use pinflow::cli::command_line;

use crate::printed_commands::read_first_line;
use pinflow_testkit::readers::python;
use pinflow_testkit::{RunningProcess, create_temp_dir, pinflow, run, succeed, wait_until};

/// A demo that has printed what to try.
struct StartedDemo {
    running: RunningProcess,
    /// The printed commands, as words.
    commands: Vec<Vec<String>>,
    folder: PathBuf,
}

impl StartedDemo {
    /// Starts a demo on a free port, with its temporary folder in `place`.
    fn start(place: &Path, flags: &[&str]) -> StartedDemo {
        let log = fs::File::create(place.join("log")).unwrap();
        let mut command = pinflow(["demo", "--listen", "127.0.0.1:0", "--rate", "600", "--inds", "500"]);
        command.args(flags).env("TMPDIR", place).stdout(Stdio::piped()).stderr(log);
        let mut running = RunningProcess::start(&mut command);
        let mut lines = Vec::new();
        for line in BufReader::new(running.stdout()).lines().map(Result::unwrap) {
            let is_last = line.starts_with("Ctrl-C");
            lines.push(line);
            if is_last {
                break;
            }
        }
        let find =
            |begin: &str| lines.iter().find_map(|line| line.strip_prefix(begin)).unwrap_or_else(|| panic!("{lines:?}"));
        let folder = find("The recording and the tables: ").split(" (").next().unwrap().into();
        let commands = lines.iter().filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
        StartedDemo { running, commands: commands.map(words).collect(), folder }
    }

    /// Sends a signal and waits for success.
    fn stop(mut self, signal: Signal) {
        self.running.signal(signal);
        assert_eq!(self.running.wait().code(), Some(0));
    }
}

/// The words of a line, as the shell splits it.
fn words(line: &str) -> Vec<String> {
    let script = format!("printf '%s\\n' {line}");
    let split = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(split.status.success(), "{line}");
    String::from_utf8(split.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn every_command_that_a_demo_prints_works_and_nothing_stays_behind() {
    let place = create_temp_dir();
    let demo = StartedDemo::start(place.path(), &[]);
    assert!(demo.folder.starts_with(place.path()), "{}", demo.folder.display());
    // Table `rejected` has rows once a malformed message was committed.
    wait_until("all tables are written", || demo.folder.join("tables/rejected/_delta_log").is_dir());
    let pins = || fs::read_dir(demo.folder.join("tables/pin")).unwrap().map(|entry| entry.unwrap().path());
    wait_until("pins are committed", || pins().any(|path| path.extension().is_some_and(|of| of == "parquet")));
    let mut ran = 0;
    for words in demo.commands.iter().filter(|words| words[0] == "pinflow") {
        command_line().try_get_matches_from(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        let mut command = pinflow(&words[1..]);
        let printed = match words.iter().any(|word| word == "--follow") {
            true => read_first_line(&mut command),
            false => String::from_utf8(succeed(&mut command).stdout).unwrap(),
        };
        assert!(!printed.is_empty(), "{words:?} prints nothing");
        ran += 1;
    }
    assert!(ran >= 6, "{:?}", demo.commands);
    let sql = demo.commands.iter().find(|words| words[0] == "duckdb").expect("a command of DuckDB").last().unwrap();
    if let Some(python) = python() {
        // The extension comes as a wheel, so it is loaded and not installed.
        let script = "import duckdb, duckdb_extensions, sys\n\
                      duckdb_extensions.import_extension('delta')\n\
                      print(len(duckdb.sql(sys.argv[1].replace('INSTALL delta; ', '')).fetchall()))";
        let counted = succeed(Command::new(python).args(["-c", script]).arg(sql));
        assert_ne!(String::from_utf8(counted.stdout).unwrap().trim(), "0", "{sql}");
    }
    let folder = demo.folder.clone();
    demo.stop(Signal::SIGINT);
    assert!(!folder.exists(), "{} is not removed", folder.display());
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "only the log is there");
}

#[test]
fn kept_demo_is_continued_and_no_row_is_lost_or_repeated() {
    let place = create_temp_dir();
    let folder = place.path().join("my demo");
    let keep = folder.to_str().unwrap();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let demo = StartedDemo::start(place.path(), &["--keep", keep]);
        assert_eq!(demo.folder, folder);
        demo.stop(signal);
    }
    // What was generated after the last commit is read now.
    let config = folder.join("demo.toml");
    succeed(pinflow(["run", "--until-caught-up", "--output", "none", "--listen", "127.0.0.1:0"]).arg(&config));
    succeed(pinflow(["table"]).arg(folder.join("tables")).arg("--verify"));
    // Malformed messages need not be text.
    let recorded = fs::read(folder.join("feed/pin.jsonl")).unwrap();
    assert!(recorded.iter().filter(|byte| **byte == b'\n').count() > 10);
}

#[test]
fn demo_ends_after_its_time_and_says_what_became_of_its_folder() {
    let place = create_temp_dir();
    let mut command = pinflow(["demo", "--listen", "127.0.0.1:0", "--for", "1.5"]);
    let ended = succeed(command.env("TMPDIR", place.path()));
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(log.contains("rows read; the recording and the tables are removed"), "{log}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn demo_refuses_a_folder_with_other_files_and_an_address_beyond_this_machine() {
    let place = create_temp_dir();
    fs::write(place.path().join("letter.txt"), "").unwrap();
    let refused = run(["demo", "--keep", place.path().to_str().unwrap()]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("is not empty and holds no demo; name a new folder"), "{}", refused.stderr);
    let refused = run(["demo", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("--listen 0.0.0.0:"), "{}", refused.stderr);
}
