//! The backlog: the records that existed when the run started. Each reader reports once that it has read its share.

use super::{EngineGone, SourceContext, SourceEvent};

/// The report of one reader, sent at most once.
#[derive(Debug, Default)]
pub struct BacklogReport {
    is_sent: bool,
}

impl BacklogReport {
    /// Reports that the backlog is read. Later calls do nothing. Every record of the backlog must have been sent before.
    ///
    /// # Errors
    /// [`EngineGone`]
    pub fn send(&mut self, context: &SourceContext) -> Result<(), EngineGone> {
        if std::mem::replace(&mut self.is_sent, true) { Ok(()) } else { context.send(SourceEvent::BacklogRead) }
    }

    /// Whether the event was sent already.
    pub fn is_sent(&self) -> bool {
        self.is_sent
    }
}
