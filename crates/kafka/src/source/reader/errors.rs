//! What the reader does about errors of the client.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{KafkaReader, POLL_TIMEOUT};
use crate::source::offset_check::{OffsetCheck, check_offset};
use crate::source::startup::{expired_error, past_end_error};
use pinflow_connect::source::SourceError;
pub(super) use pinflow_connect::source::reader_thread::ReaderExit;

impl KafkaReader {
    pub(super) fn handle_error(&mut self, error: &KafkaError) -> Result<(), ReaderExit> {
        match error {
            KafkaError::PartitionEOF(_) => {
                self.at_end = true;
                if self.reading.listener.take_recovered() {
                    tracing::info!("the brokers answer again");
                }
                Ok(())
            }
            error if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => {
                self.handle_out_of_range()
            }
            error => self.handle_fetch_error(error),
        }
    }

    /// Ends the run on errors that the client cannot recover from. The context has logged the others.
    pub(super) fn handle_fetch_error(&mut self, error: &KafkaError) -> Result<(), ReaderExit> {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            // The client would go on behind what it cannot read.
            Some(
                Code::BadMessage
                | Code::BadCompression
                | Code::NotImplemented
                | Code::InvalidMessage
                | Code::InvalidMessageSize
                | Code::MessageSizeTooLarge,
            ) => {
                let told = self.reading.listener.last_error();
                Err(ReaderExit::Failed(SourceError::Unusable(format!(
                    "a record cannot be read: {told}. Nothing behind it was read. If it is damaged, delete up to it \
                     (DeleteRecords) and accept its loss; if it is too large, raise properties receive.message.max.bytes"
                ))))
            }
            Some(
                Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::UnknownTopicId
                | Code::TopicAuthorizationFailed,
            ) => {
                // A watch that has gone has said why.
                let _ = self.look.send(());
                Ok(())
            }
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => Err(self.client_error(error)),
            _ => Ok(()),
        }
    }

    /// A broker no longer holds an offset, or does not hold it yet: finds out which.
    pub(super) fn handle_out_of_range(&mut self) -> Result<(), ReaderExit> {
        for partition in &self.partitions {
            let range = loop {
                match self.reading.offset_range(&partition.topic, partition.number) {
                    Ok(range) => break range,
                    Err(_) if self.context.is_stopping() => return Err(ReaderExit::Stopped),
                    Err(KafkaError::MetadataFetch(
                        RDKafkaErrorCode::UnknownTopicOrPartition
                        | RDKafkaErrorCode::UnknownPartition
                        | RDKafkaErrorCode::UnknownTopic,
                    )) => {
                        let _ = self.look.send(());
                        return Ok(());
                    }
                    // The brokers are out of reach, which the listener has said.
                    Err(_) => std::thread::sleep(POLL_TIMEOUT),
                }
            };
            match check_offset(partition.next, range) {
                OffsetCheck::InRange => {}
                OffsetCheck::Expired { to } => {
                    return Err(ReaderExit::Failed(expired_error(&partition.name, partition.next, to)));
                }
                OffsetCheck::PastEnd => {
                    return Err(ReaderExit::Failed(past_end_error(&partition.name, partition.next, range)));
                }
            }
        }
        // A replica that lags behind, or a topic that was re-created and has grown: the watch knows. The client has
        // given the partition up and must be told to fetch it again.
        let _ = self.look.send(());
        let read = (0..self.partitions.len()).filter(|partition| !self.waiting.contains(partition)).collect::<Vec<_>>();
        self.reassign(&read)
    }

    /// An error of the client itself; it ends the run.
    pub(super) fn client_error(&self, error: &KafkaError) -> ReaderExit {
        let told = self.reading.listener.last_error();
        let told = if told.is_empty() { String::new() } else { format!(" ({told})") };
        ReaderExit::Failed(SourceError::Unusable(format!(
            "read from Kafka: {error}{told}. Start again; what is committed is safe"
        )))
    }
}
