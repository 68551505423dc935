//! `[cluster]`: the processes that run a pipeline together.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::Config;
use pinflow_cluster::{ClusterSecret, ClusterSettings, ClusterTls, HostPort, SecurityInputs, check_security};
use pinflow_core::key_problem::KeyProblem;
use pinflow_core::secret::{SecretError, SecretFrom, check_private};

/// The host name of this machine or container.
const HOST_NAME_PATH: &str = "/proc/sys/kernel/hostname";

/// `[cluster]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// The addresses of all processes, in order. The first one leads.
    pub processes: Vec<String>,
    /// Where this process listens for the others. By default at its own address.
    pub listen: Option<String>,
    /// The secret that the processes prove to each other. Needed unless all addresses are of this machine.
    pub secret: Option<SecretFrom>,
    /// Mutual TLS.
    pub tls: Option<ClusterTlsFiles>,
    /// A process that is silent for longer counts as lost, in seconds.
    #[serde(default = "ClusterConfig::silent_secs_max")]
    pub silent_secs_max: f64,
    /// Sends rows to other machines without encryption.
    #[serde(default)]
    pub danger_unencrypted: bool,
}

/// `[cluster] tls`: files in PEM format.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterTlsFiles {
    /// The authorities that signed the certificates of all processes.
    pub ca: PathBuf,
    /// The certificate of this process, valid for its host in `processes`, for servers and for clients.
    pub certificate: PathBuf,
    /// Its private key. Only its owner may be able to read the file.
    pub key: PathBuf,
}

/// Which of the processes this one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessNumber {
    /// This one.
    Number(usize),
    /// The number at the end of the host name, as a StatefulSet gives it to its pods.
    OfHostName,
}

impl FromStr for ProcessNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<ProcessNumber, String> {
        match text {
            "auto" => Ok(ProcessNumber::OfHostName),
            number => number.parse().map(ProcessNumber::Number).map_err(|_| {
                format!("{text:?} is not a process; write its place in [cluster] processes, from 0, or auto")
            }),
        }
    }
}

impl ProcessNumber {
    /// The number.
    ///
    /// # Errors
    /// If it is to be read from the host name, which does not end with one.
    pub fn resolve(self) -> Result<usize, String> {
        match self {
            ProcessNumber::Number(number) => Ok(number),
            ProcessNumber::OfHostName => {
                let name = std::fs::read_to_string(HOST_NAME_PATH).unwrap_or_default().trim().to_owned();
                trailing_number(&name).ok_or_else(|| {
                    format!("--process auto needs a host name that ends with a number, as in pinflow-0, but this one is {name:?}")
                })
            }
        }
    }
}

/// The number at the end of the first label of a host name.
fn trailing_number(host: &str) -> Option<usize> {
    let label = host.split('.').next()?;
    let digits = label.len() - label.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    label[label.len() - digits..].parse().ok()
}

impl ClusterConfig {
    fn silent_secs_max() -> f64 {
        30.0
    }

    /// A cluster of these processes, with defaults for everything else.
    #[must_use]
    pub fn of_processes(processes: Vec<String>) -> ClusterConfig {
        ClusterConfig {
            processes,
            listen: None,
            secret: None,
            tls: None,
            silent_secs_max: ClusterConfig::silent_secs_max(),
            danger_unencrypted: false,
        }
    }

    /// A process that is silent for longer counts as lost.
    #[must_use]
    pub fn silent_max(&self) -> Duration {
        Duration::from_secs_f64(self.silent_secs_max)
    }

    fn addresses(&self) -> Result<Vec<HostPort>, String> {
        self.processes.iter().map(|text| text.parse()).collect()
    }

    fn listen_address(&self) -> Result<Option<HostPort>, String> {
        self.listen.as_ref().map(|text| text.parse()).transpose()
    }

    /// The problems of values that have the right type.
    pub(super) fn problems(&self, base: &Path) -> Vec<KeyProblem> {
        let mut problems = Vec::new();
        if self.processes.is_empty() {
            problems.push(KeyProblem::range("processes", "at least one address, as in [\"127.0.0.1:7462\"]"));
        }
        if !(0.5..=3_600.0).contains(&self.silent_secs_max) {
            problems.push(KeyProblem::range("silent_secs_max", "0.5 to 3600"));
        }
        let (addresses, listen) = (self.addresses(), self.listen_address());
        if let (Ok(processes), Ok(listen)) = (&addresses, &listen) {
            // Whether the secret is long enough is known when it is read.
            let secret = self.secret.as_ref().map(|_| ClusterSecret::new([0; 64]));
            let inputs = SecurityInputs {
                processes,
                listen: listen.as_ref(),
                secret: secret.as_ref(),
                tls: self.tls.is_some(),
                danger_unencrypted: self.danger_unencrypted,
            };
            problems.extend(check_security(&inputs).err().into_iter().flatten().map(KeyProblem::table));
        }
        problems.extend(addresses.err().map(|what| KeyProblem::new("processes", what)));
        problems.extend(listen.err().map(|what| KeyProblem::new("listen", what)));
        if let Some(tls) = &self.tls {
            for (key, file) in [("tls.ca", &tls.ca), ("tls.certificate", &tls.certificate), ("tls.key", &tls.key)] {
                let path = base.join(file);
                if !path.is_file() {
                    problems.push(KeyProblem::new(key, format!("{} is not a file", path.display())));
                }
            }
        }
        problems
    }
}

/// Why a process cannot take part in its cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterConfigError {
    /// Its number is missing or wrong.
    #[error("{0}")]
    Process(String),
    /// The secret cannot be read.
    #[error("[cluster] secret")]
    Secret(#[from] SecretError),
    /// A file of `[cluster] tls` cannot be read.
    #[error("[cluster] tls: read {}", path.display())]
    Tls {
        #[allow(missing_docs)]
        path: PathBuf,
        #[allow(missing_docs)]
        #[source]
        cause: std::io::Error,
    },
    /// An address cannot be used.
    #[error("[cluster] {0}")]
    Address(String),
    /// The tables or the archive are in a folder of this machine, and the processes are not.
    #[error(
        "[{section}] url is a folder of this machine ({url}), but [cluster] processes names other machines, which would \
         write their files elsewhere; set it to s3://BUCKET/PREFIX"
    )]
    LocalFolder {
        /// `tables` or `archive`.
        section: &'static str,
        #[allow(missing_docs)]
        url: String,
    },
}

impl Config {
    /// The cluster of this run, if it has several processes, and which of them this one is.
    ///
    /// # Errors
    /// [`ClusterConfigError`]
    pub fn cluster_settings(&self) -> Result<Option<ClusterSettings>, ClusterConfigError> {
        let Some(cluster) = self.cluster.as_ref().filter(|cluster| cluster.processes.len() > 1) else {
            return Ok(None);
        };
        let processes = cluster.addresses().map_err(ClusterConfigError::Address)?;
        let unnamed = || {
            "which process of the cluster is this? Give --process N or PINFLOW_PROCESS: its place in [cluster] processes, from 0".to_owned()
        };
        let number = self.process.ok_or_else(unnamed).and_then(ProcessNumber::resolve);
        let index = number.map_err(ClusterConfigError::Process)?;
        if index >= processes.len() {
            let what = format!("process {index} does not exist: [cluster] processes has {}, from 0", processes.len());
            return Err(ClusterConfigError::Process(what));
        }
        let is_local = processes.iter().all(HostPort::is_loopback);
        let tables = self.tables.as_ref().map(|tables| ("tables", &tables.url));
        let archive = self.archive.as_ref().map(|archive| ("archive", &archive.url));
        let mut written = tables.into_iter().chain(archive);
        if let Some((section, url)) = written.find(|(_, url)| !is_local && !url.starts_with("s3:")) {
            return Err(ClusterConfigError::LocalFolder { section, url: url.clone() });
        }
        let secret = cluster.secret.as_ref().map(|secret| secret.read(&self.base)).transpose()?;
        Ok(Some(ClusterSettings {
            listen: cluster.listen_address().map_err(ClusterConfigError::Address)?,
            processes,
            index,
            workers: self.engine_settings(self.question_set()).workers,
            secret: secret.map(|secret| ClusterSecret::new(secret.expose().as_bytes())),
            tls: cluster.tls.as_ref().map(|tls| tls.read(&self.base)).transpose()?,
            danger_unencrypted: cluster.danger_unencrypted,
            fingerprint: self.fingerprint(),
            build_id: build_id(),
        }))
    }

    /// How many processes run this pipeline.
    #[must_use]
    pub fn cluster_size(&self) -> usize {
        self.cluster.as_ref().map_or(1, |cluster| cluster.processes.len().max(1))
    }

    /// A hash of what must be the same in every process: the sources, of which each reads a share, the questions and
    /// their options, the limits of messages, and the tables.
    fn fingerprint(&self) -> [u8; 32] {
        let mut text = String::new();
        let limits = self.message_limits();
        let tables = self.tables.as_ref().map(|tables| (&tables.url, tables.compression));
        let written = write!(text, "{:?} {:?} {limits:?} {tables:?}", self.pipeline, self.questions);
        written.expect("a string takes all");
        write!(text, " {:?} {:?} {:?}", self.sources, self.archive, self.accepted).expect("a string takes all");
        for question in &self.compiled_questions {
            write!(text, " {:?} {:?}", question.name.to_string(), question.sql).expect("a string takes all");
        }
        Sha256::digest(text.as_bytes()).into()
    }
}

impl ClusterTlsFiles {
    fn read(&self, base: &Path) -> Result<ClusterTls, ClusterConfigError> {
        let read = |file: &Path| {
            let path = base.join(file);
            std::fs::read(&path).map_err(|cause| ClusterConfigError::Tls { path, cause })
        };
        check_private(&base.join(&self.key))?;
        Ok(ClusterTls { ca: read(&self.ca)?, certificate: read(&self.certificate)?, key: read(&self.key)? })
    }
}

/// The build of this program: processes of different builds may order or hash the same things in different ways.
fn build_id() -> String {
    static BUILD_ID: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let digest = || {
        let program = std::env::current_exe().and_then(std::fs::read);
        program.map_or_else(|_| "unknown".to_owned(), |bytes| hex_digest(&bytes))
    };
    BUILD_ID.get_or_init(digest).clone()
}

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn number_of_a_pod_is_that_at_the_end_of_its_name() {
        let cases = [("pinflow-0", Some(0)), ("pinflow-12.pinflow.svc", Some(12)), ("pinflow", None), ("a-1-b", None)];
        for (host, number) in cases {
            assert_eq!(trailing_number(host), number, "{host}");
        }
        assert_eq!("3".parse(), Ok(ProcessNumber::Number(3)));
        assert_eq!("auto".parse(), Ok(ProcessNumber::OfHostName));
        assert!("-1".parse::<ProcessNumber>().unwrap_err().contains("from 0"));
    }

    #[test]
    fn addresses_of_other_machines_need_a_secret_and_tls() {
        let keys = |config: &ClusterConfig| -> Vec<String> {
            config.problems(Path::new("")).iter().map(ToString::to_string).collect()
        };
        let local = ClusterConfig::of_processes(vec!["127.0.0.1:1".to_owned(), "localhost:2".to_owned()]);
        assert_eq!(keys(&local), [""; 0]);
        let open = ClusterConfig::of_processes(vec!["a:1".to_owned(), "b:1".to_owned()]);
        let problems = keys(&open);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("secret") && problems[1].contains("danger_unencrypted"), "{problems:?}");
        let allowed = ClusterConfig {
            secret: Some(SecretFrom::try_from("env:SECRET".to_owned()).unwrap()),
            danger_unencrypted: true,
            ..open
        };
        assert_eq!(keys(&allowed), [""; 0]);
        let wrong = ClusterConfig { silent_secs_max: 0.0, listen: Some("nowhere".to_owned()), ..local };
        assert_eq!(keys(&wrong).len(), 2);
    }
}
