use std::collections::HashMap;

use pinflow_dataflows::rejection::RejectionReason;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::*;
use crate::generate::StreamStats;
use crate::generate::malformed::ExpectedOutcome;
use crate::rng::{RngPurpose, SeededRng};

const OPTIONS: MalformedOptions = MalformedOptions { auto: false, too_large: Some(5000), too_many_rows: Some(4) };

/// The fields of an object in their order, including duplicates.
struct FieldList(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for FieldList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FieldList, D::Error> {
        struct FieldListVisitor;
        impl<'de> Visitor<'de> for FieldListVisitor {
            type Value = FieldList;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FieldList, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(FieldList(fields))
            }
        }
        deserializer.deserialize_map(FieldListVisitor)
    }
}

/// What a reader must make of a message, implemented as plainly as possible. `None` is a row without a fault.
fn read_outcome(message: &[u8], stream: Stream, auto: bool) -> Option<ExpectedOutcome> {
    let rejected = |reason| Some(ExpectedOutcome::Rejected(reason));
    if message.len() as u64 > OPTIONS.too_large.unwrap() {
        return rejected(RejectionReason::TooLarge);
    }
    let Ok(text) = std::str::from_utf8(message) else { return rejected(RejectionReason::NotUtf8) };
    let error = serde_json::from_str::<Value>(text).err().map(|error| error.to_string());
    match error {
        Some(error) if error.starts_with("trailing characters") => return rejected(RejectionReason::TrailingBytes),
        Some(error) if error.starts_with("recursion limit") => return rejected(RejectionReason::TooDeep),
        Some(_) => return rejected(RejectionReason::NotJson),
        None => {}
    }
    let Ok(FieldList(fields)) = serde_json::from_str(text) else { return rejected(RejectionReason::NotAnObject) };
    let mut row: HashMap<String, Value> = HashMap::new();
    for (name, value) in fields {
        if row.insert(name, value.clone()).is_some_and(|before| before != value) {
            return rejected(RejectionReason::DuplicateField);
        }
    }
    if row.get("records").is_some_and(|rows| rows.as_array().unwrap().len() as u64 > OPTIONS.too_many_rows.unwrap()) {
        return rejected(RejectionReason::TooManyRows);
    }
    let marker_fields = ["unique_id", "latitude", "first_name"].map(|field| row.contains_key(field));
    if marker_fields != Stream::ALL.map(|this| this == stream) {
        assert!(!auto || marker_fields == [false; 3], "an auto source can tell the stream of {text}");
        return rejected(RejectionReason::WrongStream);
    }
    match row.get("ind").or(row.get("index")) {
        None => return rejected(RejectionReason::NoKey),
        Some(key) if key.as_i64().is_none_or(|key| key < 0) => return rejected(RejectionReason::BadKey),
        Some(_) => {}
    }
    let numbers = ["ind", "index", "latitude", "longitude", "age", "downloaded"];
    let readable = |(name, value): (&String, &Value)| {
        if numbers.contains(&name.as_str()) { value.is_number() } else { value.is_string() }
    };
    if !row.iter().all(readable) {
        return rejected(RejectionReason::WrongType);
    }
    field_fault(&row).map(ExpectedOutcome::FieldFault)
}

fn field_fault(row: &HashMap<String, Value>) -> Option<&'static str> {
    let number = |field: &str| row.get(field).and_then(Value::as_f64).unwrap_or(0.0);
    let time_fails = |field: &str| {
        row.get(field).is_some_and(|time| {
            let text = time.as_str().unwrap().replace(' ', "T");
            jiff::civil::DateTime::strptime("%Y-%m-%dT%H:%M:%S", &text).is_err()
        })
    };
    let followers = row.get("follower_count").map_or("0", |count| count.as_str().unwrap());
    let plain = followers.trim_end_matches(['k', 'M']);
    if followers != "User Info Error"
        && (plain.is_empty() || plain.len() > 3 || !plain.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return Some("follower_count");
    }
    if number("latitude").abs() > 90.0 || number("longitude").abs() > 180.0 {
        return Some("coordinates");
    }
    if !(0.0..=150.0).contains(&number("age")) {
        return Some("age");
    }
    ["timestamp", "date_joined"].into_iter().find(|field| time_fails(field))
}

#[test]
fn malformed_message_has_its_expected_outcome() {
    let config = config(3, 2000);
    for auto in [false, true] {
        let options = MalformedOptions { auto, ..OPTIONS };
        for stream in Stream::ALL {
            let other = generate_text(&config, if stream == Stream::User { Stream::Geo } else { Stream::User }, 5..6);
            for (ind, good) in split_lines(&generate_text(&config, stream, 0..300)).enumerate() {
                assert_eq!(read_outcome(good, stream, auto), None, "{}", String::from_utf8_lossy(good));
                for outcome in options.possible_outcomes(stream) {
                    let mut message = good.to_vec();
                    let mut rng = SeededRng::new(3, RngPurpose::MalformedPin, ind as u64);
                    options.make_malformed(outcome, stream, other.trim_ascii_end(), &mut rng, &mut message);
                    let found = read_outcome(&message, stream, auto);
                    assert_eq!(found, Some(outcome), "{}", String::from_utf8_lossy(&message));
                    assert!(!message.contains(&b'\n'));
                }
            }
        }
    }
}

#[test]
fn stats_agree_with_the_generated_messages() {
    let config = ComposerConfig::new(3, 2000, DrawOrder::Emulator, WrapMode::None, 0.2, OPTIONS);
    for stream in Stream::ALL {
        let mut composer = MessageComposer::new(&config, stream, 0..3000);
        let mut generated = Vec::new();
        while !composer.is_done() {
            composer.write_message(&mut generated);
        }
        let mut found = StreamStats { bytes: generated.len() as u64, ..StreamStats::default() };
        for line in split_lines(&generated) {
            found.messages += 1;
            match read_outcome(line, stream, false) {
                Some(outcome) => found.count_malformed(outcome),
                None => found.rows += 1,
            }
        }
        assert_eq!(composer.stats, found);
        assert_eq!(found.messages, 3000);
        assert_eq!(found.messages, found.rows + found.rejected.values().sum::<u64>());
        let malformed = found.rejected.values().chain(found.field_faults.values()).sum::<u64>();
        assert!((500..700).contains(&malformed), "{malformed} malformed messages");
        assert_eq!(
            found.rejected.len() + found.field_faults.len(),
            OPTIONS.possible_outcomes(stream).len(),
            "a kind is missing"
        );
    }
}

#[test]
fn malformed_share_of_zero_and_one_is_exact() {
    let none = config(3, 500);
    assert!(
        split_lines(&generate_text(&none, Stream::Geo, 0..500))
            .all(|line| read_outcome(line, Stream::Geo, false).is_none())
    );
    let all = ComposerConfig::new(3, 500, DrawOrder::Once, WrapMode::Mixed, 1.0, OPTIONS);
    assert!(
        split_lines(&generate_text(&all, Stream::Geo, 0..500))
            .all(|line| read_outcome(line, Stream::Geo, false).is_some())
    );
}
