//! A small HTTP server that records requests and sends the replies of a test, including faulty ones.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A request, as it came.
#[derive(Debug, Clone)]
pub(super) struct ReceivedRequest {
    pub(super) method: String,
    pub(super) path: String,
    /// Names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Value,
    pub(super) at: Instant,
}

/// What is done with a request.
pub(super) enum CannedReply {
    /// Status, further headers, body.
    Answer(u16, Vec<(&'static str, String)>, Value),
    /// The connection is closed without a word.
    Cut,
    /// The connection is closed within the answer.
    Torn,
}

impl CannedReply {
    pub(super) fn with_body(status: u16, body: Value) -> CannedReply {
        CannedReply::Answer(status, Vec::new(), body)
    }
}

/// The rows in a request, with their keys.
pub(super) fn records(request: &ReceivedRequest) -> Vec<(Value, Value)> {
    match request.body.get("records") {
        Some(records) => {
            let record = |record: &Value| {
                let (key, value) =
                    if record.get("data").is_some() { ("partition-key", "data") } else { ("key", "value") };
                (record[key].clone(), record[value].clone())
            };
            records.as_array().unwrap().iter().map(record).collect()
        }
        None => vec![(request.body["PartitionKey"].clone(), request.body["Data"].clone())],
    }
}

/// What Kafka's REST proxy says when all is well.
pub(super) fn stored(request: &ReceivedRequest) -> CannedReply {
    let offset = |at: usize| json!({"partition": 0, "offset": at, "error_code": null, "error": null});
    let offsets: Vec<Value> = (0..records(request).len()).map(offset).collect();
    CannedReply::with_body(200, json!({"key_schema_id": null, "value_schema_id": null, "offsets": offsets}))
}

/// What Kinesis says when all is well.
pub(super) fn put(request: &ReceivedRequest) -> CannedReply {
    let one = json!({"ShardId": "shardId-000000000000", "SequenceNumber": "49590338271490256608559692538361571095921575989136588898"});
    if request.body.get("records").is_none() {
        return CannedReply::with_body(200, one);
    }
    CannedReply::with_body(200, json!({"FailedRecordCount": 0, "Records": vec![one; records(request).len()]}))
}

type RequestHandler = dyn Fn(usize, &ReceivedRequest) -> CannedReply + Send + Sync;

/// The server; ended when dropped.
pub(super) struct StubGateway {
    port: u16,
    scheme: &'static str,
    shared: Arc<StubGatewayState>,
}

struct StubGatewayState {
    handler: Box<RequestHandler>,
    requests: Mutex<Vec<ReceivedRequest>>,
    abreast: AtomicUsize,
    most_abreast: AtomicUsize,
    ended: AtomicBool,
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl StubGateway {
    /// Answers as `handler` says, to which requests are numbered from 0.
    pub(super) fn start(
        handler: impl Fn(usize, &ReceivedRequest) -> CannedReply + Send + Sync + 'static,
    ) -> StubGateway {
        StubGateway::with_tls(None, handler)
    }

    /// The same over TLS.
    pub(super) fn with_tls(
        tls: Option<Arc<rustls::ServerConfig>>,
        handler: impl Fn(usize, &ReceivedRequest) -> CannedReply + Send + Sync + 'static,
    ) -> StubGateway {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(StubGatewayState {
            handler: Box::new(handler),
            requests: Mutex::default(),
            abreast: AtomicUsize::new(0),
            most_abreast: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            tls,
        });
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if of_thread.ended.load(Ordering::Acquire) {
                    break;
                }
                let shared = Arc::clone(&of_thread);
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        StubGateway { port, scheme, shared }
    }

    /// Its URL, with a stage.
    pub(super) fn url(&self) -> String {
        format!("{}://localhost:{}/test", self.scheme, self.port)
    }

    /// Every request so far.
    pub(super) fn requests(&self) -> Vec<ReceivedRequest> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How many requests were under way at once, at the most.
    pub(super) fn max_concurrent_requests(&self) -> usize {
        self.shared.most_abreast.load(Ordering::Acquire)
    }
}

impl Drop for StubGateway {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Wakes the one that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl StubGatewayState {
    fn serve(&self, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        match &self.tls {
            Some(config) => {
                let connection = rustls::ServerConnection::new(Arc::clone(config)).unwrap();
                self.serve_connection(rustls::StreamOwned::new(connection, stream));
            }
            None => self.serve_connection(stream),
        }
    }

    /// Answers one request after the other, until the connection ends.
    fn serve_connection(&self, stream: impl Read + Write) {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read(&mut stream) {
            let abreast = self.abreast.fetch_add(1, Ordering::AcqRel) + 1;
            self.most_abreast.fetch_max(abreast, Ordering::AcqRel);
            let number = {
                let mut requests = self.requests.lock().unwrap();
                requests.push(request.clone());
                requests.len() - 1
            };
            // Long enough for others to be seen beside it.
            std::thread::sleep(Duration::from_millis(5));
            let reply = (self.handler)(number, &request);
            self.abreast.fetch_sub(1, Ordering::AcqRel);
            let (status, headers, body, is_torn) = match reply {
                CannedReply::Cut => return,
                CannedReply::Torn => (200, Vec::new(), json!({"offsets": []}), true),
                CannedReply::Answer(status, headers, body) => (status, headers, body, false),
            };
            let body = body.to_string();
            let length = body.len() + usize::from(is_torn) * 100;
            let mut answer =
                format!("HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\ncontent-type: application/json\r\n");
            headers.iter().for_each(|(name, value)| answer.push_str(&format!("{name}: {value}\r\n")));
            answer.push_str("\r\n");
            answer.push_str(&body);
            let written = stream.get_mut().write_all(answer.as_bytes()).and_then(|()| stream.get_mut().flush());
            if written.is_err() || is_torn {
                return;
            }
        }
    }
}

fn read(stream: &mut impl BufRead) -> Option<ReceivedRequest> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("a body is JSON: {error}"));
    Some(ReceivedRequest { method, path, headers, body, at: Instant::now() })
}
