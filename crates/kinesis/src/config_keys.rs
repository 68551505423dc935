//! The keys of a Kinesis source and of a connection to Kinesis in a configuration.

use pinflow_connect::config_key::ConfigKey;
use pinflow_connect::config_key::ValueType::{self, Flag, Moment, Number, OneOf, Table, Text};
use pinflow_connect::source::topic_map::NAME_KEYS;

const REGION: ConfigKey = ConfigKey::optional("region", Text, "\"eu-west-1\"");
const PROFILE: ConfigKey = ConfigKey::optional("profile", Text, "\"posts\"");
const ENDPOINT: ConfigKey = ConfigKey::optional("endpoint", Text, "\"https://example.com\"");

/// The keys of a source.
pub const SOURCE_KEYS: &[ConfigKey] = &[
    REGION,
    PROFILE,
    ENDPOINT,
    ConfigKey::required(
        "streams",
        Table(NAME_KEYS),
        "{ pin = \"posts-pin\", geo = \"posts-geo\", user = \"posts-user\" }",
    ),
    ConfigKey::optional("partition_keys", Table(PARTITION_KEYS), "{ pin = \"posts-pin\" }"),
    ConfigKey::optional("start", Moment(&["trim_horizon", "latest"]), "\"trim_horizon\""),
    ConfigKey::optional("poll_ms", ValueType::U64, "1000"),
    ConfigKey::optional("calls_per_sec_max", ValueType::U64, "5"),
    ConfigKey::optional("fan_out", OneOf(&[Flag, Table(CONSUMER)], "true, false or { consumer = \"NAME\" }"), "true"),
    ConfigKey::optional("watch_secs", Number, "10"),
];

/// How Kinesis is reached.
pub const CONNECTION_KEYS: &[ConfigKey] = &[REGION, PROFILE, ENDPOINT];

const CONSUMER: &[ConfigKey] = &[ConfigKey::required("consumer", Text, "\"pinflow-posts\"")];
const PARTITION_KEYS: &[ConfigKey] = &[
    ConfigKey::optional("pin", Text, "\"posts-pin\""),
    ConfigKey::optional("geo", Text, "\"posts-geo\""),
    ConfigKey::optional("user", Text, "\"posts-user\""),
];
