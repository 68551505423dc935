//! Known functions that no question can have.

const CLOCK: &str = "has another value at every moment, and an answer must be that of an epoch; group by date_trunc('day', …), or compare with a constant such as TIMESTAMP '2024-03-10 00:00:00'";
const CHANCE: &str = "has another value at every call, and an answer must be the same for the same rows; for a fixed sample compare `ind % 100` with a constant";
const SESSION: &str = "depends on the session, and a question has none; leave it out";

/// Names with the reason why they are refused, and what works instead.
const UNSUPPORTED: [(&[&str], &str); 20] = [
    (
        &["age"],
        "is not supported: an interval has no place in an answer; date_diff('year', earlier, later) counts years",
    ),
    (
        &[
            "now",
            "current_timestamp",
            "current_date",
            "current_time",
            "localtime",
            "localtimestamp",
            "today",
            "getdate",
            "sysdate",
            "curdate",
            "transaction_timestamp",
            "statement_timestamp",
            "clock_timestamp",
            "current_localtimestamp",
            "get_current_timestamp",
            "julianday",
            "datetime",
        ],
        CLOCK,
    ),
    (&["random", "rand", "randn", "uuid", "gen_random_uuid", "newid", "setseed", "shuffle", "uniform"], CHANCE),
    (
        &[
            "current_user",
            "session_user",
            "current_database",
            "current_schema",
            "version",
            "current_setting",
            "current_catalog",
            "current_timezone",
        ],
        SESSION,
    ),
    (
        &["monotonically_increasing_id", "nextval", "currval", "spark_partition_id", "input_file_name"],
        "depends on the order in which rows arrive; row_number() OVER (ORDER BY …) numbers rows",
    ),
    (&["md5", "sha1", "sha2", "sha256", "hash", "xxhash64", "crc32"], "is not supported: group by the text itself"),
    (
        &["to_char", "format_datetime"],
        "is not supported; strftime(t, '%Y-%m-%d') and date_format(t, 'yyyy-MM-dd') make a text of a moment",
    ),
    (
        &["strptime", "try_strptime", "to_unix_time", "parse_datetime"],
        "is not supported; cast(x AS timestamp) reads texts such as '2024-03-10 14:30:00'",
    ),
    (
        &["from_utc_timestamp", "to_utc_timestamp", "convert_timezone", "timezone", "make_timestamptz"],
        "is not supported: all moments are in UTC; add an interval, as in t + INTERVAL 1 HOUR",
    ),
    (
        &["window", "session_window"],
        "is not supported; group by date_trunc('hour', t) or time_bucket(INTERVAL '15 minutes', t)",
    ),
    (
        &["printf", "format", "format_string", "format_number"],
        "is not supported; put texts together with ||, concat, round and lpad",
    ),
    (
        &[
            "levenshtein",
            "editdist3",
            "damerau_levenshtein",
            "hamming",
            "jaccard",
            "jaro_similarity",
            "jaro_winkler_similarity",
            "soundex",
            "similarity",
        ],
        "is not supported; compare with lower(x), LIKE, ILIKE or regexp_matches",
    ),
    (
        &["get_json_object", "json_extract", "json_extract_string", "from_json", "to_json", "json_tuple"],
        "is not supported: no column holds JSON; regexp_extract takes a part out of a text",
    ),
    (
        &[
            "transform",
            "filter",
            "list_transform",
            "list_filter",
            "aggregate",
            "list_reduce",
            "reduce",
            "exists",
            "forall",
            "list_aggregate",
            "array_transform",
            "array_filter",
            "zip_with",
        ],
        "takes a function as argument, which is not supported; unnest the list in FROM, and filter or aggregate its rows",
    ),
    (
        &["struct", "named_struct", "struct_pack", "row", "map", "map_from_arrays", "map_keys", "map_values"],
        "is not supported: there are no structs or maps; select the values as columns of their own",
    ),
    (
        &["sequence", "range", "generate_series"],
        "is not supported; unnest reads the elements of a list such as [1, 2, 3]",
    ),
    (&["flatten", "list_zip", "arrays_zip"], "is not supported: there are no lists of lists"),
    (
        &["try_divide", "try_add", "try_subtract", "try_multiply"],
        "is not needed: x / y and the like are null where there is no result",
    ),
    (
        &["isnan", "isinf", "isfinite", "nanvl"],
        "is not needed: a number is never NaN or infinite, such results are null; use IS NULL",
    ),
    (
        &["encode", "decode", "hex", "unhex", "base64", "unbase64", "to_base64", "from_base64"],
        "is not supported: there are no binary values",
    ),
];

/// Why the function of this name, in lower case, is refused. `None` if it is not known.
pub(super) fn reason(name: &str) -> Option<String> {
    let (_, reason) = UNSUPPORTED.iter().find(|(names, _)| names.contains(&name))?;
    Some(format!("{name} {reason}"))
}
