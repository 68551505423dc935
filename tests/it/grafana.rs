//! The dashboards and alerts of `examples`: every metric in them is served and documented, every answer exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use pinflow::dataflows::graph::GraphOptions;
use pinflow::dataflows::questions::QuestionSet;
use pinflow_testkit::readers::python;
use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{create_temp_dir, emit, find_checker, pinflow, succeed, wait_until};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All values of this name below a value.
fn values_named<'a>(value: &'a Value, name: &str, into: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            into.extend(fields.get(name));
            fields.values().for_each(|value| values_named(value, name, into));
        }
        Value::Array(items) => items.iter().for_each(|item| values_named(item, name, into)),
        _ => {}
    }
}

fn texts_named(value: &Value, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    values_named(value, name, &mut found);
    found.into_iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The metrics that an expression of Prometheus names.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("pinflow_") || word.starts_with("process_")).map(str::to_owned).collect()
}

fn dashboard(name: &str) -> Value {
    serde_json::from_str(&read(&format!("examples/grafana/dashboards/{name}.json"))).unwrap()
}

/// A YAML file of `examples`. A key that is there twice is an error.
fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every metric that the dashboard and the alerts name.
fn named_metrics() -> BTreeSet<String> {
    let mut expressions = texts_named(&dashboard("metrics"), "expr");
    expressions.extend(texts_named(&dashboard("metrics"), "query"));
    let rules = yaml("examples/prometheus/alerts.yml");
    let alerts = texts_named(&rules, "expr");
    assert!(alerts.len() > 5 && expressions.len() > 15);
    expressions.iter().chain(&alerts).flat_map(|expression| metrics_in(expression)).collect()
}

/// The name under which a metric is declared: without the suffix of a part of a histogram.
fn declared_name(metric: &str) -> &str {
    let part = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| metric.strip_suffix(suffix));
    part.unwrap_or(metric)
}

#[test]
fn every_metric_of_dashboard_and_alerts_is_served_and_documented() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 200, 300, 131, &["--malformed", "0.05"]);
    let more = "[tables]\nurl = \"tables\"\ncommit_age_secs_max = 0.1\n[engine]\nmemory_max = \"4GiB\"\n\
                [[question]]\nname = \"mine\"\nsql = \"SELECT count(*) AS pins FROM pin\"";
    let serving = ServingRun::start(place.path(), &configure_followed_recording(place.path(), &recording, more), &[]);
    serving.wait_until_read(900);
    let metrics = || serving.http.get("/metrics").text().to_owned();
    wait_until("a commit is counted", || !metrics().contains("\npinflow_commit_seconds_count 0\n"));
    // Its result is served, too.
    succeed(&mut pinflow(["verify", "--at", &serving.http.address.to_string()]));
    let page = metrics();
    let served: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let documented = read("docs/reference/metrics.md");
    for metric in named_metrics() {
        let name = declared_name(&metric);
        // The age of the last record is only served while a source is behind.
        assert!(served.contains(name), "{metric} is not served");
        let is_documented = documented.contains(&format!("`{name}`")) || documented.contains(&format!("`{name}{{"));
        assert!(is_documented, "{metric} is not in docs/reference/metrics.md");
    }
    for histogram in ["pinflow_commit_seconds", "pinflow_epoch_seconds", "pinflow_graph_seconds"] {
        assert!(page.contains(&format!("# TYPE {histogram} histogram\n")), "{histogram}");
        let value = |line: &str| -> f64 {
            let found = page.lines().find_map(|one| one.strip_prefix(&format!("{histogram}{line} ")));
            found.unwrap_or_else(|| panic!("no {histogram}{line}")).parse().unwrap()
        };
        let all = value("_count");
        assert!(all >= 1.0 && value("_bucket{le=\"+Inf\"}") == all && value("_sum") > 0.0, "{histogram}");
        assert!(value("_bucket{le=\"0.001\"}") <= value("_bucket{le=\"60\"}"), "{histogram}");
    }
    serving.stop();
}

#[test]
fn every_answer_of_the_dashboard_exists_with_its_columns() {
    let questions = QuestionSet::built_in(GraphOptions::default());
    let board = dashboard("answers");
    let mut shown = BTreeSet::new();
    let mut targets = Vec::new();
    values_named(&board, "targets", &mut targets);
    for target in targets.into_iter().flat_map(|targets| targets.as_array().unwrap()) {
        let name = target["url"].as_str().unwrap().strip_prefix("/answers/").unwrap();
        let (_, question) = questions.find(name).unwrap_or_else(|| panic!("no answer {name}"));
        let columns: Vec<&str> = question.columns().iter().map(|column| column.name.as_str()).collect();
        assert_eq!(texts_named(&target["columns"], "selector"), columns, "{name}");
        shown.insert(name.to_owned());
    }
    let all: BTreeSet<String> = questions.names().map(ToString::to_string).collect();
    assert_eq!(shown, all, "the dashboard shows every built-in answer");
}

#[test]
fn dashboards_use_the_provisioned_data_sources_and_their_panels_do_not_overlap() {
    let sources = yaml("examples/grafana/provisioning/datasources/pinflow.yaml");
    let provisioned: BTreeSet<String> = texts_named(&sources["datasources"], "uid").into_iter().collect();
    yaml("examples/grafana/provisioning/dashboards/pinflow.yaml");
    yaml("examples/prometheus/prometheus.yml");
    for name in ["metrics", "answers"] {
        let board = dashboard(name);
        let mut used = Vec::new();
        values_named(&board, "datasource", &mut used);
        assert!(used.iter().all(|source| provisioned.contains(source["uid"].as_str().unwrap())), "{name}");
        let panels = board["panels"].as_array().unwrap();
        let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{name}");
        let mut taken = BTreeSet::new();
        for panel in panels {
            let at = |field: &str| panel["gridPos"][field].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{name}: {}", panel["title"]);
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(taken.insert((x, y)), "{name}: {} overlaps another panel", panel["title"]);
                }
            }
        }
    }
}

#[test]
fn alerts_pass_the_tests_of_promtool() {
    let folder = root().join("examples/prometheus");
    let Some(promtool) = find_checker("promtool") else { return };
    for arguments in
        [["check", "rules", "alerts.yml"], ["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]]
    {
        let checked = Command::new(&promtool).args(arguments).current_dir(&folder).output().unwrap();
        let [said, failed] =
            [&checked.stdout, &checked.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert!(checked.status.success(), "{arguments:?}: {said}\n{failed}");
    }
}

/// The fields of each file that Grafana does not know, or reads as something else.
fn fields_unknown_to_grafana(python: &Path, files: &[&Path]) -> Vec<Vec<String>> {
    let output = succeed(Command::new(python).arg(root().join("tests/readers/grafana.py")).args(files));
    let found: BTreeMap<String, Vec<String>> = serde_json::from_slice(&output.stdout).unwrap();
    files.iter().map(|file| found[file.to_str().unwrap()].clone()).collect()
}

#[test]
fn dashboards_have_only_fields_that_grafana_knows() {
    let Some(python) = python() else { return };
    let place = create_temp_dir();
    let paths = ["metrics", "answers"].map(|name| root().join(format!("examples/grafana/dashboards/{name}.json")));
    // A dashboard with a misspelled field of the dashboard, of a panel, and of a query.
    let wrong = place.path().join("wrong.json");
    let text = read("examples/grafana/dashboards/metrics.json");
    let misspelled =
        [("\"schemaVersion\"", "\"schemaversion\""), ("\"gridPos\"", "\"gridpos\""), ("\"expr\"", "\"expression\"")];
    let text = misspelled.iter().fold(text, |text, (right, wrong)| {
        assert!(text.contains(right), "{right}");
        text.replacen(right, wrong, 1)
    });
    fs::write(&wrong, text).unwrap();
    let [metrics, answers, wrong] =
        fields_unknown_to_grafana(&python, &[&paths[0], &paths[1], &wrong]).try_into().unwrap();
    assert_eq!((metrics, answers), (vec![], vec![]));
    let has = |name: &str| wrong.iter().any(|field| field.contains(name));
    assert!(has(".schemaversion") && has(".gridpos") && has(".expression"), "{wrong:?}");
}
