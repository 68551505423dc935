//! Questions that are added to a run whose tables are in a bucket.

use pinflow_testkit::objects::proxy::{StoreFault, StoreProxy};
use pinflow_testkit::objects::site::{ObjectsSite, TABLES_PREFIX};
use pinflow_testkit::objects::{skipped, store};
use pinflow_testkit::serving::ServingRun;
use pinflow_testkit::wait_until;
use serde_json::json;

const TITLES: &str = "SELECT length(title) AS letters, count(*) AS pins FROM pin GROUP BY 1 ORDER BY 1";

fn start(site: &ObjectsSite) -> ServingRun {
    let nothing = "/dev/null";
    let env = [
        ("AWS_ACCESS_KEY_ID", store::ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", nothing),
        ("AWS_SHARED_CREDENTIALS_FILE", nothing),
    ];
    let serving = ServingRun::start_with(site.place.path(), &site.config(), &[], &env);
    wait_until("it answers", || serving.http.get("/answers").status == 200);
    serving
}

#[test]
fn added_question_is_kept_in_the_bucket_despite_lost_replies_and_failures() {
    if skipped() {
        return;
    }
    let proxy = StoreProxy::start(store::port());
    let site = ObjectsSite::new(200, &proxy.endpoint());
    site.configure(60, "follow = true\n[serve]\nlisten = \"127.0.0.1:0\"\nquestions = true");
    let serving = start(&site);
    serving.wait_until_read(600);
    let post = |serving: &ServingRun, query: &str, sql: &str| {
        let reply = serving.http.send("POST", &format!("/questions?{query}"), &[], sql.as_bytes());
        (reply.status, reply.json()["error"].clone())
    };
    let keys = || site.bucket.keys(&format!("{TABLES_PREFIX}/questions"));
    let path = format!("{TABLES_PREFIX}/questions/");

    // Stored, but the reply says otherwise: the retry finds its own file.
    proxy.plan(("PUT", &path), StoreFault::StoredBroken, 0, 1);
    assert_eq!(post(&serving, "name=mine", TITLES).0, 202);
    assert_eq!(proxy.clear_faults(), 0, "the fault did not happen");
    wait_until("it is live", || serving.http.get("/answers/mine").status == 200);
    let rows = serving.http.json("/answers/mine")["rows"].clone();
    assert!(!rows.as_array().unwrap().is_empty());
    // The file of a question of the same name and text is not taken for its own.
    assert_eq!(post(&serving, "name=mine", TITLES), (409, json!("name_in_use")));
    assert_eq!(keys().len(), 1);

    // Not stored: nothing changes.
    proxy.plan(("PUT", &path), StoreFault::Broken(500), 0, 1_000);
    assert_eq!(post(&serving, "name=other", TITLES), (503, json!("storage")));
    assert_eq!(post(&serving, "name=mine&replace=true", "SELECT count(*) AS n FROM geo"), (503, json!("storage")));
    proxy.clear_faults();
    assert_eq!(serving.http.json("/answers/mine")["rows"], rows);
    assert_eq!(serving.http.get("/questions/other").status, 404);
    serving.stop();

    let again = start(&site);
    assert_eq!(again.http.json("/answers/mine")["rows"], rows);
    assert_eq!(again.http.send("DELETE", "/questions/mine", &[], b"").status, 202);
    assert_eq!(keys(), Vec::<String>::new());
    wait_until("it is gone", || again.http.get("/answers/mine").status == 404);
    again.stop();
}
