//! Waits for the start time of a shard if it lies in the future.

use std::time::Duration;

use tokio::time::sleep;

use super::clock::now_ms;
use super::shard_reader::ShardReader;
use crate::{IteratorStart, KinesisErrorKind};
pub(super) use pinflow_connect::source::reader_thread::ReaderExit;

/// The longest wait before both clocks are looked at again: either may be corrected.
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// The least wait before the service is asked again.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

impl ShardReader {
    /// Waits until the moment has come at which the shard is to be begun, first by this machine's clock and then by the
    /// service's. `false`: it has not come, and the run ends with what is there, which is nothing.
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

    /// Asks for an iterator until the service no longer says that the moment lies in the future.
    async fn wait_for_service(&mut self, start_ms: u64) -> Result<bool, ReaderExit> {
        let mut is_reported = false;
        loop {
            let begin = self.buffer.cursor.iterator_start();
            match self.common.api.shard_iterator(&self.stream, &self.buffer.shard, &begin).await {
                Err(fault) if fault.kind == KinesisErrorKind::NotYet => {}
                Ok(iterator) => {
                    self.iterator = Some(iterator);
                    return Ok(true);
                }
                // It is met again where faults are handled.
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
