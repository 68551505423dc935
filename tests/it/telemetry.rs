//! Exports to an OpenTelemetry collector, decoded with the messages of the protocol.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use pinflow_testkit::{create_temp_dir, emit, pinflow, succeed};

/// A minimal collector that accepts and keeps every request.
#[derive(Clone, Default)]
struct OtlpCollector(Arc<Mutex<Vec<OtlpRequest>>>);

#[derive(Debug, Clone)]
struct OtlpRequest {
    path: String,
    head: String,
    body: Vec<u8>,
}

impl OtlpCollector {
    /// Listens on a free port, until the test process ends.
    fn start() -> (OtlpCollector, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let collector = OtlpCollector::default();
        let kept = collector.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = kept.clone();
                std::thread::spawn(move || kept.take(&stream.unwrap()));
            }
        });
        (collector, url)
    }

    fn take(&self, mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        loop {
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                let before = head.len();
                if reader.read_line(&mut head).unwrap_or(0) == 0 {
                    return;
                }
                if let Some(("content-length", value)) = head[before..].to_lowercase().trim().split_once(": ") {
                    length = value.parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let path = head.split(' ').nth(1).unwrap().to_owned();
            self.0.lock().unwrap().push(OtlpRequest { path, head, body });
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        }
    }

    fn requests_at(&self, path: &str) -> Vec<OtlpRequest> {
        self.0.lock().unwrap().iter().filter(|request| request.path == path).cloned().collect()
    }

    fn logs(&self) -> Vec<(Resource, LogRecord)> {
        let requests = self.requests_at("/otlp/v1/logs").into_iter();
        let all = requests.flat_map(|it| ExportLogsServiceRequest::decode(&it.body[..]).unwrap().resource_logs);
        all.flat_map(|of| {
            let resource = of.resource.unwrap();
            of.scope_logs.into_iter().flat_map(|of| of.log_records).map(move |it| (resource.clone(), it))
        })
        .collect()
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.requests_at("/otlp/v1/traces").into_iter();
        let all = requests.flat_map(|it| ExportTraceServiceRequest::decode(&it.body[..]).unwrap().resource_spans);
        all.flat_map(|of| of.scope_spans).flat_map(|of| of.spans).collect()
    }
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<Value> {
    attributes.iter().find(|it| it.key == key)?.value.clone()?.value
}

fn message_text(record: &LogRecord) -> Option<&str> {
    match &record.body {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => Some(text),
        _ => None,
    }
}

/// A run over a recording of this many posts per stream, with tables and an export to a collector.
fn run(place: &Path, posts: u32, collector: &str) -> Command {
    emit(&place.join("recording"), 100, posts, 7, &["--malformed", "0.05"]);
    let config = place.join("flow.toml");
    let text = format!(
        "pipeline = \"watched\"\n[[source]]\nkind = \"recording\"\npath = \"recording\"\n[tables]\nurl = \"tables\"\n\
         [telemetry]\notlp = \"{collector}\"\nheaders = {{ authorization = \"env:COLLECTOR_TOKEN\" }}\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut command = pinflow(["run", "--output", "none"]);
    command.arg(config).env("COLLECTOR_TOKEN", "Bearer canary-1f2e").env("RUST_LOG", "off");
    command
}

#[test]
fn collector_receives_every_step_and_commit_with_figures() {
    let place = create_temp_dir();
    let (collector, url) = OtlpCollector::start();
    let output = succeed(&mut run(place.path(), 300, &format!("{url}/otlp")));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("canary"), "{output:?}");
    let logs = collector.logs();
    let named = |what: &str| logs.iter().filter(|(_, it)| message_text(it) == Some(what)).collect::<Vec<_>>();
    for step in ["the tables are open", "sources are started", "done"] {
        assert_eq!(named(step).len(), 1, "{step}: {logs:#?}");
    }
    let committed = named("committed");
    let number = |attributes: &[KeyValue], key: &str| match attribute(attributes, key) {
        Some(Value::IntValue(number)) => number,
        Some(Value::StringValue(text)) => text.parse().unwrap(),
        other => panic!("{key} is {other:?}"),
    };
    let rows: i64 = committed.iter().map(|(_, it)| number(&it.attributes, "rows")).sum();
    assert!(rows >= 900, "each post and more is committed once: {committed:#?}");
    let spans = collector.spans();
    let commits: Vec<_> = spans.iter().filter(|span| span.name == "commit").collect();
    assert_eq!(commits.len(), committed.len(), "{spans:#?}");
    let in_spans: i64 = commits.iter().map(|span| number(&span.attributes, "rows")).sum();
    assert_eq!(in_spans, rows);
    assert!(commits.iter().all(|span| span.end_time_unix_nano > span.start_time_unix_nano), "{commits:#?}");
    for (resource, _) in &logs {
        let text = |key| attribute(&resource.attributes, key);
        assert_eq!(text("service.name"), Some(Value::StringValue("pinflow".to_owned())));
        assert_eq!(text("pinflow.pipeline"), Some(Value::StringValue("watched".to_owned())));
    }
    for request in collector.requests_at("/otlp/v1/logs").iter().chain(&collector.requests_at("/otlp/v1/traces")) {
        assert!(request.head.to_lowercase().contains("authorization: bearer canary-1f2e"), "{request:?}");
        assert!(!String::from_utf8_lossy(&request.body).contains("canary"), "{request:?}");
    }
}

#[test]
fn cause_of_a_failed_run_is_exported() {
    let place = create_temp_dir();
    let (collector, url) = OtlpCollector::start();
    let mut command = run(place.path(), 10, &format!("{url}/otlp"));
    std::fs::write(place.path().join("tables"), "no folder").unwrap();
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let logs = collector.logs();
    let failed: Vec<_> = logs.iter().filter(|(_, it)| it.severity_text == "ERROR").collect();
    let [(_, failed)] = failed[..] else { panic!("{logs:#?}") };
    assert!(stderr.contains(message_text(failed).unwrap()), "{failed:?} is not {stderr}");
}

#[test]
fn unreachable_collector_delays_nothing() {
    let place = create_temp_dir();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    // Nothing listens there any more.
    drop(taken);
    let mut command = run(place.path(), 300, &url);
    let output = succeed(command.env("RUST_LOG", "warn"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.matches("collector accepts nothing").count() <= 2, "once for logs, once for spans: {stderr}");
}
