//! While records arrive, the answers of every epoch equal a batch query over exactly the records of that epoch.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use pinflow::dataflows::graph::GraphOptions;
use pinflow::dataflows::ingest::{MessageLimits, MessageParser, RowSink, StreamHint};
use pinflow::dataflows::questions::{Question, QuestionSet};
use pinflow::dataflows::record::{Geo, Lineage, Pin, Stream, User};
use pinflow::dataflows::rejection::Rejection;
use pinflow::dataflows::symbol::Symbol;
use serde_json::Value;

use pinflow_testkit::http_client::HttpClient;
use pinflow_testkit::oracle::SqlOracle;
use pinflow_testkit::serving::ServingRun;
use pinflow_testkit::{create_temp_dir, emit};

/// Number of answers to observe. Each request returns all of them.
const OBSERVED_ANSWERS: usize = 100_000;
const READER_COUNT: usize = 2;

/// Inserts cleaned rows into the oracle with the epoch of their arrival.
struct CutPoint<'a>(&'a SqlOracle, u64);

impl RowSink for CutPoint<'_> {
    fn pin(&mut self, lineage: Lineage, row: &Pin<'_>) {
        self.0.insert_pin(self.1, lineage, row);
    }
    fn geo(&mut self, lineage: Lineage, row: &Geo<'_>) {
        self.0.insert_geo(self.1, lineage, row);
    }
    fn user(&mut self, lineage: Lineage, row: &User<'_>) {
        self.0.insert_user(self.1, lineage, row);
    }
    fn rejected(&mut self, _: Lineage, _: Option<Stream>, _: &Rejection, _: &[u8]) {}
}

/// Cuts a recording at the positions of observed answers, and queries the batch engine at each cut.
struct BatchAnswers {
    oracle: SqlOracle,
    ingest: MessageParser,
    /// The lines of each file, and how many of them are in the oracle.
    files: BTreeMap<String, (Stream, Vec<Vec<u8>>, usize)>,
}

impl BatchAnswers {
    fn new(recording: &Path) -> BatchAnswers {
        let files = Stream::ALL.map(|stream| {
            let text = std::fs::read(recording.join(format!("{stream}.jsonl"))).unwrap();
            let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            (format!("recording/{stream}.jsonl"), (stream, lines, 0))
        });
        BatchAnswers {
            oracle: SqlOracle::default(),
            ingest: MessageParser::new(MessageLimits::default()),
            files: files.into_iter().collect(),
        }
    }

    /// Advances to the cut of an epoch.
    fn move_to(&mut self, epoch: u64, sources: &Value) {
        for source in sources.as_array().unwrap() {
            let name = source["source"].as_str().unwrap();
            let next: usize = source["position"].as_str().unwrap().parse().unwrap();
            let (stream, lines, read) = self.files.get_mut(name).unwrap();
            while *read + 1 < next {
                let position = *read as u64 + 1;
                let lineage =
                    Lineage { arrived_at: None, source: Symbol::new(name), position: position.into(), sub: 0 };
                let stream_hint = StreamHint::Only(*stream);
                self.ingest.parse_message(
                    stream_hint,
                    Some(&lines[*read]),
                    lineage,
                    &mut CutPoint(&self.oracle, epoch),
                );
                *read += 1;
            }
        }
    }

    fn query_answer(&self, question: &Question, epoch: u64) -> Vec<Value> {
        let rows = self.oracle.query_answer(question, GraphOptions::default(), epoch);
        rows.iter().map(|row| serde_json::to_value(row.with_columns(question.columns())).unwrap()).collect()
    }
}

/// Requests a path repeatedly, and returns its reply for each epoch.
fn observe_epochs(http: HttpClient, path: &str, done: &AtomicBool) -> BTreeMap<u64, Vec<u8>> {
    let mut kept = http.open_keep_alive();
    let mut seen: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let answers_per_reply = QuestionSet::built_in(GraphOptions::default()).len();
    let (mut count, mut last) = (0, Vec::new());
    while count < OBSERVED_ANSWERS / READER_COUNT || !done.load(Ordering::Relaxed) {
        let reply = kept.get(path);
        count += answers_per_reply;
        if reply.status == 503 {
            assert!(path.ends_with("durable") && seen.is_empty(), "{reply:?}");
            continue;
        }
        let body = reply.body;
        if body == last {
            continue;
        }
        let epoch = serde_json::from_slice::<Value>(&body).unwrap()["epoch"].as_u64().unwrap();
        // Within an epoch only the lag changes. The answers and their cut must stay the same.
        if let Some(before) = seen.get(&epoch) {
            assert_eq!(cut(before), cut(&body), "epoch {epoch} was shown in two ways");
        } else {
            seen.insert(epoch, body.clone());
        }
        last = body;
    }
    seen
}

/// The rows of every answer after each epoch that changed it, as the sum of its changes.
fn follow(http: HttpClient) -> BTreeMap<u64, BTreeMap<String, Vec<Value>>> {
    let mut shown: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut by_epoch = BTreeMap::new();
    for event in http.events("/changes", &[]) {
        let rows = shown.entry(event.data["answer"].as_str().unwrap().to_owned()).or_default();
        if event.kind == "snapshot" {
            *rows = event.data["rows"].as_array().unwrap().clone();
        } else {
            for gone in event.data["delete"].as_array().unwrap() {
                let at = rows.iter().position(|row| row == gone).expect("what goes is there");
                rows.remove(at);
            }
            rows.extend(event.data["insert"].as_array().unwrap().iter().cloned());
        }
        // The last event of an epoch has the id.
        if event.id.is_some() {
            by_epoch.insert(event.data["epoch"].as_u64().unwrap(), shown.clone());
        }
    }
    by_epoch
}

#[test]
fn answers_of_every_epoch_equal_a_batch_query_over_its_input() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 500, 1_800, 61, &["--malformed", "0.02"]);
    let config = place.path().join("flow.toml");
    let text = "[tables]\nurl = \"tables\"\ncommit_age_secs_max = 0.1\n[[source]]\nkind = \"recording\"\npath = \"recording\"\nfollow = true\nrate_per_sec = 1200\n[engine]\nepoch_ms = 20\n";
    std::fs::write(&config, text).unwrap();
    let serving = ServingRun::start(place.path(), &config, &[]);
    serving.wait_until_ready();
    let http = serving.http;
    let done = &AtomicBool::new(false);
    let (observed, streamed) = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..=READER_COUNT)
            .map(|reader| {
                // The last reader reads durable answers: the same answers of the same cuts, but later.
                let path = if reader < READER_COUNT { "/answers" } else { "/answers?read=durable" };
                scope.spawn(move || observe_epochs(http, path, done))
            })
            .collect();
        let follower = scope.spawn(|| follow(http));
        serving.wait_until_read(5_400);
        done.store(true, Ordering::Relaxed);
        let mut observed: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut seen: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        assert!(seen[READER_COUNT].len() > 10, "{} committed cuts were seen", seen[READER_COUNT].len());
        for seen in seen.drain(..) {
            for (epoch, body) in seen {
                let known = observed.entry(epoch).or_insert_with(|| body.clone());
                assert_eq!(cut(known), cut(&body), "epoch {epoch} was shown in two ways");
            }
        }
        serving.stop();
        (observed, follower.join().unwrap())
    });
    assert!(
        observed.len() > 50 && streamed.len() > 50,
        "{} epochs asked for, {} followed",
        observed.len(),
        streamed.len()
    );
    let mut batch = BatchAnswers::new(&recording);
    let mut compared = 0;
    for (epoch, body) in &observed {
        let shown: Value = serde_json::from_slice(body).unwrap();
        batch.move_to(*epoch, &shown["sources"]);
        // The changes up to here: the last epoch with changes.
        let followed = streamed.range(..=epoch).next_back();
        for ((_, question), answer) in
            QuestionSet::built_in(GraphOptions::default()).iter().zip(shown["answers"].as_array().unwrap())
        {
            let expected = batch.query_answer(question, *epoch);
            assert_eq!(answer["rows"].as_array().unwrap(), &expected, "{} at epoch {epoch}", question.name);
            if let Some((_, followed)) = followed {
                let mut rows = followed[question.name.as_str()].clone();
                let mut expected = expected;
                rows.sort_by_key(ToString::to_string);
                expected.sort_by_key(ToString::to_string);
                assert_eq!(rows, expected, "{} followed to epoch {epoch}", question.name);
                compared += 1;
            }
        }
    }
    assert!(compared > 500, "{compared} answers were compared with the stream");
}

/// The parts of a reply that must be the same whenever an epoch is shown.
fn cut(body: &[u8]) -> (Cow<'static, str>, Value) {
    let mut shown: Value = serde_json::from_slice(body).unwrap();
    let answers = shown["answers"].take();
    let positions =
        shown["sources"].as_array().unwrap().iter().map(|of| of["position"].to_string()).collect::<Vec<_>>();
    (Cow::Owned(positions.join(",")), answers)
}
