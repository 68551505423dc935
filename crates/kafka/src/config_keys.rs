//! The keys of a Kafka source and of a connection to Kafka in a configuration.

use pinflow_connect::config_key::ConfigKey;
use pinflow_connect::config_key::ValueType::{
    Choice, Flag, Moment, Number, OneOf, PropertyMap, Secret, Table, Text, TextList,
};
use pinflow_connect::source::topic_map::NAME_KEYS;

const BROKERS: ConfigKey = ConfigKey::required(
    "brokers",
    OneOf(&[Text, TextList], "a text \"HOST:PORT,HOST:PORT\" or a list of such texts"),
    "\"localhost:9092\"",
);
const SECURITY: ConfigKey = ConfigKey::optional("security", Choice(&["plaintext", "tls"]), "\"tls\"");
const TLS: ConfigKey = ConfigKey::optional("tls", Table(CLIENT_TLS), "{ ca = \"ca.pem\" }");
const SASL: ConfigKey = ConfigKey::optional(
    "sasl",
    Table(SASL_KEYS),
    "{ mechanism = \"SCRAM-SHA-512\", username = \"posts\", password = \"env:KAFKA_PASSWORD\" }",
);
const PROPERTIES: ConfigKey = ConfigKey::optional("properties", PropertyMap, "{ \"client.rack\" = \"euw1-az1\" }");
const REGION: ConfigKey = ConfigKey::optional("region", Text, "\"eu-west-1\"");
const PROFILE: ConfigKey = ConfigKey::optional("profile", Text, "\"posts\"");

/// The keys of a source.
pub const SOURCE_KEYS: &[ConfigKey] = &[
    BROKERS,
    SECURITY,
    TLS,
    SASL,
    PROPERTIES,
    ConfigKey::required(
        "topics",
        Table(NAME_KEYS),
        "{ pin = \"posts.pin\", geo = \"posts.geo\", user = \"posts.user\" }",
    ),
    ConfigKey::optional("start", Moment(&["earliest", "latest"]), "\"earliest\""),
    ConfigKey::optional("watch_secs", Number, "10"),
    ConfigKey::optional("group", Text, "\"pinflow-posts\""),
];

/// How a Kafka cluster is reached.
pub const CONNECTION_KEYS: &[ConfigKey] = &[BROKERS, SECURITY, TLS, SASL, PROPERTIES];

const CLIENT_TLS: &[ConfigKey] = &[
    ConfigKey::optional("ca", Text, "\"ca.pem\""),
    ConfigKey::optional("certificate", Text, "\"me.pem\""),
    ConfigKey::optional("key", Text, "\"me.key\""),
    ConfigKey::optional("key_password", Secret, "\"env:KEY_PASSWORD\""),
    ConfigKey::optional("danger_accept_invalid_certs", Flag, "false"),
];

const SASL_KEYS: &[ConfigKey] = &[
    ConfigKey::required(
        "mechanism",
        Choice(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "MSK_IAM"]),
        "\"SCRAM-SHA-512\"",
    ),
    ConfigKey::optional("username", Text, "\"posts\""),
    ConfigKey::optional("password", Secret, "\"env:KAFKA_PASSWORD\""),
    REGION,
    PROFILE,
];
