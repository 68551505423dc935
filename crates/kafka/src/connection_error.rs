//! Why a Kafka client cannot be created.

use pinflow_core::secret::SecretError;
use pinflow_core::user_error::{ExitStatus, UserError};

/// Why a client cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum KafkaConnectionError {
    /// The configuration is invalid.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
    /// A secret cannot be read.
    #[error("find the secret for {what}")]
    Secret {
        /// The setting that the secret is for.
        what: &'static str,
        /// Why it cannot be read.
        #[source]
        cause: SecretError,
    },
    /// librdkafka rejects the settings. Its message contains no configured value.
    #[error("create a Kafka client for {brokers}: {what}")]
    Refused {
        /// The brokers that the client was to connect to.
        brokers: String,
        /// librdkafka's message.
        what: String,
    },
}

impl UserError for KafkaConnectionError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            KafkaConnectionError::Invalid(_) | KafkaConnectionError::Secret { .. } => ExitStatus::BadUsage,
            KafkaConnectionError::Refused { .. } => ExitStatus::Failed,
        }
    }
}
