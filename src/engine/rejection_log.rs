//! The last rejections, for people who want to see what is refused while it runs.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use pinflow_dataflows::record::{Lineage, Stream};
use pinflow_dataflows::rejection::{Rejection, RejectionReason};

/// How many are kept. All of them, of all time, are in the table `rejected`.
const KEPT: usize = 256;
/// How much of a payload is kept.
const PAYLOAD_MAX: usize = 4 << 10;

/// One rejection.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// When it was refused.
    pub at: Timestamp,
    /// Where it stands, and when it arrived.
    pub lineage: Lineage,
    /// The stream it was meant for, where that is known.
    pub stream: Option<Stream>,
    /// Why.
    pub reason: RejectionReason,
    /// What a person needs to find the fault.
    pub detail: String,
    /// The head of the message.
    pub payload: Vec<u8>,
    /// How long the message is, bytes.
    pub payload_bytes: usize,
}

/// The last rejections of a run, of all workers.
#[derive(Debug, Default)]
pub struct Recent(Mutex<VecDeque<Rejected>>);

impl Recent {
    /// Keeps a rejection. Where another worker is at it this moment it is left out: a flood of rejections must not
    /// make workers wait for one another, and it leaves enough to see.
    pub fn keep(&self, lineage: Lineage, stream: Option<Stream>, rejection: &Rejection, payload: &[u8]) {
        let Ok(mut kept) = self.0.try_lock() else { return };
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Rejected {
            at: Timestamp::now(),
            lineage,
            stream,
            reason: rejection.reason,
            detail: rejection.detail.clone(),
            payload: payload[..payload.len().min(PAYLOAD_MAX)].to_vec(),
            payload_bytes: payload.len(),
        });
    }

    /// The newest ones, newest first.
    #[must_use]
    pub fn newest(&self, limit: usize) -> Vec<Rejected> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().take(limit).cloned().collect()
    }
}
