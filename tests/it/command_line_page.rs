//! `docs/reference/command-line.md` is rendered from the program's own command line.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::{Arg, Command};
use pinflow::cli::command_line;

const PAGE: &str = "docs/reference/command-line.md";

/// Set this variable to write the page instead of comparing it.
const UPDATE_VARIABLE: &str = "PINFLOW_UPDATE_DOCS";

const HEAD: &str = "\
# Command line

<!-- Generated from the program. Do not edit: change the help texts in the sources and update this page. -->

This page lists every command with its arguments, flags, values, defaults and environment variables. It is generated from the
program and says the same as `pinflow COMMAND --help`. After a change of the command line, update it:

```sh
PINFLOW_UPDATE_DOCS=1 cargo test --release --features failpoints --test it command_line_page
```

Flags override the configuration file. [Exit codes](exit-codes.md) and the [configuration](configuration.md) have pages of
their own.
";

/// Renders the page of a whole command line.
fn render_page(mut root: Command) -> String {
    root.build();
    let mut page = HEAD.to_owned();
    for command in subcommands(&root) {
        render_command(command, &format!("{} {}", root.get_name(), command.get_name()), 2, &mut page);
    }
    page
}

/// The commands below this one, without the generated `help`.
fn subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set())
}

fn render_command(command: &Command, path: &str, level: usize, page: &mut String) {
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    writeln!(page, "\n{} {path}\n\n{}\n\n```text\n{usage}\n```", "#".repeat(level), sentence(&escape(&about))).unwrap();
    for (heading, arguments) in by_heading(command) {
        writeln!(page, "\n**{heading}**\n").unwrap();
        for argument in arguments {
            render_argument(argument, page);
        }
    }
    if let Some(examples) = command.get_after_help() {
        let examples = examples.to_string();
        let (examples, exit_status) = examples.split_once("\n\n").expect("examples, then exit codes");
        let commands = examples.trim_start_matches("Examples:\n");
        writeln!(page, "\n**Examples**\n\n```text\n{commands}\n```\n\n{}.", exit_status.trim_end()).unwrap();
    }
    for below in subcommands(command) {
        render_command(below, &format!("{path} {}", below.get_name()), level + 1, page);
    }
}

/// The visible arguments under their headings, in the order of the help.
fn by_heading(command: &Command) -> Vec<(String, Vec<&Arg>)> {
    let mut groups: Vec<(String, Vec<&Arg>)> = Vec::new();
    let is_own =
        |argument: &&Arg| !argument.is_hide_set() && !["help", "version"].contains(&argument.get_id().as_str());
    for argument in command.get_arguments().filter(is_own) {
        let by_kind = if argument.is_positional() { "Arguments" } else { "Options" };
        let heading = argument.get_help_heading().unwrap_or(by_kind);
        match groups.iter_mut().find(|(name, _)| name == heading) {
            Some((_, group)) => group.push(argument),
            None => groups.push((heading.to_owned(), vec![argument])),
        }
    }
    groups
}

fn render_argument(argument: &Arg, page: &mut String) {
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    // A default that the program computes is part of the help text. List it like the others.
    let (help, computed_default) = match help.split_once("[default: ") {
        Some((help, default)) => {
            (help.trim_end(), Some(default.trim_end_matches('.').trim_end_matches(']').to_owned()))
        }
        None => (help.as_str(), None),
    };
    let paragraphs: Vec<String> = help.split("\n\n").map(|text| sentence(&escape(text.trim()))).collect();
    write!(page, "- `{}`: {}", signature(argument), paragraphs.join(" ")).unwrap();
    let aliases = argument.get_all_aliases().unwrap_or_default();
    for alias in aliases {
        write!(page, " Alias: `--{alias}`.").unwrap();
    }
    let given: Vec<String> =
        argument.get_default_values().iter().map(|value| format!("`{}`", value.display())).collect();
    let is_switch = !argument.get_action().takes_values();
    match computed_default {
        Some(default) => write!(page, " Default: {}.", escape(&default)).unwrap(),
        None if !given.is_empty() && !is_switch => write!(page, " Default: {}.", given.join(", ")).unwrap(),
        None => {}
    }
    if let Some(variable) = argument.get_env() {
        write!(page, " Environment variable: `{}`.", variable.display()).unwrap();
    }
    page.push('\n');
    if !is_switch {
        for value in argument.get_possible_values().iter().filter(|value| !value.is_hide_set()) {
            let help = value.get_help().map(ToString::to_string).unwrap_or_default();
            writeln!(page, "  - `{}`: {}", value.get_name(), sentence(&escape(&help))).unwrap();
        }
    }
}

/// The argument as in the usage line, such as `--keep <HOURS>`.
fn signature(argument: &Arg) -> String {
    let names: Vec<String> =
        argument.get_value_names().unwrap_or_default().iter().map(|name| format!("<{name}>")).collect();
    let value = names.join(" ");
    match argument.get_long() {
        Some(long) if argument.get_action().takes_values() => format!("--{long} {value}"),
        Some(long) => format!("--{long}"),
        None if argument.is_required_set() => value,
        None => format!("[{}]", value.trim_start_matches('<').trim_end_matches('>')),
    }
}

/// Escapes Markdown markup outside of code.
fn escape(text: &str) -> String {
    let escape_part = |(number, part): (usize, &str)| match number % 2 {
        0 => part.replace('\n', " ").replace('[', "\\[").replace('<', "&lt;"),
        _ => part.to_owned(),
    };
    text.split('`').enumerate().map(escape_part).collect::<Vec<_>>().join("`")
}

fn sentence(text: &str) -> String {
    let ends = text.ends_with(['.', ':', '?', '…']) || text.is_empty();
    if ends { text.to_owned() } else { format!("{text}.") }
}

#[test]
fn command_line_page_lists_what_the_program_takes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let rendered = render_page(command_line());
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        fs::write(&path, &rendered).unwrap();
        return;
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differs = written.lines().zip(rendered.lines()).find(|(written, rendered)| written != rendered);
    assert!(
        written == rendered,
        "{PAGE} is not what the program says; first difference: {differs:?}. Run this test with {UPDATE_VARIABLE}=1"
    );
}

#[test]
fn rendered_page_names_values_defaults_environment_variables_and_global_flags() {
    let page = render_page(command_line());
    for expected in [
        "## pinflow run\n",
        "### pinflow table vacuum\n",
        "- `--duplicates <latest|keep>`: Which rows of one `ind` count in the answers. Default: latest.\n  - `latest`: ",
        "Environment variable: `PINFLOW_AT`.",
        "Default: `168`.",
        "as `[objects]` of this configuration does",
        "Alias: `--limit`.",
    ] {
        assert!(page.contains(expected), "{expected}\n{page}");
    }
    let vacuum = page.split("### pinflow table vacuum\n").nth(1).unwrap().split("\n### ").next().unwrap();
    assert!(vacuum.contains("`--connection <FILE.toml>`"), "{vacuum}");
}
