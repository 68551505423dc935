//! The last rejections, to be inspected during the run.

use std::collections::VecDeque;

use jiff::Timestamp;
use parking_lot::Mutex;
use pinflow_dataflows::record::{Lineage, Stream};
use pinflow_dataflows::rejection::{Rejection, RejectionReason};
use serde::{Deserialize, Serialize};

/// Rejections that are kept. Table `rejected` has all of them.
const LOGGED_REJECTIONS_MAX: usize = 256;
/// Bytes of a payload that are kept.
const LOGGED_PAYLOAD_BYTES_MAX: usize = 4 << 10;

/// One rejection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoggedRejection {
    /// When it was rejected.
    pub at: Timestamp,
    /// Its position, and when it arrived.
    pub lineage: Lineage,
    /// The stream of the message, if it is known.
    pub stream: Option<Stream>,
    /// The reason, as in table `rejected`.
    pub reason: RejectionReason,
    /// The detail that helps to find the cause.
    pub detail: String,
    /// The head of the message.
    pub payload: Vec<u8>,
    /// How long the message is, bytes.
    pub payload_bytes: usize,
}

/// The last rejections of a run, of all workers.
#[derive(Debug, Default)]
pub struct RejectionLog(Mutex<VecDeque<LoggedRejection>>);

impl RejectionLog {
    /// Records a rejection, unless another worker records one at this moment: many rejections must not make workers
    /// wait for each other, and enough of them are recorded anyway.
    pub fn record(&self, lineage: Lineage, stream: Option<Stream>, rejection: &Rejection, payload: &[u8]) {
        let Some(mut kept) = self.0.try_lock() else { return };
        kept.push_back(LoggedRejection {
            at: Timestamp::now(),
            lineage,
            stream,
            reason: rejection.reason,
            detail: rejection.detail.clone(),
            payload: payload[..payload.len().min(LOGGED_PAYLOAD_BYTES_MAX)].to_vec(),
            payload_bytes: payload.len(),
        });
        remove_oldest(&mut kept);
    }

    /// Adds those of another process.
    pub(crate) fn append(&self, rejections: Vec<LoggedRejection>) {
        let mut kept = self.0.lock();
        kept.extend(rejections);
        remove_oldest(&mut kept);
    }

    /// Takes all of them out, oldest first.
    pub(crate) fn take_all(&self) -> Vec<LoggedRejection> {
        std::mem::take(&mut *self.0.lock()).into()
    }

    /// The newest ones, newest first.
    #[must_use]
    pub fn newest_rejections(&self, limit: usize) -> Vec<LoggedRejection> {
        let kept = self.0.lock();
        kept.iter().rev().take(limit).cloned().collect()
    }
}

fn remove_oldest(kept: &mut VecDeque<LoggedRejection>) {
    let surplus = kept.len().saturating_sub(LOGGED_REJECTIONS_MAX);
    kept.drain(..surplus);
}
