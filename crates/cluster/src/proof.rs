//! Proofs that both ends of a connection know the cluster's secret, and the seed that is derived from it.

use hmac::{Hmac, KeyInit, Mac};
use sha2_of_hmac::Sha256;

use crate::settings::ClusterSecret;

/// Which end of a connection proves, so that a proof cannot be sent back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProofBy {
    Dialer,
    Acceptor,
}

/// What both ends of a connection have seen, which their proofs cover.
pub(crate) struct Transcript {
    pub(crate) dialer_hello: Vec<u8>,
    pub(crate) acceptor_hello: Vec<u8>,
    /// A number that only the two ends of this TLS connection know. Zeros without TLS.
    pub(crate) channel_binding: [u8; 32],
}

fn new_mac(secret: Option<&ClusterSecret>, purpose: &str) -> Hmac<Sha256> {
    let key = secret.map_or(&[][..], ClusterSecret::expose);
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    add_field(&mut mac, purpose.as_bytes());
    mac
}

/// With its length, so that no two lists of fields are the same bytes.
fn add_field(mac: &mut Hmac<Sha256>, bytes: &[u8]) {
    mac.update(&(bytes.len() as u64).to_be_bytes());
    mac.update(bytes);
}

fn proof_mac(secret: Option<&ClusterSecret>, by: ProofBy, transcript: &Transcript) -> Hmac<Sha256> {
    let purpose = match by {
        ProofBy::Dialer => "pinflow cluster: dialer",
        ProofBy::Acceptor => "pinflow cluster: acceptor",
    };
    let mut mac = new_mac(secret, purpose);
    add_field(&mut mac, &transcript.dialer_hello);
    add_field(&mut mac, &transcript.acceptor_hello);
    add_field(&mut mac, &transcript.channel_binding);
    mac
}

/// The proof of one end.
pub(crate) fn prove_secret(secret: Option<&ClusterSecret>, by: ProofBy, transcript: &Transcript) -> Vec<u8> {
    proof_mac(secret, by, transcript).finalize().into_bytes().to_vec()
}

/// Whether a proof is right. Takes the same time for every wrong one.
pub(crate) fn is_proof_valid(
    secret: Option<&ClusterSecret>,
    by: ProofBy,
    transcript: &Transcript,
    proof: &[u8],
) -> bool {
    proof_mac(secret, by, transcript).verify_slice(proof).is_ok()
}

/// The hash seed that all processes of a cluster share. It never crosses the network.
///
/// It follows from the secret. A cluster without one is on one machine: then `machine`, which is unknown elsewhere, takes
/// its place.
#[must_use]
pub fn derive_hash_seed(secret: Option<&ClusterSecret>, machine: &[u8]) -> [u64; 2] {
    let mut mac = new_mac(secret, "pinflow cluster: hash seed");
    if secret.is_none() {
        add_field(&mut mac, machine);
    }
    let bytes = mac.finalize().into_bytes();
    let number = |range: std::ops::Range<usize>| bytes[range].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    [number(0..8), number(8..16)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript() -> Transcript {
        Transcript { dialer_hello: vec![1, 2], acceptor_hello: vec![3], channel_binding: [4; 32] }
    }

    #[test]
    fn proof_is_valid_for_its_secret_direction_and_transcript_only() {
        let (secret, other) = (ClusterSecret::new([1; 32]), ClusterSecret::new([2; 32]));
        let proof = prove_secret(Some(&secret), ProofBy::Dialer, &transcript());
        let is_valid = |secret: Option<&ClusterSecret>, by, transcript: &Transcript| {
            is_proof_valid(secret, by, transcript, &proof)
        };
        assert!(is_valid(Some(&secret), ProofBy::Dialer, &transcript()));
        assert!(!is_valid(Some(&other), ProofBy::Dialer, &transcript()));
        assert!(!is_valid(None, ProofBy::Dialer, &transcript()));
        assert!(!is_valid(Some(&secret), ProofBy::Acceptor, &transcript()));
        for changed in [
            Transcript { dialer_hello: vec![1], acceptor_hello: vec![2, 3], ..transcript() },
            Transcript { channel_binding: [5; 32], ..transcript() },
        ] {
            assert!(!is_valid(Some(&secret), ProofBy::Dialer, &changed));
        }
        assert!(!is_proof_valid(Some(&secret), ProofBy::Dialer, &transcript(), &proof[..31]));
    }

    #[test]
    fn hash_seed_depends_on_the_secret_or_without_one_on_the_machine() {
        let [secret, other] = [1, 2].map(|byte| ClusterSecret::new([byte; 32]));
        let seed = derive_hash_seed(Some(&secret), b"here");
        assert_eq!(seed, derive_hash_seed(Some(&secret), b"there"));
        assert_ne!(seed, derive_hash_seed(Some(&other), b"here"));
        assert_ne!(derive_hash_seed(None, b"here"), derive_hash_seed(None, b"there"));
    }
}
