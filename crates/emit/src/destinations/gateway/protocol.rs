//! The requests of the two gateway protocols, as the posting emulator sends them.
//!
//! - Kafka: Confluent REST Proxy, API v2. `POST /topics/{topic}` with records whose values are JSON.
//! - Kinesis: the proxy of the AWS tutorial "Create a REST API as an Amazon Kinesis proxy in API Gateway". `PUT
//! /streams/{name}/record` for one record, and `/records` for several.

use reqwest::Method;
use url::Url;

use crate::json;

/// The protocol of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum GatewayProtocol {
    /// Kafka REST v2 (Confluent REST Proxy)
    Kafka,
    /// Kinesis behind Amazon API Gateway
    Kinesis,
}

/// A message in a queue or request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GatewayRecord {
    /// The key, if one is sent.
    pub(super) key: Option<Vec<u8>>,
    /// The value, as JSON.
    pub(super) value: Vec<u8>,
    /// Its number in the destination.
    pub(super) number: u64,
}

impl GatewayRecord {
    /// The approximate bytes it takes in a request.
    pub(super) fn request_bytes(&self) -> usize {
        self.value.len() + self.key.as_ref().map_or(0, Vec::len) + 48
    }
}

impl GatewayProtocol {
    /// What messages are sent to: a topic or a stream.
    pub(crate) fn target_noun(self) -> &'static str {
        match self {
            GatewayProtocol::Kafka => "topic",
            GatewayProtocol::Kinesis => "stream",
        }
    }

    pub(super) fn http_method(self) -> Method {
        match self {
            GatewayProtocol::Kafka => Method::POST,
            GatewayProtocol::Kinesis => Method::PUT,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            GatewayProtocol::Kafka => "application/vnd.kafka.json.v2+json",
            GatewayProtocol::Kinesis => "application/json",
        }
    }

    /// The URL for this many records to a topic or stream.
    pub(super) fn request_url(self, gateway: &Url, target: &str, records: usize) -> Url {
        let mut url = gateway.clone();
        // The URL of an HTTP server always has path segments.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty();
            match (self, records) {
                (GatewayProtocol::Kafka, _) => path.extend(["topics", target]),
                (GatewayProtocol::Kinesis, 1) => path.extend(["streams", target, "record"]),
                (GatewayProtocol::Kinesis, _) => path.extend(["streams", target, "records"]),
            };
        }
        url
    }

    pub(super) fn request_body(self, target: &str, records: &[GatewayRecord]) -> Vec<u8> {
        let mut out = Vec::with_capacity(records.iter().map(GatewayRecord::request_bytes).sum::<usize>() + 64);
        match (self, records) {
            (GatewayProtocol::Kafka, records) => push_records(records, &mut out, push_kafka_record),
            (GatewayProtocol::Kinesis, [record]) => {
                out.extend_from_slice(b"{\"StreamName\":");
                json::push_string(target, false, &mut out);
                out.extend_from_slice(b",\"Data\":");
                out.extend_from_slice(&record.value);
                out.extend_from_slice(b",\"PartitionKey\":");
                push_key(record.key.as_deref().unwrap_or_default(), &mut out);
                out.push(b'}');
            }
            (GatewayProtocol::Kinesis, records) => push_records(records, &mut out, push_kinesis_record),
        }
        out
    }
}

fn push_records(records: &[GatewayRecord], out: &mut Vec<u8>, record: fn(&GatewayRecord, &mut Vec<u8>)) {
    out.extend_from_slice(b"{\"records\":[");
    for (at, one) in records.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        record(one, out);
    }
    out.extend_from_slice(b"]}");
}

fn push_kafka_record(record: &GatewayRecord, out: &mut Vec<u8>) {
    out.push(b'{');
    if let Some(key) = &record.key {
        out.extend_from_slice(b"\"key\":");
        // An `ind` is sent as a JSON number: Kafka then stores the same bytes as from other producers, and chooses the
        // same partition.
        let is_number = !key.is_empty() && key.iter().all(u8::is_ascii_digit) && (key[0] != b'0' || key.len() == 1);
        if is_number {
            out.extend_from_slice(key);
        } else {
            push_key(key, out);
        }
        out.push(b',');
    }
    out.extend_from_slice(b"\"value\":");
    out.extend_from_slice(&record.value);
    out.push(b'}');
}

fn push_kinesis_record(record: &GatewayRecord, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"data\":");
    out.extend_from_slice(&record.value);
    out.extend_from_slice(b",\"partition-key\":");
    push_key(record.key.as_deref().unwrap_or_default(), out);
    out.push(b'}');
}

fn push_key(key: &[u8], out: &mut Vec<u8>) {
    json::push_string(&String::from_utf8_lossy(key), false, out);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record(key: Option<&str>, value: &str) -> GatewayRecord {
        GatewayRecord { key: key.map(|key| key.as_bytes().to_vec()), value: value.as_bytes().to_vec(), number: 0 }
    }

    fn body(protocol: GatewayProtocol, records: &[GatewayRecord]) -> String {
        String::from_utf8(protocol.request_body("a-pin", records)).unwrap()
    }

    #[test]
    fn request_bodies_are_those_of_the_emulator() {
        let one = [record(None, "{\"ind\":1}")];
        assert_eq!(body(GatewayProtocol::Kafka, &one), r#"{"records":[{"value":{"ind":1}}]}"#);
        let two = [record(Some("12"), "{\"ind\":12}"), record(Some("a\"b"), "{}")];
        assert_eq!(
            body(GatewayProtocol::Kafka, &two),
            r#"{"records":[{"key":12,"value":{"ind":12}},{"key":"a\"b","value":{}}]}"#
        );
        assert_eq!(
            body(GatewayProtocol::Kinesis, &two[..1]),
            r#"{"StreamName":"a-pin","Data":{"ind":12},"PartitionKey":"12"}"#
        );
        assert_eq!(
            body(GatewayProtocol::Kinesis, &two),
            r#"{"records":[{"data":{"ind":12},"partition-key":"12"},{"data":{},"partition-key":"a\"b"}]}"#
        );
    }

    #[test]
    fn request_url_keeps_the_stage() {
        for gateway in ["https://api.example.com/test", "https://api.example.com/test/"] {
            let gateway = Url::parse(gateway).unwrap();
            let url = |protocol: GatewayProtocol, records| protocol.request_url(&gateway, "1.pin", records).to_string();
            assert_eq!(url(GatewayProtocol::Kafka, 1), "https://api.example.com/test/topics/1.pin");
            assert_eq!(url(GatewayProtocol::Kinesis, 1), "https://api.example.com/test/streams/1.pin/record");
            assert_eq!(url(GatewayProtocol::Kinesis, 2), "https://api.example.com/test/streams/1.pin/records");
        }
        let bare = Url::parse("http://localhost:8082").unwrap();
        assert_eq!(GatewayProtocol::Kafka.request_url(&bare, "a b", 1).as_str(), "http://localhost:8082/topics/a%20b");
    }
}
