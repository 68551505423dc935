//! Calls that fail for a while: said once, and again only after some time.

use std::time::{Duration, Instant};

use crate::kinesis::{Fault, Kind};

/// A fault that lasts is said again after this long.
const REPEAT: Duration = Duration::from_secs(30);
/// A service that refuses for its limits is doing what it should; it is said only when it lasts.
const PATIENCE: Duration = Duration::from_secs(30);

/// What keeps one caller from going on.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    since: Option<Instant>,
    said: Option<Instant>,
}

impl Trouble {
    /// A call failed.
    pub(super) fn met(&mut self, name: &str, fault: &Fault) {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let is_news = self.said.is_none_or(|said| now.duration_since(said) >= REPEAT);
        let is_normal = matches!(fault.kind, Kind::Throttled | Kind::ExpiredIterator);
        if is_normal && now.duration_since(since) < PATIENCE {
            tracing::debug!("{name}: {fault}");
        } else if is_news {
            self.said = Some(now);
            let reason = format!("{fault}{}", fault.mend());
            tracing::warn!(source = name, reason, "a source cannot be read at the moment; trying again");
        }
    }

    /// A call went well.
    pub(super) fn over(&mut self, name: &str) {
        if self.said.take().is_some() {
            tracing::info!(source = name, "a source can be read again");
        }
        self.since = None;
    }
}
