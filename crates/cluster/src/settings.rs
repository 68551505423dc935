//! What a process has to know to join its cluster, and the checks of it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::hello::TEXT_BYTES_MAX;

/// The bytes that a cluster's secret has at least.
pub const SECRET_BYTES_MIN: usize = 32;

/// The processes that a cluster has at most.
pub const PROCESSES_MAX: usize = 1024;

/// A host name or an IP address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The host name or IP address. An IPv6 address has no brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl HostPort {
    /// Whether only this machine can reach the address: `localhost`, or an IP address of the loopback interface.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost") || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<HostPort, String> {
        let text = text.trim();
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(format!("{text:?} has no port; write HOST:PORT, as in pinflow-0:7462"));
        };
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err(format!("{text:?} is ambiguous; write an IPv6 address in brackets, as in [::1]:7462"));
        }
        let host = bare.unwrap_or(host);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let is_host = if bare.is_some() { host.parse::<IpAddr>().is_ok() } else { host.bytes().all(is_name) };
        if host.is_empty() || !is_host {
            return Err(format!("{text:?} has no host name; write HOST:PORT, as in pinflow-0:7462"));
        }
        match port.parse() {
            Ok(port) if port != 0 => Ok(HostPort { host: host.to_owned(), port }),
            _ => Err(format!("{port:?} is not a port; use a number from 1 to 65535")),
        }
    }
}

/// The secret that all processes of a cluster share. It has no `Debug` and no `Display`, so that it cannot be logged.
#[derive(Clone)]
pub struct ClusterSecret(Vec<u8>);

impl ClusterSecret {
    /// Wraps the bytes. [`check_security`] reports a secret that is too short.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> ClusterSecret {
        ClusterSecret(bytes.into())
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// Certificates for mutual TLS, as PEM that is already read.
#[derive(Clone)]
pub struct ClusterTls {
    /// The authorities that signed the certificates of all processes.
    pub ca: Vec<u8>,
    /// The certificate of this process and its chain. It must be valid for the host in the list of processes, and for
    /// use by servers and by clients.
    pub certificate: Vec<u8>,
    /// The private key of the certificate.
    pub key: Vec<u8>,
}

/// What a process has to know to join its cluster.
#[derive(Clone)]
pub struct ClusterSettings {
    /// The addresses of all processes. The first leads. The list is the same in every process.
    pub processes: Vec<HostPort>,
    /// The place of this process in the list.
    pub index: usize,
    /// Where this process listens. Without it, at its own address in the list.
    pub listen: Option<HostPort>,
    /// The worker threads of each process.
    pub workers: usize,
    /// The secret that the processes prove to each other.
    pub secret: Option<ClusterSecret>,
    /// Certificates. Without them the processes speak plain TCP.
    pub tls: Option<ClusterTls>,
    /// Allows addresses beyond this machine without TLS.
    pub danger_unencrypted: bool,
    /// A hash of all settings that must be the same in every process.
    pub fingerprint: [u8; 32],
    /// The build of the program. Only processes of the same build form a cluster.
    pub build_id: String,
}

/// What decides whether a cluster is protected. Made from a configuration before any socket is opened.
#[derive(Clone, Copy)]
pub struct SecurityInputs<'a> {
    /// The addresses of all processes.
    pub processes: &'a [HostPort],
    /// Where this process listens, if not at its own address.
    pub listen: Option<&'a HostPort>,
    /// The secret.
    pub secret: Option<&'a ClusterSecret>,
    /// Whether certificates are configured.
    pub tls: bool,
    /// Whether addresses beyond this machine are allowed without TLS.
    pub danger_unencrypted: bool,
}

impl ClusterSettings {
    /// The part of the settings that [`check_security`] looks at.
    #[must_use]
    pub fn security_inputs(&self) -> SecurityInputs<'_> {
        SecurityInputs {
            processes: &self.processes,
            listen: self.listen.as_ref(),
            secret: self.secret.as_ref(),
            tls: self.tls.is_some(),
            danger_unencrypted: self.danger_unencrypted,
        }
    }

    /// The address of a process, for messages.
    pub(crate) fn address(&self, index: usize) -> String {
        self.processes.get(index).map_or_else(|| "an unknown address".to_owned(), ToString::to_string)
    }
}

/// Checks that nobody else can join a cluster or read what it sends.
///
/// # Errors
/// Each fault, with what to do about it.
pub fn check_security(inputs: &SecurityInputs<'_>) -> Result<(), Vec<String>> {
    let mut faults = Vec::new();
    let open = inputs.listen.into_iter().chain(inputs.processes).find(|address| !address.is_loopback());
    if let Some(address) = open {
        if inputs.secret.is_none() {
            faults.push(format!(
                "{address} can be reached from other machines and the cluster has no secret: set [cluster] secret to \
                 env:NAME or file:PATH with at least {SECRET_BYTES_MIN} random bytes, the same in every process"
            ));
        }
        if !inputs.tls && !inputs.danger_unencrypted {
            faults.push(format!(
                "{address} can be reached from other machines and the cluster has no tls: set [cluster] tls (ca, \
                 certificate, key), or danger_unencrypted = true to send all rows unencrypted"
            ));
        }
    }
    if let Some(secret) = inputs.secret
        && secret.expose().len() < SECRET_BYTES_MIN
    {
        faults.push(format!(
            "the cluster's secret has {} bytes: use at least {SECRET_BYTES_MIN} random bytes, as from `openssl rand -hex 32`",
            secret.expose().len()
        ));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Checks the settings themselves and their security.
///
/// # Errors
/// Each fault, with what to do about it.
pub fn check_settings(settings: &ClusterSettings) -> Result<(), Vec<String>> {
    let mut faults = check_security(&settings.security_inputs()).err().unwrap_or_default();
    let count = settings.processes.len();
    if count == 0 || count > PROCESSES_MAX {
        faults.push(format!("the cluster has {count} processes: list 1 to {PROCESSES_MAX} in [cluster] processes"));
    }
    if settings.index >= count {
        faults.push(format!(
            "process {} is not in the list of {count} processes, which are numbered from 0: correct --process or \
             [cluster] processes",
            settings.index
        ));
    }
    for (at, address) in settings.processes.iter().enumerate() {
        if settings.processes[..at].contains(address) {
            faults.push(format!("{address} is listed twice: give each process an address of its own"));
        }
    }
    if settings.build_id.len() > TEXT_BYTES_MAX {
        faults.push(format!("the build id has {} bytes: use at most {TEXT_BYTES_MAX}", settings.build_id.len()));
    }
    if settings.workers == 0 || u32::try_from(settings.workers).is_err() {
        faults.push(format!("{} workers cannot run: set [engine] workers to at least 1", settings.workers));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(text: &str) -> HostPort {
        text.parse().unwrap()
    }

    fn faults_of(addresses: &[&str], secret: Option<usize>, tls: bool, danger_unencrypted: bool) -> Vec<String> {
        let processes: Vec<HostPort> = addresses.iter().map(|text| address(text)).collect();
        let secret = secret.map(|length| ClusterSecret::new(vec![7; length]));
        let inputs =
            SecurityInputs { processes: &processes, listen: None, secret: secret.as_ref(), tls, danger_unencrypted };
        check_security(&inputs).err().unwrap_or_default()
    }

    #[test]
    fn address_text_is_parsed_or_explained() {
        assert_eq!(address("pinflow-0.pinflow:7462").host, "pinflow-0.pinflow");
        assert_eq!(address("[::1]:7462").to_string(), "[::1]:7462");
        for wrong in ["pinflow-0", "::1:7462", ":7462", "a:0", "a:x", "a b:1", "http://a:1", "[a]:1", "a:70000"] {
            assert!(wrong.parse::<HostPort>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn loopback_cluster_needs_neither_secret_nor_tls() {
        assert!(faults_of(&["127.0.0.1:1", "localhost:2", "[::1]:3"], None, false, false).is_empty());
    }

    #[test]
    fn open_cluster_without_secret_or_tls_names_both_faults() {
        let faults = faults_of(&["127.0.0.1:1", "pinflow-1:2"], None, false, false);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("pinflow-1:2") && faults[0].contains("secret"), "{faults:?}");
        assert!(faults[1].contains("danger_unencrypted"), "{faults:?}");
        assert_eq!(faults_of(&["pinflow-1:2"], Some(32), false, false).len(), 1);
        assert_eq!(faults_of(&["pinflow-1:2"], None, true, true).len(), 1);
        assert!(faults_of(&["pinflow-1:2"], Some(32), false, true).is_empty());
        assert!(faults_of(&["pinflow-1:2"], Some(32), true, false).is_empty());
    }

    #[test]
    fn short_secret_is_a_fault_even_on_loopback() {
        assert!(faults_of(&["127.0.0.1:1"], Some(31), false, false)[0].contains("31 bytes"));
    }

    #[test]
    fn listening_everywhere_needs_a_secret() {
        let (processes, listen) = ([address("127.0.0.1:1")], address("0.0.0.0:1"));
        let inputs = SecurityInputs {
            processes: &processes,
            listen: Some(&listen),
            secret: None,
            tls: false,
            danger_unencrypted: false,
        };
        assert_eq!(check_security(&inputs).unwrap_err().len(), 2);
    }
}
