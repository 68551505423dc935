//! The passes as a source of a run.

use std::path::Path;
use std::thread::JoinHandle;

use async_trait::async_trait;
use pinflow_dataflows::ingest::StreamHint;
use tokio::runtime::Handle;

use super::pass_file::{PASS_FOLDER, PassStore, ReplayPass, ReplayedMessage};
use pinflow_connect::source::block_builder::BlockBuilder;
use pinflow_connect::source::reader_thread::{ReaderExit, spawn_reader};
use pinflow_connect::source::source_kind::{PlanContext, PlannedSource, SourceConfig};
use pinflow_connect::source::{RecordBlock, SourceContext, SourceError, SourceEvent, StreamRoute};
use pinflow_core::finding::Finding;
use pinflow_core::key_problem::KeyProblem;
use pinflow_core::position::{PartitionProgress, ResumeHint, record_fingerprint};

/// A block is sent when it has this many bytes. Small, so that a pass of few messages has several epochs, too.
const BLOCK_BYTES: usize = 64 << 10;

/// All passes. Each is a partition with positions of its own, from 1. Those that are in the tables are not read again.
#[derive(Debug, Clone)]
pub(super) struct DeadLetterSource {
    pub(super) store: PassStore,
}

#[async_trait]
impl SourceConfig for DeadLetterSource {
    fn validate(&self, _: &Path) -> Vec<KeyProblem> {
        Vec::new()
    }

    async fn check(&self, _: &PlanContext<'_>) -> Vec<Finding> {
        Vec::new()
    }

    async fn plan(&self, _: &PlanContext<'_>) -> Result<Box<dyn PlannedSource>, SourceError> {
        Ok(Box::new(self.clone()))
    }
}

impl PlannedSource for DeadLetterSource {
    fn name_conflicts(&self, _: &dyn PlannedSource) -> Vec<String> {
        Vec::new()
    }

    fn start(self: Box<Self>, context: &SourceContext) -> Result<Vec<JoinHandle<()>>, SourceError> {
        let runtime = Handle::current();
        let read = move |context: &SourceContext, _: &mut _| {
            self.store.passes.iter().try_for_each(|pass| read_pass(&self.store, *pass, &runtime, context))
        };
        Ok(vec![spawn_reader(PASS_FOLDER.to_owned(), context, PASS_FOLDER.to_owned(), read)?])
    }
}

/// Sends the messages of a pass from where the tables say on. Only a pass that is not finished is loaded.
fn read_pass(store: &PassStore, pass: ReplayPass, runtime: &Handle, context: &SourceContext) -> Result<(), ReaderExit> {
    let name = pass.source_name();
    let stored = context.stored_progress(&name);
    let read = stored.map_or(0, |stored| stored.next_number().saturating_sub(1));
    if read >= pass.messages {
        return Ok(());
    }
    let messages = runtime.block_on(store.read_messages(pass)).map_err(|error| SourceError::from_connection(&error))?;
    let read = usize::try_from(read).unwrap_or(usize::MAX);
    check_last_read(&messages, read, &name, stored)?;
    send_messages(&messages, read, &name, context)
}

fn send_messages(
    messages: &[ReplayedMessage],
    read: usize,
    name: &str,
    context: &SourceContext,
) -> Result<(), ReaderExit> {
    let partition = context.open_partition(name, name, StreamHint::Auto)?.id;
    let mut builder = BlockBuilder::new(name);
    let end = messages.len() as u64;
    for (number, message) in (1_u64..).zip(messages).skip(read) {
        if context.is_stopping() {
            return Err(ReaderExit::Stopped);
        }
        let ReplayedMessage { arrived_at, stream, payload, .. } = message;
        let route = stream.map_or(StreamRoute::AsPartition, StreamRoute::To);
        builder.push_routed(route, Some(payload), number.into(), arrived_at.map(|micros| micros.div_euclid(1_000)));
        if builder.bytes() >= BLOCK_BYTES || number == end {
            let block = RecordBlock {
                partition,
                records: builder.take_records(),
                next: (number + 1).into(),
                fingerprint: record_fingerprint(payload),
                hint: ResumeHint::None,
                lag: Some(end - number),
                lag_ms: None,
                remaining_bytes: None,
            };
            context.send(SourceEvent::Block(block))?;
        }
    }
    Ok(context.send(SourceEvent::Ended(partition))?)
}

/// Checks that the last message that is in the tables is the one that was read.
fn check_last_read(
    messages: &[ReplayedMessage],
    read: usize,
    name: &str,
    stored: Option<PartitionProgress>,
) -> Result<(), SourceError> {
    let (Some(stored), Some(last)) = (stored, read.checked_sub(1).and_then(|last| messages.get(last))) else {
        return Ok(());
    };
    if record_fingerprint(&last.payload) == stored.fingerprint {
        return Ok(());
    }
    let what = format!("message {read} of its file is not the one that was read; put back the file as it was written");
    Err(SourceError::Changed { partition: name.to_owned(), what })
}
