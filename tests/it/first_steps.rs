//! What a new user starts with: a configuration, a followed recording, completion in the shell, manual pages.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{
    RunningProcess, create_temp_dir, emit, find_checker, pinflow, program, run, succeed, wait_until,
};

#[test]
fn configuration_of_init_is_checked_and_run_as_it_is() {
    let place = create_temp_dir();
    emit(&place.path().join("recordings"), 50, 50, 5, &[]);
    for flags in [&["--to", "posts.toml"][..], &["--all-keys", "--to", "all.toml"]] {
        succeed(pinflow(["init", "recording"]).args(flags).current_dir(place.path()));
        let name = flags.last().unwrap();
        succeed(pinflow(["check", name]).current_dir(place.path()));
        succeed(pinflow(["run", name, "--output", "none"]).current_dir(place.path()));
    }
    succeed(pinflow(["table", "data/quickstart", "--verify"]).current_dir(place.path()));
    // A gateway writes files: nothing else has to be there.
    succeed(pinflow(["init", "gateway", "--to", "gateway.toml"]).current_dir(place.path()));
    fs::create_dir_all(place.path().join("data/gateway")).unwrap();
    let checked = succeed(pinflow(["check", "gateway.toml"]).current_dir(place.path()));
    assert!(!checked.stdout.is_empty());
}

#[test]
fn every_configuration_of_init_is_read_without_an_error() {
    let place = create_temp_dir();
    for kind in ["recording", "kafka", "msk", "kinesis", "gateway"] {
        let path = place.path().join(format!("{kind}.toml"));
        succeed(pinflow(["init", kind, "--to"]).arg(&path));
        let printed = String::from_utf8(succeed(&mut pinflow(["init", kind])).stdout).unwrap();
        let written = fs::read_to_string(&path).unwrap();
        assert_eq!(printed.replace("posts.toml", &format!("{kind}.toml")), written);
        // Nothing can be reached, but nothing is wrong with the file: 1 and not 2.
        let checked = pinflow(["check"]).arg(&path).env("AWS_EC2_METADATA_DISABLED", "true").output().unwrap();
        let text = String::from_utf8_lossy(&checked.stderr).into_owned() + &String::from_utf8_lossy(&checked.stdout);
        assert_ne!(checked.status.code(), Some(2), "{kind}: {text}");
    }
}

#[test]
fn init_does_not_overwrite_a_file() {
    let place = create_temp_dir();
    let path = place.path().join("posts.toml");
    fs::write(&path, "mine").unwrap();
    let refused = run(["init", "kafka", "--to", path.to_str().unwrap()]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("exists, and is not overwritten; name another file with --to"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
}

#[test]
fn followed_recording_of_the_command_line_is_read_on_until_a_signal() {
    let place = create_temp_dir();
    let (posts, tables) = (place.path().join("posts"), place.path().join("tables"));
    emit(&posts, 20, 20, 3, &[]);
    let mut command = pinflow(["run", "--follow", "--output", "none", "--tables"]);
    let mut running = RunningProcess::start(command.arg(&tables).arg(&posts).stderr(Stdio::null()));
    let mut file = fs::File::options().append(true).open(posts.join("user.jsonl")).unwrap();
    let line = fs::read_to_string(posts.join("user.jsonl")).unwrap().lines().next().unwrap().to_owned() + "\n";
    wait_until("all that is there is committed", || user_rows(&tables) == Some(20));
    file.write_all(line.as_bytes()).unwrap();
    wait_until("the appended row is committed", || user_rows(&tables) == Some(21));
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().code(), Some(0));
}

/// The rows of table `user`.
fn user_rows(tables: &Path) -> Option<u64> {
    let output = pinflow(["table", "--format", "json"]).arg(tables.join("user")).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    report["tables"][0]["rows"].as_u64()
}

#[test]
fn follow_with_a_configuration_says_where_to_write_it() {
    let place = create_temp_dir();
    let config = configure_followed_recording(place.path(), place.path(), "");
    let refused = run(["run", "--follow", config.to_str().unwrap()]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("--follow: is for a recording"), "{}", refused.stderr);
    assert!(refused.stderr.contains("write follow = true in its [[source]]"), "{}", refused.stderr);
}

#[test]
fn schema_prints_the_file_of_the_reference() {
    let printed = succeed(&mut pinflow(["schema"])).stdout;
    let written = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/pinflow.schema.json")).unwrap();
    assert!(printed == written);
}

/// What bash completes at the end of a line, with the scripts of the program.
fn complete_in_bash(line: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let script = "source <(\"$1\" completions bash)\n\
                  pinflow() { \"$PINFLOW_PROGRAM\" \"$@\"; }\n\
                  COMP_LINE=$2; COMP_POINT=${#COMP_LINE}\n\
                  read -ra COMP_WORDS <<< \"$COMP_LINE\"\n\
                  [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=('')\n\
                  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n\
                  function_name=$(complete -p pinflow | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n\
                  \"$function_name\" pinflow \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"\n\
                  printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script, "bash"]).arg(program()).arg(line).env("PINFLOW_PROGRAM", program());
    let output = bash.envs(environment.iter().copied()).env_remove("PINFLOW_TOKEN").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_values_and_answers() {
    let commands = complete_in_bash("pinflow qu", &[]);
    assert_eq!(commands, ["query", "question"]);
    assert!(!complete_in_bash("pinflow ", &[]).contains(&"answer-names".to_owned()));
    assert_eq!(complete_in_bash("pinflow query --foll", &[]), ["--follow"]);
    assert_eq!(complete_in_bash("pinflow init k", &[]), ["kafka", "kinesis"]);
    assert_eq!(complete_in_bash("pinflow run --duplicates l", &[]), ["latest"]);
    // No run serves there: no answers, and no error.
    assert_eq!(complete_in_bash("pinflow query pop", &[("PINFLOW_AT", "127.0.0.1:1")]), [""; 0]);
    let place = create_temp_dir();
    emit(&place.path().join("posts"), 20, 20, 3, &[]);
    let serving = ServingRun::start(place.path(), &place.path().join("posts"), &[]);
    serving.wait_until_ready();
    let at = serving.http.address.to_string();
    let from_environment = [("PINFLOW_AT", at.as_str())];
    let popular = ["popular_category_by_age_group", "popular_category_by_country", "popular_category_by_year"];
    assert_eq!(complete_in_bash("pinflow query popular_c", &from_environment), popular);
    assert_eq!(complete_in_bash("pinflow query --follow popular_c", &from_environment), popular);
    assert_eq!(complete_in_bash(&format!("pinflow query --at {at} popular_c"), &[]), popular);
    assert_eq!(complete_in_bash(&format!("pinflow query --at={at} popular_c"), &[]), popular);
    // Only the first word is an answer.
    assert_eq!(complete_in_bash("pinflow query popular_category_by_year popular_c", &from_environment), [""; 0]);
    assert_eq!(complete_in_bash("pinflow query --format j", &from_environment), ["json"]);
    serving.stop();
}

#[test]
fn bash_completes_added_questions_for_drop_and_replace() {
    let place = create_temp_dir();
    emit(&place.path().join("posts"), 20, 20, 3, &[]);
    let serve = "[serve]\nlisten = \"127.0.0.1:0\"\nquestions = true";
    let config = configure_followed_recording(place.path(), &place.path().join("posts"), serve);
    let serving = ServingRun::start(place.path(), &config, &[]);
    serving.wait_until_ready();
    let at = serving.http.address.to_string();
    let environment = [("PINFLOW_AT", at.as_str())];
    assert_eq!(complete_in_bash("pinflow question drop pi", &environment), [""; 0]);
    for name in ["pins_by_year", "pins_by_category", "users"] {
        let file = place.path().join(format!("{name}.sql"));
        fs::write(&file, "SELECT count(*) AS n FROM pin").unwrap();
        succeed(pinflow(["question", "add"]).arg(&file).args(["--at", &at]));
    }
    let pins = ["pins_by_year", "pins_by_category"];
    assert_eq!(complete_in_bash("pinflow question drop pi", &environment), pins);
    assert_eq!(complete_in_bash(&format!("pinflow question drop --at {at} pi"), &[]), pins);
    // Built-in answers cannot be dropped.
    assert_eq!(complete_in_bash("pinflow question drop popular", &environment), [""; 0]);
    assert_eq!(complete_in_bash("pinflow question replace new.sql --name pi", &environment), pins);
    assert_eq!(complete_in_bash("pinflow question replace --name pi", &environment), pins);
    assert_eq!(complete_in_bash("pinflow question add new.sql --name pi", &environment), [""; 0]);
    assert_eq!(complete_in_bash("pinflow question list pi", &environment), [""; 0]);
    serving.stop();
}

#[test]
fn every_shell_parses_its_script() {
    for (shell, parse) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let place = create_temp_dir();
        let path = place.path().join("script");
        fs::write(&path, succeed(&mut pinflow(["completions", shell])).stdout).unwrap();
        let Some(program) = find_checker(shell) else { return };
        let parsed = Command::new(program).arg(parse).arg(&path).output().unwrap();
        let errors = String::from_utf8_lossy(&parsed.stderr).into_owned();
        assert!(parsed.status.success() && errors.is_empty(), "{shell}: {errors}");
    }
}

#[test]
fn manual_pages_are_right_for_groff() {
    let place = create_temp_dir();
    let folder = place.path().join("man1");
    let printed = String::from_utf8(succeed(pinflow(["man", "--to"]).arg(&folder)).stdout).unwrap();
    let pages: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(printed.starts_with(&format!("{} manual pages are in ", pages.len())), "{printed}");
    for path in &pages {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains("\n.TH ") && text.contains("\n.SH NAME\n"), "{}", path.display());
    }
    let Some(groff) = find_checker("groff") else { return };
    let checked = Command::new(groff).args(["-man", "-Tutf8", "-ww", "-z"]).args(&pages).output().unwrap();
    let warnings = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && warnings.is_empty(), "{warnings}");
}
