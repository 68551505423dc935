use std::sync::OnceLock;

use super::*;
use crate::generate::distributions::{PIN_VARIANTS, PIN_VARIANTS_TOTAL};

const INDS: u64 = 60_000;

/// All messages of a stream, parsed once for all tests here.
fn generated_posts(stream: Stream) -> &'static [Value] {
    static MADE: [OnceLock<Vec<Value>>; 3] = [const { OnceLock::new() }; 3];
    MADE[stream as usize].get_or_init(|| generate_values(&config(11, INDS), stream, INDS))
}

fn share_of(values: &[Value], holds: impl Fn(&Value) -> bool) -> f64 {
    values.iter().filter(|value| holds(value)).count() as f64 / values.len() as f64
}

fn assert_near(found: f64, real: f64, tolerance: f64, what: &str) {
    assert!((found - real).abs() <= tolerance, "{what}: {found:.4} here, {real:.4} in real posts");
}

/// Five standard deviations of a share of `INDS` independent posts.
fn sampling_tolerance(share_of: f64) -> f64 {
    5.0 * (share_of * (1.0 - share_of) / INDS as f64).sqrt()
}

/// The value below which a share of `quantile` of the numbers lies.
fn quantile(mut numbers: Vec<u64>, quantile: f64) -> u64 {
    numbers.sort_unstable();
    numbers[(numbers.len() as f64 * quantile) as usize]
}

fn has_text(field: &'static str, text: &'static str) -> impl Fn(&Value) -> bool {
    move |value| value[field] == text
}

#[test]
fn placeholders_are_combined_as_in_real_posts() {
    let pins = generated_posts(Stream::Pin);
    let texts = ["No description available Story format", "No description available", "Untitled"];
    for variant in &PIN_VARIANTS {
        let found = share_of(pins, |pin| {
            let error = pin["poster_name"] == "User Info Error";
            assert_eq!(error, pin["follower_count"] == "User Info Error");
            assert_eq!(error, pin["title"] == "No Title Data Available");
            assert_eq!(pin["downloaded"] == 0, pin["image_src"] == "Image src error.");
            let placeholder = texts.into_iter().find(|text| pin["description"] == *text);
            placeholder == variant.description
                && error == variant.poster_error
                && pin["is_image_or_video"] == variant.media
                && (pin["downloaded"] == 0) == variant.image_error
                && (pin["tag_list"] == "N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e") == variant.no_tags
        });
        let real = variant.of_real as f64 / PIN_VARIANTS_TOTAL as f64;
        assert_near(found, real, sampling_tolerance(real), &format!("{variant:?}"));
    }
}

#[test]
fn follower_counts_have_the_units_and_quartiles_of_real_posts() {
    let pins = generated_posts(Stream::Pin);
    let count = |pin: &Value| -> Option<u64> {
        let text = pin["follower_count"].as_str().unwrap();
        let (digits, unit) = match text.as_bytes().last()? {
            b'k' => (&text[..text.len() - 1], 1000),
            b'M' => (&text[..text.len() - 1], 1_000_000),
            _ => (text, 1),
        };
        digits.parse().ok().map(|digits: u64| digits * unit)
    };
    let counts: Vec<u64> = pins.iter().filter_map(count).collect();
    let part = |low: u64, high: u64| {
        counts.iter().filter(|count| (low..high).contains(count)).count() as f64 / counts.len() as f64
    };
    // Frequent posters have hundreds of posts each, so the tolerance is larger than for independent posts.
    assert_near(part(0, 1000), 1132.0 / 6476.0, 0.03, "three digits at most");
    assert_near(part(1000, 1_000_000), 4821.0 / 6476.0, 0.03, "thousands");
    assert_near(part(1_000_000, u64::MAX), 523.0 / 6476.0, 0.03, "millions");
    assert!((3000..=6000).contains(&quantile(counts.clone(), 0.25)), "{}", quantile(counts.clone(), 0.25));
    assert!((24_000..=40_000).contains(&quantile(counts.clone(), 0.5)), "{}", quantile(counts.clone(), 0.5));
    assert!((160_000..=270_000).contains(&quantile(counts.clone(), 0.75)), "{}", quantile(counts, 0.75));
}

#[test]
fn ages_join_dates_and_countries_are_distributed_as_in_real_posts() {
    let users = generated_posts(Stream::User);
    let joined = |year: &'static str| move |user: &Value| user["date_joined"].as_str().unwrap().starts_with(year);
    assert_near(share_of(users, |user| user["age"] == 20), 2072.0 / 10_649.0, 0.03, "age 20");
    assert_near(share_of(users, |user| user["age"].as_u64() > Some(50)), 948.0 / 10_649.0, 0.02, "over 50");
    assert_near(share_of(users, joined("2015")), 4374.0 / 10_649.0, 0.03, "joined in 2015");
    assert_near(share_of(users, joined("2016")), 4533.0 / 10_649.0, 0.03, "joined in 2016");
    assert_near(share_of(users, joined("2017")), 1742.0 / 10_649.0, 0.03, "joined in 2017");
    assert!(users.iter().all(|user| (20..=60).contains(&user["age"].as_u64().unwrap())));

    let geos = generated_posts(Stream::Geo);
    let with_a = share_of(geos, |geo| geo["country"].as_str().unwrap().starts_with('A'));
    assert_near(with_a, 3936.0 / 10_699.0, 0.05, "countries with A");
    let countries: std::collections::HashSet<&str> = geos.iter().map(|geo| geo["country"].as_str().unwrap()).collect();
    assert_eq!(countries.len(), 243);
}

#[test]
fn timestamps_cover_five_years_in_both_formats() {
    let geos = generated_posts(Stream::Geo);
    let times: Vec<&str> = geos.iter().map(|geo| geo["timestamp"].as_str().unwrap()).collect();
    assert!(times.iter().all(|time| ("2017-10-19"..="2022-10-19T23").contains(time)));
    for (year, real) in [("2017", 412.0), ("2018", 2204.0), ("2020", 2083.0), ("2022", 1749.0)] {
        let found = times.iter().filter(|time| time.starts_with(year)).count() as f64 / INDS as f64;
        assert_near(found, real / 10_699.0, 0.015, year);
    }
    let with_t = times.iter().filter(|time| time.as_bytes()[10] == b'T').count() as f64 / INDS as f64;
    assert_near(with_t, 0.5, sampling_tolerance(0.5), "times with T");
}

#[test]
fn texts_have_the_special_characters_of_real_posts() {
    let pins = generated_posts(Stream::Pin);
    let image_posts: Vec<Value> = pins.iter().filter(|pin| pin["is_image_or_video"] == "image").cloned().collect();
    let description =
        |holds: fn(&str) -> bool| share_of(&image_posts, |pin| holds(pin["description"].as_str().unwrap()));
    assert_near(description(|text| text.ends_with("…\u{a0}")), 0.39, 0.02, "descriptions cut short");
    assert_near(description(|text| text.chars().any(|c| c > '\u{ffff}')), 0.0068, 0.002, "astral characters");
    assert_near(description(|text| text.contains('"')), 0.028, 0.008, "quotes");
    assert_near(
        share_of(&image_posts, |pin| pin["title"].as_str().unwrap().contains('|')),
        0.07,
        0.05,
        "titles with |",
    );
    assert!(share_of(&image_posts, has_text("title", "")) > 0.0, "no empty title");
    let titles = image_posts.iter().map(|pin| pin["title"].as_str().unwrap().chars().count() as u64).collect();
    assert!((44..=54).contains(&quantile(titles, 0.5)), "titles have about 50 characters");
    let tags =
        |count: usize| share_of(&image_posts, |pin| pin["tag_list"].as_str().unwrap().split(',').count() == count);
    assert_near(tags(9), 0.99, 0.01, "nine tags");
    assert!(tags(8) > 0.0);
}

#[test]
fn messages_have_the_median_size_of_real_posts() {
    let config = config(11, INDS);
    for (stream, real) in [(Stream::Pin, 720), (Stream::Geo, 112), (Stream::User, 101)] {
        let sizes = split_lines(&generate_text(&config, stream, 0..10_000)).map(|line| line.len() as u64).collect();
        let median = quantile(sizes, 0.5);
        assert!(
            (real * 92 / 100..=real * 108 / 100).contains(&median),
            "{stream}: median {median} B, {real} B in real posts"
        );
    }
}
