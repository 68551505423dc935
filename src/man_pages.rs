//! `pinflow man`: manual pages of all commands, made from the same texts as their help.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;

use pinflow_core::user_error::UserError;

/// The command line of `pinflow man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Write the pages to this folder, as pinflow.1, pinflow-run.1 and so on. Existing ones are overwritten
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
}

/// Why manual pages could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{what} {}", path.display())]
pub struct ManPageError {
    what: &'static str,
    path: PathBuf,
    #[source]
    cause: io::Error,
}

impl UserError for ManPageError {}

/// Writes a page for each visible command, and returns their number. `command` is the whole command line.
///
/// # Errors
/// If the folder or a file cannot be written.
pub fn write_pages(folder: &Path, command: Command) -> Result<usize, ManPageError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |cause| ManPageError { what, path, cause }
    };
    fs::create_dir_all(folder).map_err(failed("make folder", folder))?;
    let pages = pages(command);
    for (name, text) in &pages {
        let path = folder.join(name);
        fs::write(&path, text).map_err(failed("write", &path))?;
    }
    Ok(pages.len())
}

/// The file name and text of each page.
fn pages(command: Command) -> Vec<(String, Vec<u8>)> {
    fn add_pages(command: &Command, parent: Option<&str>, into: &mut Vec<(String, Vec<u8>)>) {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        into.push((format!("{name}.1"), page(command, parent)));
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            add_pages(below, Some(&name), into);
        }
    }
    let mut root = command.disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    add_pages(&root, None, &mut pages);
    pages
}

/// The page of one command. `parent` is the page of the command above it.
fn page(command: &Command, parent: Option<&str>) -> Vec<u8> {
    let man =
        Man::new(command.clone()).manual("pinflow manual").source(format!("pinflow {}", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    // Writing to a Vec cannot fail.
    let _ = man.render_title(&mut text);
    let _ = man.render_name_section(&mut text);
    let _ = man.render_synopsis_section(&mut text);
    let _ = man.render_description_section(&mut text);
    let _ = man.render_options_section(&mut text);
    if command.get_subcommands().any(|below| !below.is_hide_set()) {
        let _ = man.render_subcommands_section(&mut text);
    }
    text.extend(example_sections(command).into_bytes());
    let see = parent.unwrap_or("pinflow-run");
    text.extend(format!(".SH \"SEE ALSO\"\n.BR {} (1)\n", escape_roff(see)).into_bytes());
    // clap writes texts only.
    to_ascii(&String::from_utf8_lossy(&text)).into_bytes()
}

/// The sections with the examples and the exit codes, from the text below the help.
fn example_sections(command: &Command) -> String {
    let Some(help) = command.get_after_help() else { return String::new() };
    let help = help.to_string();
    let (examples, exit_codes) = help.split_once("\n\n").unwrap_or((&help, ""));
    // Writing to a String cannot fail.
    let mut sections = ".SH EXAMPLES\n.nf\n".to_owned();
    for line in examples.lines().skip(1) {
        let _ = writeln!(sections, "{}", escape_roff(line.strip_prefix("  ").unwrap_or(line)));
    }
    sections += ".fi\n";
    if let Some(codes) = exit_codes.trim().strip_prefix("Exit status: ") {
        let _ = writeln!(sections, ".SH \"EXIT STATUS\"\n{}", escape_roff(codes));
    }
    sections
}

/// The text with characters beyond ASCII as escapes, so that it does not depend on the encoding that roff expects.
fn to_ascii(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(ascii, "\\[u{:04X}]", u32::from(c));
        }
    }
    ascii
}

/// A line of text that roff does not take for a request, with its hyphens and backslashes.
fn escape_roff(line: &str) -> String {
    let escaped = line.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command_line;

    #[test]
    fn every_visible_command_has_a_page_with_its_flags_examples_and_exit_codes() {
        let pages = pages(command_line());
        let text = |name: &str| {
            let found = pages.iter().find(|(page, _)| page == name).unwrap_or_else(|| panic!("no {name}"));
            String::from_utf8(found.1.clone()).expect("a text")
        };
        let vacuum = text("pinflow-table-vacuum.1");
        for part in [
            ".TH pinflow-table-vacuum 1",
            "\\-\\-keep",
            ".SH EXAMPLES",
            ".SH \"EXIT STATUS\"\n0 done",
            ".BR pinflow\\-table (1)",
        ] {
            assert!(vacuum.contains(part), "{part}: {vacuum}");
        }
        assert!(text("pinflow.1").contains("pinflow\\-run(1)"));
        assert!(pages.iter().all(|(name, _)| name != "pinflow-answer-names.1" && name != "pinflow-help.1"));
        assert!(pages.len() > 25, "{}", pages.len());
    }

    #[test]
    fn lines_are_no_requests_of_roff() {
        assert_eq!(escape_roff(".SH x-y\\"), "\\&.SH x\\-y\\e");
        assert_eq!(escape_roff("'a"), "\\&'a");
        assert_eq!(to_ascii("a…b"), "a\\[u2026]b");
    }
}
