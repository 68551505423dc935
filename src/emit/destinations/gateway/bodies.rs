//! What requests to a gateway look like: those of the original's producers.
//!
//! Kafka: Confluent's REST Proxy, API v2, `POST /topics/{topic}` with records whose values are JSON. Kinesis: what the
//! AWS tutorial "Create a REST API as an Amazon Kinesis proxy in API Gateway" has, `PUT /streams/{name}/record` for one
//! record and `/records` for several.

use reqwest::Method;
use url::Url;

use crate::emit::json;

/// Which requests a gateway takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Bodies {
    /// Kafka REST v2.
    Kafka,
    /// Kinesis behind an API gateway.
    Kinesis,
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The key, if one is sent.
    pub(super) key: Option<Vec<u8>>,
    /// JSON.
    pub(super) value: Vec<u8>,
    /// Its number among all messages of the destination.
    pub(super) number: u64,
}

impl Record {
    /// Bytes that it takes in a request, about.
    pub(super) fn size(&self) -> usize {
        self.value.len() + self.key.as_ref().map_or(0, Vec::len) + 48
    }
}

impl Bodies {
    /// What messages go to.
    pub(crate) fn place(self) -> &'static str {
        match self {
            Bodies::Kafka => "topic",
            Bodies::Kinesis => "stream",
        }
    }

    pub(super) fn method(self) -> Method {
        match self {
            Bodies::Kafka => Method::POST,
            Bodies::Kinesis => Method::PUT,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Bodies::Kafka => "application/vnd.kafka.json.v2+json",
            Bodies::Kinesis => "application/json",
        }
    }

    /// Where so many records for a topic or stream go.
    pub(super) fn url(self, gateway: &Url, place: &str, records: usize) -> Url {
        let mut url = gateway.clone();
        // A URL of HTTP always has a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty();
            match (self, records) {
                (Bodies::Kafka, _) => path.extend(["topics", place]),
                (Bodies::Kinesis, 1) => path.extend(["streams", place, "record"]),
                (Bodies::Kinesis, _) => path.extend(["streams", place, "records"]),
            };
        }
        url
    }

    pub(super) fn body(self, place: &str, records: &[Record]) -> Vec<u8> {
        let mut out = Vec::with_capacity(records.iter().map(Record::size).sum::<usize>() + 64);
        match (self, records) {
            (Bodies::Kafka, records) => list(records, &mut out, kafka),
            (Bodies::Kinesis, [record]) => {
                out.extend_from_slice(b"{\"StreamName\":");
                json::string(place, false, &mut out);
                out.extend_from_slice(b",\"Data\":");
                out.extend_from_slice(&record.value);
                out.extend_from_slice(b",\"PartitionKey\":");
                text(record.key.as_deref().unwrap_or_default(), &mut out);
                out.push(b'}');
            }
            (Bodies::Kinesis, records) => list(records, &mut out, kinesis),
        }
        out
    }
}

fn list(records: &[Record], out: &mut Vec<u8>, record: fn(&Record, &mut Vec<u8>)) {
    out.extend_from_slice(b"{\"records\":[");
    for (at, one) in records.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        record(one, out);
    }
    out.extend_from_slice(b"]}");
}

fn kafka(record: &Record, out: &mut Vec<u8>) {
    out.push(b'{');
    if let Some(key) = &record.key {
        out.extend_from_slice(b"\"key\":");
        // An ind as a number: Kafka then has the same bytes as from other producers, and so the same partition.
        let is_number = !key.is_empty() && key.iter().all(u8::is_ascii_digit) && (key[0] != b'0' || key.len() == 1);
        if is_number {
            out.extend_from_slice(key);
        } else {
            text(key, out);
        }
        out.push(b',');
    }
    out.extend_from_slice(b"\"value\":");
    out.extend_from_slice(&record.value);
    out.push(b'}');
}

fn kinesis(record: &Record, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"data\":");
    out.extend_from_slice(&record.value);
    out.extend_from_slice(b",\"partition-key\":");
    text(record.key.as_deref().unwrap_or_default(), out);
    out.push(b'}');
}

fn text(key: &[u8], out: &mut Vec<u8>) {
    json::string(&String::from_utf8_lossy(key), false, out);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record(key: Option<&str>, value: &str) -> Record {
        Record { key: key.map(|key| key.as_bytes().to_vec()), value: value.as_bytes().to_vec(), number: 0 }
    }

    fn body(bodies: Bodies, records: &[Record]) -> String {
        String::from_utf8(bodies.body("a-pin", records)).unwrap()
    }

    #[test]
    fn bodies_are_those_of_the_original() {
        let one = [record(None, "{\"ind\":1}")];
        assert_eq!(body(Bodies::Kafka, &one), r#"{"records":[{"value":{"ind":1}}]}"#);
        let two = [record(Some("12"), "{\"ind\":12}"), record(Some("a\"b"), "{}")];
        assert_eq!(
            body(Bodies::Kafka, &two),
            r#"{"records":[{"key":12,"value":{"ind":12}},{"key":"a\"b","value":{}}]}"#
        );
        assert_eq!(body(Bodies::Kinesis, &two[..1]), r#"{"StreamName":"a-pin","Data":{"ind":12},"PartitionKey":"12"}"#);
        assert_eq!(
            body(Bodies::Kinesis, &two),
            r#"{"records":[{"data":{"ind":12},"partition-key":"12"},{"data":{},"partition-key":"a\"b"}]}"#
        );
    }

    #[test]
    fn urls_keep_the_stage() {
        for gateway in ["https://api.example.com/test", "https://api.example.com/test/"] {
            let gateway = Url::parse(gateway).unwrap();
            let url = |bodies: Bodies, records| bodies.url(&gateway, "1.pin", records).to_string();
            assert_eq!(url(Bodies::Kafka, 1), "https://api.example.com/test/topics/1.pin");
            assert_eq!(url(Bodies::Kinesis, 1), "https://api.example.com/test/streams/1.pin/record");
            assert_eq!(url(Bodies::Kinesis, 2), "https://api.example.com/test/streams/1.pin/records");
        }
        let bare = Url::parse("http://localhost:8082").unwrap();
        assert_eq!(Bodies::Kafka.url(&bare, "a b", 1).as_str(), "http://localhost:8082/topics/a%20b");
    }
}
