//! The events of all sources: those that this process reads, and those that followers read.

use tokio::sync::mpsc;

use crate::cluster::{FollowerSourceEvents, SourceAnnouncement};
use pinflow_connect::source::{BlockRecords, SourceError, SourceEvent};

/// An event of a source.
pub(super) struct SourceInput {
    /// The process that reads the source.
    pub(super) process: usize,
    pub(super) announced: SourceAnnouncement,
    /// The records of a block that this process has read. A follower holds its own.
    pub(super) records: Option<BlockRecords>,
}

/// Where the events come from.
pub(super) struct SourceInputs {
    local: mpsc::Receiver<SourceEvent>,
    has_local: bool,
    remote: FollowerSourceEvents,
    has_remote: bool,
}

impl SourceInputs {
    pub(super) fn new(local: mpsc::Receiver<SourceEvent>, remote: FollowerSourceEvents) -> SourceInputs {
        SourceInputs { local, has_local: true, remote, has_remote: true }
    }

    /// The next event, or the failure of a source of this process. `None` when all sources of all processes have ended. May
    /// be cancelled.
    pub(super) async fn recv(&mut self) -> Option<Result<SourceInput, SourceError>> {
        while self.has_local || self.has_remote {
            tokio::select! {
                event = self.local.recv(), if self.has_local => match event.map(SourceAnnouncement::divide) {
                    Some(Ok((announced, records))) => return Some(Ok(SourceInput { process: 0, announced, records })),
                    Some(Err(error)) => return Some(Err(error)),
                    None => self.has_local = false,
                },
                event = self.remote.recv(), if self.has_remote => match event {
                    Some((process, announced)) => return Some(Ok(SourceInput { process, announced, records: None })),
                    None => self.has_remote = false,
                },
            }
        }
        None
    }
}
