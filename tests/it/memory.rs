//! Memory that a sender can occupy: texts are bounded, and one limit covers all of it.

use std::fmt::Write as _;
use std::path::Path;

use pinflow_testkit::serving::ServingRun;
use pinflow_testkit::{create_temp_dir, last_snapshot, pinflow, succeed};

/// Writes a recording: one pin per category, each joined with a geo post of one country.
fn record_categories(folder: &Path, categories: &[String]) {
    std::fs::create_dir_all(folder).unwrap();
    let (mut pins, mut geos) = (String::new(), String::new());
    for (ind, category) in categories.iter().enumerate() {
        writeln!(pins, "{}", serde_json::json!({"index": ind, "unique_id": "u", "category": category})).unwrap();
        let geo = serde_json::json!({"ind": ind, "timestamp": "2020-08-28T03:52:47", "latitude": 1.5,
            "longitude": 2.5, "country": "Chad"});
        writeln!(geos, "{geo}").unwrap();
    }
    std::fs::write(folder.join("pin.jsonl"), pins).unwrap();
    std::fs::write(folder.join("geo.jsonl"), geos).unwrap();
}

fn configure(place: &Path, engine: &str) -> std::path::PathBuf {
    let config = place.join("run.toml");
    let text = format!(
        "[[source]]\nkind = \"recording\"\npath = \"recording\"\n[tables]\nurl = \"tables\"\n\
         [questions]\ntop = \"all\"\n[engine]\n{engine}\n"
    );
    std::fs::write(&config, text).unwrap();
    config
}

#[test]
fn stored_text_beyond_limit_is_null_in_answers_after_restart() {
    let place = create_temp_dir();
    let (short, long) = ("s".repeat(1_024), "l".repeat(1_025));
    record_categories(&place.path().join("recording"), &[short.clone(), long.clone()]);
    let categories = |config: &Path| {
        let output = succeed(pinflow(["run"]).arg(config));
        let listed = last_snapshot(&output.stdout).answers["popular_category_by_country"].clone();
        let names: Vec<String> = listed.iter().map(|row| row["category"].as_str().unwrap().to_owned()).collect();
        (names, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (both, said) = categories(&configure(place.path(), "text_bytes_max = 2000"));
    assert_eq!(both, [long, short.clone()]);
    assert!(!said.contains("text_bytes_max"), "{said}");
    let (one, said) = categories(&configure(place.path(), ""));
    assert_eq!(one, [short], "the answers are those of the limit that holds now");
    assert!(said.contains("count as null in the answers"), "{said}");
    // The stored rows stay as they are.
    let (both, _) = categories(&configure(place.path(), "text_bytes_max = 2000"));
    assert_eq!(both.len(), 2);
}

/// Writes a compressed recording of pins, each with a category and a poster of a thousand bytes that no other pin has.
/// Compressed, since these texts are mostly zeros.
fn record_long_texts(folder: &Path, pins: u64, ind: impl Fn(u64) -> u64) {
    std::fs::create_dir_all(folder).unwrap();
    let file = std::fs::File::create(folder.join("pin.jsonl.gz")).unwrap();
    let mut lines = std::io::BufWriter::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
    for number in 0..pins {
        let ind = ind(number);
        let line =
            format!("{{\"index\":{ind},\"category\":\"c{number:01000}\",\"poster_name\":\"p{number:01000}\"}}\n");
        std::io::Write::write_all(&mut lines, line.as_bytes()).unwrap();
    }
    lines.into_inner().unwrap().finish().unwrap();
}

fn count_written_rows(stdout: &[u8]) -> u64 {
    last_snapshot(stdout).cut["sources"].as_array().unwrap().iter().map(|one| one["written"].as_u64().unwrap()).sum()
}

#[test]
fn run_above_memory_max_ends_with_rows_committed_and_reports_memory_use() {
    const PINS: u64 = 120_000;
    let place = create_temp_dir();
    record_long_texts(&place.path().join("recording"), PINS, |number| number);
    // 240 MB of texts that are all in use.
    let config = configure(place.path(), "memory_max = \"160MiB\"");
    let output = pinflow(["run"]).arg(&config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in ["sources pause", "[engine] memory_max is 160.0 MiB", "texts take", "restart resumes there", "Raise"] {
        assert!(said.contains(words), "it says `{words}`: {said}");
    }
    let first = count_written_rows(&output.stdout);
    assert!(first > 0 && first < PINS, "it ended half-way: {first} rows");
    succeed(pinflow(["table", "--verify"]).arg(place.path().join("tables")));
    // With more memory the next run resumes where the first one ended. Nothing is lost or repeated.
    let config = configure(place.path(), "memory_max = \"4GiB\"");
    let second = count_written_rows(&succeed(pinflow(["run"]).arg(&config)).stdout);
    assert_eq!(first + second, PINS);
}

#[test]
fn texts_of_replaced_rows_are_freed_before_and_after_restart() {
    const PINS: u64 = 150_000;
    let place = create_temp_dir();
    record_long_texts(&place.path().join("recording"), PINS, |number| number % 7);
    // 300 MB of texts, of which 14 kB are in use at the end. The rest is for windows, blocks and what the allocator keeps.
    let config = configure(place.path(), "memory_max = \"384MiB\"");
    assert_eq!(count_written_rows(&succeed(pinflow(["run"]).arg(&config)).stdout), PINS);
    let again = succeed(pinflow(["run"]).arg(&config));
    assert_eq!(count_written_rows(&again.stdout), 0, "all rows are read back, within the same limit");
}

/// The interned texts of a run: their number, and their bytes.
fn held_texts(serving: &ServingRun) -> (u64, u64) {
    let status = serving.http.json("/status");
    let figure = |name: &str| status["memory"][name].as_u64().unwrap();
    (figure("symbols"), figure("symbol_bytes"))
}

#[test]
fn restart_holds_only_texts_of_rows_that_count() {
    const PINS: u64 = 5_000;
    const INDS: u64 = 10;
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    let config = configure(place.path(), "");
    // Three partitions in three commits: rows of an `ind` are in files that are read back in parallel, and those of the
    // last commit are neither the oldest nor the newest.
    for file in ["pin-1", "pin-3", "pin-2"] {
        record_long_texts(&recording, PINS, |number| number % INDS);
        std::fs::rename(recording.join("pin.jsonl.gz"), recording.join(format!("{file}.jsonl.gz"))).unwrap();
        assert_eq!(count_written_rows(&succeed(pinflow(["run"]).arg(&config)).stdout), PINS);
    }
    // A category and a poster per `ind`. The others are names of sources, streams and age groups.
    let few = 2 * INDS..3 * INDS + 10;
    // On a loaded machine the sweep after a start can leave texts until the next one, so a few starts are tried.
    let mut held = (0, 0);
    for _ in 0..4 {
        let serving = ServingRun::start(place.path(), &config, &[]);
        serving.wait_until_ready();
        let start = std::time::Instant::now();
        while !few.contains(&held.0) && start.elapsed() < std::time::Duration::from_secs(15) {
            std::thread::sleep(std::time::Duration::from_millis(20));
            held = held_texts(&serving);
        }
        serving.stop();
        if few.contains(&held.0) {
            break;
        }
    }
    let (texts, bytes) = held;
    assert!(few.contains(&texts) && bytes < 1 << 20, "{texts} texts take {bytes} bytes");
}
