//! A minimal HTTP client that sends exactly the bytes of a test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longer than any reply takes. It only keeps a bug from hanging the tests.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// A server's address.
#[derive(Debug, Clone, Copy)]
pub struct HttpClient {
    /// Host and port.
    pub address: SocketAddr,
}

/// A reply.
#[derive(Debug, Clone)]
pub struct HttpReply {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, of `content-length` bytes.
    pub body: Vec<u8>,
}

impl HttpReply {
    /// The body, which must be UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body, which must be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl HttpClient {
    /// A client of a server.
    pub fn new(address: SocketAddr) -> HttpClient {
        HttpClient { address }
    }

    /// A new connection, with a read timeout.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(REPLY_TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends these bytes, and reads one reply.
    pub fn raw(&self, request: &[u8]) -> HttpReply {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        reply(&mut BufReader::new(stream))
    }

    /// Sends a GET with these headers on a new connection.
    pub fn get_with_headers(&self, path: &str, headers: &[(&str, &str)]) -> HttpReply {
        self.raw(&request(path, headers, "HTTP/1.1", self.address))
    }

    /// Sends a GET on a new connection.
    pub fn get(&self, path: &str) -> HttpReply {
        self.get_with_headers(path, &[])
    }

    /// Sends a request with a body on a new connection.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> HttpReply {
        self.raw(&self.request_with_body(method, path, headers, body))
    }

    /// As [`HttpClient::send`]. `None` if the connection is lost before the status has arrived.
    pub fn try_send(&self, method: &str, path: &str, body: &[u8]) -> Option<u16> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT)).ok()?;
        stream.write_all(&self.request_with_body(method, path, &[], body)).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        line.split(' ').nth(1)?.parse().ok()
    }

    fn request_with_body(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut text =
            format!("{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n", self.address, body.len());
        headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
        [text.as_bytes(), b"\r\n", body].concat()
    }

    /// The JSON of a reply. Panics if the status is not 200.
    pub fn json(&self, path: &str) -> Value {
        let reply = self.get(path);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.json()
    }

    /// A connection for many requests, one after the other.
    pub fn open_keep_alive(&self) -> KeptConnection {
        KeptConnection { stream: BufReader::new(self.connect()), address: self.address }
    }

    /// Opens a stream of events over HTTP/1.0, which has no chunks.
    pub fn events(&self, path: &str, headers: &[(&str, &str)]) -> SseEvents {
        let mut stream = self.connect();
        stream.write_all(&request(path, headers, "HTTP/1.0", self.address)).unwrap();
        let mut stream = BufReader::new(stream);
        let (status, headers) = head(&mut stream);
        assert_eq!(status, 200, "{path}");
        assert_eq!(headers["content-type"], "text/event-stream");
        SseEvents { stream }
    }
}

fn request(path: &str, headers: &[(&str, &str)], version: &str, address: SocketAddr) -> Vec<u8> {
    let mut text = format!("GET {path} {version}\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        text.push_str(&format!("host: {address}\r\n"));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn head(stream: &mut impl BufRead) -> (u16, BTreeMap<String, String>) {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("a status line, not {line:?}")).parse().unwrap();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { return (status, headers) };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
}

fn reply(stream: &mut impl BufRead) -> HttpReply {
    let (status, headers) = head(stream);
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    HttpReply { status, headers, body }
}

/// A persistent connection.
pub struct KeptConnection {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

impl KeptConnection {
    /// Sends a GET on this connection.
    pub fn get(&mut self, path: &str) -> HttpReply {
        self.raw(&request(path, &[], "HTTP/1.1", self.address))
    }

    /// Sends these bytes, and reads one reply.
    pub fn raw(&mut self, request: &[u8]) -> HttpReply {
        self.stream.get_mut().write_all(request).unwrap();
        reply(&mut self.stream)
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct SseEvent {
    /// The `id` line.
    pub id: Option<String>,
    /// The `event` line.
    pub kind: String,
    /// The `data` line, as JSON.
    pub data: Value,
}

/// Events in the order of arrival.
pub struct SseEvents {
    stream: BufReader<TcpStream>,
}

impl Iterator for SseEvents {
    type Item = SseEvent;

    /// `None` when the stream has ended.
    fn next(&mut self) -> Option<SseEvent> {
        let (mut id, mut kind, mut data) = (None, String::new(), None);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end_matches('\n').split_once(": ") {
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("event", value)) => value.clone_into(&mut kind),
                Some(("data", value)) => data = Some(serde_json::from_str(value).unwrap()),
                _ if line == "\n" => match data.take() {
                    Some(data) => return Some(SseEvent { id, kind, data }),
                    // A keep-alive comment.
                    None => (id, kind) = (None, String::new()),
                },
                _ => assert!(line.starts_with(':'), "{line:?}"),
            }
        }
    }
}
