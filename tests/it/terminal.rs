//! Terminal output: live tables, escaped hostile texts, and exit codes when output cannot be written.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use pinflow_testkit::{create_temp_dir, emit, pinflow, program, succeed, wait_until};

/// Whether the terminal tests are left out.
#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
fn skipped() -> bool {
    let skipped = std::env::var_os("PINFLOW_SKIP_TERMINAL").is_some();
    if skipped {
        eprintln!("PINFLOW_SKIP_TERMINAL is set: live tables on a terminal are not tested");
    }
    skipped
}

/// A real terminal: a session of tmux. Ended when dropped.
struct TmuxTerminal {
    socket: String,
    place: tempfile::TempDir,
}

impl TmuxTerminal {
    /// Runs a shell script on a terminal of so many columns and rows.
    fn start(script: &str, columns: u16, rows: u16) -> TmuxTerminal {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let socket = format!("pinflow-{}-{number}", std::process::id());
        let terminal = TmuxTerminal { socket, place: create_temp_dir() };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        // No status line takes a row.
        let settings = terminal.place.path().join("tmux.conf");
        std::fs::write(&settings, "set -g status off\n").unwrap();
        let mut command = Command::new("tmux");
        command.args(["-L", &terminal.socket, "-f"]).arg(settings);
        let output = command.args(["new-session", "-d", "-x", &columns, "-y", &rows, script]).output();
        let output = output.expect("tmux is there: scripts/setup.sh tests installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux").args(["-L", &self.socket]).args(arguments).output();
        let output = output.expect("tmux is there: scripts/setup.sh tests installs it");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The lines of the screen, without those at its end that are empty.
    fn screen(&self) -> Vec<String> {
        let text = self.tmux(&["capture-pane", "-p"]);
        text.trim_end().lines().map(str::to_owned).collect()
    }

    /// The screen, with the escapes that colour it.
    fn coloured_screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    fn screen_contains(&self, text: &str) -> bool {
        self.screen().iter().any(|line| line.contains(text))
    }

    fn wait_for_text(&self, text: &str) {
        wait_until(&format!("the terminal shows {text}"), || self.screen_contains(text));
    }

    fn state(&self, format: &str) -> String {
        self.tmux(&["display-message", "-p", format]).trim().to_owned()
    }

    fn is_alternate(&self) -> bool {
        self.state("#{alternate_on}") == "1"
    }

    /// Demands that the normal screen is back as it was, with a cursor, and what follows on it.
    fn assert_restored(&self) {
        assert!(!self.is_alternate(), "the alternate screen is left: {:?}", self.screen());
        assert_eq!(self.state("#{cursor_flag}"), "1", "the cursor is shown again");
    }
}

impl Drop for TmuxTerminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// A configuration of a recording that takes a while; the script that runs it and says how it ended. The process id is
/// in the file `pid`.
fn live_script(place: &Path, environment: &str, more: &str) -> String {
    let recording = place.join("recording");
    emit(&recording, 2_000, 20_000, 3, &[]);
    let config = place.join("run.toml");
    let text = "[[source]]\nkind = \"recording\"\npath = \"recording\"\nrate_per_sec = 500\n[output]\nevery_ms = 50\n";
    std::fs::write(&config, text).unwrap();
    let (config, pid, program) = (config.display(), place.join("pid").display().to_string(), program().display());
    format!(
        "echo BEFORE; {environment} {program} run {config} --output tables {more} & echo $! > {pid}; wait $!; \
         echo AFTER $?; sleep 1000"
    )
}

fn signal(place: &Path, signal: Signal) {
    let pid = std::fs::read_to_string(place.join("pid")).unwrap();
    // It may have ended by itself.
    let _ = kill(Pid::from_raw(pid.trim().parse().unwrap()), signal);
}

fn assert_fits(terminal: &TmuxTerminal, columns: usize) {
    for line in terminal.screen() {
        assert!(line.chars().count() <= columns, "{line}");
    }
}

#[test]
fn live_tables_fit_the_screen_and_leave_a_short_summary() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let terminal = TmuxTerminal::start(&live_script(place.path(), "", ""), 80, 24);
    terminal.wait_for_text(" read, ");
    assert!(terminal.is_alternate());
    wait_until("every answer has a line", || terminal.screen_contains("median_followers_by_join_year"));
    assert!(terminal.screen().len() <= 24 && terminal.screen_contains("epoch "), "{:?}", terminal.screen());
    assert_fits(&terminal, 80);
    // Smaller, and larger again, while it runs.
    terminal.tmux(&["resize-window", "-x", "40", "-y", "10"]);
    wait_until("it is redrawn", || terminal.screen_contains("more answers") && terminal.screen_contains(" read, "));
    assert_fits(&terminal, 40);
    terminal.tmux(&["resize-window", "-x", "120", "-y", "60"]);
    wait_until("there is room for more", || terminal.screen_contains(" of ") && terminal.screen().len() > 24);
    terminal.tmux(&["resize-window", "-x", "80", "-y", "24"]);
    wait_until("it is drawn to fit again", || terminal.screen()[0].starts_with("country_with_most"));
    signal(place.path(), Signal::SIGTERM);
    terminal.wait_for_text("AFTER 0");
    terminal.assert_restored();
    assert!(
        terminal.screen_contains("--output snapshots") && terminal.screen_contains("epoch "),
        "{:?}",
        terminal.screen()
    );
    // What was there before, a screenful at most, and a line that says how it ended.
    let history: usize = terminal.state("#{history_size}").parse().unwrap();
    assert!(history <= 24, "{history} lines went through the terminal");
    let all = terminal.tmux(&["capture-pane", "-p", "-S", "-"]);
    assert!(all.contains("BEFORE"), "{all}");
    assert_eq!(all.matches(" read, ").count(), 0, "nothing of the live screen stays: {all}");
}

#[test]
fn small_terminal_shows_fitting_rows_and_counts_the_rest() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let terminal = TmuxTerminal::start(&live_script(place.path(), "", ""), 40, 10);
    terminal.wait_for_text("more answers");
    assert!(terminal.is_alternate() && terminal.screen().len() <= 10);
    assert_fits(&terminal, 40);
    signal(place.path(), Signal::SIGINT);
    terminal.wait_for_text("AFTER 0");
    terminal.assert_restored();
}

#[test]
fn second_signal_restores_the_terminal() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let script = live_script(place.path(), "FAILPOINTS='engine::block=sleep(3000)'", "");
    let terminal = TmuxTerminal::start(&script, 80, 24);
    wait_until("it draws", || terminal.is_alternate());
    signal(place.path(), Signal::SIGTERM);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    signal(place.path(), Signal::SIGTERM);
    terminal.wait_for_text("AFTER");
    terminal.assert_restored();
}

#[test]
#[cfg(feature = "failpoints")]
fn panic_restores_the_terminal_and_prints_its_message() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let script = live_script(place.path(), "FAILPOINTS='engine::block=20*off->panic(a fault of ours)'", "");
    let terminal = TmuxTerminal::start(&script, 120, 24);
    terminal.wait_for_text("AFTER 1");
    terminal.assert_restored();
    assert!(terminal.screen_contains("a fault of ours"), "{:?}", terminal.screen());
}

#[test]
fn dumb_terminal_gets_the_summary_and_no_escapes() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let terminal = TmuxTerminal::start(&live_script(place.path(), "TERM=dumb", ""), 80, 24);
    terminal.wait_for_text("BEFORE");
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!terminal.is_alternate());
    }
    signal(place.path(), Signal::SIGTERM);
    terminal.wait_for_text("AFTER 0");
    assert!(terminal.screen_contains("--output snapshots"), "{:?}", terminal.screen());
}

#[test]
fn no_color_is_respected() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let terminal = TmuxTerminal::start(&live_script(place.path(), "NO_COLOR=1", ""), 80, 24);
    wait_until("it draws", || terminal.is_alternate() && terminal.screen_contains(" read, "));
    assert!(!terminal.coloured_screen().contains("\u{1b}["), "{}", terminal.coloured_screen());
    signal(place.path(), Signal::SIGTERM);
    terminal.wait_for_text("AFTER 0");
    assert!(!terminal.coloured_screen().contains("\u{1b}["), "{}", terminal.coloured_screen());
}

/// Texts that would steer a terminal, or mislead its reader.
const HOSTILE_TEXTS: [&str; 30] = [
    "\u{1b}[31mred",
    "\u{1b}[2J\u{1b}[H",
    "\u{1b}]0;title\u{7}",
    "\u{1b}]8;;http://evil.example\u{1b}\\link\u{1b}]8;;\u{1b}\\",
    "\u{1b}]52;c;ZXZpbA==\u{7}",
    "\u{1b}P+q544e\u{1b}\\",
    "\u{1b}c",
    "\u{1b}[?1049h",
    "\u{1b}[5n",
    "\u{9b}31m",
    "\u{9d}0;x\u{9c}",
    "\u{90}q\u{9c}",
    "\u{85}next",
    "bell\u{7}",
    "back\u{8}\u{8}\u{8}\u{8}",
    "vertical\u{b}tab",
    "form\u{c}feed",
    "over\rwritten",
    "shift\u{e}\u{f}",
    "del\u{7f}ete",
    "abc\u{202e}cba",
    "\u{202a}\u{202b}\u{202c}\u{202d}",
    "\u{2066}a\u{2067}b\u{2068}c\u{2069}",
    "\u{200e}left\u{200f}right",
    "\u{061c}arabic",
    "line\u{2028}break",
    "paragraph\u{2029}break",
    "two\nlines",
    "tab\tstop",
    "nothing\u{0}more",
];

/// Demands that nothing in a text steers a terminal.
fn assert_no_control_sequences(what: &str, bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    let is_steering = |c: &char| {
        let bidi = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        bidi || (c.is_control() && !matches!(c, '\n' | '\t'))
    };
    assert_eq!(text.chars().find(is_steering), None, "{what}: {text:?}");
}

fn stdout_and_stderr(output: &Output) -> Vec<u8> {
    [output.stdout.as_slice(), &output.stderr].concat()
}

#[test]
fn hostile_texts_in_answers_are_shown_as_escapes() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    std::fs::create_dir(&recording).unwrap();
    let (mut pins, mut geos, mut users) = (String::new(), String::new(), String::new());
    for (ind, text) in HOSTILE_TEXTS.iter().enumerate() {
        let text = serde_json::to_string(text).unwrap();
        pins += &format!("{{\"index\":{ind},\"category\":{text},\"poster_name\":{text},\"follower_count\":\"5\"}}\n");
        geos += &format!("{{\"ind\":{ind},\"country\":{text},\"timestamp\":\"2019-01-02T03:04:05\"}}\n");
        users += &format!(
            "{{\"ind\":{ind},\"first_name\":{text},\"last_name\":\"x\",\"age\":20,\"date_joined\":\"2017-01-02T03:04:05\"}}\n"
        );
    }
    for (stream, text) in [("pin", pins), ("geo", geos), ("user", users)] {
        std::fs::write(recording.join(format!("{stream}.jsonl")), text).unwrap();
    }
    let output = succeed(pinflow(["run", "--output", "tables", "--top", "all"]).arg(&recording));
    assert_no_control_sequences("run --output tables", &output.stdout);
    let text = String::from_utf8(output.stdout).unwrap();
    for escaped in ["\\u{1b}[31mred", "abc\\u{202e}cba", "over\\u{d}written", "two\\nlines", "\\u{9b}31m"] {
        assert!(text.contains(escaped), "{escaped} is not in {text}");
    }
}

#[test]
fn hostile_file_names_are_shown_as_escapes_by_every_command() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 3, 3, 1, &[]);
    for (number, hostile) in HOSTILE_TEXTS.iter().enumerate().filter(|(_, text)| !text.contains(['/', '\0'])) {
        let folder = place.path().join(format!("{number} {hostile}"));
        // `emit --to` refuses control characters in names; others may have made such a folder.
        std::fs::create_dir(&folder).unwrap();
        for stream in ["pin", "geo", "user"] {
            let name = format!("{stream}.jsonl");
            std::fs::copy(recording.join(&name), folder.join(&name)).unwrap();
        }
        let tables = folder.join("tables");
        let run = pinflow(["run", "--output", "none", "--tables"]).arg(&tables).arg(&folder).output().unwrap();
        assert_no_control_sequences(&format!("run {hostile:?}"), &stdout_and_stderr(&run));
        let output = pinflow(["check"]).arg(&folder).output().unwrap();
        assert_no_control_sequences(&format!("check {hostile:?}"), &stdout_and_stderr(&output));
        let output = pinflow(["check"]).arg(folder.join("missing")).output().unwrap();
        assert_no_control_sequences(&format!("check of nothing {hostile:?}"), &stdout_and_stderr(&output));
        let output = pinflow(["run"]).arg(folder.join("missing")).output().unwrap();
        assert_no_control_sequences(&format!("run of nothing {hostile:?}"), &stdout_and_stderr(&output));
        let output = pinflow(["table"]).arg(folder.join("missing")).output().unwrap();
        assert_no_control_sequences(&format!("table of nothing {hostile:?}"), &stdout_and_stderr(&output));
        let output = pinflow(["emit", "--to"]).arg(&folder).output().unwrap();
        assert_no_control_sequences(&format!("emit refused {hostile:?}"), &stdout_and_stderr(&output));
        if !run.status.success() {
            continue;
        }
        // A torn commit, which --repair moves away.
        let log = tables.join("pin/_delta_log");
        let newest = std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path());
        let newest = newest.filter(|path| path.extension().is_some_and(|end| end == "json")).max().unwrap();
        let text = std::fs::read(&newest).unwrap();
        std::fs::write(&newest, &text[..text.len() / 2]).unwrap();
        let output = pinflow(["table", "--repair"]).arg(&tables).output().unwrap();
        assert_no_control_sequences(&format!("table --repair {hostile:?}"), &stdout_and_stderr(&output));
        let output = pinflow(["table"]).arg(&tables).output().unwrap();
        assert_no_control_sequences(&format!("table {hostile:?}"), &stdout_and_stderr(&output));
    }
}

/// Answers every request with the same bytes.
fn hostile_server(status: &'static str, body: Vec<u8>) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    port
}

#[test]
fn hostile_server_cannot_control_the_terminal_of_query() {
    for hostile in HOSTILE_TEXTS {
        let text = serde_json::json!(hostile);
        let answer = serde_json::json!({
            "answer": hostile, "epoch": 1, "as_of": hostile,
            "columns": [{"name": hostile, "type": hostile}], "rows": [{ hostile: hostile }],
        });
        let port = hostile_server("200 OK", answer.to_string().into_bytes());
        let at = format!("http://127.0.0.1:{port}");
        let output = pinflow(["query", "x", "--format", "table", "--at", &at]).output().unwrap();
        assert_no_control_sequences(&format!("query {hostile:?}"), &stdout_and_stderr(&output));
        let list = serde_json::json!({ "answers": [answer] });
        let port = hostile_server("200 OK", list.to_string().into_bytes());
        let at = format!("http://127.0.0.1:{port}");
        let output = pinflow(["query", "--format", "table", "--at", &at]).output().unwrap();
        assert_no_control_sequences(&format!("query list {hostile:?}"), &stdout_and_stderr(&output));
        let port = hostile_server("404 Not Found", format!("{{\"message\":{text}}}").into_bytes());
        let at = format!("http://127.0.0.1:{port}");
        let output = pinflow(["query", "x", "--at", &at]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_no_control_sequences(&format!("query refused {hostile:?}"), &stdout_and_stderr(&output));
    }
}

#[test]
fn query_escapes_data_on_a_terminal_and_not_in_a_pipe() {
    if skipped() {
        return;
    }
    let body = "{\"a\":\"x\u{202e}y\u{9b}31m\"}";
    let port = hostile_server("200 OK", body.as_bytes().to_vec());
    let at = format!("http://127.0.0.1:{port}");
    let output = succeed(&mut pinflow(["query", "x", "--format", "json", "--at", &at]));
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), body);
    let program = program().display();
    let script = format!("{program} query x --format json --at {at}; echo AFTER $?; sleep 1000");
    let terminal = TmuxTerminal::start(&script, 80, 24);
    terminal.wait_for_text("AFTER 0");
    assert!(terminal.screen_contains("x\\u202ey\\u009b31m"), "{:?}", terminal.screen());
}

/// Where the outputs of a command go.
#[derive(Debug, Clone, Copy)]
enum OutputSink {
    Full,
    Closed,
    Missing,
}

impl OutputSink {
    /// Runs a command line with `descriptor` (1 or 2) going to the sink; the exit code.
    fn run(self, descriptor: u8, arguments: &[&str]) -> i32 {
        let quoted: Vec<_> = arguments.iter().map(|argument| format!("'{argument}'")).collect();
        let command = format!("{} {}", program().display(), quoted.join(" "));
        let other = if descriptor == 1 { "2>/dev/null" } else { "1>/dev/null" };
        let script = match self {
            OutputSink::Full => format!("{command} {other} {descriptor}>/dev/full"),
            OutputSink::Missing => format!("{command} {other} {descriptor}>&-"),
            // A pipe whose reader has ended before anything is written.
            OutputSink::Closed => format!(
                "mkfifo \"$PIPE\"; exec 9<>\"$PIPE\"; exec 8>\"$PIPE\"; exec 9<&-; {command} {other} {descriptor}>&8 8>&-"
            ),
        };
        let place = create_temp_dir();
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).env("PIPE", place.path().join("pipe")).stdin(Stdio::null());
        shell.status().unwrap().code().expect("no signal ends it")
    }
}

#[test]
fn exit_codes_hold_when_standard_error_cannot_be_written() {
    let place = create_temp_dir();
    let at = |name: &str| place.path().join(name).display().to_string();
    emit(&place.path().join("recording"), 50, 50, 1, &[]);
    succeed(pinflow(["run", "--output", "none", "--tables"]).arg(at("tables")).arg(at("recording")));
    let (recording, tables, missing) = (at("recording"), at("tables"), at("missing"));
    let nobody = "http://127.0.0.1:1";
    let cases: &[(&[&str], i32)] = &[
        (&["run", &recording, "--output", "none"], 0),
        (&["run", &missing], 2),
        (&["check", &recording], 0),
        (&["check", &missing], 2),
        (&["table", &tables, "--verify"], 0),
        (&["table", &missing], 2),
        (&["query", "--at", nobody], 1),
        (&["emit", "--to", "-", "--inds", "10"], 0),
        (&["emit", "--to", &recording], 1),
        (&["gateway", &missing], 2),
        (&["--no-such-flag"], 2),
    ];
    for (arguments, code) in cases {
        for sink in [OutputSink::Full, OutputSink::Closed, OutputSink::Missing] {
            assert_eq!(sink.run(2, arguments), *code, "{arguments:?} with stderr {sink:?}");
        }
    }
}

#[test]
fn fenced_run_exits_with_75_when_standard_error_is_full() {
    let place = create_temp_dir();
    emit(&place.path().join("recording"), 500, 5_000, 3, &[]);
    let config = place.path().join("run.toml");
    let text = "[[source]]\nkind = \"recording\"\npath = \"recording\"\nrate_per_sec = 300\n[tables]\nurl = \"tables\"\n\
                commit_age_secs_max = 0.1\n";
    std::fs::write(&config, text).unwrap();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = pinflow(["run", "--output", "none"]);
    let mut first = pinflow_testkit::RunningProcess::start(command.arg(&config).stderr(full()));
    wait_until("the first one writes", || place.path().join("tables/pin/_delta_log").is_dir());
    std::thread::sleep(std::time::Duration::from_secs(1));
    let mut command = pinflow(["run", "--output", "none"]);
    let mut second = pinflow_testkit::RunningProcess::start(command.arg(&config).stderr(full()));
    assert_eq!(first.wait().code(), Some(75), "the second one has taken the tables over");
    second.signal(Signal::SIGTERM);
    assert_eq!(second.wait().code(), Some(0));
}

#[test]
fn unwritable_standard_output_ends_every_command_cleanly() {
    let place = create_temp_dir();
    let at = |name: &str| place.path().join(name).display().to_string();
    emit(&place.path().join("recording"), 50, 50, 1, &[]);
    succeed(pinflow(["run", "--output", "none", "--tables"]).arg(at("tables")).arg(at("recording")));
    let (recording, tables) = (at("recording"), at("tables"));
    let answers = serde_json::json!({ "answers": [] }).to_string().into_bytes();
    let served = format!("http://127.0.0.1:{}", hostile_server("200 OK", answers));
    let cases: &[&[&str]] = &[
        &["run", &recording, "--output", "snapshots"],
        &["run", &recording, "--output", "changes"],
        &["run", &recording, "--output", "tables"],
        &["check", &recording],
        &["table", &tables],
        &["table", &tables, "--format", "json"],
        &["table", &tables, "--verify"],
        &["query", "--at", &served],
        &["emit", "--to", "-", "--inds", "1000"],
    ];
    for arguments in cases {
        assert_eq!(OutputSink::Full.run(1, arguments), 1, "{arguments:?} on a full disk");
        assert_eq!(OutputSink::Closed.run(1, arguments), 0, "{arguments:?} with nobody reading");
    }
}
