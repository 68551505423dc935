//! The events of all sources: those that this process reads, and those that followers read.

use tokio::sync::mpsc;

use crate::cluster::{BlockSummary, FollowerSourceEvent, FollowerSourceEvents};
use pinflow_connect::source::{BlockRecords, Partition, RecordBlock, SourceError, SourceEvent};
use pinflow_core::position::{PartitionId, Position};

/// An event of a source, wherever it is read.
pub(super) enum SourceInput {
    Opened(Partition),
    Discovered(Vec<Partition>),
    /// A block that this process has.
    Block(BlockSummary, BlockRecords),
    /// A block that a follower holds.
    HeldBlock(usize, BlockSummary),
    EndOffset {
        partition: PartitionId,
        end: Position,
    },
    Blocked {
        source: String,
        cause: Option<String>,
    },
    Ended(PartitionId),
    StartsAnnounced,
    BacklogRead,
    Failed(SourceError),
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

    /// The next event. `None` when all sources of all processes have ended. May be cancelled.
    pub(super) async fn recv(&mut self) -> Option<SourceInput> {
        while self.has_local || self.has_remote {
            tokio::select! {
                event = self.local.recv(), if self.has_local => match event {
                    Some(event) => return Some(local_input(event)),
                    None => self.has_local = false,
                },
                event = self.remote.recv(), if self.has_remote => match event {
                    Some((process, event)) => return Some(remote_input(process, event)),
                    None => self.has_remote = false,
                },
            }
        }
        None
    }
}

fn local_input(event: SourceEvent) -> SourceInput {
    match event {
        SourceEvent::Opened(partition) => SourceInput::Opened(partition),
        SourceEvent::Discovered(partitions) => SourceInput::Discovered(partitions),
        SourceEvent::Block(block) => {
            let summary = BlockSummary::new(&block);
            let RecordBlock { records, .. } = block;
            SourceInput::Block(summary, records)
        }
        SourceEvent::EndOffset { partition, end } => SourceInput::EndOffset { partition, end },
        SourceEvent::Blocked { source, cause } => SourceInput::Blocked { source, cause },
        SourceEvent::Ended(partition) => SourceInput::Ended(partition),
        SourceEvent::StartsAnnounced => SourceInput::StartsAnnounced,
        SourceEvent::BacklogRead => SourceInput::BacklogRead,
        SourceEvent::Failed(error) => SourceInput::Failed(error),
    }
}

fn remote_input(process: usize, event: FollowerSourceEvent) -> SourceInput {
    match event {
        FollowerSourceEvent::Opened(partition) => SourceInput::Opened(partition),
        FollowerSourceEvent::Discovered(partitions) => SourceInput::Discovered(partitions),
        FollowerSourceEvent::Block(summary) => SourceInput::HeldBlock(process, summary),
        FollowerSourceEvent::EndOffset { partition, end } => SourceInput::EndOffset { partition, end },
        FollowerSourceEvent::Blocked { source, cause } => SourceInput::Blocked { source, cause },
        FollowerSourceEvent::Ended(partition) => SourceInput::Ended(partition),
        FollowerSourceEvent::StartsAnnounced => SourceInput::StartsAnnounced,
        FollowerSourceEvent::BacklogRead => SourceInput::BacklogRead,
    }
}
