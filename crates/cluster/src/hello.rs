//! The first message on a connection: who speaks, and what must be the same on both sides.

use std::fmt;

use crate::message::{HELLO_BYTES_MAX, Nonce};
use crate::settings::ClusterSettings;

const MAGIC: [u8; 8] = *b"pinflow\x01";

/// The protocol of forming. Raise it when a message changes.
const PROTOCOL: u16 = 1;

/// The bytes of a version or a build id, at most.
pub(crate) const TEXT_BYTES_MAX: usize = 128;

/// Who speaks, and what must be the same on both sides. What precedes `version` is the same in every protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) protocol: u16,
    pub(crate) index: u32,
    pub(crate) version: String,
    pub(crate) build_id: String,
    pub(crate) processes: u32,
    pub(crate) workers: u32,
    pub(crate) fingerprint: [u8; 32],
    /// Drawn when the process began to form, so that a restart is another process.
    pub(crate) boot: Nonce,
    /// Drawn for this connection, so that nothing of an earlier one can be replayed.
    pub(crate) connection: Nonce,
    /// The generation that a follower names to another. The leader is told none.
    pub(crate) generation: Option<u128>,
}

/// Why bytes are no hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HelloError {
    /// Something else than pinflow speaks, or the message is damaged.
    NoHello,
    /// A pinflow of another protocol speaks.
    OtherProtocol { index: u32, protocol: u16 },
}

impl Hello {
    pub(crate) fn new(settings: &ClusterSettings, boot: Nonce, connection: Nonce, generation: Option<u128>) -> Hello {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Hello {
            protocol: PROTOCOL,
            index: number(settings.index),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build_id: settings.build_id.clone(),
            processes: number(settings.processes.len()),
            workers: number(settings.workers),
            fingerprint: settings.fingerprint,
            boot,
            connection,
            generation,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.protocol.to_be_bytes());
        bytes.extend_from_slice(&self.index.to_be_bytes());
        for text in [&self.version, &self.build_id] {
            let text = &text.as_bytes()[..text.len().min(TEXT_BYTES_MAX)];
            bytes.push(u8::try_from(text.len()).expect("the length is bounded above"));
            bytes.extend_from_slice(text);
        }
        bytes.extend_from_slice(&self.processes.to_be_bytes());
        bytes.extend_from_slice(&self.workers.to_be_bytes());
        bytes.extend_from_slice(&self.fingerprint);
        bytes.extend_from_slice(&self.boot.to_be_bytes());
        bytes.extend_from_slice(&self.connection.to_be_bytes());
        bytes.push(u8::from(self.generation.is_some()));
        bytes.extend_from_slice(&self.generation.unwrap_or(0).to_be_bytes());
        debug_assert!(bytes.len() <= HELLO_BYTES_MAX);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Hello, HelloError> {
        let mut reader = FieldReader(bytes);
        let fixed = (reader.take::<8>(), reader.take::<2>(), reader.take::<4>());
        let (Some(MAGIC), Some(protocol), Some(index)) = fixed else { return Err(HelloError::NoHello) };
        let (protocol, index) = (u16::from_be_bytes(protocol), u32::from_be_bytes(index));
        if protocol != PROTOCOL {
            return Err(HelloError::OtherProtocol { index, protocol });
        }
        let hello = reader.read_rest(protocol, index).ok_or(HelloError::NoHello)?;
        if reader.0.is_empty() { Ok(hello) } else { Err(HelloError::NoHello) }
    }
}

struct FieldReader<'a>(&'a [u8]);

impl FieldReader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn take_text(&mut self) -> Option<String> {
        let [length] = self.take::<1>()?;
        let (bytes, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        // It is printed, so it must not control a terminal.
        let text = std::str::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))?;
        (bytes.len() <= TEXT_BYTES_MAX).then(|| text.to_owned())
    }

    fn read_rest(&mut self, protocol: u16, index: u32) -> Option<Hello> {
        let (version, build_id) = (self.take_text()?, self.take_text()?);
        let (processes, workers) = (u32::from_be_bytes(self.take()?), u32::from_be_bytes(self.take()?));
        let fingerprint = self.take()?;
        let (boot, connection) = (u128::from_be_bytes(self.take()?), u128::from_be_bytes(self.take()?));
        let [has_generation] = self.take::<1>()?;
        let generation = u128::from_be_bytes(self.take()?);
        let generation = (has_generation == 1).then_some(generation);
        Some(Hello {
            protocol,
            index,
            version,
            build_id,
            processes,
            workers,
            fingerprint,
            boot,
            connection,
            generation,
        })
    }
}

/// Something that must be the same in all processes and is not. Its text continues "process 1 (host:port) …".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Mismatch {
    Protocol {
        theirs: u16,
    },
    Version {
        theirs: String,
        ours: String,
    },
    Build {
        theirs: String,
        ours: String,
    },
    Processes {
        theirs: u32,
        ours: u32,
    },
    Workers {
        theirs: u32,
        ours: u32,
    },
    Fingerprint,
    /// Another process answers at the address.
    Index {
        theirs: u32,
    },
    /// The peer's proof does not fit our secret.
    Secret,
    /// The peer says that our proof does not fit its secret.
    SecretRefused,
    /// The certificate is not valid for the host of the process.
    Certificate(String),
    /// The peer does not accept the certificate of this process.
    CertificateRefused(String),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Protocol { theirs } => write!(
                f,
                "speaks protocol {theirs} of pinflow clusters, this one {PROTOCOL}: install the same version everywhere"
            ),
            Mismatch::Version { theirs, ours } => {
                write!(f, "runs pinflow {theirs}, this one {ours}: install the same version everywhere")
            }
            Mismatch::Build { theirs, ours } => {
                write!(f, "runs build {theirs:?} of pinflow, this one {ours:?}: install the same build everywhere")
            }
            Mismatch::Processes { theirs, ours } => write!(
                f,
                "counts {theirs} processes, this one {ours}: set [cluster] processes to the same list everywhere"
            ),
            Mismatch::Workers { theirs, ours } => {
                write!(f, "runs {theirs} workers, this one {ours}: set [engine] workers to the same number")
            }
            Mismatch::Fingerprint => {
                f.write_str("has another configuration: start all processes with the same configuration")
            }
            Mismatch::Index { theirs } => write!(
                f,
                "answers as process {theirs}: set [cluster] processes to the same list everywhere, and --process to the \
                 place in it"
            ),
            Mismatch::Secret | Mismatch::SecretRefused => {
                f.write_str("has another secret: set [cluster] secret to the same bytes everywhere")
            }
            Mismatch::CertificateRefused(error) => write!(
                f,
                "refuses the certificate of this process ({error}): issue it by the authority in [cluster] tls.ca of \
                 that process, for servers and clients"
            ),
            Mismatch::Certificate(error) => write!(
                f,
                "has no valid certificate ({error}): issue it by the authority in [cluster] tls.ca, for the host in \
                 [cluster] processes, for servers and clients"
            ),
        }
    }
}

/// What differs between two processes that must be the same.
pub(crate) fn compare_hellos(ours: &Hello, theirs: &Hello) -> Vec<Mismatch> {
    let mut found = Vec::new();
    if theirs.version != ours.version {
        found.push(Mismatch::Version { theirs: theirs.version.clone(), ours: ours.version.clone() });
    } else if theirs.build_id != ours.build_id {
        found.push(Mismatch::Build { theirs: theirs.build_id.clone(), ours: ours.build_id.clone() });
    }
    if theirs.processes != ours.processes {
        found.push(Mismatch::Processes { theirs: theirs.processes, ours: ours.processes });
    }
    if theirs.workers != ours.workers {
        found.push(Mismatch::Workers { theirs: theirs.workers, ours: ours.workers });
    }
    // Another version or number of processes is another configuration, too, and is reported above.
    if found.is_empty() && theirs.fingerprint != ours.fingerprint {
        found.push(Mismatch::Fingerprint);
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello() -> Hello {
        Hello {
            protocol: PROTOCOL,
            index: 1,
            version: "0.1.0".to_owned(),
            build_id: "abc".to_owned(),
            processes: 3,
            workers: 2,
            fingerprint: [9; 32],
            boot: 5,
            connection: 6,
            generation: None,
        }
    }

    #[test]
    fn hello_is_the_same_after_encoding_and_fits_the_limit() {
        let long = Hello { generation: Some(7), version: "v".repeat(128), build_id: "b".repeat(128), ..hello() };
        for hello in [hello(), long] {
            let bytes = hello.encode();
            assert!(bytes.len() <= HELLO_BYTES_MAX);
            assert_eq!(Hello::decode(&bytes), Ok(hello));
        }
    }

    #[test]
    fn damaged_hello_is_no_hello() {
        let bytes = hello().encode();
        for cut in 0..bytes.len() {
            assert_eq!(Hello::decode(&bytes[..cut]), Err(HelloError::NoHello));
        }
        assert_eq!(Hello::decode(&[bytes.as_slice(), b"x"].concat()), Err(HelloError::NoHello));
        let control = Hello { build_id: "\x1b[2J".to_owned(), ..hello() };
        assert_eq!(Hello::decode(&control.encode()), Err(HelloError::NoHello));
    }

    #[test]
    fn hello_of_another_protocol_is_named_whatever_follows() {
        let mut bytes = Hello { protocol: 9, ..hello() }.encode();
        bytes.truncate(20);
        assert_eq!(Hello::decode(&bytes), Err(HelloError::OtherProtocol { index: 1, protocol: 9 }));
    }

    #[test]
    fn each_difference_is_named_with_what_to_do() {
        let ours = hello();
        assert!(compare_hellos(&ours, &Hello { index: 2, boot: 1, connection: 2, ..hello() }).is_empty());
        let text_of = |theirs: &Hello| {
            let found: Vec<String> = compare_hellos(&ours, theirs).iter().map(ToString::to_string).collect();
            found.join("; ")
        };
        for (theirs, expected) in [
            (Hello { workers: 4, ..hello() }, "runs 4 workers, this one 2: set [engine] workers to the same number"),
            (Hello { version: "0.2.0".to_owned(), ..hello() }, "runs pinflow 0.2.0, this one 0.1.0"),
            (Hello { build_id: "def".to_owned(), ..hello() }, "runs build \"def\" of pinflow, this one \"abc\""),
            (Hello { processes: 2, ..hello() }, "counts 2 processes, this one 3"),
            (Hello { fingerprint: [8; 32], ..hello() }, "has another configuration"),
        ] {
            let text = text_of(&theirs);
            assert!(text.starts_with(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Hello::decode(&bytes);
            let _ = Hello::decode(&[&MAGIC[..], &PROTOCOL.to_be_bytes(), &bytes].concat());
        }
    }
}
