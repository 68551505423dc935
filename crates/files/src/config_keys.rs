//! The keys of a recording in a configuration.

use pinflow_connect::config_key::ConfigKey;
use pinflow_connect::config_key::ValueType::{self, Choice, Flag, Text};

pub(super) const RECORDING_KEYS: &[ConfigKey] = &[
    ConfigKey::required("path", Text, "\"recordings\""),
    ConfigKey::optional("stream", Choice(&["pin", "geo", "user", "auto"]), "\"auto\""),
    ConfigKey::optional("name", Text, "\"spring\""),
    ConfigKey::optional("rate_per_sec", ValueType::POSITIVE_U32, "1000"),
    ConfigKey::optional("follow", Flag, "true"),
    ConfigKey::optional("allow_removed", Flag, "true"),
    ConfigKey::optional("process", ValueType::U32, "1"),
];
