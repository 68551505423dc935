//! A port that is listened on, encrypted if so configured.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::connections::{self, ConnectionCounts, ConnectionLimits};
use crate::key_problem::KeyProblem;
use crate::secret::check_private;

/// What the system holds of a reply that is not read. By itself it goes up to some MiB a connection: five hundred readers
/// that stand still would be copied a gigabyte before they are let alone.
const SEND_BUFFER_BYTES: u32 = 256 << 10;
/// Connections that wait to be accepted.
const ACCEPT_BACKLOG: u32 = 1_024;

/// The server's certificate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM; a file that only its owner can read.
    pub key: PathBuf,
}

/// Why a port cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// It cannot be had.
    #[error("listen on {listen}; is another program, or another pinflow, there?")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The certificate and its key do not serve.
    #[error("tls: {0}")]
    Tls(String),
}

/// A port that is listened on, and not yet served.
pub(crate) struct ServerPort {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl ServerPort {
    /// Takes the port, and reads the certificate. `base` is what relative paths are relative to.
    ///
    /// # Errors
    /// If one of them is not to be had.
    pub(crate) fn bind(listen: SocketAddr, tls: Option<&ServerTls>, base: &Path) -> Result<ServerPort, PortError> {
        let tls = tls.map(|tls| load_tls_acceptor(tls, base)).transpose()?;
        let listener = bind_listener(listen).map_err(|cause| PortError::Listen { listen, cause })?;
        Ok(ServerPort { listener, tls })
    }

    /// The address, with the port that was taken.
    ///
    /// # Errors
    /// If the system does not say.
    pub(crate) fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `over` turns true, then lets requests that are being answered finish.
    pub(crate) async fn serve(
        self,
        router: Router,
        limits: ConnectionLimits,
        tally: Arc<ConnectionCounts>,
        over: watch::Receiver<bool>,
    ) {
        connections::accept_connections(self.listener, router, self.tls, limits, tally, over).await;
    }
}

/// Listens, with bounded room in the system for what a connection has not read yet.
fn bind_listener(listen: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(listen)?;
    socket.listen(ACCEPT_BACKLOG)
}

fn load_tls_acceptor(tls: &ServerTls, base: &Path) -> Result<TlsAcceptor, PortError> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| PortError::Tls(format!("{}: {error}", path.display()));
    let (certificate, key) = (base.join(&tls.certificate), base.join(&tls.key));
    let chain = CertificateDer::pem_file_iter(&certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|error| failed(&certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(&key).map_err(|error| failed(&key, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| PortError::Tls(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| failed(&certificate, &error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What a section says of the port that it serves.
pub(crate) struct ListenSettings<'a> {
    pub(crate) listen: SocketAddr,
    pub(crate) tls: Option<&'a ServerTls>,
    /// Whether tokens are asked for.
    pub(crate) tokens: bool,
    /// Whether it may be open to everybody.
    pub(crate) danger_listen_in_the_open: bool,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_address_max: usize,
}

impl ListenSettings<'_> {
    /// What is wrong, each with its mend. `base` is what relative paths are relative to.
    pub(crate) fn faults(&self, base: &Path) -> Vec<KeyProblem> {
        let mut faults = Vec::new();
        let guarded = self.tokens && self.tls.is_some();
        if !self.listen.ip().is_loopback() && !guarded && !self.danger_listen_in_the_open {
            let what = format!(
                "{} can be reached from other machines: add tokens and tls, or listen on 127.0.0.1 \
                 (danger_listen_in_the_open = true serves everybody, unencrypted)",
                self.listen
            );
            faults.push(KeyProblem::new("listen", what));
        }
        for (name, limit) in [
            ("connections_max", self.connections_max),
            ("connections_per_address_max", self.connections_per_address_max),
        ] {
            if !(1..=65_536).contains(&limit) {
                faults.push(KeyProblem::range(name, "1 to 65536"));
            }
        }
        let tls = self.tls.iter().flat_map(|tls| [("certificate", &tls.certificate), ("key", &tls.key)]);
        for (name, path) in tls {
            let path = base.join(path);
            if let Err(error) = std::fs::File::open(&path) {
                faults.push(KeyProblem::new(format!("tls.{name}"), format!("cannot read {}: {error}", path.display())));
            } else if name == "key"
                && let Err(error) = check_private(&path)
            {
                faults.push(KeyProblem::new("tls.key", error.to_string()));
            }
        }
        faults
    }
}
