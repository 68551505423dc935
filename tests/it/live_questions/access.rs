//! Who may change questions, and what is refused.

use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use serde_json::{Value, json};

use super::{Site, question, wait_until_durable};

const COUNT: &str = "SELECT count(*) AS pins FROM pin";

#[test]
fn questions_are_changed_only_if_allowed_with_the_admin_token_and_from_the_own_page() {
    let site = Site::new(50, 100);
    let fixed = configure_followed_recording(site.path(), &site.path().join("posts"), "");
    let serving = ServingRun::start(site.path(), &fixed, &[]);
    serving.wait_until_ready();
    for (method, path) in [("POST", "/questions?name=mine"), ("DELETE", "/questions/mine")] {
        let reply = serving.http.send(method, path, &[], COUNT.as_bytes());
        assert_eq!((reply.status, &reply.json()["error"]), (403, &json!("questions_are_fixed")), "{method}");
    }
    let listed = serving.http.json("/questions");
    assert_eq!(json!([listed["editing"], listed["trying"]]), json!([false, false]));
    assert!(listed["questions"].as_array().unwrap().iter().all(|of| of["editable"] == false));
    serving.stop();

    let tokens = "[serve]\nlisten = \"127.0.0.1:0\"\nquestions = true\ntokens = { read = \"env:READ\", admin = \"env:ADMIN\" }\n";
    let guarded = configure_followed_recording(site.path(), &site.path().join("posts"), tokens);
    let serving = ServingRun::start_with(site.path(), &guarded, &[], &[("READ", "r-token"), ("ADMIN", "a-token")]);
    let bearer = |token: &str| format!("Bearer {token}");
    let (read, admin, other) = (bearer("r-token"), bearer("a-token"), bearer("other"));
    let get = |path: &str| serving.http.get_with_headers(path, &[("authorization", &read)]);
    pinflow_testkit::wait_until("it is ready", || get("/readyz").status == 200);
    let post = |name: &str, headers: &[(&str, &str)]| {
        serving.http.send("POST", &format!("/questions?name={name}"), headers, COUNT.as_bytes()).status
    };
    assert_eq!(post("mine", &[]), 401);
    assert_eq!(post("mine", &[("authorization", &other)]), 401);
    assert_eq!(post("mine", &[("authorization", &read)]), 403);
    let own = format!("http://{}", serving.http.address);
    let from_browser = |origin: &str| post("mine", &[("authorization", &admin), ("origin", origin)]);
    assert_eq!(from_browser("http://evil.test"), 403);
    assert_eq!(from_browser("null"), 403);
    assert_eq!(post("mine", &[("authorization", &admin), ("sec-fetch-site", "same-origin")]), 403);
    assert_eq!(get("/questions/mine").status, 404);
    assert_eq!(from_browser(&own), 202);
    assert_eq!(post("other", &[("authorization", &admin)]), 202);
    let delete = |headers: &[(&str, &str)]| serving.http.send("DELETE", "/questions/mine", headers, b"").status;
    assert_eq!(delete(&[("authorization", &read)]), 403);
    assert_eq!(delete(&[("authorization", &admin), ("origin", "http://evil.test")]), 403);
    assert_eq!(delete(&[("authorization", &admin)]), 202);
    // Without tables it ends with the run, and the reply says so.
    let accepted = serving.http.send("POST", "/questions?name=third", &[("authorization", &admin)], COUNT.as_bytes());
    assert_eq!(accepted.json()["stored"], false);
    serving.stop();
}

#[test]
fn refused_question_changes_nothing_and_the_error_says_what_to_do() {
    let site = Site::new(50, 100);
    let config = site.configure("[[question]]\nname = \"fixed\"\nsql = \"SELECT count(*) AS n FROM geo\"\n");
    let serving = ServingRun::start(site.path(), &config, &[]);
    wait_until_durable(&serving, site.arrived());
    let http = serving.http;
    let post = |query: &str, sql: &str| http.send("POST", &format!("/questions?{query}"), &[], sql.as_bytes());
    assert_eq!(post("name=mine", COUNT).status, 202);
    pinflow_testkit::wait_until("it is live", || http.get("/answers/mine").status == 200);
    let before = http.json("/questions")["questions"].as_array().unwrap().len();

    let wrong = post("name=wrong", "SELECT follower_cnt,\n  now() AS at\nFROM pin");
    assert_eq!((wrong.status, &wrong.json()["error"]), (400, &json!("invalid_question")));
    let problems = wrong.json()["problems"].clone();
    let places: Vec<Value> =
        problems.as_array().unwrap().iter().map(|of| json!([of["line"], of["column"], of["length"]])).collect();
    assert_eq!(places[0], json!([1, 8, 12]), "{problems}");
    assert!(places.len() == 2 && places[1][0] == 2 && places[1][1] == 3, "{problems}");
    assert!(problems[0]["message"].as_str().unwrap().contains("`follower_count`"), "{problems}");

    let large = "x".repeat((64 << 10) + 1);
    for (query, sql, status, error) in [
        ("name=a-b", COUNT, 400, "bad_request"),
        ("", COUNT, 400, "bad_request"),
        ("name=x&colour=red", COUNT, 400, "bad_request"),
        ("name=x", " \n", 400, "bad_request"),
        ("name=x", large.as_str(), 413, "too_large"),
        ("name=mine", COUNT, 409, "name_in_use"),
        ("name=MINE", COUNT, 409, "name_in_use"),
        ("name=fixed", COUNT, 409, "name_in_use"),
        ("name=fixed&replace=true", COUNT, 409, "not_editable"),
        ("name=users_joined_by_year&replace=true", COUNT, 409, "not_editable"),
        ("name=nothing&replace=true", COUNT, 404, "unknown_question"),
    ] {
        let reply = post(query, sql);
        assert_eq!((reply.status, reply.json()["error"].as_str()), (status, Some(error)), "{query}: {}", reply.text());
    }
    let delete = |name: &str| http.send("DELETE", &format!("/questions/{name}"), &[], b"").status;
    assert_eq!(["nothing", "fixed", "users_joined_by_year"].map(delete), [404, 409, 409]);
    assert_eq!(http.json("/questions")["questions"].as_array().unwrap().len(), before);
    let stored: Vec<_> = std::fs::read_dir(site.path().join("data/questions")).unwrap().collect();
    assert_eq!(stored.len(), 1);

    // The command line prints the same problems as `question explain`, and exits with 2.
    let file = site.write_sql("wrong", "SELECT follower_cnt,\n  now() AS at\nFROM pin");
    let (code, _, stderr) = question(&serving, &["add", file.to_str().unwrap()]);
    assert!(code == 2 && stderr.contains("wrong: 2 problems") && stderr.contains("^^^^^^^^^^^^"), "{stderr}");

    // Explaining and trying change nothing.
    let explained = post("dry_run=true", "SELECT category, max(length(title)) AS n FROM pin GROUP BY 1");
    assert_eq!((explained.status, &explained.json()["columns"][1]["name"]), (200, &json!("n")));
    assert_eq!(explained.json()["memory"]["held_for_it"][0]["column"], "pin.title");
    let sql = "SELECT category, count(*) AS n FROM pin GROUP BY 1 ORDER BY n DESC";
    let tried = post("try=true&limit=3", sql);
    assert_eq!(tried.status, 200, "{}", tried.text());
    let whole = site.tried_rows(sql, "latest");
    let first: Vec<_> = whole.as_array().unwrap().iter().take(3).cloned().collect();
    assert_eq!(
        (&tried.json()["rows"], &tried.json()["rows_total"]),
        (&json!(first), &json!(whole.as_array().unwrap().len()))
    );
    assert_eq!(http.json("/questions")["questions"].as_array().unwrap().len(), before);
    serving.stop();
}

#[test]
fn column_that_is_not_held_is_refused_without_tables() {
    let site = Site::new(50, 100);
    let more = "[serve]\nlisten = \"127.0.0.1:0\"\nquestions = true\n";
    let config = configure_followed_recording(site.path(), &site.path().join("posts"), more);
    for (flags, sql, reason) in [
        (&[][..], "SELECT max(length(title)) AS longest FROM pin", "pin.title"),
        (&["--duplicates", "keep"], COUNT, "duplicates = \"keep\""),
    ] {
        let serving = ServingRun::start(site.path(), &config, flags);
        serving.wait_until_ready();
        let reply = serving.http.send("POST", "/questions?name=mine", &[], sql.as_bytes());
        assert_eq!((reply.status, &reply.json()["error"]), (409, &json!("refused")), "{}", reply.text());
        let message = reply.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(reason) && message.contains("[tables]"), "{message}");
        serving.stop();
    }
}
