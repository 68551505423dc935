//! The handshake on a new connection: TLS, both hellos, both proofs.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::hello::{Hello, HelloError, Mismatch, compare_hellos};
use crate::message::{FrameReader, HELLO_BYTES_MAX, Nonce, write_frame};
use crate::proof::{ProofBy, Transcript, is_proof_valid, prove_secret};
use crate::settings::ClusterSettings;
use crate::socket::set_socket_options;
use crate::tls::{TlsContext, channel_binding, check_peer_host};
use crate::transport::Transport;

/// The time of a whole handshake.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// What an acceptor sends in the place of its proof when it does not accept that of the dialer.
const REFUSAL: &[u8] = b"refused";

/// What each handshake of a process needs.
pub(crate) struct HandshakeContext {
    pub(crate) settings: ClusterSettings,
    pub(crate) tls: Option<TlsContext>,
    /// The boot nonce of this process.
    pub(crate) boot: Nonce,
}

/// A connection to a peer that proved who it is, and matches.
pub(crate) struct AuthenticatedPeer {
    pub(crate) hello: Hello,
    pub(crate) transport: Transport,
}

/// Why a handshake failed.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    /// A process of the list that cannot join as it is. `index` is what it says it is.
    Mismatched { index: usize, mismatches: Vec<Mismatch> },
    /// The connection failed, or no process of this cluster speaks.
    Failed(io::Error),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> HandshakeError {
        HandshakeError::Failed(error)
    }
}

impl HandshakeContext {
    fn new_hello(&self, generation: Option<u128>) -> io::Result<Hello> {
        Ok(Hello::new(&self.settings, self.boot, draw_nonce()?, generation))
    }

    /// Connects to a process and authenticates both sides.
    pub(crate) async fn dial_peer(
        &self,
        peer: usize,
        generation: Option<u128>,
    ) -> Result<AuthenticatedPeer, HandshakeError> {
        let dial = async {
            let address = &self.settings.processes[peer];
            let tcp = TcpStream::connect((address.host.as_str(), address.port)).await?;
            set_socket_options(&tcp)?;
            let transport = match &self.tls {
                Some(tls) => tls.connect(tcp, &address.host).await?,
                None => Transport::Plain(tcp),
            };
            self.authenticate_acceptor(peer, generation, transport).await
        };
        // The acceptor's word on our certificate comes only after the first message.
        with_timeout(dial).await.map_err(|error| name_tls_error(peer, error))
    }

    async fn authenticate_acceptor(
        &self,
        peer: usize,
        generation: Option<u128>,
        mut transport: Transport,
    ) -> Result<AuthenticatedPeer, HandshakeError> {
        let mismatched = |mismatch| HandshakeError::Mismatched { index: peer, mismatches: vec![mismatch] };
        let ours = self.new_hello(generation)?;
        let dialer_hello = ours.encode();
        write_frame(&mut transport, &dialer_hello).await?;
        let mut reader = FrameReader::default();
        let acceptor_hello = reader.read(&mut transport, HELLO_BYTES_MAX).await?;
        let theirs = decode_hello(&acceptor_hello, Some(peer))?;
        let transcript = Transcript { dialer_hello, acceptor_hello, channel_binding: channel_binding(&transport)? };
        let secret = self.settings.secret.as_ref();
        write_frame(&mut transport, &prove_secret(secret, ProofBy::Dialer, &transcript)).await?;
        let proof = reader.read(&mut transport, HELLO_BYTES_MAX).await?;
        if proof == REFUSAL {
            return Err(mismatched(Mismatch::SecretRefused));
        }
        if !is_proof_valid(secret, ProofBy::Acceptor, &transcript, &proof) {
            return Err(mismatched(Mismatch::Secret));
        }
        if theirs.index as usize != peer {
            return Err(mismatched(Mismatch::Index { theirs: theirs.index }));
        }
        check_match(peer, &ours, &theirs)?;
        Ok(AuthenticatedPeer { hello: theirs, transport })
    }

    /// Authenticates both sides of a connection that was accepted.
    pub(crate) async fn accept_peer(&self, tcp: TcpStream) -> Result<AuthenticatedPeer, HandshakeError> {
        let accept = async {
            set_socket_options(&tcp)?;
            let transport = match &self.tls {
                Some(tls) => tls.accept(tcp).await?,
                None => Transport::Plain(tcp),
            };
            self.authenticate_dialer(transport).await
        };
        with_timeout(accept).await
    }

    async fn authenticate_dialer(&self, mut transport: Transport) -> Result<AuthenticatedPeer, HandshakeError> {
        let mut reader = FrameReader::default();
        let dialer_hello = reader.read(&mut transport, HELLO_BYTES_MAX).await?;
        let theirs = decode_hello(&dialer_hello, None);
        // A pinflow of another protocol gets our hello too, so that it can say what differs.
        if let Err(HandshakeError::Failed(error)) = theirs {
            return Err(error.into());
        }
        let ours = self.new_hello(None)?;
        let acceptor_hello = ours.encode();
        write_frame(&mut transport, &acceptor_hello).await?;
        let theirs = theirs?;
        let index = theirs.index as usize;
        let transcript = Transcript { dialer_hello, acceptor_hello, channel_binding: channel_binding(&transport)? };
        let secret = self.settings.secret.as_ref();
        let proof = reader.read(&mut transport, HELLO_BYTES_MAX).await?;
        if !is_proof_valid(secret, ProofBy::Dialer, &transcript, &proof) {
            write_frame(&mut transport, REFUSAL).await?;
            return Err(HandshakeError::Mismatched { index, mismatches: vec![Mismatch::Secret] });
        }
        write_frame(&mut transport, &prove_secret(secret, ProofBy::Acceptor, &transcript)).await?;
        check_match(index, &ours, &theirs)?;
        let Some(address) = self.settings.processes.get(index).filter(|_| index > self.settings.index) else {
            let mismatches = vec![Mismatch::Index { theirs: theirs.index }];
            return Err(HandshakeError::Mismatched { index, mismatches });
        };
        check_peer_host(&transport, &address.host)
            .map_err(|error| HandshakeError::Mismatched { index, mismatches: vec![Mismatch::Certificate(error)] })?;
        Ok(AuthenticatedPeer { hello: theirs, transport })
    }
}

/// Draws a number that is used once.
pub(crate) fn draw_nonce() -> io::Result<Nonce> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(u128::from_be_bytes(bytes))
}

async fn with_timeout<T>(handshake: impl Future<Output = Result<T, HandshakeError>>) -> Result<T, HandshakeError> {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(result) => result,
        Err(_) => Err(HandshakeError::Failed(io::ErrorKind::TimedOut.into())),
    }
}

/// A certificate that is not accepted is a fault of the configuration, which is to be named. Anything else is an error
/// of the connection.
fn name_tls_error(peer: usize, error: HandshakeError) -> HandshakeError {
    let HandshakeError::Failed(error) = error else { return error };
    let mismatch = match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => Mismatch::Certificate(error.to_string()),
        Some(rustls::Error::AlertReceived(_)) => Mismatch::CertificateRefused(error.to_string()),
        _ => return HandshakeError::Failed(error),
    };
    HandshakeError::Mismatched { index: peer, mismatches: vec![mismatch] }
}

fn decode_hello(bytes: &[u8], dialed: Option<usize>) -> Result<Hello, HandshakeError> {
    Hello::decode(bytes).map_err(|error| match error {
        HelloError::NoHello => io::Error::new(io::ErrorKind::InvalidData, "these are no messages of pinflow").into(),
        HelloError::OtherProtocol { index, protocol } => HandshakeError::Mismatched {
            index: dialed.unwrap_or(index as usize),
            mismatches: vec![Mismatch::Protocol { theirs: protocol }],
        },
    })
}

fn check_match(index: usize, ours: &Hello, theirs: &Hello) -> Result<(), HandshakeError> {
    let mismatches = compare_hellos(ours, theirs);
    if mismatches.is_empty() { Ok(()) } else { Err(HandshakeError::Mismatched { index, mismatches }) }
}
