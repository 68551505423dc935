//! Creates a producer whose owner receives a delivery report for each record.

use std::error::Error;
use std::path::Path;

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext, ThreadedProducer};
use rdkafka::util::IntoOpaque;

use super::client_context::{ClientPurpose, KafkaContext};
use super::connection::{KafkaConnection, KafkaConnectionError};

/// What both our writers want, unless the configuration says otherwise.
const PRODUCER_DEFAULTS: [(&str, &str); 3] = [
    // What other producers do: the same key falls into the same partition.
    ("partitioner", "murmur2_random"),
    ("queue.buffering.max.kbytes", "65536"),
    // How large a record may be is for the topic to say.
    ("message.max.bytes", "104857600"),
];

/// Hears what became of records.
pub trait DeliveryReports: Send + Sync + 'static {
    /// What was given along with a record.
    type Opaque: IntoOpaque;

    /// A record is acknowledged, or will not be.
    fn on_delivery(&self, result: &DeliveryResult<'_>, of: Self::Opaque);
}

/// Listens to a producer: logs, faults and tokens are the client's, the reports are somebody's.
pub struct DeliveryContext<R> {
    /// What librdkafka has to say beside.
    pub client: KafkaContext,
    /// Who hears the reports.
    pub reports: R,
}

/// A producer, its records acknowledged by all in-sync replicas. `settings` hold unless the configuration says otherwise,
/// `fixed` whatever it says.
///
/// # Errors
/// If there is something wrong with the connection.
pub fn create_producer<R: DeliveryReports>(
    connection: &KafkaConnection,
    base: &Path,
    settings: &[(&str, &str)],
    fixed: &[(&str, &str)],
    reports: R,
) -> Result<ThreadedProducer<DeliveryContext<R>>, KafkaConnectionError> {
    let (mut config, client) = connection.client_config(base, ClientPurpose::Producer)?;
    for (name, value) in PRODUCER_DEFAULTS.iter().chain(settings) {
        if config.get(name).is_none() {
            config.set(*name, *value);
        }
    }
    for (name, value) in fixed {
        config.set(*name, *value);
    }
    config.create_with_context(DeliveryContext { client, reports }).map_err(|error| connection.creation_error(&error))
}

impl<R: DeliveryReports> ClientContext for DeliveryContext<R> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = KafkaContext::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        self.client.log(level, fac, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.client.stats_raw(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.client.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.client.generate_oauth_token(config)
    }
}

impl<R: DeliveryReports> ProducerContext for DeliveryContext<R> {
    type DeliveryOpaque = R::Opaque;

    fn delivery(&self, result: &DeliveryResult<'_>, of: R::Opaque) {
        self.reports.on_delivery(result, of);
    }
}
