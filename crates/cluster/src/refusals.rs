//! Logs what keeps a cluster from forming, once a minute for each cause, and counts who was refused.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{debug, warn};

use crate::handshake::HandshakeError;
use crate::hello::Mismatch;
use crate::settings::ClusterSettings;

/// The same cause is logged again after this time.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The causes that are remembered, at most. A stranger could invent any number.
const CAUSES_MAX: usize = 4096;

/// What is logged once a minute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum LogCause {
    Mismatch(usize, std::mem::Discriminant<Mismatch>),
    Stranger,
    Unreachable(usize),
    Bind,
}

/// The log of one forming.
#[derive(Default)]
pub(crate) struct RefusalLog {
    logged: Mutex<HashMap<LogCause, Instant>>,
    refused: AtomicU64,
}

impl RefusalLog {
    /// The connections that were accepted from the network and then refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Counts a handshake that was given up for the sake of newer ones.
    pub(crate) fn count_evicted(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts and logs a connection that was accepted and refused.
    pub(crate) fn log_refused(&self, settings: &ClusterSettings, from: SocketAddr, error: &HandshakeError) {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        match error {
            HandshakeError::Mismatched { index, mismatches } => self.log_mismatches(settings, *index, mismatches),
            HandshakeError::Failed(error) => {
                debug!(%from, %error, "refused a connection to the cluster's port");
                if self.is_due(LogCause::Stranger) {
                    warn!(
                        "refused a connection from {from} to the cluster's port, {refused} in all: {}",
                        describe_failure(error)
                    );
                }
            }
        }
    }

    /// Logs a connection that this process made in vain.
    pub(crate) fn log_dial(&self, settings: &ClusterSettings, peer: usize, error: &HandshakeError) {
        match error {
            HandshakeError::Mismatched { index, mismatches } => self.log_mismatches(settings, *index, mismatches),
            HandshakeError::Failed(error) => {
                let address = settings.address(peer);
                debug!(peer, address, %error, "a process cannot be reached");
                // A process that is not there yet is named by the line of whom this one waits for.
                let is_usual = error.kind() == io::ErrorKind::ConnectionRefused;
                if !is_usual && self.is_due(LogCause::Unreachable(peer)) {
                    warn!("cannot connect to process {peer} ({address}): {}", describe_failure(error));
                }
            }
        }
    }

    /// Logs that the own address cannot be listened at.
    pub(crate) fn log_bind(&self, address: &str, error: &io::Error) {
        if self.is_due(LogCause::Bind) {
            warn!(
                "cannot listen at {address}: {error}; end the process that uses it, or set [cluster] listen to an \
                 address of this machine"
            );
        }
    }

    fn log_mismatches(&self, settings: &ClusterSettings, index: usize, mismatches: &[Mismatch]) {
        for mismatch in mismatches {
            if self.is_due(LogCause::Mismatch(index, std::mem::discriminant(mismatch))) {
                warn!("process {index} ({}) {mismatch}", settings.address(index));
            }
        }
    }

    fn is_due(&self, cause: LogCause) -> bool {
        let mut logged = self.logged.lock();
        if logged.get(&cause).is_some_and(|at| at.elapsed() < LOG_INTERVAL) {
            return false;
        }
        if logged.len() >= CAUSES_MAX {
            logged.retain(|_, at| at.elapsed() < LOG_INTERVAL);
        }
        if logged.len() >= CAUSES_MAX {
            return false;
        }
        logged.insert(cause, Instant::now());
        true
    }
}

fn describe_failure(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it closed the connection during the handshake".to_owned(),
        io::ErrorKind::TimedOut => "it did not finish the handshake in time".to_owned(),
        _ => error.to_string(),
    }
}
