//! The tables and keys of a configuration, and the type and an example of each value.
//!
//! The structs that the values are read into define defaults and meanings. This list lets a whole file be checked at
//! once: serde stops at the first error and names neither key nor expected type. A test compares the two.

use super::value_type::{ConfigKey, ValueType};

use ValueType::{Choice, Flag, ListenAddress, Number, OneOf, Secret, SecretMap, Table, Text, TextList};
pub(super) use pinflow_kafka::config_keys::CONNECTION_KEYS as KAFKA_CONNECTION;
pub(super) use pinflow_kinesis::config_keys::CONNECTION_KEYS as KINESIS_CONNECTION;

/// The top-level tables of a configuration that are written once.
pub(super) const TABLES: &[(&str, &[ConfigKey])] = &[
    ("questions", QUESTIONS),
    ("tables", TABLES_KEYS),
    ("archive", ARCHIVE),
    ("objects", OBJECTS),
    ("answers", ANSWERS),
    ("engine", ENGINE),
    ("output", OUTPUT),
    ("serve", SERVE),
    ("cluster", CLUSTER),
    ("gateway", GATEWAY),
    ("telemetry", TELEMETRY),
];

/// The top-level tables of a configuration that are written as lists, with double brackets. The keys of a source depend
/// on its kind: see `crate::sources`.
pub(super) const LISTS: &[&str] = &["source", "question"];

/// `[[question]]`: a question of the user's own.
pub(super) const QUESTION: &[ConfigKey] = &[
    ConfigKey::optional("name", Text, "\"pins_by_category\""),
    ConfigKey::optional("file", Text, "\"questions/pins_by_category.sql\""),
    ConfigKey::optional("sql", Text, "\"SELECT category, count(*) AS pins FROM pin GROUP BY category\""),
];

/// The keys before the first table.
pub(super) const TOP: &[ConfigKey] = &[ConfigKey::optional("pipeline", Text, "\"posts\"")];

const REGION: ConfigKey = ConfigKey::optional("region", Text, "\"eu-west-1\"");
const PROFILE: ConfigKey = ConfigKey::optional("profile", Text, "\"posts\"");
const ENDPOINT: ConfigKey = ConfigKey::optional("endpoint", Text, "\"https://example.com\"");
const QUESTIONS: &[ConfigKey] = &[
    ConfigKey::optional("duplicates", Choice(&["latest", "keep"]), "\"latest\""),
    ConfigKey::optional("ties", Choice(&["first", "all"]), "\"first\""),
    ConfigKey::optional(
        "top",
        OneOf(&[ValueType::POSITIVE_U32, Choice(&["all"])], "a whole number from 1, or \"all\""),
        "1",
    ),
    ConfigKey::optional("median", Choice(&["exact", "lower"]), "\"exact\""),
    ConfigKey::optional("groups_max", ValueType::U64, "1_000_000"),
    ConfigKey::optional("rows_max", ValueType::U64, "100_000"),
    ConfigKey::optional("bytes_max", BYTE_SIZE, "\"256MiB\""),
    ConfigKey::optional("texts_max", ValueType::U64, "1_000_000"),
];

/// A number of bytes.
const BYTE_SIZE: ValueType = OneOf(&[ValueType::U64, Text], "a number of bytes, or a text like \"4GiB\"");

const TABLES_KEYS: &[ConfigKey] = &[
    ConfigKey::required("url", Text, "\"data\""),
    ConfigKey::optional("commit_rows_max", ValueType::U64, "100_000"),
    ConfigKey::optional("commit_age_secs_max", Number, "10"),
    ConfigKey::optional("compression", Choice(&["snappy", "zstd"]), "\"snappy\""),
    ConfigKey::optional("compact", Flag, "true"),
    ConfigKey::optional("keep_hours", ValueType::U32, "168"),
    ConfigKey::optional("keep_files_max", ValueType::U32, "5_000"),
];

const ARCHIVE: &[ConfigKey] = &[
    ConfigKey::required("url", Text, "\"raw\""),
    ConfigKey::optional("flush_records", ValueType::U64, "100_000"),
    ConfigKey::optional("rotate_secs", ValueType::U64, "60"),
    ConfigKey::optional("compression", Choice(&["none", "gzip", "zstd"]), "\"zstd\""),
];

/// `[objects]`: the connection to object stores.
pub(super) const OBJECTS: &[ConfigKey] = &[
    REGION,
    PROFILE,
    ENDPOINT,
    ConfigKey::optional("addressing", Choice(&["path", "host"]), "\"path\""),
    ConfigKey::optional("timeout_secs", ValueType::U64, "30"),
    ConfigKey::optional("danger_allow_http", Flag, "false"),
];

const ANSWERS: &[ConfigKey] = &[
    ConfigKey::optional("delta", Table(ANSWER_TABLES), "{ url = \"answers\" }"),
    ConfigKey::optional("postgres", Table(POSTGRES_ANSWERS), "{ url = \"postgres://pinflow@db.example.com/answers\" }"),
    ConfigKey::optional("mysql", Table(MYSQL_ANSWERS), "{ url = \"mysql://pinflow@db.example.com/answers\" }"),
];
const ANSWER_TABLES: &[ConfigKey] = &[
    ConfigKey::required("url", Text, "\"answers\""),
    ConfigKey::optional("current", Flag, "true"),
    ConfigKey::optional("changes", Flag, "true"),
    ConfigKey::optional("every_secs", Number, "60"),
    ConfigKey::optional("keep_secs", ValueType::U64, "3600"),
];

const DATABASE_PASSWORD: ConfigKey = ConfigKey::optional("password", Secret, "\"env:DATABASE_PASSWORD\"");
const DATABASE_CHANGES: ConfigKey = ConfigKey::optional("changes", Flag, "true");
const DATABASE_CHANGES_KEEP: ConfigKey = ConfigKey::optional("changes_keep_secs", ValueType::U64, "604800");
const DATABASE_EVERY_SECS: ConfigKey = ConfigKey::optional("every_secs", Number, "1");
const DATABASE_READ: ConfigKey = ConfigKey::optional("read", Choice(&["durable", "live"]), "\"durable\"");

const POSTGRES_ANSWERS: &[ConfigKey] = &[
    ConfigKey::required("url", Text, "\"postgres://pinflow@db.example.com/answers\""),
    DATABASE_PASSWORD,
    ConfigKey::optional("schema", Text, "\"pinflow\""),
    DATABASE_CHANGES,
    DATABASE_CHANGES_KEEP,
    DATABASE_EVERY_SECS,
    DATABASE_READ,
];
const MYSQL_ANSWERS: &[ConfigKey] = &[
    ConfigKey::required("url", Text, "\"mysql://pinflow@db.example.com/answers\""),
    DATABASE_PASSWORD,
    DATABASE_CHANGES,
    DATABASE_CHANGES_KEEP,
    DATABASE_EVERY_SECS,
    DATABASE_READ,
];

const ENGINE: &[ConfigKey] = &[
    ConfigKey::optional("workers", ValueType::U64, "1"),
    ConfigKey::optional("epoch_ms", ValueType::U64, "10"),
    ConfigKey::optional("epoch_bytes_max", ValueType::U64, "8_388_608"),
    ConfigKey::optional("epochs_in_flight_max", ValueType::U64, "2"),
    ConfigKey::optional("message_bytes_max", ValueType::U64, "1_048_576"),
    ConfigKey::optional("text_bytes_max", ValueType::U64, "1024"),
    ConfigKey::optional("memory_max", BYTE_SIZE, "\"4GiB\""),
];

const OUTPUT: &[ConfigKey] = &[
    ConfigKey::optional("format", Choice(&["snapshots", "changes", "tables", "none"]), "\"snapshots\""),
    ConfigKey::optional("every_ms", ValueType::U64, "1000"),
];

const LISTEN: ConfigKey = ConfigKey::required("listen", ListenAddress, "\"127.0.0.1:7461\"");
const SERVER_TLS: ConfigKey = ConfigKey::optional(
    "tls",
    Table(&[ConfigKey::required("certificate", Text, "\"cert.pem\""), ConfigKey::required("key", Text, "\"key.pem\"")]),
    "{ certificate = \"cert.pem\", key = \"key.pem\" }",
);
const HOSTS: ConfigKey = ConfigKey::optional("hosts", TextList, "[\"pinflow.example.com\"]");
const CONNECTIONS_MAX: ConfigKey = ConfigKey::optional("connections_max", ValueType::U64, "1024");
const CONNECTIONS_PER_ADDRESS_MAX: ConfigKey = ConfigKey::optional("connections_per_address_max", ValueType::U64, "64");
const FAILED_TOKENS_PER_MIN_MAX: ConfigKey = ConfigKey::optional("failed_tokens_per_min_max", ValueType::U32, "30");
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
    ConfigKey::optional("reply_bytes_max", ValueType::U64, "134_217_728"),
    ConfigKey::optional("questions", Flag, "true"),
    LISTEN_IN_THE_OPEN,
];

const CLUSTER: &[ConfigKey] = &[
    ConfigKey::required("processes", TextList, "[\"127.0.0.1:7462\", \"127.0.0.1:7463\"]"),
    ConfigKey::optional("listen", Text, "\"127.0.0.1:7462\""),
    ConfigKey::optional("secret", Secret, "\"env:PINFLOW_CLUSTER_SECRET\""),
    ConfigKey::optional("tls", Table(CLUSTER_TLS), "{ ca = \"ca.pem\", certificate = \"me.pem\", key = \"me.key\" }"),
    ConfigKey::optional("silent_secs_max", Number, "30"),
    ConfigKey::optional("danger_unencrypted", Flag, "false"),
];
const CLUSTER_TLS: &[ConfigKey] = &[
    ConfigKey::required("ca", Text, "\"ca.pem\""),
    ConfigKey::required("certificate", Text, "\"me.pem\""),
    ConfigKey::required("key", Text, "\"me.key\""),
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
    ConfigKey::optional("body_bytes_max", ValueType::U64, "4_194_304"),
    ConfigKey::optional("records_max", ValueType::U64, "2000"),
    ConfigKey::optional("bytes_under_way_max", ValueType::U64, "67_108_864"),
    ConfigKey::optional("requests_per_sec_max", ValueType::U32, "100"),
    ConfigKey::optional("answer_secs_max", ValueType::U64, "30"),
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
