//! Waits for the start time of a shard if it lies in the future.

use std::time::Duration;

use tokio::time::sleep;

use super::clock::now_ms;
use super::shard_reader::ShardReader;
use crate::{IteratorStart, KinesisErrorKind};
pub(super) use pinflow_connect::source::reader_thread::ReaderExit;

/// Maximum wait before both clocks are read again, because either may be corrected.
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// Minimum pause before the service is queried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

impl ShardReader {
    /// Waits until the start time of the shard, first by this machine's clock and then by the service's. Returns
    /// `false` if the run ends with the backlog, which is then empty.
    pub(super) async fn wait_for_start(&mut self) -> Result<bool, ReaderExit> {
        let IteratorStart::AtTimestamp(start_ms) = self.buffer.cursor.iterator_start() else { return Ok(true) };
        let until_start = || Duration::from_millis(start_ms.saturating_sub(now_ms()));
        if !until_start().is_zero() {
            let seconds = until_start().as_secs_f64();
            tracing::info!(source = self.buffer.name, seconds, "the start is in the future; waiting for it");
        }
        while !until_start().is_zero() {
            self.backlog = None;
            if self.common.context.stops_when_caught_up() {
                return Ok(false);
            }
            sleep(until_start().min(CLOCK_CHECK_INTERVAL)).await;
        }
        self.wait_for_service(start_ms).await
    }

    /// Requests an iterator until the service no longer rejects the time as in the future.
    async fn wait_for_service(&mut self, start_ms: u64) -> Result<bool, ReaderExit> {
        let mut is_reported = false;
        loop {
            let begin = self.buffer.cursor.iterator_start();
            match self.common.api.shard_iterator(&self.stream, &self.buffer.shard, &begin).await {
                Err(error) if error.kind == KinesisErrorKind::NotYet => {}
                Ok(iterator) => {
                    self.iterator = Some(iterator);
                    return Ok(true);
                }
                // The next call gets the same error and handles it.
                Err(_) => return Ok(true),
            }
            self.backlog = None;
            if self.common.context.stops_when_caught_up() {
                return Ok(false);
            }
            let left = Duration::from_millis(start_ms.saturating_sub(self.common.api.service_time().0));
            if !std::mem::replace(&mut is_reported, true) {
                let (source, seconds) = (&self.buffer.name, left.as_secs_f64());
                tracing::warn!(source, seconds, "this machine's clock is ahead of Kinesis; waiting for the start");
            }
            sleep(left.clamp(RETRY_INTERVAL, CLOCK_CHECK_INTERVAL)).await;
        }
    }
}
