//! Rows per second from bytes, on one core. All parsers are measured in one run, so that their ratios hold on any
//! machine.
//!
//! `serde_json` parses into structs of `Cow<str>` and cleans nothing. `general` and `expecting` are the complete
//! [`MessageParser`] without and with field prediction: UTF-8, JSON, duplicate keys, cleaning, counts.

use std::borrow::Cow;
use std::hint::black_box;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use pinflow_dataflows::ingest::{MessageLimits, MessageParser, RowSink, StreamHint};
use pinflow_dataflows::record::{Geo, Lineage, Pin, Stream, User};
use pinflow_dataflows::rejection::Rejection;
use pinflow_dataflows::symbol::Symbol;
use serde::Deserialize;

const MESSAGES: usize = 256;

fn main() {
    divan::main();
}

/// Messages with the sizes and escapes of real streams.
fn sample_messages(stream: Stream) -> Vec<Vec<u8>> {
    (0..MESSAGES).map(|n| sample_message(stream, n).into_bytes()).collect()
}

fn sample_message(stream: Stream, n: usize) -> String {
    let category = ["art", "beauty", "home-decor", "mens-fashion", "travel"][n % 5];
    let (year, day, second) = (2018 + n % 5, 1 + n % 28, n % 60);
    match stream {
        Stream::Pin => {
            // Every twentieth text holds an escape, many end in an ellipsis and a no-break space.
            let quote = if n.is_multiple_of(20) { "\\\"calm\\\"" } else { "calm" };
            let end = if n.is_multiple_of(2) { "…\u{a0}" } else { "." };
            let tags = ["Small Canvas Ideas"; 9].join(",");
            let about =
                "Bright rooms and quiet corners, gathered over many weekends with things that were there. ".repeat(2);
            format!(
                r#"{{"index":{n},"unique_id":"9b2f0c1e-{n:04}-4a6d-8e1f-3c5a7d9e0b42","title":"{n} ideas for a {quote} {category} corner","description":"{about}{end}","poster_name":"Poster {n}","follower_count":"{}k","tag_list":"{tags}","is_image_or_video":"image","image_src":"https://images.example/originals/{n:06}/0123456789abcdef.jpg","downloaded":1,"save_location":"Local save in /data/{category}","category":"{category}"}}"#,
                n % 900
            )
        }
        Stream::Geo => format!(
            r#"{{"ind":{n},"timestamp":"{year}-06-{day:02}T03:52:{second:02}","latitude":-{}.{n:04},"longitude":{}.{n:04},"country":"Country {}"}}"#,
            n % 90,
            n % 180,
            n % 243
        ),
        Stream::User => format!(
            r#"{{"ind":{n},"first_name":"First{}","last_name":"Last{}","age":{},"date_joined":"2015-10-{day:02}T11:23:{second:02}"}}"#,
            n % 300,
            n % 700,
            20 + n % 40
        ),
    }
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed to be measured")]
struct RawPin<'a> {
    index: u64,
    #[serde(borrow)]
    unique_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    title: Option<Cow<'a, str>>,
    #[serde(borrow)]
    description: Option<Cow<'a, str>>,
    #[serde(borrow)]
    poster_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    follower_count: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tag_list: Option<Cow<'a, str>>,
    #[serde(borrow)]
    is_image_or_video: Option<Cow<'a, str>>,
    #[serde(borrow)]
    image_src: Option<Cow<'a, str>>,
    downloaded: u8,
    #[serde(borrow)]
    save_location: Option<Cow<'a, str>>,
    #[serde(borrow)]
    category: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed to be measured")]
struct RawGeo<'a> {
    ind: u64,
    #[serde(borrow)]
    timestamp: Option<Cow<'a, str>>,
    latitude: f64,
    longitude: f64,
    #[serde(borrow)]
    country: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed to be measured")]
struct RawUser<'a> {
    ind: u64,
    #[serde(borrow)]
    first_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    last_name: Option<Cow<'a, str>>,
    age: u8,
    #[serde(borrow)]
    date_joined: Option<Cow<'a, str>>,
}

/// Reads every row and keeps none.
struct CountingSink;

impl RowSink for CountingSink {
    fn pin(&mut self, _: Lineage, row: &Pin<'_>) {
        black_box(row);
    }

    fn geo(&mut self, _: Lineage, row: &Geo<'_>) {
        black_box(row);
    }

    fn user(&mut self, _: Lineage, row: &User<'_>) {
        black_box(row);
    }

    fn rejected(&mut self, _: Lineage, _: Option<Stream>, rejection: &Rejection, _: &[u8]) {
        unreachable!("{rejection}");
    }
}

fn bench_messages(bencher: Bencher<'_, '_>, stream: Stream, mut read: impl FnMut(&[u8])) {
    let messages = sample_messages(stream);
    let bytes: usize = messages.iter().map(Vec::len).sum();
    bencher.counter(ItemsCount::new(MESSAGES)).counter(BytesCount::new(bytes)).bench_local(|| {
        for message in &messages {
            read(black_box(message));
        }
    });
}

fn decode_utf8(message: &[u8]) -> &str {
    simdutf8::basic::from_utf8(message).expect("made of text")
}

#[divan::bench(args = [Stream::Pin, Stream::Geo, Stream::User])]
fn serde_json(bencher: Bencher<'_, '_>, stream: Stream) {
    fn parse<'a, T: Deserialize<'a>>(message: &'a [u8]) {
        drop(black_box(::serde_json::from_str::<T>(decode_utf8(message)).expect("made of JSON")));
    }
    match stream {
        Stream::Pin => bench_messages(bencher, stream, |message| parse::<RawPin<'_>>(message)),
        Stream::Geo => bench_messages(bencher, stream, |message| parse::<RawGeo<'_>>(message)),
        Stream::User => bench_messages(bencher, stream, |message| parse::<RawUser<'_>>(message)),
    }
}

fn ingest(bencher: Bencher<'_, '_>, stream: Stream, stream_hint: StreamHint, mut ingest: MessageParser) {
    let source = Symbol::new("recording/bench.jsonl");
    let lineage = Lineage { arrived_at: None, source, position: 1.into(), sub: 0 };
    bench_messages(bencher, stream, |message| {
        ingest.parse_message(stream_hint, Some(message), lineage, &mut CountingSink);
    });
}

#[divan::bench(args = [Stream::Pin, Stream::Geo, Stream::User])]
fn general(bencher: Bencher<'_, '_>, stream: Stream) {
    ingest(bencher, stream, StreamHint::Only(stream), MessageParser::without_prediction(MessageLimits::default()));
}

#[divan::bench(args = [Stream::Pin, Stream::Geo, Stream::User])]
fn expecting(bencher: Bencher<'_, '_>, stream: Stream) {
    ingest(bencher, stream, StreamHint::Only(stream), MessageParser::new(MessageLimits::default()));
}

#[divan::bench(args = [Stream::Pin, Stream::Geo, Stream::User])]
fn expecting_auto(bencher: Bencher<'_, '_>, stream: Stream) {
    ingest(bencher, stream, StreamHint::Auto, MessageParser::new(MessageLimits::default()));
}
