//! Mutual TLS between the processes of a cluster.

use std::io;
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::error::ClusterError;
use crate::settings::ClusterTls;
use crate::transport::Transport;

/// The name under which both ends derive a number from their TLS connection.
const BINDING_LABEL: &[u8] = b"EXPORTER-pinflow-cluster";

/// Both sides of mutual TLS 1.3.
#[derive(Clone)]
pub(crate) struct TlsContext {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl TlsContext {
    /// Reads the certificates and the key.
    pub(crate) fn new(tls: &ClusterTls) -> Result<TlsContext, ClusterError> {
        let mut roots = RootCertStore::empty();
        for certificate in read_certificates("ca", &tls.ca)? {
            roots.add(certificate).map_err(|error| bad_tls("ca", &error))?;
        }
        let roots = Arc::new(roots);
        let chain = read_certificates("certificate", &tls.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&tls.key).map_err(|error| bad_tls("key", &error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = &[&rustls::version::TLS13];
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| bad_tls("certificate", &error))?
            .with_root_certificates(Arc::clone(&roots))
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|error| bad_tls("certificate", &error))?;
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .build()
            .map_err(|error| bad_tls("ca", &error))?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| bad_tls("certificate", &error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| bad_tls("certificate", &error))?;
        // Nobody resumes. A ticket would only be more bytes on a new connection.
        server.send_tls13_tickets = 0;
        Ok(TlsContext {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
        })
    }

    /// Encrypts a connection that this process made to a host, whose name its certificate must have.
    pub(crate) async fn connect(&self, tcp: TcpStream, host: &str) -> io::Result<Transport> {
        let name = server_name(host).map_err(io::Error::other)?;
        let stream = self.connector.connect(name, tcp).await?;
        Ok(Transport::Tls(Box::new(TlsStream::Client(stream))))
    }

    /// Encrypts a connection that a client of the same authority made.
    pub(crate) async fn accept(&self, tcp: TcpStream) -> io::Result<Transport> {
        let stream = self.acceptor.accept(tcp).await?;
        Ok(Transport::Tls(Box::new(TlsStream::Server(stream))))
    }
}

fn bad_tls(what: &str, error: &dyn std::fmt::Display) -> ClusterError {
    ClusterError::BadTls(format!("{what}: {error}"))
}

fn read_certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ClusterError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|error| bad_tls(what, &error))?;
    if read.is_empty() { Err(bad_tls(what, &"it has no certificate in PEM format")) } else { Ok(read) }
}

fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(host.to_owned()).map_err(|_| format!("{host:?} is no host name that a certificate can have"))
}

/// Checks that the peer's certificate is valid for a host. Without TLS there is nothing to check.
pub(crate) fn check_peer_host(transport: &Transport, host: &str) -> Result<(), String> {
    let Transport::Tls(stream) = transport else { return Ok(()) };
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(<[_]>::first).ok_or("it sent no certificate")?;
    let certificate = ParsedCertificate::try_from(certificate).map_err(|error| error.to_string())?;
    verify_server_name(&certificate, &server_name(host)?).map_err(|error| error.to_string())
}

/// A number that only the two ends of this connection know. Zeros without TLS.
pub(crate) fn channel_binding(transport: &Transport) -> io::Result<[u8; 32]> {
    let Transport::Tls(stream) = transport else { return Ok([0; 32]) };
    let exported = match stream.as_ref() {
        TlsStream::Client(stream) => stream.get_ref().1.export_keying_material([0; 32], BINDING_LABEL, None),
        TlsStream::Server(stream) => stream.get_ref().1.export_keying_material([0; 32], BINDING_LABEL, None),
    };
    exported.map_err(io::Error::other)
}
