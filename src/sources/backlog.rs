//! The backlog: what was there when the run started. Each reader reports once that it has read its share of it.

use super::{Closed, Event, Feed};

/// One reader's report.
#[derive(Debug, Default)]
pub(super) struct BacklogReport {
    is_sent: bool,
}

impl BacklogReport {
    /// Reports, the first time. Everything that was there must have been sent before.
    ///
    /// # Errors
    /// [`Closed`] if the engine has gone.
    pub(super) fn send(&mut self, feed: &Feed) -> Result<(), Closed> {
        if std::mem::replace(&mut self.is_sent, true) { Ok(()) } else { feed.send(Event::BacklogRead) }
    }

    /// Whether it was sent.
    pub(super) fn is_sent(&self) -> bool {
        self.is_sent
    }
}
