//! pinflow behind a real nginx with default settings: HTTP/1.0 upstream, buffered replies. Debian: `apt-get install
//! nginx-light`.
//!
//! `PINFLOW_SKIP_NGINX=1` skips the tests.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::page;
use pinflow_testkit::gateway::{JSON_CONTENT_TYPE, RunningGateway};
use pinflow_testkit::http_client::HttpClient;
use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{RunningProcess, create_temp_dir, emit, wait_until};

#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
fn skipped() -> bool {
    let skipped = std::env::var_os("PINFLOW_SKIP_NGINX").is_some_and(|skip| skip == "1");
    if skipped {
        eprintln!("PINFLOW_SKIP_NGINX=1: no request is sent through nginx");
    }
    skipped
}

fn nginx_program() -> PathBuf {
    let places = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"].map(PathBuf::from);
    let found = places.into_iter().find(|path| path.exists());
    found.expect("no nginx here: apt-get install nginx-light, or set PINFLOW_SKIP_NGINX=1")
}

/// An nginx that forwards requests. Stopped when dropped.
struct NginxProxy {
    _running: RunningProcess,
    http: HttpClient,
}

impl NginxProxy {
    /// Starts nginx with these locations. It only writes below `place`, so it needs no privileges.
    fn start(place: &Path, locations: &[(&str, String)]) -> NginxProxy {
        let folder = place.join("nginx");
        std::fs::create_dir(&folder).unwrap();
        // nginx cannot choose a free port itself.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        std::fs::write(folder.join("nginx.conf"), config(address, locations)).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(nginx_program());
        command.arg("-p").arg(&folder).args(["-c", "nginx.conf", "-e", "stderr"]);
        let mut running = RunningProcess::start(command.stdout(Stdio::null()).stderr(log));
        wait_until("nginx listens", || {
            let said = std::fs::read_to_string(folder.join("log")).unwrap();
            assert!(running.try_wait().is_none(), "nginx has ended: {said}");
            TcpStream::connect(address).is_ok()
        });
        NginxProxy { _running: running, http: HttpClient::new(address) }
    }
}

fn config(address: SocketAddr, locations: &[(&str, String)]) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|of| format!("{of}_temp_path {of};\n"));
    let locations: String =
        locations.iter().map(|(path, to)| format!("location {path} {{ proxy_pass {to}; }}\n")).collect();
    format!(
        "daemon off; master_process off; pid pid;\nevents {{}}\nhttp {{ access_log off;\n{}\
         server {{ listen {address};\n{locations}}} }}\n",
        temporary.concat()
    )
}

fn posts(place: &Path) -> (ServingRun, PathBuf) {
    let recording = place.join("recording");
    emit(&recording, 100, 100, 141, &[]);
    let serving = ServingRun::start(place, &configure_followed_recording(place, &recording, ""), &[]);
    serving.wait_until_read(300);
    (serving, recording)
}

#[test]
fn event_stream_behind_nginx_is_not_buffered() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let (serving, recording) = posts(place.path());
    let direct = format!("http://{}", serving.http.address);
    let proxy = NginxProxy::start(place.path(), &[("/", direct.clone()), ("/pinflow/", format!("{direct}/"))]);
    for path in ["/answers/users_joined_by_year/changes", "/pinflow/answers/users_joined_by_year/changes"] {
        let begun = Instant::now();
        let mut events = proxy.http.events(path, &[]);
        assert_eq!(events.next().unwrap().kind, "snapshot");
        // Before the first keep-alive, which would have flushed a buffer.
        assert!(begun.elapsed() < Duration::from_secs(14), "the snapshot was held back");
        let ind = if path.starts_with("/pinflow") { 9_000_001 } else { 9_000_002 };
        let row =
            json!({ "ind": ind, "first_name": "A", "last_name": "B", "age": 30, "date_joined": "2016-02-02T02:02:02" });
        let mut users = std::fs::OpenOptions::new().append(true).open(recording.join("user.jsonl")).unwrap();
        std::io::Write::write_all(&mut users, format!("{row}\n").as_bytes()).unwrap();
        assert_eq!(events.next().unwrap().kind, "change");
    }
    // All answers: every snapshot arrives completely.
    let mut events = proxy.http.events("/changes", &[]);
    let answers = serving.http.json("/answers")["answers"].as_array().unwrap().len();
    assert!((0..answers).all(|_| events.next().unwrap().kind == "snapshot"));
    drop(events);
    serving.stop();
}

#[test]
fn page_below_a_path_behind_nginx_loads_and_streams_changes() {
    if skipped() || page::skipped() {
        return;
    }
    let place = create_temp_dir();
    let (serving, _) = posts(place.path());
    let proxy = NginxProxy::start(place.path(), &[("/pinflow/", format!("http://{}/", serving.http.address))]);
    page::browse("subpath.mjs", &[&format!("http://{}/pinflow/", proxy.http.address)]);
    serving.stop();
}

#[test]
fn gateway_behind_nginx_accepts_records_and_health_checks() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let gateway = RunningGateway::start(place.path(), "recording = \"posts\"");
    let proxy = NginxProxy::start(place.path(), &[("/gateway/", format!("http://{}/", gateway.http.address))]);
    let body = json!({ "records": [{ "value": { "ind": 7, "country": "Chad" } }] }).to_string();
    let request = format!(
        "POST /gateway/topics/12ab.geo HTTP/1.1\r\nhost: posts.test\r\nconnection: close\r\ncontent-type: {JSON_CONTENT_TYPE}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let reply = proxy.http.raw(request.as_bytes());
    assert_eq!((reply.status, &reply.json()["offsets"][0]["offset"]), (200, &json!(0)), "{reply:?}");
    assert_eq!(proxy.http.get("/gateway/healthz").status, 200);
    let lines = std::fs::read_to_string(place.path().join("posts/geo.jsonl")).unwrap();
    let stored: serde_json::Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(stored, json!({ "ind": 7, "country": "Chad" }));
    gateway.stop();
}
