//! A stub broker over TLS with the part of Kafka's protocol that MSK authentication needs: ApiVersions,
//! SaslHandshake, SaslAuthenticate and Metadata. It validates tokens, ends sessions (KIP-368), and counts requests.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub use super::msk_signature::TopicRights;
use super::msk_signature::check;
use crate::certificates::TestCertificates;

const METADATA: i16 = 3;
const SASL_HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;
const SASL_AUTHENTICATE: i16 = 36;
const SASL_AUTHENTICATION_FAILED: i16 = 58;

/// The requests that the stub has received.
#[derive(Debug, Clone, Default)]
pub struct SeenRequests {
    /// Number of authentications on a new connection.
    pub signed_in: u32,
    /// Number of reauthentications on an open connection.
    pub signed_in_anew: u32,
    /// Tokens that were accepted, each once, in the order of their first use.
    pub tokens: Vec<String>,
    /// The reasons for rejected tokens.
    pub refused: Vec<String>,
    /// Number of connections that were closed because their session had expired.
    pub cut: u32,
}

/// The stub broker. Its threads end with the process.
pub struct MskStub {
    port: u16,
    seen: Arc<Mutex<SeenRequests>>,
}

struct StubState {
    port: u16,
    tls: Arc<ServerConfig>,
    rights: TopicRights,
    session: Duration,
    seen: Arc<Mutex<SeenRequests>>,
}

impl MskStub {
    /// Starts a stub whose sessions last `session`. With zero they never end.
    pub fn start(certificates: &TestCertificates, rights: TopicRights, session: Duration) -> MskStub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let chain = vec![CertificateDer::from_pem_file(certificates.certificate("good")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(certificates.key("good")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = Arc::new(tls.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let seen = Arc::new(Mutex::new(SeenRequests::default()));
        let shared = Arc::new(StubState { port, tls, rights, session, seen: Arc::clone(&seen) });
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let tls = ServerConnection::new(Arc::clone(&shared.tls)).unwrap();
                    let mut session =
                        ClientSession { stream: StreamOwned::new(tls, stream), shared, until: None, refused: false };
                    // The client disconnected, or was disconnected.
                    let _ = session.serve();
                });
            }
        });
        MskStub { port, seen }
    }

    /// The `HOST:PORT` of the stub.
    pub fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The requests so far.
    pub fn seen(&self) -> SeenRequests {
        self.seen.lock().unwrap().clone()
    }
}

/// One connection.
struct ClientSession {
    stream: StreamOwned<ServerConnection, TcpStream>,
    shared: Arc<StubState>,
    /// When the session expires, after authentication.
    until: Option<Instant>,
    refused: bool,
}

impl ClientSession {
    fn serve(&mut self) -> io::Result<()> {
        loop {
            let mut size = [0; 4];
            self.stream.read_exact(&mut size)?;
            let mut bytes = vec![0; u32::from_be_bytes(size) as usize];
            self.stream.read_exact(&mut bytes)?;
            let mut request = WireReader(&bytes);
            let (key, version) = (request.i16(), request.i16());
            let correlation = request.take(4).to_vec();
            let _client = request.text();
            let over = self.until.is_some_and(|until| Instant::now() > until);
            if over && ![SASL_HANDSHAKE, SASL_AUTHENTICATE].contains(&key) {
                self.shared.seen.lock().unwrap().cut += 1;
                return Ok(());
            }
            let body = match key {
                API_VERSIONS => api_versions(version),
                SASL_HANDSHAKE => RequestBody::default().i16(0).i32(1).text("OAUTHBEARER"),
                SASL_AUTHENTICATE => self.authenticate(request.bytes()),
                METADATA if self.until.is_some() => metadata(self.shared.port),
                _ => return Ok(()),
            };
            let length = u32::try_from(correlation.len() + body.0.len()).unwrap().to_be_bytes();
            self.stream.write_all(&[&length[..], &correlation, &body.0].concat())?;
            self.stream.flush()?;
            if self.refused {
                return Ok(());
            }
        }
    }

    fn authenticate(&mut self, said: &[u8]) -> RequestBody {
        let said = String::from_utf8_lossy(said).into_owned();
        let token = said.split('\u{1}').find_map(|part| part.strip_prefix("auth=Bearer ")).unwrap_or_default();
        let checked = check(token, &self.shared.rights);
        let mut seen = self.shared.seen.lock().unwrap();
        if let Err(why) = checked {
            self.refused = true;
            let says = format!("Access denied: {why}");
            seen.refused.push(why);
            return RequestBody::default().i16(SASL_AUTHENTICATION_FAILED).text(&says).i32(0).i64(0);
        }
        match self.until {
            None => seen.signed_in += 1,
            Some(_) => seen.signed_in_anew += 1,
        }
        if !seen.tokens.iter().any(|known| known == token) {
            seen.tokens.push(token.to_owned());
        }
        let forever = self.shared.session.is_zero();
        let session = if forever { Duration::from_secs(86_400) } else { self.shared.session };
        self.until = Some(Instant::now() + session);
        let lifetime_ms = if forever { 0 } else { i64::try_from(session.as_millis()).unwrap() };
        RequestBody::default().i16(0).i16(-1).i32(0).i64(lifetime_ms)
    }
}

/// The reply to ApiVersions.
fn api_versions(version: i16) -> RequestBody {
    let known = [(METADATA, 0, 4), (SASL_HANDSHAKE, 0, 1), (API_VERSIONS, 0, 3), (SASL_AUTHENTICATE, 0, 1)];
    let flexible = version >= 3;
    let count = i32::try_from(known.len()).unwrap();
    // The length of a compact array is stored plus one.
    let mut body = if flexible {
        RequestBody::default().i16(0).u8(count as u8 + 1)
    } else {
        RequestBody::default().i16(0).i32(count)
    };
    for (key, least, greatest) in known {
        body = body.i16(key).i16(least).i16(greatest);
        if flexible {
            body = body.u8(0);
        }
    }
    if version >= 1 {
        body = body.i32(0);
    }
    if flexible { body.u8(0) } else { body }
}

/// One broker, no topics (version 4).
fn metadata(port: u16) -> RequestBody {
    let broker = RequestBody::default().i32(0).i32(1).i32(1).text("localhost").i32(port.into()).i16(-1);
    broker.text("stub").i32(1).i32(0)
}

/// The body of a response.
#[derive(Default)]
struct RequestBody(Vec<u8>);

impl RequestBody {
    fn put(mut self, bytes: &[u8]) -> RequestBody {
        self.0.extend_from_slice(bytes);
        self
    }
    fn u8(self, value: u8) -> RequestBody {
        self.put(&[value])
    }
    fn i16(self, value: i16) -> RequestBody {
        self.put(&value.to_be_bytes())
    }
    fn i32(self, value: i32) -> RequestBody {
        self.put(&value.to_be_bytes())
    }
    fn i64(self, value: i64) -> RequestBody {
        self.put(&value.to_be_bytes())
    }
    fn text(self, text: &str) -> RequestBody {
        self.i16(i16::try_from(text.len()).unwrap()).put(text.as_bytes())
    }
}

/// The body of a request.
struct WireReader<'a>(&'a [u8]);

impl<'a> WireReader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().unwrap())
    }
    fn text(&mut self) -> &'a [u8] {
        let length = self.i16();
        self.take(usize::try_from(length).unwrap_or(0))
    }
    fn bytes(&mut self) -> &'a [u8] {
        let length = i32::from_be_bytes(self.take(4).try_into().unwrap());
        self.take(usize::try_from(length).unwrap_or(0))
    }
}
