//! The keys of a configuration: which tables there are, which keys each has, and what a value looks like.
//!
//! The structs that the values are read into hold defaults and meanings. This list exists so that a file can be checked as
//! a whole: serde stops at the first error and names neither key nor expected type. A test holds the two together.

use super::value_type::{ConfigKey, ValueType};

use ValueType::{
    Choice, Flag, ListenAddress, Moment, Number, OneOf, PropertyMap, Secret, SecretMap, Table, Text, TextList, Whole,
};

const U32: ValueType = Whole { min: 0, max: u32::MAX as u64 };
const POSITIVE_U32: ValueType = Whole { min: 1, max: u32::MAX as u64 };
/// TOML has no larger whole numbers.
const U64: ValueType = Whole { min: 0, max: i64::MAX as u64 };

/// The tables that a configuration has at its top, by name. `source` is a list and stands in [`SOURCES`].
pub(super) const TABLES: &[(&str, &[ConfigKey])] = &[
    ("questions", QUESTIONS),
    ("tables", TABLES_KEYS),
    ("archive", ARCHIVE),
    ("objects", OBJECTS),
    ("answers", ANSWERS),
    ("engine", ENGINE),
    ("output", OUTPUT),
    ("serve", SERVE),
    ("gateway", GATEWAY),
    ("telemetry", TELEMETRY),
];

/// The keys before the first table.
pub(super) const TOP: &[ConfigKey] = &[ConfigKey::optional("pipeline", Text, "\"posts\"")];

/// The keys of a `[[source]]`, by its `kind`.
pub(super) const SOURCES: &[(&str, &[ConfigKey])] = &[("recording", RECORDING), ("kafka", KAFKA), ("kinesis", KINESIS)];

const RECORDING: &[ConfigKey] = &[
    ConfigKey::required("path", Text, "\"recordings\""),
    ConfigKey::optional("stream", Choice(&["pin", "geo", "user", "auto"]), "\"auto\""),
    ConfigKey::optional("name", Text, "\"spring\""),
    ConfigKey::optional("rate_per_sec", POSITIVE_U32, "1000"),
    ConfigKey::optional("follow", Flag, "true"),
    ConfigKey::optional("allow_removed", Flag, "true"),
];

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
const ENDPOINT: ConfigKey = ConfigKey::optional("endpoint", Text, "\"https://example.com\"");
const NAMES: ValueType = Table(&[
    ConfigKey::optional("pin", Text, "\"pin\""),
    ConfigKey::optional("geo", Text, "\"geo\""),
    ConfigKey::optional("user", Text, "\"user\""),
    ConfigKey::optional("auto", Text, "\"posts\""),
    ConfigKey::optional("routed", Text, "\"posts\""),
]);

const KAFKA: &[ConfigKey] = &[
    BROKERS,
    SECURITY,
    TLS,
    SASL,
    PROPERTIES,
    ConfigKey::required("topics", NAMES, "{ pin = \"posts.pin\", geo = \"posts.geo\", user = \"posts.user\" }"),
    ConfigKey::optional("start", Moment(&["earliest", "latest"]), "\"earliest\""),
    ConfigKey::optional("watch_secs", Number, "10"),
    ConfigKey::optional("group", Text, "\"pinflow-posts\""),
];

/// How a Kafka cluster is reached.
pub(super) const KAFKA_CONNECTION: &[ConfigKey] = &[BROKERS, SECURITY, TLS, SASL, PROPERTIES];

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

const KINESIS: &[ConfigKey] = &[
    REGION,
    PROFILE,
    ENDPOINT,
    ConfigKey::required("streams", NAMES, "{ pin = \"posts-pin\", geo = \"posts-geo\", user = \"posts-user\" }"),
    ConfigKey::optional("partition_keys", Table(PARTITION_KEYS), "{ pin = \"posts-pin\" }"),
    ConfigKey::optional("start", Moment(&["trim_horizon", "latest"]), "\"trim_horizon\""),
    ConfigKey::optional("poll_ms", U64, "1000"),
    ConfigKey::optional("calls_per_sec_max", U64, "5"),
    ConfigKey::optional("fan_out", OneOf(&[Flag, Table(CONSUMER)], "true, false or { consumer = \"NAME\" }"), "true"),
    ConfigKey::optional("watch_secs", Number, "10"),
];

/// How Kinesis is reached.
pub(super) const KINESIS_CONNECTION: &[ConfigKey] = &[REGION, PROFILE, ENDPOINT];

const CONSUMER: &[ConfigKey] = &[ConfigKey::required("consumer", Text, "\"pinflow-posts\"")];
const PARTITION_KEYS: &[ConfigKey] = &[
    ConfigKey::optional("pin", Text, "\"posts-pin\""),
    ConfigKey::optional("geo", Text, "\"posts-geo\""),
    ConfigKey::optional("user", Text, "\"posts-user\""),
];

const QUESTIONS: &[ConfigKey] = &[
    ConfigKey::optional("duplicates", Choice(&["latest", "keep"]), "\"latest\""),
    ConfigKey::optional("ties", Choice(&["first", "all"]), "\"first\""),
    ConfigKey::optional("top", OneOf(&[POSITIVE_U32, Choice(&["all"])], "a whole number from 1, or \"all\""), "1"),
    ConfigKey::optional("median", Choice(&["exact", "lower"]), "\"exact\""),
];

const TABLES_KEYS: &[ConfigKey] = &[
    ConfigKey::required("url", Text, "\"data\""),
    ConfigKey::optional("commit_rows_max", U64, "100_000"),
    ConfigKey::optional("commit_age_secs_max", Number, "10"),
    ConfigKey::optional("compression", Choice(&["snappy", "zstd"]), "\"snappy\""),
    ConfigKey::optional("compact", Flag, "true"),
    ConfigKey::optional("keep_hours", U32, "168"),
    ConfigKey::optional("keep_files_max", U32, "5_000"),
];

const ARCHIVE: &[ConfigKey] = &[
    ConfigKey::required("url", Text, "\"raw\""),
    ConfigKey::optional("flush_records", U64, "100_000"),
    ConfigKey::optional("rotate_secs", U64, "60"),
    ConfigKey::optional("compression", Choice(&["none", "gzip", "zstd"]), "\"zstd\""),
];

/// How buckets are reached.
pub(super) const OBJECTS: &[ConfigKey] = &[
    REGION,
    PROFILE,
    ENDPOINT,
    ConfigKey::optional("addressing", Choice(&["path", "host"]), "\"path\""),
    ConfigKey::optional("timeout_secs", U64, "30"),
    ConfigKey::optional("danger_allow_http", Flag, "false"),
];

const ANSWERS: &[ConfigKey] = &[ConfigKey::optional("delta", Table(ANSWER_TABLES), "{ url = \"answers\" }")];
const ANSWER_TABLES: &[ConfigKey] = &[
    ConfigKey::required("url", Text, "\"answers\""),
    ConfigKey::optional("current", Flag, "true"),
    ConfigKey::optional("changes", Flag, "true"),
    ConfigKey::optional("every_secs", Number, "60"),
    ConfigKey::optional("keep_secs", U64, "3600"),
];

const ENGINE: &[ConfigKey] = &[
    ConfigKey::optional("workers", U64, "1"),
    ConfigKey::optional("epoch_ms", U64, "10"),
    ConfigKey::optional("epoch_bytes_max", U64, "8_388_608"),
    ConfigKey::optional("epochs_in_flight_max", U64, "2"),
    ConfigKey::optional("message_bytes_max", U64, "1_048_576"),
    ConfigKey::optional("text_bytes_max", U64, "1024"),
    ConfigKey::optional("memory_max", OneOf(&[U64, Text], "a number of bytes, or a text like \"4GiB\""), "\"4GiB\""),
];

const OUTPUT: &[ConfigKey] = &[
    ConfigKey::optional("format", Choice(&["snapshots", "changes", "tables", "none"]), "\"snapshots\""),
    ConfigKey::optional("every_ms", U64, "1000"),
];

const LISTEN: ConfigKey = ConfigKey::required("listen", ListenAddress, "\"127.0.0.1:7461\"");
const SERVER_TLS: ConfigKey = ConfigKey::optional(
    "tls",
    Table(&[ConfigKey::required("certificate", Text, "\"cert.pem\""), ConfigKey::required("key", Text, "\"key.pem\"")]),
    "{ certificate = \"cert.pem\", key = \"key.pem\" }",
);
const HOSTS: ConfigKey = ConfigKey::optional("hosts", TextList, "[\"pinflow.example.com\"]");
const CONNECTIONS_MAX: ConfigKey = ConfigKey::optional("connections_max", U64, "1024");
const CONNECTIONS_PER_ADDRESS_MAX: ConfigKey = ConfigKey::optional("connections_per_address_max", U64, "64");
const FAILED_TOKENS_PER_MIN_MAX: ConfigKey = ConfigKey::optional("failed_tokens_per_min_max", U32, "30");
const LISTEN_IN_THE_OPEN: ConfigKey = ConfigKey::optional("danger_listen_in_the_open", Flag, "false");

const SERVE: &[ConfigKey] = &[
    LISTEN,
    ConfigKey::optional(
        "tokens",
        Table(&[
            ConfigKey::optional("read", Secret, "\"env:PINFLOW_TOKEN\""),
            ConfigKey::optional("metrics", Secret, "\"env:PINFLOW_METRICS\""),
            ConfigKey::optional("admin", Secret, "\"env:PINFLOW_ADMIN\""),
        ]),
        "{ read = \"env:PINFLOW_TOKEN\" }",
    ),
    SERVER_TLS,
    HOSTS,
    CONNECTIONS_MAX,
    CONNECTIONS_PER_ADDRESS_MAX,
    FAILED_TOKENS_PER_MIN_MAX,
    ConfigKey::optional("reply_bytes_max", U64, "134_217_728"),
    LISTEN_IN_THE_OPEN,
];

const GATEWAY: &[ConfigKey] = &[
    LISTEN,
    ConfigKey::optional("kafka", Table(KAFKA_CONNECTION), "{ brokers = \"localhost:9092\" }"),
    ConfigKey::optional("kinesis", Table(KINESIS_CONNECTION), "{ region = \"eu-west-1\" }"),
    ConfigKey::optional("recording", Text, "\"posts\""),
    ConfigKey::optional("allow", TextList, "[\"posts.pin\"]"),
    ConfigKey::optional("manage_streams", Flag, "true"),
    ConfigKey::optional(
        "tokens",
        Table(&[
            ConfigKey::optional("write", Secret, "\"env:POSTS_TOKEN\""),
            ConfigKey::optional("metrics", Secret, "\"env:PINFLOW_METRICS\""),
            ConfigKey::optional("admin", Secret, "\"env:PINFLOW_ADMIN\""),
        ]),
        "{ write = \"env:POSTS_TOKEN\" }",
    ),
    SERVER_TLS,
    HOSTS,
    ConfigKey::optional("body_bytes_max", U64, "4_194_304"),
    ConfigKey::optional("records_max", U64, "2000"),
    ConfigKey::optional("bytes_under_way_max", U64, "67_108_864"),
    ConfigKey::optional("requests_per_sec_max", U32, "100"),
    ConfigKey::optional("answer_secs_max", U64, "30"),
    CONNECTIONS_MAX,
    CONNECTIONS_PER_ADDRESS_MAX,
    FAILED_TOKENS_PER_MIN_MAX,
    LISTEN_IN_THE_OPEN,
];

const TELEMETRY: &[ConfigKey] = &[
    ConfigKey::required("otlp", Text, "\"http://localhost:4318\""),
    ConfigKey::optional("service", Text, "\"pinflow\""),
    ConfigKey::optional("headers", SecretMap, "{ authorization = \"env:COLLECTOR_TOKEN\" }"),
];
