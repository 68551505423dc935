//! The help of every command: complete, with examples that parse, in plain English.

use clap::{Arg, Command};
use pinflow::cli::command_line;

/// Words that only this project would understand.
const PRIVATE_WORDS: [&str; 18] = [
    "anew",
    "mend",
    "whoever",
    "of nobody",
    "nobody",
    "beside the run",
    "goes before",
    "go before",
    "stands in",
    "stands with",
    "stand in",
    "is said",
    "the original",
    "front door",
    "see to it",
    "joined files",
    "swept",
    "come again",
];

/// All commands with the words that select them, without the generated `help` commands.
fn all_commands() -> Vec<(String, Command)> {
    fn collect(command: &Command, path: &str, into: &mut Vec<(String, Command)>) {
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            let path = format!("{path} {}", below.get_name());
            collect(below, &path, into);
            into.push((path, below.clone()));
        }
    }
    let mut root = command_line();
    root.build();
    let mut commands = vec![("pinflow".to_owned(), root.clone())];
    collect(&root, "pinflow", &mut commands);
    commands
}

fn own_arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
}

/// The example commands in a help text: their lines begin with `  pinflow`.
fn example_commands(help: &str) -> Vec<Vec<String>> {
    let lines = help.lines().filter(|line| line.starts_with("  pinflow "));
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn every_command_has_an_about_text_and_examples_that_parse() {
    for (path, command) in all_commands().into_iter().filter(|(path, _)| path != "pinflow") {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(about.split_whitespace().count() >= 3, "{path} is described by \"{about}\"");
        let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(examples.starts_with("Examples:\n"), "{path} has no examples");
        assert!(examples.contains("\n\nExit status: 0 "), "{path} does not list its exit codes");
        let commands = example_commands(&examples);
        assert!(commands.iter().any(|words| words.join(" ").starts_with("pinflow") && is_of(words, &path)), "{path}");
        for words in commands {
            if let Err(error) = command_line().try_get_matches_from(&words) {
                panic!("{}: {error}", words.join(" "));
            }
        }
    }
}

/// Whether the words of an example contain all words of a command.
fn is_of(example: &[String], command: &str) -> bool {
    command.split_whitespace().all(|word| example.iter().any(|given| given == word))
}

#[test]
fn every_argument_and_value_is_described_and_value_names_say_more_than_the_flag() {
    for (path, command) in all_commands() {
        for argument in own_arguments(&command) {
            let id = argument.get_id();
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.split_whitespace().count() >= 2, "{path}: {id} is described by \"{help}\"");
            if !argument.get_action().takes_values() {
                continue;
            }
            for value in argument.get_possible_values() {
                assert!(value.get_help().is_some(), "{path}: {id}: the value {} is not described", value.get_name());
            }
            let names = argument.get_value_names().unwrap_or_default();
            let repeats_flag = names.iter().any(|name| *name == id.as_str().to_uppercase().replace('_', "-"));
            let has_values = !argument.get_possible_values().is_empty();
            assert!(!repeats_flag || has_values || argument.is_positional(), "{path}: --{id} <{names:?}>");
        }
    }
}

#[test]
fn optional_flags_of_a_run_name_their_default() {
    let commands = all_commands();
    let (_, run) = commands.iter().find(|(path, _)| path == "pinflow run").unwrap();
    let values =
        own_arguments(run).filter(|argument| argument.get_action().takes_values() && !argument.is_positional());
    for argument in values.filter(|argument| argument.get_id() != "accept_loss") {
        let help = argument.get_help().unwrap().to_string();
        assert!(help.contains("[default: "), "{}: {help}", argument.get_id());
    }
}

#[test]
fn help_contains_no_private_words() {
    for (path, mut command) in all_commands() {
        let help = command.render_long_help().to_string().to_lowercase();
        let plain: String = help.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
        let text = format!(" {} ", plain.split_whitespace().collect::<Vec<_>>().join(" "));
        for word in PRIVATE_WORDS {
            assert!(!text.contains(&format!(" {word} ")), "the help of {path} contains \"{word}\"");
        }
    }
}
