//! The keys of a configuration: which tables there are, which keys each has, and what a value looks like.
//!
//! The structs that the values are read into hold defaults and meanings. This list exists so that a file can be checked as
//! a whole: serde stops at the first error and names neither key nor expected type. A test holds the two together.

use super::value_type::{Key, ValueType};

use ValueType::{
    Choice, Flag, ListenAddress, Moment, Number, OneOf, PropertyMap, Secret, SecretMap, Table, Text, TextList, Whole,
};

const U32: ValueType = Whole { min: 0, max: u32::MAX as u64 };
const POSITIVE_U32: ValueType = Whole { min: 1, max: u32::MAX as u64 };
/// TOML has no larger whole numbers.
const U64: ValueType = Whole { min: 0, max: i64::MAX as u64 };

/// The tables that a configuration has at its top, by name. `source` is a list and stands in [`SOURCES`].
pub(super) const TABLES: &[(&str, &[Key])] = &[
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
pub(super) const TOP: &[Key] = &[Key::optional("pipeline", Text, "\"posts\"")];

/// The keys of a `[[source]]`, by its `kind`.
pub(super) const SOURCES: &[(&str, &[Key])] = &[("recording", RECORDING), ("kafka", KAFKA), ("kinesis", KINESIS)];

const RECORDING: &[Key] = &[
    Key::required("path", Text, "\"recordings\""),
    Key::optional("stream", Choice(&["pin", "geo", "user", "auto"]), "\"auto\""),
    Key::optional("name", Text, "\"spring\""),
    Key::optional("rate_per_sec", POSITIVE_U32, "1000"),
    Key::optional("follow", Flag, "true"),
    Key::optional("allow_removed", Flag, "true"),
];

const BROKERS: Key = Key::required(
    "brokers",
    OneOf(&[Text, TextList], "a text \"HOST:PORT,HOST:PORT\" or a list of such texts"),
    "\"localhost:9092\"",
);
const SECURITY: Key = Key::optional("security", Choice(&["plaintext", "tls"]), "\"tls\"");
const TLS: Key = Key::optional("tls", Table(CLIENT_TLS), "{ ca = \"ca.pem\" }");
const SASL: Key = Key::optional(
    "sasl",
    Table(SASL_KEYS),
    "{ mechanism = \"SCRAM-SHA-512\", username = \"posts\", password = \"env:KAFKA_PASSWORD\" }",
);
const PROPERTIES: Key = Key::optional("properties", PropertyMap, "{ \"client.rack\" = \"euw1-az1\" }");
const REGION: Key = Key::optional("region", Text, "\"eu-west-1\"");
const PROFILE: Key = Key::optional("profile", Text, "\"posts\"");
const ENDPOINT: Key = Key::optional("endpoint", Text, "\"https://example.com\"");
const NAMES: ValueType = Table(&[
    Key::optional("pin", Text, "\"pin\""),
    Key::optional("geo", Text, "\"geo\""),
    Key::optional("user", Text, "\"user\""),
    Key::optional("auto", Text, "\"posts\""),
    Key::optional("routed", Text, "\"posts\""),
]);

const KAFKA: &[Key] = &[
    BROKERS,
    SECURITY,
    TLS,
    SASL,
    PROPERTIES,
    Key::required("topics", NAMES, "{ pin = \"posts.pin\", geo = \"posts.geo\", user = \"posts.user\" }"),
    Key::optional("start", Moment(&["earliest", "latest"]), "\"earliest\""),
    Key::optional("watch_secs", Number, "10"),
    Key::optional("group", Text, "\"pinflow-posts\""),
];

/// How a Kafka cluster is reached.
pub(super) const KAFKA_CONNECTION: &[Key] = &[BROKERS, SECURITY, TLS, SASL, PROPERTIES];

const CLIENT_TLS: &[Key] = &[
    Key::optional("ca", Text, "\"ca.pem\""),
    Key::optional("certificate", Text, "\"me.pem\""),
    Key::optional("key", Text, "\"me.key\""),
    Key::optional("key_password", Secret, "\"env:KEY_PASSWORD\""),
    Key::optional("danger_accept_invalid_certs", Flag, "false"),
];

const SASL_KEYS: &[Key] = &[
    Key::required("mechanism", Choice(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "MSK_IAM"]), "\"SCRAM-SHA-512\""),
    Key::optional("username", Text, "\"posts\""),
    Key::optional("password", Secret, "\"env:KAFKA_PASSWORD\""),
    REGION,
    PROFILE,
];

const KINESIS: &[Key] = &[
    REGION,
    PROFILE,
    ENDPOINT,
    Key::required("streams", NAMES, "{ pin = \"posts-pin\", geo = \"posts-geo\", user = \"posts-user\" }"),
    Key::optional("partition_keys", Table(PARTITION_KEYS), "{ pin = \"posts-pin\" }"),
    Key::optional("start", Moment(&["trim_horizon", "latest"]), "\"trim_horizon\""),
    Key::optional("poll_ms", U64, "1000"),
    Key::optional("calls_per_sec_max", U64, "5"),
    Key::optional("fan_out", OneOf(&[Flag, Table(CONSUMER)], "true, false or { consumer = \"NAME\" }"), "true"),
    Key::optional("watch_secs", Number, "10"),
];

/// How Kinesis is reached.
pub(super) const KINESIS_CONNECTION: &[Key] = &[REGION, PROFILE, ENDPOINT];

const CONSUMER: &[Key] = &[Key::required("consumer", Text, "\"pinflow-posts\"")];
const PARTITION_KEYS: &[Key] = &[
    Key::optional("pin", Text, "\"posts-pin\""),
    Key::optional("geo", Text, "\"posts-geo\""),
    Key::optional("user", Text, "\"posts-user\""),
];

const QUESTIONS: &[Key] = &[
    Key::optional("duplicates", Choice(&["latest", "keep"]), "\"latest\""),
    Key::optional("ties", Choice(&["first", "all"]), "\"first\""),
    Key::optional("top", OneOf(&[POSITIVE_U32, Choice(&["all"])], "a whole number from 1, or \"all\""), "1"),
    Key::optional("median", Choice(&["exact", "lower"]), "\"exact\""),
];

const TABLES_KEYS: &[Key] = &[
    Key::required("url", Text, "\"data\""),
    Key::optional("commit_rows_max", U64, "100_000"),
    Key::optional("commit_age_secs_max", Number, "10"),
    Key::optional("compression", Choice(&["snappy", "zstd"]), "\"snappy\""),
    Key::optional("compact", Flag, "true"),
    Key::optional("keep_hours", U32, "168"),
    Key::optional("keep_files_max", U32, "5_000"),
];

const ARCHIVE: &[Key] = &[
    Key::required("url", Text, "\"raw\""),
    Key::optional("flush_records", U64, "100_000"),
    Key::optional("rotate_secs", U64, "60"),
    Key::optional("compression", Choice(&["none", "gzip", "zstd"]), "\"zstd\""),
];

/// How buckets are reached.
pub(super) const OBJECTS: &[Key] = &[
    REGION,
    PROFILE,
    ENDPOINT,
    Key::optional("addressing", Choice(&["path", "host"]), "\"path\""),
    Key::optional("timeout_secs", U64, "30"),
    Key::optional("danger_allow_http", Flag, "false"),
];

const ANSWERS: &[Key] = &[Key::optional("delta", Table(ANSWER_TABLES), "{ url = \"answers\" }")];
const ANSWER_TABLES: &[Key] = &[
    Key::required("url", Text, "\"answers\""),
    Key::optional("current", Flag, "true"),
    Key::optional("changes", Flag, "true"),
    Key::optional("every_secs", Number, "60"),
    Key::optional("keep_secs", U64, "3600"),
];

const ENGINE: &[Key] = &[
    Key::optional("workers", U64, "1"),
    Key::optional("epoch_ms", U64, "10"),
    Key::optional("epoch_bytes_max", U64, "8_388_608"),
    Key::optional("epochs_in_flight_max", U64, "2"),
    Key::optional("message_bytes_max", U64, "1_048_576"),
    Key::optional("text_bytes_max", U64, "1024"),
    Key::optional("memory_max", OneOf(&[U64, Text], "a number of bytes, or a text like \"4GiB\""), "\"4GiB\""),
];

const OUTPUT: &[Key] = &[
    Key::optional("format", Choice(&["snapshots", "changes", "tables", "none"]), "\"snapshots\""),
    Key::optional("every_ms", U64, "1000"),
];

const LISTEN: Key = Key::required("listen", ListenAddress, "\"127.0.0.1:7461\"");
const SERVER_TLS: Key = Key::optional(
    "tls",
    Table(&[Key::required("certificate", Text, "\"cert.pem\""), Key::required("key", Text, "\"key.pem\"")]),
    "{ certificate = \"cert.pem\", key = \"key.pem\" }",
);
const HOSTS: Key = Key::optional("hosts", TextList, "[\"pinflow.example.com\"]");
const CONNECTIONS_MAX: Key = Key::optional("connections_max", U64, "1024");
const CONNECTIONS_PER_ADDRESS_MAX: Key = Key::optional("connections_per_address_max", U64, "64");
const FAILED_TOKENS_PER_MIN_MAX: Key = Key::optional("failed_tokens_per_min_max", U32, "30");
const LISTEN_IN_THE_OPEN: Key = Key::optional("danger_listen_in_the_open", Flag, "false");

const SERVE: &[Key] = &[
    LISTEN,
    Key::optional(
        "tokens",
        Table(&[
            Key::optional("read", Secret, "\"env:PINFLOW_TOKEN\""),
            Key::optional("metrics", Secret, "\"env:PINFLOW_METRICS\""),
            Key::optional("admin", Secret, "\"env:PINFLOW_ADMIN\""),
        ]),
        "{ read = \"env:PINFLOW_TOKEN\" }",
    ),
    SERVER_TLS,
    HOSTS,
    CONNECTIONS_MAX,
    CONNECTIONS_PER_ADDRESS_MAX,
    FAILED_TOKENS_PER_MIN_MAX,
    Key::optional("reply_bytes_max", U64, "134_217_728"),
    LISTEN_IN_THE_OPEN,
];

const GATEWAY: &[Key] = &[
    LISTEN,
    Key::optional("kafka", Table(KAFKA_CONNECTION), "{ brokers = \"localhost:9092\" }"),
    Key::optional("kinesis", Table(KINESIS_CONNECTION), "{ region = \"eu-west-1\" }"),
    Key::optional("recording", Text, "\"posts\""),
    Key::optional("allow", TextList, "[\"posts.pin\"]"),
    Key::optional("manage_streams", Flag, "true"),
    Key::optional(
        "tokens",
        Table(&[
            Key::optional("write", Secret, "\"env:POSTS_TOKEN\""),
            Key::optional("metrics", Secret, "\"env:PINFLOW_METRICS\""),
            Key::optional("admin", Secret, "\"env:PINFLOW_ADMIN\""),
        ]),
        "{ write = \"env:POSTS_TOKEN\" }",
    ),
    SERVER_TLS,
    HOSTS,
    Key::optional("body_bytes_max", U64, "4_194_304"),
    Key::optional("records_max", U64, "2000"),
    Key::optional("bytes_under_way_max", U64, "67_108_864"),
    Key::optional("requests_per_sec_max", U32, "100"),
    Key::optional("answer_secs_max", U64, "30"),
    CONNECTIONS_MAX,
    CONNECTIONS_PER_ADDRESS_MAX,
    FAILED_TOKENS_PER_MIN_MAX,
    LISTEN_IN_THE_OPEN,
];

const TELEMETRY: &[Key] = &[
    Key::required("otlp", Text, "\"http://localhost:4318\""),
    Key::optional("service", Text, "\"pinflow\""),
    Key::optional("headers", SecretMap, "{ authorization = \"env:COLLECTOR_TOKEN\" }"),
];
