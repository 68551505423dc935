//! The connection between the leader and a follower while the cluster forms.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::forming::{FormingEvent, LinkId};
use crate::message::{FormingMessage, FrameReader, MESSAGE_BYTES_MAX, write_frame};
use crate::transport::Transport;

/// The time in which a last message has to be written.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(5);

/// A task that reads and writes the messages of one connection. Dropping it closes the connection.
pub(crate) struct LinkHandle {
    messages: mpsc::UnboundedSender<FormingMessage>,
    task: JoinHandle<Option<Transport>>,
}

impl Drop for LinkHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LinkHandle {
    pub(crate) fn spawn(link: LinkId, transport: Transport, events: mpsc::Sender<FormingEvent>) -> LinkHandle {
        let (messages, receiver) = mpsc::unbounded_channel();
        LinkHandle { messages, task: tokio::spawn(run_link(link, transport, receiver, events)) }
    }

    pub(crate) fn send_message(&self, message: FormingMessage) {
        // A task that ended has reported the loss.
        let _ = self.messages.send(message);
    }

    /// Takes the connection back after `Go` was sent or received. `None` if it was lost.
    pub(crate) async fn take_transport(mut self) -> Option<Transport> {
        tokio::time::timeout(HAND_OVER_TIMEOUT, &mut self.task).await.ok()?.ok()?
    }
}

/// Passes messages until `Go`. After that the bytes belong to timely, and none of them must be read here.
///
/// A follower sends nothing between `Formed` and `Go`, so the leader has read nothing of timely's when it stops reading,
/// which it does before it sends `Go`.
async fn run_link(
    link: LinkId,
    mut transport: Transport,
    mut messages: mpsc::UnboundedReceiver<FormingMessage>,
    events: mpsc::Sender<FormingEvent>,
) -> Option<Transport> {
    let mut reader = FrameReader::default();
    loop {
        tokio::select! {
            message = messages.recv() => {
                let message = message?;
                let is_last = matches!(message, FormingMessage::Go { .. });
                let is_lost = is_last && !reader.is_empty();
                if is_lost || write_frame(&mut transport, &message.encode()).await.is_err() {
                    break;
                }
                if is_last {
                    return Some(transport);
                }
            }
            body = reader.read(&mut transport, MESSAGE_BYTES_MAX) => {
                let Some(message) = body.ok().and_then(|body| FormingMessage::decode(&body)) else { break };
                let is_last = matches!(message, FormingMessage::Go { .. });
                events.send(FormingEvent::Received { link, message }).await.ok()?;
                if is_last {
                    return Some(transport);
                }
            }
        }
    }
    // Nobody listens once the cluster is formed.
    let _ = events.send(FormingEvent::Lost { link }).await;
    None
}
