//! A proxy between client and server that counts calls, and injects faults of Amazon's service that local servers lack:
//! throttling, errors, cut connections, slow replies, expired iterators and tokens.
//!
//! It uses HTTP/1.1 with one connection per call to the server. Replies are forwarded as a whole, except for those to a
//! subscription, whose events are forwarded as they arrive.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pinflow_core::position::Position;
use serde_json::{Value, json};

/// Bytes of a subscription's reply before it is cut, which is within its first events.
const DISCONNECT_AFTER_BYTES: usize = 1_500;

/// The fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyFault {
    /// The call is refused with this error, and not forwarded.
    Refused(&'static str),
    /// The service fails, and the call is not forwarded.
    Broken,
    /// The connection is cut before the call is forwarded.
    Cut,
    /// The server executes the call, and the connection is cut within the reply.
    CutAnswer,
    /// The call takes this long, in milliseconds.
    Slow(u64),
    /// Of a call to put records, only every second record is accepted.
    Half,
}

/// A planned fault.
#[derive(Debug, Clone, Copy)]
struct KinesisProxyRule {
    call: &'static str,
    fault: ProxyFault,
    times: u32,
}

#[derive(Default)]
struct ProxyState {
    rules: Vec<KinesisProxyRule>,
    /// Percentage of calls for records or iterators that get a fault.
    chaos: u64,
    /// Calls so far, by name.
    calls: BTreeMap<String, u64>,
    /// The times of requests for the records of each shard.
    reads: BTreeMap<String, Vec<Instant>>,
    /// Records before this number count as expired: they are removed from the server's replies.
    expired: Option<Position>,
    /// The shard of each iterator.
    iterators: BTreeMap<String, String>,
}

/// A proxy, which ends with the process.
#[derive(Clone)]
pub struct KinesisProxy {
    port: u16,
    state: Arc<Mutex<ProxyState>>,
}

struct ProxiedRequest {
    head: Vec<String>,
    call: String,
    body: Vec<u8>,
}

struct ProxyAnswer {
    status: u16,
    body: Vec<u8>,
}

impl KinesisProxy {
    /// Starts a proxy to a server on this machine.
    pub fn start(server: u16) -> KinesisProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = KinesisProxy { port: listener.local_addr().unwrap().port(), state: Arc::default() };
        let serving = proxy.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let serving = serving.clone();
                // Ignore clients that disconnect.
                std::thread::spawn(move || serving.serve(client.unwrap(), server).ok());
            }
        });
        proxy
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Injects a fault into the next calls of this name.
    pub fn inject_fault(&self, call: &'static str, fault: ProxyFault, times: u32) {
        self.state.lock().unwrap().rules.push(KinesisProxyRule { call, fault, times });
    }

    /// Whether planned faults remain.
    pub fn has_faults(&self) -> bool {
        !self.state.lock().unwrap().rules.is_empty()
    }

    /// Expires the records before this number, and reports a short retention.
    pub fn expire(&self, before: Position) {
        self.state.lock().unwrap().expired = Some(before);
    }

    /// Injects random faults into this percentage of calls from now on.
    pub fn inject_random_faults(&self, of_hundred: u64) {
        self.state.lock().unwrap().chaos = of_hundred;
    }

    /// How often a call was made.
    pub fn calls(&self, call: &str) -> u64 {
        self.state.lock().unwrap().calls.get(call).copied().unwrap_or(0)
    }

    /// The maximum number of calls for the records of one shard within any second.
    pub fn reads_per_second(&self) -> usize {
        let state = self.state.lock().unwrap();
        let most = |times: &Vec<Instant>| {
            let within =
                |from: usize| times[from..].iter().take_while(|at| **at - times[from] < Duration::from_secs(1)).count();
            (0..times.len()).map(within).max().unwrap_or(0)
        };
        state.reads.values().map(most).max().unwrap_or(0)
    }

    fn serve(&self, client: TcpStream, server: u16) -> std::io::Result<()> {
        let mut to_client = client.try_clone()?;
        let mut from_client = BufReader::new(client);
        while let Some(request) = read_request(&mut from_client)? {
            let fault = self.record_request(&request);
            if request.call == "SubscribeToShard"
                && matches!(fault, None | Some(ProxyFault::CutAnswer | ProxyFault::Slow(_)))
            {
                let bytes_max = if fault == Some(ProxyFault::CutAnswer) { DISCONNECT_AFTER_BYTES } else { usize::MAX };
                return forward_response(&request, server, &mut to_client, bytes_max);
            }
            let mut answer = match fault {
                Some(ProxyFault::Cut) => return Ok(()),
                Some(ProxyFault::Refused(error)) => error_answer(400, error),
                Some(ProxyFault::Broken) => error_answer(500, "InternalFailure"),
                Some(ProxyFault::Half) => accept_every_second_record(&request, server)?,
                Some(ProxyFault::Slow(ms)) => {
                    std::thread::sleep(Duration::from_millis(ms));
                    forward(&request, server)?
                }
                Some(ProxyFault::CutAnswer) | None => forward(&request, server)?,
            };
            self.remove_expired(&request, &mut answer);
            self.learn_iterator_shard(&request, &answer);
            let head = format!(
                "HTTP/1.1 {} -\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\r\n",
                answer.status,
                answer.body.len()
            );
            to_client.write_all(head.as_bytes())?;
            if fault == Some(ProxyFault::CutAnswer) {
                to_client.write_all(&answer.body[..answer.body.len() / 2])?;
                return Ok(());
            }
            to_client.write_all(&answer.body)?;
        }
        Ok(())
    }

    /// Counts a call, and returns its fault.
    fn record_request(&self, request: &ProxiedRequest) -> Option<ProxyFault> {
        let mut state = self.state.lock().unwrap();
        *state.calls.entry(request.call.clone()).or_default() += 1;
        if request.call == "GetRecords" {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let iterator = body["ShardIterator"].as_str().unwrap_or_default();
            if let Some(shard) = state.iterators.get(iterator).cloned() {
                state.reads.entry(shard).or_default().push(Instant::now());
            }
        }
        if let Some(at) = state.rules.iter().position(|rule| rule.call == request.call) {
            state.rules[at].times -= 1;
            let fault = state.rules[at].fault;
            state.rules.retain(|rule| rule.times > 0);
            return Some(fault);
        }
        let number: u64 = state.calls.values().sum();
        let drawn =
            number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33;
        let reads = ["GetRecords", "GetShardIterator", "ListShards", "DescribeStreamSummary", "SubscribeToShard"];
        if drawn % 100 >= state.chaos || !reads.contains(&request.call.as_str()) {
            return None;
        }
        let any = [
            ProxyFault::Refused("ProvisionedThroughputExceededException"),
            ProxyFault::Broken,
            ProxyFault::Cut,
            ProxyFault::CutAnswer,
            ProxyFault::Slow(150),
            ProxyFault::Refused("ExpiredIteratorException"),
            ProxyFault::Refused("ExpiredTokenException"),
        ];
        Some(any[(drawn / 100) as usize % any.len()])
    }

    /// Removes expired records from a reply.
    fn remove_expired(&self, request: &ProxiedRequest, answer: &mut ProxyAnswer) {
        let Some(expired) = self.state.lock().unwrap().expired else { return };
        let Ok(mut said) = serde_json::from_slice::<Value>(&answer.body) else { return };
        match request.call.as_str() {
            "DescribeStreamSummary" => said["StreamDescriptionSummary"]["RetentionPeriodHours"] = 0.into(),
            "GetRecords" => {
                let Some(records) = said["Records"].as_array_mut() else { return };
                let number = |record: &Value| record["SequenceNumber"].as_str().and_then(|number| number.parse().ok());
                records.retain(|record| number(record) >= Some(expired));
            }
            _ => return,
        }
        answer.body = said.to_string().into_bytes();
    }

    /// Records the shard of an iterator.
    fn learn_iterator_shard(&self, request: &ProxiedRequest, answer: &ProxyAnswer) {
        if answer.status != 200 {
            return;
        }
        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
        let (asked, answered) = (parse(&request.body), parse(&answer.body));
        let mut state = self.state.lock().unwrap();
        let (shard, next) = match request.call.as_str() {
            "GetShardIterator" => {
                (Some(format!("{} {}", asked["StreamName"], asked["ShardId"])), &answered["ShardIterator"])
            }
            "GetRecords" => {
                let iterator = asked["ShardIterator"].as_str().unwrap_or_default();
                (state.iterators.get(iterator).cloned(), &answered["NextShardIterator"])
            }
            _ => return,
        };
        if let (Some(shard), Some(next)) = (shard, next.as_str()) {
            state.iterators.insert(next.to_owned(), shard);
        }
    }
}

fn read_request(from: &mut BufReader<TcpStream>) -> std::io::Result<Option<ProxiedRequest>> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    let call =
        header(&head, "x-amz-target").and_then(|target| target.rsplit('.').next()).unwrap_or_default().to_owned();
    Ok(Some(ProxiedRequest { head, call, body }))
}

fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    head.iter().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn error_answer(status: u16, error: &str) -> ProxyAnswer {
    ProxyAnswer { status, body: json!({ "__type": error, "message": "by the proxy" }).to_string().into_bytes() }
}

/// Makes the call, and forwards its reply as it arrives, up to a number of bytes.
fn forward_response(
    request: &ProxiedRequest,
    server: u16,
    to: &mut TcpStream,
    bytes_max: usize,
) -> std::io::Result<()> {
    let mut from = forward_request(request, server)?;
    from.set_read_timeout(Some(Duration::from_millis(100)))?;
    to.set_read_timeout(Some(Duration::from_millis(1)))?;
    let (mut left, mut some) = (bytes_max, [0; 8 << 10]);
    while left > 0 {
        match from.read(&mut some) {
            Ok(0) => break,
            Ok(read) => {
                to.write_all(&some[..read.min(left)])?;
                left -= read.min(left);
            }
            // No data. Stop if the client has disconnected.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if matches!(to.peek(&mut some), Ok(0)) {
                    break;
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes the call, and reads the whole reply.
fn forward(request: &ProxiedRequest, server: u16) -> std::io::Result<ProxyAnswer> {
    read_answer(forward_request(request, server)?)
}

/// Makes the call.
fn forward_request(request: &ProxiedRequest, server: u16) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", server))?;
    let mut text = request.head[0].clone() + "\r\n";
    for line in &request.head[1..] {
        let name = line.split(':').next().unwrap_or_default();
        if !["connection", "content-length"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
            text += line;
            text += "\r\n";
        }
    }
    text += &format!("Connection: close\r\nContent-Length: {}\r\n\r\n", request.body.len());
    stream.write_all(text.as_bytes())?;
    stream.write_all(&request.body)?;
    Ok(stream)
}

fn read_answer(stream: TcpStream) -> std::io::Result<ProxyAnswer> {
    let mut from = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let status = head.first().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(502);
    let mut body = Vec::new();
    if header(&head, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
            let mut chunk = vec![0; size + 2];
            from.read_exact(&mut chunk)?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    } else if let Some(length) = header(&head, "content-length").and_then(|length| length.parse().ok()) {
        body = vec![0; length];
        from.read_exact(&mut body)?;
    } else {
        from.read_to_end(&mut body)?;
    }
    Ok(ProxyAnswer { status, body })
}

/// Accepts every second record, and refuses the others.
fn accept_every_second_record(request: &ProxiedRequest, server: u16) -> std::io::Result<ProxyAnswer> {
    let mut asked: Value = serde_json::from_slice(&request.body)?;
    let all = asked["Records"].as_array().cloned().unwrap_or_default();
    asked["Records"] = all.iter().step_by(2).cloned().collect();
    let part =
        ProxiedRequest { head: request.head.clone(), call: request.call.clone(), body: asked.to_string().into_bytes() };
    let answer = forward(&part, server)?;
    let answered: Value = serde_json::from_slice(&answer.body)?;
    let refused = json!({ "ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded" });
    let taken = |at: usize| answered["Records"][at / 2].clone();
    let records: Vec<Value> =
        (0..all.len()).map(|at| if at.is_multiple_of(2) { taken(at) } else { refused.clone() }).collect();
    let body = json!({ "FailedRecordCount": all.len() / 2, "Records": records });
    Ok(ProxyAnswer { status: answer.status, body: body.to_string().into_bytes() })
}
