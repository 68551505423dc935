//! Tables follow the questions of a run.

use pinflow_testkit::postgres::PostgresServer;
use pinflow_testkit::wait_until;
use serde_json::json;

use super::{DatabaseSite, shown_cut, skips_postgres, wait_until_written};

const BY_CATEGORY: &str = "SELECT category, count(*) AS pins FROM pin GROUP BY category ORDER BY category";
const BY_COUNTRY: &str = "SELECT country, count(*) AS posts, max(timestamp) AS newest FROM geo GROUP BY country";

#[test]
fn question_that_is_added_replaced_and_dropped_has_its_tables() {
    if skips_postgres() {
        return;
    }
    let database = PostgresServer::shared().database();
    let site = DatabaseSite::new(&database, "[serve]\nlisten = \"127.0.0.1:0\"\nquestions = true");
    site.grow_to(0.5);
    let serving = site.serve();
    serving.wait_until_ready();
    let post = |query: &str, sql: &str| serving.http.send("POST", &format!("/questions?{query}"), &[], sql.as_bytes());
    let mine = ["mine".to_owned()];
    let shows = |column: &str, is_there: bool| {
        let sql = format!(
            "SELECT count(*)::text FROM information_schema.columns WHERE table_name = 'mine' AND column_name = '{column}'"
        );
        wait_until("the table has the columns of the question", || {
            database.value(&sql).as_deref() == Some(if is_there { "1" } else { "0" })
        });
    };
    assert_eq!(post("name=mine", BY_CATEGORY).status, 202);
    shows("pins", true);
    wait_until_written(&serving, &database, &mine);
    database.sql("GRANT SELECT ON pinflow.mine TO PUBLIC");
    assert_eq!(post("name=mine&replace=true", BY_COUNTRY).status, 202);
    shows("newest", true);
    shows("pins", false);
    site.grow_to(0.8);
    let sum = "SELECT sum(posts)::text FROM pinflow.mine";
    wait_until("the new answer is written", || database.value(sum).is_some());
    wait_until("changes add up to it", || {
        shown_cut(&database, &mine).is_some_and(|cut| cut.answers["mine"] == cut.sums["mine"] && !cut.sums.is_empty())
    });
    let granted = "SELECT count(*)::text FROM information_schema.role_table_grants WHERE table_name = 'mine' AND grantee = 'PUBLIC'";
    assert_eq!(database.value(granted).as_deref(), Some("1"), "the table keeps its privileges");
    // A column that no table can have is refused.
    let refused = post("name=other", "SELECT count(*) AS ctid FROM pin");
    assert_eq!((refused.status, &refused.json()["error"]), (409, &json!("refused")), "{}", refused.text());

    assert_eq!(serving.http.send("DELETE", "/questions/mine", &[], b"").status, 202);
    wait_until("it is gone", || serving.http.get("/answers/mine").status == 404);
    // What came before the drop may still be on its way to the database, until a later cut is there.
    let dropped_by = serving.http.json("/answers")["epoch"].as_u64().unwrap();
    site.grow_to(0.9);
    wait_until("a cut after the drop is written", || {
        let epoch = database.value("SELECT epoch::text FROM pinflow.pinflow_cut");
        epoch.is_some_and(|epoch| epoch.parse::<u64>().unwrap() > dropped_by)
    });
    let before = database.value(sum);
    site.grow_to(1.0);
    wait_until_written(&serving, &database, &super::built_in_names());
    assert!(before.is_some() && database.value(sum) == before, "the table of a dropped question stays as it is");
    serving.stop();
}
