//! The JSON Schema of the configuration accepts what the program accepts, by a validator that is not ours: the one that
//! `tests/openapi/setup.sh` installs with schemathesis. `PINFLOW_SKIP_OPENAPI=1` skips the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pinflow_testkit::{create_temp_dir, pinflow, succeed};
use serde_json::Value;

const VALIDATE: &str = "\
import json, sys, jsonschema_rs
schema = json.load(open(sys.argv[1]))
jsonschema_rs.meta.validate(schema)
validator = jsonschema_rs.validator_for(schema)
for path in sys.argv[2:]:
    errors = [f'{error.instance_path}: {error.message}' for error in validator.iter_errors(json.load(open(path)))]
    print(json.dumps(errors))";

#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
fn validator() -> Option<PathBuf> {
    if std::env::var_os("PINFLOW_SKIP_OPENAPI").is_some_and(|skip| skip == "1") {
        eprintln!("PINFLOW_SKIP_OPENAPI=1: the JSON Schema is not tried");
        return None;
    }
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/openapi/python/bin/python");
    assert!(python.exists(), "no {}: run tests/openapi/setup.sh", python.display());
    Some(python)
}

/// The errors of each configuration.
fn schema_errors(python: &Path, texts: &[String]) -> Vec<Vec<String>> {
    let place = create_temp_dir();
    let mut command = Command::new(python);
    command
        .args(["-c", VALIDATE])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/pinflow.schema.json"));
    for (index, text) in texts.iter().enumerate() {
        let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}: {text}"));
        let path = place.path().join(format!("{index}.json"));
        fs::write(&path, serde_json::to_string(&table).unwrap()).unwrap();
        command.arg(path);
    }
    let printed = String::from_utf8(succeed(&mut command).stdout).unwrap();
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_example_and_every_configuration_of_init_is_valid_by_the_json_schema() {
    let Some(python) = validator() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(root.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    paths.push(root.join("src/demo/demo.toml"));
    assert!(paths.len() >= 8, "{paths:?}");
    let mut texts: Vec<String> = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for kind in ["recording", "kafka", "msk", "kinesis", "gateway"] {
        texts.push(String::from_utf8(succeed(&mut pinflow(["init", kind])).stdout).unwrap());
    }
    for (errors, text) in schema_errors(&python, &texts).iter().zip(&texts) {
        assert_eq!(*errors, [""; 0], "{text}");
    }
}

/// Configurations that are wrong in one place, each with the place.
const WRONG: [(&str, &str); 10] = [
    ("pipelines = \"posts\"", ""),
    ("[engine]\nepoch_ms = 0", "epoch_ms"),
    ("[engine]\nworkers = \"two\"", "workers"),
    ("[tables]\nurl = \"data\"\nkeep_hours = 23", "keep_hours"),
    ("[tables]\ncompact = true", "tables"),
    ("[questions]\nties = \"frist\"", "ties"),
    ("[serve]\nlisten = 7461\ntokens = { read = \"plain\" }", "read"),
    ("[[source]]\nkind = \"kafka\"\ntopics = { auto = \"posts\" }", "source"),
    ("[[source]]\nkind = \"recording\"\npath = \"a\"\nbrokers = \"b:1\"", "source"),
    ("[[source]]\nkind = \"pulsar\"", "source"),
];

#[test]
fn wrong_configurations_are_invalid_by_the_json_schema_and_by_the_program() {
    let Some(python) = validator() else { return };
    let place = create_temp_dir();
    let texts: Vec<String> = WRONG.iter().map(|(text, _)| (*text).to_owned()).collect();
    for ((text, named), errors) in WRONG.iter().zip(schema_errors(&python, &texts)) {
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert!(errors[0].contains(named), "{text}: {errors:?}");
        let path = place.path().join("wrong.toml");
        let source = if text.contains("source") { "" } else { "\n[[source]]\nkind = \"recording\"\npath = \".\"\n" };
        fs::write(&path, format!("{text}{source}")).unwrap();
        let checked = pinflow(["check"]).arg(&path).output().unwrap();
        assert_eq!(checked.status.code(), Some(2), "{text}");
    }
    // 0 is allowed beside the range from 24.
    let zero = ["[tables]\nurl = \"data\"\nkeep_hours = 0".to_owned()];
    assert_eq!(schema_errors(&python, &zero), [Vec::<String>::new()]);
    // The schema is JSON: a value that is none would not have been read.
    let schema: Value = serde_json::from_slice(&succeed(&mut pinflow(["schema"])).stdout).unwrap();
    assert_eq!(schema["type"], "object");
}
