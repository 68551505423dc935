//! `pinflow completions`: scripts that let a shell complete commands, flags and values.
//!
//! clap generates them. For bash, zsh and fish they also complete the answer after `pinflow query`, and the question after
//! `pinflow question drop` and `pinflow question replace --name`: they run the hidden command `pinflow answer-names`,
//! which asks the run.

use std::io;

use clap::Command;
use clap_complete::{Shell, generate};

/// The command line of `pinflow completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: CompletedShell,
}

/// A shell that commands can be completed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CompletedShell {
    /// bash 4.4 or later
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
    /// PowerShell. Answers are not completed
    Powershell,
    /// Elvish. Answers are not completed
    Elvish,
}

/// Completes an answer in bash.
///
/// `COMP_WORDS` is split at colons, so the line is split again. `compgen -W` expands its words, so `answer-names` must
/// print nothing that a shell expands.
const BASH_ANSWERS: &str = r#"
# Prints what the run of a command knows: the answers for `pinflow query`, and the added questions for
# `pinflow question drop` and `pinflow question replace --name`. $1 is the program.
_pinflow_answer_names() {
    local words flags=() i last first=2 name_of=
    read -ra words <<< "${COMP_LINE:0:COMP_POINT}"
    last=${#words[@]}
    # The word at the cursor is not complete yet.
    [[ "${COMP_LINE:COMP_POINT-1:1}" == " " ]] || ((last--))
    case "${words[1]} ${words[2]}" in
        query*) ;;
        "question drop") flags=(--added) first=3 ;;
        "question replace") flags=(--added) first=3 name_of=--name ;;
        *) return ;;
    esac
    ((first <= last)) || return
    for ((i = first; i < last; i++)); do
        case "${words[i]}" in
            --at|--token|--ca) flags+=("${words[i]}" "${words[++i]}") ;;
            --at=*|--token=*|--ca=*) flags+=("${words[i]}") ;;
            --name) [[ -n "$name_of" ]] && ((i + 1 == last)) && name_of=found; ((++i)) ;;
            --format) ((++i)) ;;
            -*) ;;
            *) [[ -n "$name_of" ]] || return ;;
        esac
    done
    # The word at the cursor is the value of a flag.
    case "$name_of" in
        "") ((i == last)) || return ;;
        found) ;;
        *) return ;;
    esac
    "$1" answer-names "${flags[@]}" 2>/dev/null
}

_pinflow_with_answers() {
    _pinflow "$@"
    if [[ "$2" != -* ]]; then
        COMPREPLY+=($(compgen -W "$(_pinflow_answer_names "$1")" -- "$2"))
    fi
}

"#;

/// Completes an answer in zsh.
const ZSH_ANSWERS: &str = r#"(( $+functions[_pinflow_added_questions] )) ||
_pinflow_added_questions() {
    _pinflow_answers --added
}
(( $+functions[_pinflow_answers] )) ||
_pinflow_answers() {
    local flag
    local -a names flags=()
    [[ "$1" == --added ]] && flags=(--added)
    for flag in --at --token --ca; do
        [[ -n "${opt_args[$flag]}" ]] && flags+=("$flag" "${opt_args[$flag]//\\:/:}")
    done
    names=(${(f)"$(pinflow answer-names $flags 2>/dev/null)"})
    compadd -a names
}

"#;

/// Completes an answer in fish.
const FISH_ANSWERS: &str = r#"
function __pinflow_answers
    set -l words (commandline -opc)
    set -l flags $argv
    for i in (seq (count $words))
        if contains -- $words[$i] --at --token --ca; and test $i -lt (count $words)
            set -a flags $words[$i] $words[(math $i + 1)]
        else if string match -qr -- '^--(at|token|ca)=' $words[$i]
            set -a flags $words[$i]
        end
    end
    pinflow answer-names $flags 2>/dev/null
end
complete -c pinflow -n "__fish_pinflow_using_subcommand query" -f -a "(__pinflow_answers)"
complete -c pinflow -n "__fish_pinflow_using_subcommand question; and __fish_seen_subcommand_from drop" -f -a "(__pinflow_answers --added)"
complete -c pinflow -n "__fish_pinflow_using_subcommand question; and __fish_seen_subcommand_from replace" -l name -x -a "(__pinflow_answers --added)"
"#;

/// Writes the script for a shell to `out`. `command` is the whole command line.
///
/// # Errors
/// If it cannot be written.
pub fn write_script(shell: CompletedShell, command: &Command, out: &mut impl io::Write) -> io::Result<()> {
    out.write_all(script(shell, command).as_bytes())
}

fn script(shell: CompletedShell, command: &Command) -> String {
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    generate(generator(shell), &mut without_hidden_commands(command), name, &mut text);
    // clap writes texts only.
    let text = String::from_utf8_lossy(&text).into_owned();
    match shell {
        CompletedShell::Bash => with_answers_in_bash(&text),
        CompletedShell::Zsh => with_answers_in_zsh(&text),
        CompletedShell::Fish => text + FISH_ANSWERS,
        CompletedShell::Powershell | CompletedShell::Elvish => text,
    }
}

/// The command line without its hidden commands, which clap would complete.
fn without_hidden_commands(command: &Command) -> Command {
    let visible = command.get_subcommands().filter(|below| !below.is_hide_set()).cloned();
    Command::new("pinflow").version(env!("CARGO_PKG_VERSION")).subcommands(visible)
}

fn generator(shell: CompletedShell) -> Shell {
    match shell {
        CompletedShell::Bash => Shell::Bash,
        CompletedShell::Zsh => Shell::Zsh,
        CompletedShell::Fish => Shell::Fish,
        CompletedShell::Powershell => Shell::PowerShell,
        CompletedShell::Elvish => Shell::Elvish,
    }
}

/// Adds the functions before the script registers one, and lets it register the one that completes answers, too.
fn with_answers_in_bash(script: &str) -> String {
    let (functions, registration) = script.split_at(script.rfind("\nif [[ \"${BASH_VERSINFO").map_or(0, |at| at + 1));
    let registration = registration.replace("complete -F _pinflow ", "complete -F _pinflow_with_answers ");
    format!("{functions}{}{registration}", BASH_ANSWERS.trim_start())
}

/// Lets answers and added questions be completed by functions, and adds the functions before the script ends.
fn with_answers_in_zsh(script: &str) -> String {
    let mut subcommand = "";
    let mut lines = String::with_capacity(script.len());
    for line in script.lines() {
        if let Some(name) = line.trim_start().strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            subcommand = name;
        }
        let completed = if line.starts_with("'::answer -- ") {
            line.replace(":_default'", ":_pinflow_answers'")
        } else if (subcommand == "drop" && line.starts_with("':name -- "))
            || (subcommand == "replace" && line.starts_with("'--name="))
        {
            line.replace(":_default'", ":_pinflow_added_questions'")
        } else {
            line.to_owned()
        };
        lines.push_str(&completed);
        lines.push('\n');
    }
    let (functions, end) = lines.split_at(lines.rfind("\nif [ \"$funcstack[1]\"").map_or(0, |at| at + 1));
    format!("{functions}{ZSH_ANSWERS}{end}")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::cli::command_line;

    #[test]
    fn script_of_every_shell_knows_all_visible_commands() {
        for shell in CompletedShell::value_variants() {
            let script = script(*shell, &command_line());
            assert!(!script.contains("'answer-names"), "{shell:?} completes a hidden command");
            for command in command_line().get_subcommands().filter(|command| !command.is_hide_set()) {
                assert!(script.contains(command.get_name()), "{shell:?}: {}", command.get_name());
            }
        }
    }

    #[test]
    fn scripts_register_the_functions_that_complete_answers() {
        let bash = script(CompletedShell::Bash, &command_line());
        assert_eq!(bash.matches("complete -F _pinflow_with_answers ").count(), 2);
        assert!(!bash.contains("complete -F _pinflow "));
        let zsh = script(CompletedShell::Zsh, &command_line());
        assert_eq!(zsh.matches(":_pinflow_answers'").count(), 1);
        assert_eq!(zsh.matches("\n_pinflow_answers() {").count(), 1);
        assert_eq!(zsh.matches(":_pinflow_added_questions'").count(), 2, "drop and replace");
        let fish = script(CompletedShell::Fish, &command_line());
        assert!(fish.contains("function __fish_pinflow_using_subcommand"));
    }
}
