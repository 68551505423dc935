//! Commits with an unknown outcome: stored, but the response is an error, cut or missing. Or not stored, or stored
//! later. Every row is in the tables once, there is no extra version, and the run continues.

use pinflow_testkit::ledger::TABLES;
use pinflow_testkit::objects::proxy::{StoreFault, StoreProxy};
use pinflow_testkit::objects::site::{ObjectsSite, TABLES_PREFIX};
use pinflow_testkit::objects::{skipped, store};

/// Asserts that a run survives faults of each table after `passes` successful puts.
fn assert_survives(faults: &[(StoreFault, u32)], passes: u32, what: &str) {
    if skipped() {
        return;
    }
    for &(fault, times) in faults {
        for table in TABLES {
            let proxy = StoreProxy::start(store::port());
            let site = ObjectsSite::new(200, &proxy.endpoint());
            site.configure(60, "rate_per_sec = 1500");
            let path = format!("{TABLES_PREFIX}/{table}/{what}");
            proxy.plan(("PUT", &path), fault, passes, times);
            site.finish();
            assert_eq!(proxy.clear_faults(), 0, "{fault:?} of {table} did not happen");
        }
    }
}

#[test]
fn commit_stored_but_answered_with_an_error_is_applied_once() {
    assert_survives(&[(StoreFault::StoredBroken, 1), (StoreFault::StoredBroken, 9)], 3, "_delta_log/");
}

#[test]
fn commit_stored_but_disconnected_is_applied_once() {
    assert_survives(&[(StoreFault::StoredCut, 1)], 3, "_delta_log/");
}

#[test]
fn commit_stored_but_never_answered_is_applied_once() {
    assert_survives(&[(StoreFault::StoredHung, 1)], 3, "_delta_log/");
}

#[test]
fn delayed_commit_is_applied_once() {
    // Before the commit is looked up, and after it was put again.
    assert_survives(
        &[(StoreFault::Late(30), 1), (StoreFault::Late(600), 1), (StoreFault::Late(600), 7)],
        3,
        "_delta_log/",
    );
}

#[test]
fn commit_not_stored_is_retried_until_stored() {
    assert_survives(&[(StoreFault::Broken(500), 12), (StoreFault::Broken(503), 12)], 3, "_delta_log/");
}

#[test]
fn first_commits_with_unknown_outcome_are_applied_once() {
    let faults = [(StoreFault::StoredBroken, 1), (StoreFault::StoredCut, 1)];
    // The table's creation, and the fence.
    assert_survives(&faults, 0, "_delta_log/");
    assert_survives(&faults, 1, "_delta_log/");
}

#[test]
fn failed_data_file_put_is_retried() {
    assert_survives(
        &[(StoreFault::StoredBroken, 2), (StoreFault::StoredHung, 1), (StoreFault::Broken(503), 9)],
        2,
        "part-",
    );
}
