//! What a demo prints: where it is, and commands to try.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::folder::DemoFolder;

/// The port that `pinflow query` and `pinflow question` ask by default.
pub(super) const DEFAULT_PORT: u16 = 7461;

/// The text that a demo prints once it serves.
pub(super) fn suggestions(folder: &DemoFolder, address: SocketAddr) -> String {
    let at = if address.port() == DEFAULT_PORT { String::new() } else { format!(" --at {}", address.port()) };
    let (tables, question) = (shell_word(&folder.tables()), shell_word(&folder.question()));
    let fate = if folder.is_temporary() { "removed at the end; --keep FOLDER keeps them" } else { "kept at the end" };
    let mut text = format!(
        "The page: http://{address}\nThe recording and the tables: {} ({fate})\n\nTry in another terminal:\n\n",
        folder.path().display()
    );
    for (command, what) in [
        (format!("pinflow query{at}"), "List the answers"),
        (format!("pinflow query popular_category_by_country{at}"), "Print one of them"),
        (format!("pinflow query popular_category_by_country --follow{at}"), "Print its changes, until Ctrl-C"),
        (format!("pinflow question add {question}{at}"), "Add a question in SQL to the run"),
        (format!("pinflow query pins_by_category{at}"), "Print its answer"),
        (format!("pinflow table {tables}"), "Show the tables: rows, files, positions and commits"),
        (format!("pinflow table {tables} --verify"), "Prove that no row is lost and no row is stored twice"),
        (duckdb_command(folder), "Read the tables with DuckDB"),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {command}\n          {what}");
    }
    text.push_str("\nCtrl-C ends the demo.");
    text
}

/// Counts the cleaned pins by category, with DuckDB's program.
fn duckdb_command(folder: &DemoFolder) -> String {
    let table = folder.tables().join("pin").display().to_string().replace('\'', "''");
    let sql =
        format!("INSTALL delta; LOAD delta; SELECT category, count(*) FROM delta_scan('{table}') GROUP BY category");
    format!("duckdb -c {}", quote_word(&sql))
}

/// A path as a word of a shell's command line.
pub(super) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@%:,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text } else { quote_word(&text).into_owned() }
}

/// A text in quotes, which a shell takes as one word.
fn quote_word(text: &str) -> Cow<'static, str> {
    if text.contains(['"', '$', '`', '\\', '!']) || !text.contains('\'') {
        Cow::Owned(format!("'{}'", text.replace('\'', "'\\''")))
    } else {
        Cow::Owned(format!("\"{text}\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_words_of_a_shell() {
        for (path, word) in [
            ("/tmp/pinflow-demo-1", "/tmp/pinflow-demo-1"),
            ("/tmp/my demo", "'/tmp/my demo'"),
            ("/tmp/it's", "\"/tmp/it's\""),
            ("/tmp/$HOME's", "'/tmp/$HOME'\\''s'"),
        ] {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }
}
