//! Texts from data, file names and servers never control the terminal.

use std::process::Output;

use super::hostile_server;
use super::tmux::{TmuxTerminal, skipped};
use pinflow_testkit::{create_temp_dir, emit, pinflow, program, succeed};

/// Texts that would control a terminal, or mislead its reader.
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

/// Asserts that a text has no control sequences.
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
        // `emit --to` refuses control characters in names, but such a folder can exist.
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
        // Tear a commit, so that --repair moves it away.
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
