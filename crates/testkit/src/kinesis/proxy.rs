//! Stands between a client and a server, counts calls, and does what Amazon's service may do and no local server does:
//! refuses calls for their limits, fails, cuts connections, takes its time, lets iterators and tokens expire.
//!
//! HTTP/1.1 with a connection for each call to the server; answers are passed on whole, but for those to a subscription,
//! whose events are passed on as they come.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pinflow_core::position::Position;
use serde_json::{Value, json};

/// Bytes of a subscription's answer before it is cut: within its first events.
const DISCONNECT_AFTER_BYTES: usize = 1_500;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyFault {
    /// It is refused with this error; the server never hears of it.
    Refused(&'static str),
    /// The service fails; the server never hears of it.
    Broken,
    /// The connection is cut before the server hears of it.
    Cut,
    /// The server does it, and the connection is cut within the answer.
    CutAnswer,
    /// It takes this long, in milliseconds.
    Slow(u64),
    /// Of a call to put records, only every second one is taken.
    Half,
}

/// A fault that is to come.
#[derive(Debug, Clone, Copy)]
struct KinesisProxyRule {
    call: &'static str,
    fault: ProxyFault,
    times: u32,
}

#[derive(Default)]
struct ProxyState {
    rules: Vec<KinesisProxyRule>,
    /// Of a hundred calls for records or iterators, so many meet a fault.
    chaos: u64,
    /// Calls so far, by name.
    calls: BTreeMap<String, u64>,
    /// When each shard was asked for records.
    reads: BTreeMap<String, Vec<Instant>>,
    /// Records before this number have expired: the server, which keeps them, is not heard on them.
    expired: Option<Position>,
    /// The shard of each iterator.
    iterators: BTreeMap<String, String>,
}

/// A proxy; it ends with the process.
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
    /// Listens before a server on this machine.
    pub fn start(server: u16) -> KinesisProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = KinesisProxy { port: listener.local_addr().unwrap().port(), state: Arc::default() };
        let serving = proxy.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let serving = serving.clone();
                // A client that hangs up has its reasons.
                std::thread::spawn(move || serving.serve(client.unwrap(), server).ok());
            }
        });
        proxy
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next calls of this name meet a fault.
    pub fn inject_fault(&self, call: &'static str, fault: ProxyFault, times: u32) {
        self.state.lock().unwrap().rules.push(KinesisProxyRule { call, fault, times });
    }

    /// Whether a fault is still to come.
    pub fn has_faults(&self) -> bool {
        !self.state.lock().unwrap().rules.is_empty()
    }

    /// From now on records before this number are gone, and the stream is said to keep none for long.
    pub fn expire(&self, before: Position) {
        self.state.lock().unwrap().expired = Some(before);
    }

    /// From now on, so many of a hundred calls meet some fault.
    pub fn inject_random_faults(&self, of_hundred: u64) {
        self.state.lock().unwrap().chaos = of_hundred;
    }

    /// How often a call was made.
    pub fn calls(&self, call: &str) -> u64 {
        self.state.lock().unwrap().calls.get(call).copied().unwrap_or(0)
    }

    /// The most calls for the records of one shard that were made within a second, whenever that began.
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

    /// Counts a call; what happens to it.
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

    /// Takes out of an answer what has expired.
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

    /// Learns which shard an iterator is of.
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

/// Makes the call, and hands its answer on as it comes: so many bytes of it at the most.
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
            // Nothing comes; a client that hung up meanwhile gets no more.
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

/// Makes the call, and reads all of the answer.
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

/// Takes every second record, and refuses the others.
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
