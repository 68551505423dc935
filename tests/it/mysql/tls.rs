//! TLS to a database, with the modes of the MySQL client.

use super::{EndedRun, run_with, skipped};
use pinflow_testkit::certificates::TestCertificates;
use pinflow_testkit::create_temp_dir;
use pinflow_testkit::mysql::{MysqlServer, PASSWORD};

fn emit_from(url: &str, environment: &[(&str, &str)]) -> EndedRun {
    let arguments = ["emit", "--from", url, "--to", "-", "--count", "1", "--rate", "1000"];
    run_with(arguments, &[&[("MYSQL_PWD", PASSWORD)], environment].concat())
}

/// Draws with an SSL mode, and asserts success or failure with these words.
fn assert_connection(server: &MysqlServer, who: &str, query: &str, is_well: bool, words: &str) {
    let database = server.database();
    database.fill(3);
    let ended = emit_from(&format!("{}?{query}", database.url_with(who)), &[]);
    let code = i32::from(!is_well);
    assert!(ended.code == code && ended.stderr.contains(words), "{who} with {query}: {words} is expected in {ended:?}");
}

#[test]
fn certificate_is_verified_according_to_ssl_mode() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let certificates = TestCertificates::make(place.path());
    let ca = format!("ssl-ca={}", certificates.authority().display());
    let server = MysqlServer::start_with_certificate(&certificates, "good");
    for (query, is_well, words) in [
        ("", true, "TLS, server not verified (ssl-mode=PREFERRED)"),
        ("ssl-mode=REQUIRED", true, "TLS, server not verified"),
        (&format!("ssl-mode=VERIFY_CA&{ca}"), true, "TLS, verified (VERIFY_CA)"),
        (&ca, true, "TLS, verified (VERIFY_CA)"),
        (&format!("ssl-mode=VERIFY_IDENTITY&{ca}"), true, "TLS, verified (VERIFY_IDENTITY)"),
        ("ssl-mode=VERIFY_IDENTITY", false, "ssl-ca=FILE"),
        ("ssl-mode=DISABLED", true, "not encrypted"),
    ] {
        assert_connection(&server, "posts", query, is_well, words);
    }
    let database = server.database();
    database.fill(3);
    let verified = format!("{}?ssl-mode=VERIFY_IDENTITY", database.url_with("posts"));
    let trusted = emit_from(&verified, &[("SSL_CERT_FILE", certificates.authority().to_str().unwrap())]);
    assert!(trusted.code == 0 && trusted.stderr.contains("TLS, verified (VERIFY_IDENTITY)"), "{trusted:?}");
    assert_connection(&server, "encrypted", "", true, "TLS, server not verified");
    assert_connection(&server, "encrypted", "ssl-mode=DISABLED", false, "Access denied");
}

#[test]
fn invalid_certificate_is_rejected_by_verifying_modes() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let certificates = TestCertificates::make(place.path());
    let ca = format!("ssl-ca={}", certificates.authority().display());
    let elsewhere = MysqlServer::start_with_certificate(&certificates, "wrong_host");
    assert_connection(&elsewhere, "posts", &format!("ssl-mode=VERIFY_CA&{ca}"), true, "TLS, verified (VERIFY_CA)");
    assert_connection(&elsewhere, "posts", &format!("ssl-mode=VERIFY_IDENTITY&{ca}"), false, "ssl-mode=VERIFY_CA");
    let unsigned = MysqlServer::start_with_certificate(&certificates, "self_signed");
    assert_connection(&unsigned, "posts", "ssl-mode=REQUIRED", true, "TLS, server not verified");
    assert_connection(&unsigned, "posts", &format!("ssl-mode=VERIFY_CA&{ca}"), false, "TLS");
    let expired = MysqlServer::start_with_certificate(&certificates, "expired");
    assert_connection(&expired, "posts", &format!("ssl-mode=VERIFY_CA&{ca}"), false, "expired");
}

#[test]
fn server_without_tls_is_used_only_if_ssl_mode_allows_it() {
    if skipped() {
        return;
    }
    let server = MysqlServer::shared();
    assert_connection(server, "posts", "", true, "not encrypted (ssl-mode=PREFERRED)");
    assert_connection(server, "posts", "ssl-mode=REQUIRED", false, "the server does not offer TLS");
    assert_connection(server, "posts", "ssl-mode=VERIFY_IDENTITY", false, "the server does not offer TLS");
}
