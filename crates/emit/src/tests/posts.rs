use std::collections::{BTreeMap, HashMap, HashSet};

use super::*;

const PIN_FIELDS: [&str; 12] = [
    "index",
    "unique_id",
    "title",
    "description",
    "poster_name",
    "follower_count",
    "tag_list",
    "is_image_or_video",
    "image_src",
    "downloaded",
    "save_location",
    "category",
];
const GEO_FIELDS: [&str; 5] = ["ind", "timestamp", "latitude", "longitude", "country"];
const USER_FIELDS: [&str; 5] = ["ind", "first_name", "last_name", "age", "date_joined"];

#[test]
fn messages_have_the_fields_of_the_emulator_in_order() {
    let config = config(1, 5000);
    let fields: [(Stream, &[&str]); 3] =
        [(Stream::Pin, &PIN_FIELDS), (Stream::Geo, &GEO_FIELDS), (Stream::User, &USER_FIELDS)];
    for (stream, fields) in fields {
        for (ind, line) in split_lines(&generate_text(&config, stream, 0..5000)).enumerate() {
            let value: Value = serde_json::from_slice(line).unwrap();
            assert_eq!(value[fields[0]], ind);
            assert_eq!(value.as_object().unwrap().len(), fields.len());
            let line = std::str::from_utf8(line).unwrap();
            let places = fields.iter().map(|field| line.find(&format!("\"{field}\":")).unwrap());
            assert!(places.is_sorted(), "{line}");
            assert!(line.starts_with(&format!("{{\"{}\":{ind},", fields[0])), "{line}");
        }
    }
}

#[test]
fn categories_are_contiguous_with_their_real_sizes() {
    for (inds, sizes) in
        [(11_149, Some([892, 746, 999, 830, 863, 747, 786, 862, 851, 908, 973, 858, 834])), (777, None)]
    {
        let values = generate_values(&config(1, inds), Stream::Pin, inds);
        let names: Vec<&str> = values.iter().map(|pin| pin["category"].as_str().unwrap()).collect();
        assert!(names.is_sorted(), "13 blocks, in the order of their names");
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        names.iter().for_each(|name| *counts.entry(name).or_default() += 1);
        assert_eq!(counts.len(), 13);
        if let Some(sizes) = sizes {
            assert_eq!(counts.into_values().collect::<Vec<_>>(), sizes);
        }
        for pin in &values {
            let saved = format!("Local save in /data/{}", pin["category"].as_str().unwrap());
            assert_eq!(pin["save_location"], saved);
        }
    }
}

#[test]
fn posts_of_one_poster_agree_on_the_person() {
    let inds = 20_000;
    let config = config(4, inds);
    let streams = Stream::ALL.map(|stream| generate_values(&config, stream, inds));
    let mut people: HashMap<String, (String, u64)> = HashMap::new();
    let mut counts: HashMap<String, HashSet<String>> = HashMap::new();
    for ((pin, geo), user) in streams[0].iter().zip(&streams[1]).zip(&streams[2]) {
        let name = pin["poster_name"].as_str().unwrap();
        let joined = user["date_joined"].as_str().unwrap().replace('T', " ");
        let person = format!(
            "{} {} {} {joined} {} {} {}",
            user["first_name"], user["last_name"], user["age"], geo["latitude"], geo["longitude"], geo["country"]
        );
        let (known, posts) = people.entry(name.to_owned()).or_insert((person.clone(), 0));
        assert_eq!(*known, person, "{name} is two people");
        *posts += 1;
        counts.entry(name.to_owned()).or_default().insert(pin["follower_count"].as_str().unwrap().to_owned());
    }
    let distinct: HashSet<&String> = people.values().map(|(person, _)| person).collect();
    assert_eq!(distinct.len(), people.len(), "two posters are one person");
    let frequent = people.values().filter(|(_, posts)| *posts > 1).count();
    let moving = counts.values().filter(|counts| counts.len() > 1).count();
    assert!(counts.values().all(|counts| counts.len() <= 2));
    assert!(moving > 0 && moving < frequent / 30, "{moving} of {frequent} posters show two follower counts");
}

#[test]
fn post_does_not_depend_on_other_draws() {
    let inds = 3000;
    let in_order = config(2, inds);
    let emulated = ComposerConfig::new(2, inds, DrawOrder::Emulator, WrapMode::None, 0.0, MalformedOptions::default());
    for stream in Stream::ALL {
        let all = generate_text(&in_order, stream, 0..inds);
        let all: Vec<&[u8]> = split_lines(&all).collect();
        for (draw, line) in split_lines(&generate_text(&emulated, stream, 0..500)).enumerate() {
            let value: Value = serde_json::from_slice(line).unwrap();
            let ind = value["ind"].as_u64().or(value["index"].as_u64()).unwrap();
            assert_eq!(line, all[ind as usize], "draw {draw}");
        }
        let parts = [generate_text(&in_order, stream, 0..1234), generate_text(&in_order, stream, 1234..inds)].concat();
        assert_eq!(parts, generate_text(&in_order, stream, 0..inds));
    }
}

#[test]
fn equal_seeds_generate_equal_bytes() {
    for stream in Stream::ALL {
        assert_eq!(generate_text(&config(7, 1000), stream, 0..1000), generate_text(&config(7, 1000), stream, 0..1000));
        assert_ne!(generate_text(&config(7, 1000), stream, 0..1000), generate_text(&config(8, 1000), stream, 0..1000));
    }
}

/// Versions must generate the same bytes: examples and benchmark figures depend on it.
#[test]
fn generated_bytes_are_the_same_as_in_earlier_versions() {
    let config = ComposerConfig::new(100, 1000, DrawOrder::Emulator, WrapMode::Mixed, 0.1, MalformedOptions::default());
    let anchors =
        Stream::ALL.map(|stream| pinflow_core::position::record_fingerprint(&generate_text(&config, stream, 0..1000)));
    assert_eq!(anchors, [3_188_409_766_228_586_998, 2_013_269_060_064_613_975, 2_501_532_137_884_283_574]);
}

#[test]
fn tables_of_extreme_sizes_generate_all_messages() {
    let vast = config(1, 1 << 40);
    for stream in Stream::ALL {
        assert_eq!(split_lines(&generate_text(&vast, stream, (1 << 39)..(1 << 39) + 100)).count(), 100);
        for inds in 1..=30 {
            assert_eq!(split_lines(&generate_text(&config(1, inds), stream, 0..2 * inds)).count() as u64, 2 * inds);
        }
    }
}
