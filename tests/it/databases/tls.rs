//! TLS to PostgreSQL, with the modes of libpq, and where the password comes from.

use pinflow_testkit::certificates::TestCertificates;
use pinflow_testkit::postgres::{POSTGRES_PASSWORD, POSTGRES_PASSWORD_IN_URL, PostgresServer};
use pinflow_testkit::{create_temp_dir, pinflow};

use super::{PASSWORD_VARIABLE, skips_postgres};

/// Runs `pinflow check` with this URL and further lines. Returns whether it found nothing wrong, and its outputs.
fn check(url: &str, more: &str, password: &str) -> (bool, String) {
    let folder = create_temp_dir();
    let config = folder.path().join("flow.toml");
    std::fs::create_dir(folder.path().join("posts")).unwrap();
    std::fs::write(folder.path().join("posts/pin.jsonl"), "").unwrap();
    let source = "[[source]]\nkind = \"recording\"\npath = \"posts\"\n";
    std::fs::write(&config, format!("{source}[answers.postgres]\nurl = \"{url}\"\n{more}\n")).unwrap();
    let mut command = pinflow(["check"]);
    let output =
        command.arg(&config).env(PASSWORD_VARIABLE, password).env("DATABASE_URL_OF_TEST", url).output().unwrap();
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(!printed.contains("c%na/r:y"), "the password is printed: {printed}");
    (output.status.success(), printed)
}

#[test]
fn certificate_is_verified_according_to_sslmode() {
    if skips_postgres() {
        return;
    }
    let place = create_temp_dir();
    let certificates = TestCertificates::make(place.path());
    let ca = format!("sslrootcert={}", certificates.authority().display());
    let password = format!("password = \"env:{PASSWORD_VARIABLE}\"");
    for (certificate, modes) in [
        (
            "good",
            [("sslmode=require", true), ("sslmode=verify-full", false), ("sslmode=verify-ca", false), ("CA", true)],
        ),
        (
            "wrong_host",
            [("sslmode=require", true), ("sslmode=prefer", true), ("CA&sslmode=verify-ca", true), ("CA", false)],
        ),
        (
            "self_signed",
            [("sslmode=require", true), ("sslmode=disable", true), ("CA&sslmode=verify-ca", false), ("CA", false)],
        ),
        ("expired", [("sslmode=require", true), ("", true), ("CA&sslmode=verify-ca", false), ("CA", false)]),
    ] {
        let server = PostgresServer::start_with_certificate(&certificates, certificate);
        let database = server.database();
        for (query, is_well) in modes {
            let url = format!("{}?{}", database.url(), query.replace("CA", &ca));
            let (succeeded, printed) = check(&url, &password, POSTGRES_PASSWORD);
            assert_eq!(succeeded, is_well, "{certificate} with {query}: {printed}");
        }
    }
}

#[test]
fn server_without_tls_and_wrong_passwords_are_refused() {
    if skips_postgres() {
        return;
    }
    let database = PostgresServer::shared().database();
    let password = format!("password = \"env:{PASSWORD_VARIABLE}\"");
    for (query, is_well) in [("", true), ("?sslmode=prefer", true), ("?sslmode=require", false)] {
        let (succeeded, printed) = check(&(database.url() + query), &password, POSTGRES_PASSWORD);
        assert_eq!(succeeded, is_well, "{query}: {printed}");
    }
    let (succeeded, printed) = check(&database.url(), &password, "wrong");
    assert!(!succeeded && printed.contains("28P01") && printed.contains("PGPASSWORD"), "{printed}");
    let with_password = database.url().replace("pinflow@", &format!("pinflow:{POSTGRES_PASSWORD_IN_URL}@"));
    assert!(check(&with_password, "", "").0);
    let (succeeded, printed) = check(&database.url(), "password = \"env:NO_SUCH_VARIABLE_OF_TEST\"", "");
    assert!(!succeeded && printed.contains("NO_SUCH_VARIABLE_OF_TEST"), "{printed}");
    let (succeeded, printed) = check("postgres://pinflow@127.0.0.1:1/x", &password, "x");
    assert!(!succeeded && printed.contains("fault"), "{printed}");
}
