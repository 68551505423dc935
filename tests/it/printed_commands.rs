//! Every command printed in the README, the guides and the pages about operations parses. It also runs if it needs no
//! cloud and no other server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use pinflow::cli::command_line;

use pinflow_testkit::serving::ServingRun;
use pinflow_testkit::{RunningProcess, create_temp_dir, pinflow, succeed};

/// Prefixes of commands that are not run, each with the reason.
const NOT_RUN: &[(&str, &str)] = &[
    ("scripts/quickstart.sh", "builds the program and installs packages; the commands in it are run by other tests"),
    ("scripts/test.sh", "runs all tests"),
    ("scripts/package.sh", "builds the program again; tests of the module packages run it"),
    ("pinflow demo", "runs until it is interrupted; tests of the module demo run it"),
    ("pinflow run posts.toml --process", "waits for the other process; tests of the module cluster run both"),
    ("pinflow run recordings --follow", "follows a folder of the reader; tests of the module first_steps run it"),
    ("source <(pinflow completions", "changes the shell; tests of the module first_steps run it"),
    ("cargo install", "builds the program again"),
    ("pinflow topics ", "needs Kafka; tests of the module kafka run them"),
    ("pinflow streams ", "needs Kinesis; tests of the module kinesis run them"),
    ("pinflow emit --to kafka://", "needs Kafka; tests of the module kafka run it"),
    ("pinflow emit --from recordings --to kafka://", "needs Kafka; tests of the module kafka run it"),
    ("pinflow emit --to kinesis://", "needs Kinesis; tests of the module kinesis run it"),
    ("pinflow emit --init-mysql", "needs MariaDB; tests of the module mysql run it"),
    ("pinflow emit --from mysql://", "needs MariaDB; tests of the module mysql run it"),
    ("pinflow table s3://", "needs a bucket; tests of the module objects run it"),
    ("export ", "sets a variable for the commands after it"),
    ("curl -X POST localhost:8082/topics/", "needs Kafka behind a gateway; tests of the module gateway send the same"),
    (
        "curl -X PUT localhost:8082/streams/",
        "needs Kinesis behind a gateway; tests of the module gateway send the same",
    ),
];

/// Replacements of printed words, so that a command is quick and stays in the test's folder.
const REPLACED_WORDS: &[(&str, &str)] = &[("1M", "1k"), ("/tmp/big", "big"), ("/tmp/generated", "generated")];

/// A command that a page prints.
#[derive(Debug)]
struct PrintedCommand {
    page: String,
    /// Without comments, with continuation lines joined.
    line: String,
    /// The words up to a redirection or pipe.
    words: Vec<String>,
}

impl PrintedCommand {
    fn is_pinflow(&self) -> bool {
        self.words.first().is_some_and(|word| word == "pinflow")
    }

    fn reason_not_to_run(&self) -> Option<&'static str> {
        NOT_RUN.iter().find(|(begins, _)| self.line.starts_with(begins)).map(|(_, reason)| *reason)
    }

    fn has(&self, word: &str) -> bool {
        self.words.iter().any(|given| given == word)
    }

    /// Whether it changes or lists the questions of a run.
    fn changes_questions(&self) -> bool {
        self.has("question") && ["add", "replace", "drop", "list"].iter().any(|word| self.has(word))
    }

    /// The arguments to run it with.
    fn arguments(&self) -> Vec<&str> {
        let replaced =
            |word: &str| REPLACED_WORDS.iter().find(|(printed, _)| *printed == word).map(|(_, other)| *other);
        self.words[1..].iter().map(|word| replaced(word).unwrap_or(word)).collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README first, then the guides and the pages about operations by name.
fn pages() -> Vec<PathBuf> {
    let folders = ["docs/guides", "docs/operations"].map(|folder| fs::read_dir(root().join(folder)).unwrap());
    let mut pages: Vec<PathBuf> = folders.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    pages.insert(0, root().join("README.md"));
    pages
}

/// The lines of all blocks of shell commands on a page. A line that ends in `\` is joined with the next one.
fn shell_lines(page: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut block: Option<bool> = None;
    let mut continued = String::new();
    for line in page.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(["sh", "bash", "shell", "console"].contains(&language)) };
        } else if block == Some(true) {
            let line = line.trim().trim_start_matches("$ ");
            match line.strip_suffix('\\') {
                Some(begun) => continued.push_str(begun),
                None => lines.push(std::mem::take(&mut continued) + line),
            }
        }
    }
    lines
}

/// Splits a line into words as a shell does, without expansions and comments.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    assert_eq!(quote, None, "a quote is open in: {line}");
    words.extend(word);
    words
}

fn printed_commands() -> Vec<PrintedCommand> {
    let mut commands = Vec::new();
    for path in pages() {
        let page = path.strip_prefix(root()).unwrap().display().to_string();
        for line in shell_lines(&fs::read_to_string(&path).unwrap()) {
            let mut words = shell_words(&line);
            let line = words.join(" ");
            words.truncate(words.iter().position(|word| word == ">" || word == "|").unwrap_or(words.len()));
            if !words.is_empty() {
                commands.push(PrintedCommand { page: page.clone(), line, words });
            }
        }
    }
    commands
}

/// Creates the files that printed commands name: the examples and a configuration `posts.toml`.
fn prepare_folder(folder: &Path) {
    let recordings = root().join("examples/recordings");
    fs::create_dir_all(folder.join("examples")).unwrap();
    for name in ["quickstart.toml", "gateway.toml"] {
        fs::copy(root().join("examples").join(name), folder.join("examples").join(name)).unwrap();
    }
    std::os::unix::fs::symlink(&recordings, folder.join("examples/recordings")).unwrap();
    std::os::unix::fs::symlink(root().join("examples/questions"), folder.join("examples/questions")).unwrap();
    let posts = "[[source]]\nkind = \"recording\"\npath = \"examples/recordings\"\n\n[tables]\nurl = \"posts\"\n";
    fs::write(folder.join("posts.toml"), posts).unwrap();
    // The configuration of the guide about questions.
    let source = "[[source]]\nkind = \"recording\"\npath = \"examples/recordings\"\nfollow = true\n";
    let live = format!("{source}[tables]\nurl = \"live\"\n[serve]\nlisten = \"127.0.0.1:0\"\nquestions = true\n");
    fs::write(folder.join("live.toml"), live).unwrap();
    // `scripts/quickstart.sh` is printed first and creates these tables.
    succeed(pinflow(["run", "examples/quickstart.toml", "--output", "none"]).current_dir(folder));
    // The tables of the pages about operations.
    succeed(pinflow(["run", "examples/recordings", "--tables", "data", "--output", "none"]).current_dir(folder));
}

/// Starts a printed run that serves, on a free port, and waits until it is ready.
fn start_serving_run(command: &PrintedCommand, folder: &Path) -> ServingRun {
    let address = command.words.iter().position(|word| word == "--listen").expect("it serves") + 1;
    let configuration = folder.join(&command.words[2]);
    let more: Vec<&str> = (3..command.words.len())
        .filter(|at| *at != address && *at != address - 1)
        .map(|at| command.words[at].as_str())
        .collect();
    let serving = ServingRun::start(folder, &configuration, &more);
    serving.wait_until_ready();
    serving
}

/// Runs a command that prints until it is interrupted, until it has printed a line.
pub(super) fn read_first_line(command: &mut Command) -> String {
    let mut running = RunningProcess::start(command.stdout(Stdio::piped()));
    let mut line = String::new();
    BufReader::new(running.stdout()).read_line(&mut line).unwrap();
    running.signal(Signal::SIGTERM);
    running.wait();
    line
}

#[test]
fn every_printed_command_that_needs_nothing_else_runs() {
    let place = create_temp_dir();
    let folder = place.path();
    prepare_folder(folder);
    let mut serving: Option<ServingRun> = None;
    let mut ran = 0;
    for command in printed_commands().into_iter().filter(|command| command.reason_not_to_run().is_none()) {
        let PrintedCommand { page, line, .. } = &command;
        assert!(
            command.is_pinflow(),
            "{page} prints `{line}`: add it to NOT_RUN with the reason, or let this test run it"
        );
        if command.has("run") && command.has("--listen") {
            serving.into_iter().for_each(ServingRun::stop);
            serving = Some(start_serving_run(&command, folder));
        } else {
            let mut process = pinflow(command.arguments());
            process.current_dir(folder);
            if command.has("query") || command.has("verify") || command.changes_questions() {
                let run = serving.as_ref().unwrap_or_else(|| panic!("{page}: nothing serves before `{line}`"));
                process.env("PINFLOW_AT", run.http.address.to_string());
            }
            let printed = match command.has("--follow") {
                true => read_first_line(&mut process),
                false => String::from_utf8(succeed(&mut process).stdout).unwrap(),
            };
            assert!(!printed.is_empty() || command.has("emit"), "{page}: `{line}` prints nothing");
        }
        ran += 1;
    }
    serving.into_iter().for_each(ServingRun::stop);
    assert!(ran >= 10, "only {ran} commands were found");
}

#[test]
fn every_printed_pinflow_command_parses() {
    let commands: Vec<_> = printed_commands().into_iter().filter(PrintedCommand::is_pinflow).collect();
    assert!(commands.len() >= 20, "only {} commands were found", commands.len());
    for PrintedCommand { page, line, words } in commands {
        if let Err(error) = command_line().try_get_matches_from(&words) {
            panic!("{page} prints `{line}`: {error}");
        }
    }
}

#[test]
fn every_reason_not_to_run_a_command_is_needed() {
    let commands = printed_commands();
    for (begins, _) in NOT_RUN {
        assert!(commands.iter().any(|command| command.line.starts_with(begins)), "no page prints `{begins}…`");
    }
    for (printed, _) in REPLACED_WORDS {
        assert!(commands.iter().any(|command| command.has(printed)), "no page prints `{printed}`");
    }
}

#[test]
fn shell_words_keep_quotes_together_and_leave_comments_out() {
    assert_eq!(shell_words("pinflow emit  --to '- #'  # a comment"), ["pinflow", "emit", "--to", "- #"]);
    assert_eq!(shell_words("curl -d '{\"a\": 1}' x#y"), ["curl", "-d", "{\"a\": 1}", "x#y"]);
    assert_eq!(shell_lines("```sh\n$ a \\\n   b\n```\n```toml\nc\n```\n```console\nd\n```"), ["a b", "d"]);
}
