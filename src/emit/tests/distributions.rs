use std::sync::OnceLock;

use super::*;
use crate::emit::generate::distributions::{PIN_VARIANTS, PIN_VARIANTS_TOTAL};

const INDS: u64 = 60_000;

/// All messages of a stream, read once for all tests here.
fn made(stream: Stream) -> &'static [Value] {
    static MADE: [OnceLock<Vec<Value>>; 3] = [const { OnceLock::new() }; 3];
    MADE[stream as usize].get_or_init(|| values(&config(11, INDS), stream, INDS))
}

fn share(values: &[Value], holds: impl Fn(&Value) -> bool) -> f64 {
    values.iter().filter(|value| holds(value)).count() as f64 / values.len() as f64
}

fn assert_near(found: f64, real: f64, tolerance: f64, what: &str) {
    assert!((found - real).abs() <= tolerance, "{what}: {found:.4} here, {real:.4} in real posts");
}

/// Five standard deviations of a share among `INDS` independent posts.
fn chance(share: f64) -> f64 {
    5.0 * (share * (1.0 - share) / INDS as f64).sqrt()
}

/// Where `quantile` of the numbers lie below.
fn quantile(mut numbers: Vec<u64>, quantile: f64) -> u64 {
    numbers.sort_unstable();
    numbers[(numbers.len() as f64 * quantile) as usize]
}

fn is(field: &'static str, text: &'static str) -> impl Fn(&Value) -> bool {
    move |value| value[field] == text
}

#[test]
fn placeholders_stand_together_as_in_real_posts() {
    let pins = made(Stream::Pin);
    let texts = ["No description available Story format", "No description available", "Untitled"];
    for looks in &PIN_VARIANTS {
        let found = share(pins, |pin| {
            let error = pin["poster_name"] == "User Info Error";
            assert_eq!(error, pin["follower_count"] == "User Info Error");
            assert_eq!(error, pin["title"] == "No Title Data Available");
            assert_eq!(pin["downloaded"] == 0, pin["image_src"] == "Image src error.");
            let placeholder = texts.into_iter().find(|text| pin["description"] == *text);
            placeholder == looks.description
                && error == looks.poster_error
                && pin["is_image_or_video"] == looks.media
                && (pin["downloaded"] == 0) == looks.image_error
                && (pin["tag_list"] == "N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e") == looks.no_tags
        });
        let real = looks.of_real as f64 / PIN_VARIANTS_TOTAL as f64;
        assert_near(found, real, chance(real), &format!("{looks:?}"));
    }
}

#[test]
fn followers_have_the_shapes_and_quartiles_of_real_ones() {
    let pins = made(Stream::Pin);
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
    // Frequent posters weigh hundreds of posts each: hence more tolerance than for independent posts.
    assert_near(part(0, 1000), 1132.0 / 6476.0, 0.03, "three digits at most");
    assert_near(part(1000, 1_000_000), 4821.0 / 6476.0, 0.03, "thousands");
    assert_near(part(1_000_000, u64::MAX), 523.0 / 6476.0, 0.03, "millions");
    assert!((3000..=6000).contains(&quantile(counts.clone(), 0.25)), "{}", quantile(counts.clone(), 0.25));
    assert!((24_000..=40_000).contains(&quantile(counts.clone(), 0.5)), "{}", quantile(counts.clone(), 0.5));
    assert!((160_000..=270_000).contains(&quantile(counts.clone(), 0.75)), "{}", quantile(counts, 0.75));
}

#[test]
fn ages_join_dates_and_countries_pile_up_as_real_ones() {
    let users = made(Stream::User);
    let joined = |year: &'static str| move |user: &Value| user["date_joined"].as_str().unwrap().starts_with(year);
    assert_near(share(users, |user| user["age"] == 20), 2072.0 / 10_649.0, 0.03, "age 20");
    assert_near(share(users, |user| user["age"].as_u64() > Some(50)), 948.0 / 10_649.0, 0.02, "over 50");
    assert_near(share(users, joined("2015")), 4374.0 / 10_649.0, 0.03, "joined in 2015");
    assert_near(share(users, joined("2016")), 4533.0 / 10_649.0, 0.03, "joined in 2016");
    assert_near(share(users, joined("2017")), 1742.0 / 10_649.0, 0.03, "joined in 2017");
    assert!(users.iter().all(|user| (20..=60).contains(&user["age"].as_u64().unwrap())));

    let geos = made(Stream::Geo);
    let with_a = share(geos, |geo| geo["country"].as_str().unwrap().starts_with('A'));
    assert_near(with_a, 3936.0 / 10_699.0, 0.05, "countries with A");
    let countries: std::collections::HashSet<&str> = geos.iter().map(|geo| geo["country"].as_str().unwrap()).collect();
    assert_eq!(countries.len(), 243);
}

#[test]
fn times_cover_their_five_years_in_both_forms() {
    let geos = made(Stream::Geo);
    let times: Vec<&str> = geos.iter().map(|geo| geo["timestamp"].as_str().unwrap()).collect();
    assert!(times.iter().all(|time| ("2017-10-19"..="2022-10-19T23").contains(time)));
    for (year, real) in [("2017", 412.0), ("2018", 2204.0), ("2020", 2083.0), ("2022", 1749.0)] {
        let found = times.iter().filter(|time| time.starts_with(year)).count() as f64 / INDS as f64;
        assert_near(found, real / 10_699.0, 0.015, year);
    }
    let with_t = times.iter().filter(|time| time.as_bytes()[10] == b'T').count() as f64 / INDS as f64;
    assert_near(with_t, 0.5, chance(0.5), "times with T");
}

#[test]
fn texts_hold_what_real_ones_hold() {
    let pins = made(Stream::Pin);
    let told: Vec<Value> = pins.iter().filter(|pin| pin["is_image_or_video"] == "image").cloned().collect();
    let description = |holds: fn(&str) -> bool| share(&told, |pin| holds(pin["description"].as_str().unwrap()));
    assert_near(description(|text| text.ends_with("…\u{a0}")), 0.39, 0.02, "descriptions cut short");
    assert_near(description(|text| text.chars().any(|c| c > '\u{ffff}')), 0.0068, 0.002, "astral characters");
    assert_near(description(|text| text.contains('"')), 0.028, 0.008, "quotes");
    assert_near(share(&told, |pin| pin["title"].as_str().unwrap().contains('|')), 0.07, 0.05, "titles with |");
    assert!(share(&told, is("title", "")) > 0.0, "no empty title");
    let titles = told.iter().map(|pin| pin["title"].as_str().unwrap().chars().count() as u64).collect();
    assert!((44..=54).contains(&quantile(titles, 0.5)), "titles have about 50 characters");
    let tags = |count: usize| share(&told, |pin| pin["tag_list"].as_str().unwrap().split(',').count() == count);
    assert_near(tags(9), 0.99, 0.01, "nine tags");
    assert!(tags(8) > 0.0);
}

#[test]
fn messages_have_the_sizes_of_real_ones() {
    let config = config(11, INDS);
    for (stream, real) in [(Stream::Pin, 720), (Stream::Geo, 112), (Stream::User, 101)] {
        let sizes = lines(&text(&config, stream, 0..10_000)).map(|line| line.len() as u64).collect();
        let median = quantile(sizes, 0.5);
        assert!(
            (real * 92 / 100..=real * 108 / 100).contains(&median),
            "{stream}: median {median} B, {real} B in real posts"
        );
    }
}
