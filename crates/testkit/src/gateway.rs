//! A gateway process, and requests to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::http_client::{HttpClient, HttpReply};
use crate::{RunningProcess, pinflow, wait_until};

/// The content type of JSON records of Kafka's REST proxy.
pub const JSON_CONTENT_TYPE: &str = "application/vnd.kafka.json.v2+json";
/// The content type of binary records.
pub const BINARY_CONTENT_TYPE: &str = "application/vnd.kafka.binary.v2+json";

/// A gateway process. It is killed when dropped.
pub struct RunningGateway {
    /// The process.
    pub running: RunningProcess,
    /// A client of its address.
    pub http: HttpClient,
    log: PathBuf,
}

impl RunningGateway {
    /// Starts a gateway. `more` are additional lines of `[gateway]`.
    pub fn start(place: &Path, more: &str) -> RunningGateway {
        RunningGateway::start_with(place, more, &[])
    }

    /// As [`RunningGateway::start`], with additional environment variables.
    pub fn start_with(place: &Path, more: &str, env: &[(&str, &str)]) -> RunningGateway {
        let (config, log) = (place.join("gateway.toml"), place.join("gateway.log"));
        std::fs::write(&config, format!("[gateway]\nlisten = \"127.0.0.1:0\"\n{more}\n")).unwrap();
        let mut command = crate::kinesis::site::with_credentials(pinflow(["gateway"]));
        command.arg(config).envs(env.iter().copied());
        command.stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        let mut running = RunningProcess::start(&mut command);
        let mut address = None;
        wait_until("it says where it listens", || {
            let said = std::fs::read_to_string(&log).unwrap();
            assert!(running.try_wait().is_none(), "{said}");
            address = said.lines().find_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                line["address"].as_str()?.parse::<SocketAddr>().ok()
            });
            address.is_some()
        });
        RunningGateway { running, http: HttpClient::new(address.unwrap()), log }
    }

    /// Sends a request with a body.
    pub fn send(&self, method: &str, path: &str, kind: &str, body: &str) -> HttpReply {
        self.send_with(method, path, &[("content-type", kind)], body)
    }

    /// As [`RunningGateway::send`], with these headers.
    pub fn send_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> HttpReply {
        self.http.raw(&request(method, path, headers, body))
    }

    /// Produces values and returns their partitions and offsets. Panics if one is refused.
    pub fn produce(&self, topic: &str, values: &[Value]) -> Vec<(i64, i64)> {
        let records: Vec<_> = values.iter().map(|value| json!({ "value": value })).collect();
        let reply = self.send(
            "POST",
            &format!("/topics/{topic}"),
            JSON_CONTENT_TYPE,
            &json!({ "records": records }).to_string(),
        );
        assert_eq!(reply.status, 200, "{}", reply.text());
        let offsets = reply.json()["offsets"].as_array().unwrap().clone();
        assert_eq!(offsets.len(), values.len());
        offsets.iter().map(|one| (one["partition"].as_i64().unwrap(), one["offset"].as_i64().unwrap())).collect()
    }

    /// Puts a value into a stream. Panics if it is refused.
    pub fn put(&self, stream: &str, key: &str, data: &Value) -> (String, String) {
        let body = json!({ "StreamName": stream, "Data": data, "PartitionKey": key });
        let reply = self.send("PUT", &format!("/streams/{stream}/record"), "application/json", &body.to_string());
        assert_eq!(reply.status, 200, "{}", reply.text());
        let text = |name: &str| reply.json()[name].as_str().unwrap().to_owned();
        (text("ShardId"), text("SequenceNumber"))
    }

    /// The log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Sends SIGTERM and waits for exit code 0.
    pub fn stop(self) {
        self.running.signal(Signal::SIGTERM);
        self.ends_well();
    }

    /// Sends a signal, unless the process has ended.
    pub fn signal(&self, signal: Signal) {
        self.running.try_signal(signal);
    }

    /// Asserts a graceful end after a signal.
    pub fn ends_well(mut self) {
        let status = self.running.wait();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }
}

/// The bytes of a request.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "host") {
        head.push_str("host: localhost\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    format!("{head}\r\n{body}").into_bytes()
}

/// The error code in a reply of the Kafka or Kinesis routes.
pub fn code(reply: &HttpReply) -> Value {
    let body = reply.json();
    if body["error_code"].is_null() { body["__type"].clone() } else { body["error_code"].clone() }
}
