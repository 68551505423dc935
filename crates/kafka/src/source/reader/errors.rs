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
                    tracing::info!("Kafka can be reached again");
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
            // The client would skip the record that it cannot read.
            Some(
                Code::BadMessage
                | Code::BadCompression
                | Code::NotImplemented
                | Code::InvalidMessage
                | Code::InvalidMessageSize
                | Code::MessageSizeTooLarge,
            ) => {
                let client_message = self.reading.listener.last_error();
                Err(ReaderExit::Failed(SourceError::Unusable(format!(
                    "a record cannot be read: {client_message}. No record after it was read. If it is damaged, delete the records up to it \
                     (DeleteRecords) and accept their loss. If it is too large, raise the property receive.message.max.bytes"
                ))))
            }
            Some(
                Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::UnknownTopicId
                | Code::TopicAuthorizationFailed,
            ) => {
                // If the monitor has ended, it has reported why.
                let _ = self.check_requests.send(());
                Ok(())
            }
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => Err(self.client_error(error)),
            _ => Ok(()),
        }
    }

    /// Handles an offset that a broker reports as out of range: finds the partition, and whether records expired or the
    /// partition was re-created.
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
                        let _ = self.check_requests.send(());
                        return Ok(());
                    }
                    // The brokers cannot be reached, which the context has logged.
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
        // The replica may lag behind, or the topic was re-created and has grown: the monitor finds out. The client has
        // stopped fetching the partition, so it is assigned again.
        let _ = self.check_requests.send(());
        let read = (0..self.partitions.len()).filter(|partition| !self.waiting.contains(partition)).collect::<Vec<_>>();
        self.reassign(&read)
    }

    /// An error of the client itself; it ends the run.
    pub(super) fn client_error(&self, error: &KafkaError) -> ReaderExit {
        let client_message = self.reading.listener.last_error();
        let client_message = if client_message.is_empty() { String::new() } else { format!(" ({client_message})") };
        ReaderExit::Failed(SourceError::Unusable(format!(
            "read from Kafka: {error}{client_message}. Start pinflow again; committed rows are safe"
        )))
    }
}
