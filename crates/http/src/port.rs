//! The server's port: bind, TLS, and the checks of its configuration.

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
use pinflow_core::key_problem::KeyProblem;
use pinflow_core::secret::check_private;
use pinflow_core::user_error::{ExitStatus, UserError};

/// Send buffer of a connection, bytes. The kernel's default grows to some MiB, so 500 clients that do not read would hold a
/// gigabyte of kernel memory until they are disconnected.
const SEND_BUFFER_BYTES: u32 = 256 << 10;
/// Connections that may wait to be accepted.
const ACCEPT_BACKLOG: u32 = 1_024;

/// The server's certificate and key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM. Only its owner may be able to read the file.
    pub key: PathBuf,
}

/// Why a port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The address cannot be bound.
    #[error("cannot listen on {listen}; is another program, or another pinflow, using the port?")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// The operating system's error.
        #[source]
        cause: std::io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("tls: {0}")]
    Tls(String),
}

impl UserError for PortError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            PortError::Listen { .. } => ExitStatus::Failed,
            // The configuration names a file that is missing or no certificate.
            PortError::Tls(_) => ExitStatus::BadUsage,
        }
    }
}

/// A bound port that does not accept connections yet.
pub struct ServerPort {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl ServerPort {
    /// Binds the port and reads the certificate. Relative paths are resolved against `base`.
    ///
    /// # Errors
    /// If the address cannot be bound or the certificate cannot be used.
    pub fn bind(listen: SocketAddr, tls: Option<&ServerTls>, base: &Path) -> Result<ServerPort, PortError> {
        let tls = tls.map(|tls| load_tls_acceptor(tls, base)).transpose()?;
        let listener = bind_listener(listen).map_err(|cause| PortError::Listen { listen, cause })?;
        Ok(ServerPort { listener, tls })
    }

    /// The bound address. If port 0 was configured it has the port that the system chose.
    ///
    /// # Errors
    /// If the operating system does not return the address.
    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` turns true. Requests in progress then have the shutdown grace to finish.
    pub async fn serve(
        self,
        router: Router,
        limits: ConnectionLimits,
        tally: Arc<ConnectionCounts>,
        shutdown: watch::Receiver<bool>,
    ) {
        connections::accept_connections(self.listener, router, self.tls, limits, tally, shutdown).await;
    }
}

/// Binds with a bounded send buffer.
fn bind_listener(listen: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit the size.
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

/// The listen settings of `[serve]` or `[gateway]`, to be checked together.
pub struct ListenSettings<'a> {
    /// The address to listen at.
    pub listen: SocketAddr,
    /// Certificate and key; without them the port speaks plain HTTP.
    pub tls: Option<&'a ServerTls>,
    /// Whether at least one token is configured.
    pub tokens: bool,
    /// Whether to accept an address beyond this machine without tokens and TLS.
    pub danger_listen_in_the_open: bool,
    /// Connections at once, at most.
    pub connections_max: usize,
    /// Connections at once from one address, at most.
    pub connections_per_address_max: usize,
}

impl ListenSettings<'_> {
    /// The problems of these settings. Relative paths are resolved against `base`.
    pub fn validate(&self, base: &Path) -> Vec<KeyProblem> {
        let mut problems = Vec::new();
        let is_protected = self.tokens && self.tls.is_some();
        if !self.listen.ip().is_loopback() && !is_protected && !self.danger_listen_in_the_open {
            let what = format!(
                "{} can be reached from other machines: add tokens and tls, or listen on 127.0.0.1 \
                 (danger_listen_in_the_open = true serves everybody, unencrypted)",
                self.listen
            );
            problems.push(KeyProblem::new("listen", what));
        }
        for (name, limit) in [
            ("connections_max", self.connections_max),
            ("connections_per_address_max", self.connections_per_address_max),
        ] {
            if !(1..=65_536).contains(&limit) {
                problems.push(KeyProblem::range(name, "1 to 65536"));
            }
        }
        let tls = self.tls.iter().flat_map(|tls| [("certificate", &tls.certificate), ("key", &tls.key)]);
        for (name, path) in tls {
            let path = base.join(path);
            if let Err(error) = std::fs::File::open(&path) {
                problems
                    .push(KeyProblem::new(format!("tls.{name}"), format!("cannot read {}: {error}", path.display())));
            } else if name == "key"
                && let Err(error) = check_private(&path)
            {
                problems.push(KeyProblem::new("tls.key", error.to_string()));
            }
        }
        problems
    }
}
