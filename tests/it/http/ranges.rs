//! Ranges and HEAD of answers: parts of one epoch fit together, and other programs read an answer by URL.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use pinflow_testkit::http_client::{HttpClient, HttpReply};
use pinflow_testkit::readers::python;
use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{create_temp_dir, emit, succeed, wait_until};

const CSV: &str = "/answers/popular_category_by_country?format=csv";

/// A run over a recording that is followed, with everything in it read.
fn serve(place: &Path) -> ServingRun {
    let recording = place.join("recording");
    emit(&recording, 300, 300, 17, &[]);
    let serving = ServingRun::start(place, &configure_followed_recording(place, &recording, ""), &[]);
    serving.wait_until_read(900);
    serving
}

fn get_range(http: &HttpClient, path: &str, range: &str, more: &[(&str, &str)]) -> HttpReply {
    http.get_with_headers(path, &[&[("range", range)][..], more].concat())
}

/// The head and the rest of the reply to a HEAD, until the server closes the connection.
fn head_reply(http: &HttpClient, path: &str) -> (String, Vec<u8>) {
    let mut stream = http.connect();
    let host = http.address;
    write!(stream, "HEAD {path} HTTP/1.1\r\nhost: {host}\r\nrange: bytes=0-0\r\nconnection: close\r\n\r\n").unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    (String::from_utf8(reply[..end].to_vec()).unwrap().to_lowercase(), reply[end + 4..].to_vec())
}

#[test]
fn parts_of_an_answer_are_those_of_the_whole_reply() {
    let place = create_temp_dir();
    let serving = serve(place.path());
    let http = serving.http;
    for path in [CSV, "/answers/popular_category_by_country", "/answers/users_joined_by_year?format=ndjson"] {
        let whole = http.get(path);
        let (len, tag) = (whole.body.len(), whole.headers["etag"].clone());
        assert_eq!(whole.headers["accept-ranges"], "bytes", "{path}");
        let mut put_together = Vec::new();
        for first in (0..len).step_by(100) {
            let part = get_range(&http, path, &format!("bytes={first}-{}", first + 99), &[("if-range", &tag)]);
            let last = (first + 99).min(len - 1);
            assert_eq!((part.status, &part.headers["etag"]), (206, &tag), "{path}");
            assert_eq!(part.headers["content-range"], format!("bytes {first}-{last}/{len}"), "{path}");
            assert_eq!(part.headers["content-type"], whole.headers["content-type"], "{path}");
            put_together.extend(part.body);
        }
        assert!(put_together == whole.body, "{path}");
        let end = get_range(&http, path, "bytes=-5", &[]);
        assert_eq!((end.status, &end.body[..]), (206, &whole.body[len - 5..]), "{path}");
        let after = get_range(&http, path, &format!("bytes={len}-"), &[]);
        assert_eq!((after.status, after.headers["content-range"].as_str()), (416, format!("bytes */{len}").as_str()));
        assert_eq!(after.json()["error"], "range_not_satisfiable");
        let several = get_range(&http, path, "bytes=0-1,4-5", &[]);
        assert_eq!((several.status, several.body), (200, whole.body), "{path}");
    }
    serving.stop();
}

#[test]
fn head_has_the_headers_of_the_whole_reply_and_no_body() {
    let place = create_temp_dir();
    let serving = serve(place.path());
    let whole = serving.http.get(CSV);
    let (head, body) = head_reply(&serving.http, CSV);
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    for line in [
        format!("content-length: {}", whole.body.len()),
        format!("etag: {}", whole.headers["etag"]),
        "accept-ranges: bytes".to_owned(),
        "content-type: text/csv".to_owned(),
    ] {
        assert!(head.contains(&line), "{line}: {head}");
    }
    assert_eq!(body, b"");
    serving.stop();
}

#[test]
fn part_of_a_later_epoch_is_never_taken_for_one_of_an_earlier_epoch() {
    let place = create_temp_dir();
    let serving = serve(place.path());
    let http = serving.http;
    let path = "/answers/users_joined_by_year?format=csv";
    let before = http.get(path);
    let tag = before.headers["etag"].as_str();
    let mut file = std::fs::OpenOptions::new().append(true).open(place.path().join("recording/user.jsonl")).unwrap();
    file.write_all(b"{\"ind\":999999,\"first_name\":\"A\",\"last_name\":\"B\",\"age\":20,\"date_joined\":\"2016-02-02T02:02:02\"}\n").unwrap();
    serving.wait_until_read(901);
    let after = http.get(path);
    assert_ne!(after.body, before.body);
    let ranged = get_range(&http, path, "bytes=0-9", &[("if-range", tag)]);
    assert_eq!((ranged.status, &ranged.body), (200, &after.body), "the whole new reply");
    let refused = get_range(&http, path, "bytes=0-9", &[("if-match", tag)]);
    assert_eq!((refused.status, refused.json()["error"].as_str()), (412, Some("changed")));
    let current = get_range(&http, path, "bytes=0-9", &[("if-match", &after.headers["etag"])]);
    assert_eq!((current.status, &current.body[..]), (206, &after.body[..10]));
    serving.stop();
}

#[test]
fn polars_pandas_and_duckdb_read_an_answer_by_url() {
    let Some(python) = python() else { return };
    let place = create_temp_dir();
    let serving = serve(place.path());
    let url = format!("http://{}", serving.http.address);
    // As docs/guides/bi-tools.md says it.
    let script = "\
import sys, polars, pandas, duckdb, duckdb_extensions
from urllib.request import urlopen
url = sys.argv[1] + '/answers/popular_category_by_country?format='
duckdb_extensions.import_extension('httpfs')
counts = [
    polars.read_csv(urlopen(url + 'csv').read()).height,
    polars.read_csv(url + 'csv').height,
    polars.scan_csv(url + 'csv').select(polars.len()).collect().item(),
    polars.scan_ndjson(url + 'ndjson').select(polars.len()).collect().item(),
    len(pandas.read_csv(url + 'csv')),
    duckdb.sql(f\"SELECT count(*) FROM read_csv('{url}csv')\").fetchone()[0],
    duckdb.sql(f\"SELECT count(*) FROM read_json('{url}ndjson', format = 'newline_delimited')\").fetchone()[0],
]
print(*counts)";
    let printed = succeed(Command::new(python).args(["-c", script, &url])).stdout;
    let rows = serving.http.json("/answers/popular_category_by_country")["rows"].as_array().unwrap().len();
    assert!(rows > 20);
    assert_eq!(String::from_utf8(printed).unwrap().trim(), vec![rows.to_string(); 7].join(" "));
    serving.stop();
}

#[test]
fn query_of_the_guide_joins_an_answer_with_a_table_in_duckdb() {
    let Some(python) = python() else { return };
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guides/bi-tools.md")).unwrap();
    let blocks = page.split("```sql\n").skip(1).filter_map(|block| block.split("```").next());
    let query = blocks.into_iter().find(|block| block.contains("read_csv('http://")).expect("a query of the guide");
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 300, 300, 17, &[]);
    let tables = "[tables]\nurl = \"tables\"\ncommit_age_secs_max = 0.1";
    let serving = ServingRun::start(place.path(), &configure_followed_recording(place.path(), &recording, tables), &[]);
    serving.wait_until_read(900);
    wait_until("all is committed", || {
        let status = serving.http.json("/status");
        status["tables"].as_array().unwrap().iter().filter(|table| table["rows"] == 300).count() == 3
    });
    let query = query
        .replace("INSTALL delta; LOAD delta; INSTALL httpfs; LOAD httpfs;", "")
        .replace("http://127.0.0.1:7461", &format!("http://{}", serving.http.address))
        .replace("data/quickstart", place.path().join("tables").to_str().unwrap());
    let script = "\
import sys, json, duckdb, duckdb_extensions
duckdb_extensions.import_extension('httpfs')
duckdb_extensions.import_extension('delta')
print(json.dumps(duckdb.sql(sys.argv[1]).fetchall()))";
    let printed = succeed(Command::new(python).args(["-c", script, &query])).stdout;
    let rows: Vec<(String, String, u64, u64)> = serde_json::from_slice(&printed).unwrap();
    let answer = serving.http.json("/answers/popular_category_by_country");
    assert_eq!(rows.len(), answer["rows"].as_array().unwrap().len());
    assert!(
        rows.iter().all(|(_, _, in_category, in_country)| 0 < *in_category && in_category <= in_country),
        "{rows:?}"
    );
    serving.stop();
}
