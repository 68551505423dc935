//! A proxy between the program and the object store that injects faults of networks and services: lost replies, hangs,
//! cut connections, refusals and late delivery.
//!
//! It uses HTTP/1.1 with one connection per call. Replies are forwarded unchanged.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// The store executes the call, and the reply is 500.
    StoredBroken,
    /// The store executes the call, and the connection is cut before the reply.
    StoredCut,
    /// The store executes the call, and no reply is sent.
    StoredHung,
    /// The connection is cut, and the call is forwarded this many milliseconds later.
    Late(u64),
    /// The service fails with this status, and the call is not forwarded.
    Broken(u16),
    /// The store refuses with this status and code.
    Refused(u16, &'static str),
    /// The call is forwarded without `If-None-Match`.
    Unconditional,
}

/// A planned fault.
#[derive(Debug, Clone)]
struct StoreProxyRule {
    method: &'static str,
    /// A part of the path.
    path: String,
    fault: StoreFault,
    /// Number of calls that are forwarded unchanged first.
    passes: u32,
    times: u32,
}

/// A proxy, which ends with the process.
#[derive(Clone)]
pub struct StoreProxy {
    port: u16,
    rules: Arc<Mutex<Vec<StoreProxyRule>>>,
}

impl StoreProxy {
    /// Starts a proxy to a server on this machine.
    pub fn start(server: u16) -> StoreProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = StoreProxy { port: listener.local_addr().unwrap().port(), rules: Arc::default() };
        let serving = proxy.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let serving = serving.clone();
                // Ignore clients that disconnect.
                std::thread::spawn(move || serving.serve(client, server));
            }
        });
        proxy
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Forwards `passes` calls of a method to paths that contain a text, and injects the fault into the next `times`.
    pub fn plan(&self, (method, path): (&'static str, &str), fault: StoreFault, passes: u32, times: u32) {
        self.rules.lock().unwrap().push(StoreProxyRule { method, path: path.to_owned(), fault, passes, times });
    }

    /// Removes all planned faults. Returns the number that did not happen.
    pub fn clear_faults(&self) -> u32 {
        self.rules.lock().unwrap().drain(..).map(|rule| rule.times).sum()
    }

    fn next(&self, head: &str) -> Option<StoreFault> {
        let mut words = head.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let mut rules = self.rules.lock().unwrap();
        for rule in rules.iter_mut().filter(|rule| rule.method == method && path.contains(&rule.path)) {
            if rule.passes > 0 {
                rule.passes -= 1;
            } else if rule.times > 0 {
                rule.times -= 1;
                return Some(rule.fault);
            }
        }
        None
    }

    fn serve(&self, mut client: TcpStream, server: u16) -> Option<()> {
        let (head, body) = request(&client)?;
        let answer = match self.next(&head[0]) {
            None => forward(&head, &body, server)?,
            Some(StoreFault::StoredBroken) => {
                forward(&head, &body, server)?;
                refusal(500, "InternalError")
            }
            Some(StoreFault::StoredCut) => {
                forward(&head, &body, server)?;
                return None;
            }
            Some(StoreFault::StoredHung) => {
                forward(&head, &body, server)?;
                // Wait until the client disconnects.
                let _ = client.read(&mut [0]);
                return None;
            }
            Some(StoreFault::Late(millis)) => {
                drop(client);
                std::thread::sleep(Duration::from_millis(millis));
                forward(&head, &body, server)?;
                return None;
            }
            Some(StoreFault::Broken(status)) => refusal(status, "SlowDown"),
            Some(StoreFault::Refused(status, code)) => refusal(status, code),
            Some(StoreFault::Unconditional) => {
                let kept = |line: &&String| !line.to_ascii_lowercase().starts_with("if-none-match");
                let head: Vec<String> = head.iter().filter(kept).cloned().collect();
                forward(&head, &body, server)?
            }
        };
        client.write_all(&answer).ok()
    }
}

/// The lines of a request's head, and its body.
fn request(client: &TcpStream) -> Option<(Vec<String>, Vec<u8>)> {
    let mut reader = BufReader::new(client);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// The server's reply with its head.
fn forward(head: &[String], body: &[u8], server: u16) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", server)).ok()?;
    let kept = |line: &&String| !line.to_ascii_lowercase().starts_with("connection:");
    let mut request: String = head.iter().filter(kept).map(|line| format!("{line}\r\n")).collect();
    request.push_str("connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(answer)
}

fn refusal(status: u16, code: &str) -> Vec<u8> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as planned</Message></Error>");
    let length = body.len();
    format!("HTTP/1.1 {status} Planned\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").into_bytes()
}
