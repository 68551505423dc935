//! Unusable stores: each is refused with the cause and a hint before anything is written.

use std::process::Command;

use super::tls::TlsProxy;
use pinflow_testkit::certificates::TestCertificates;
use pinflow_testkit::objects::proxy::{StoreFault, StoreProxy};
use pinflow_testkit::objects::site::{ObjectsSite, with_credentials, without_aws_environment};
use pinflow_testkit::objects::{skipped, store};
use pinflow_testkit::{create_temp_dir, pinflow, succeed};

/// Runs a command that must fail. Returns stdout and stderr.
fn fail_with(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let said = [&output.stderr[..], &output.stdout].map(String::from_utf8_lossy).concat();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

fn check(site: &ObjectsSite) -> Command {
    let mut command = with_credentials(pinflow(["check"]));
    command.arg(site.config());
    command
}

#[test]
fn store_rejection_is_reported_with_a_hint() {
    if skipped() {
        return;
    }
    for (status, code, hint) in [
        (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        (400, "ExpiredToken", "renew"),
        (403, "AccessDenied", "s3:PutObject"),
        (301, "PermanentRedirect", "region"),
        (400, "AuthorizationHeaderMalformed", "region"),
        (403, "RequestTimeTooSkewed", "clock"),
    ] {
        let proxy = StoreProxy::start(store::port());
        let site = ObjectsSite::new(1, &proxy.endpoint());
        proxy.plan(("GET", ""), StoreFault::Refused(status, code), 0, u32::MAX);
        for command in [&mut site.run(), &mut check(&site), &mut site.table([])] {
            let said = fail_with(command, 1);
            assert!(said.contains(hint) && said.contains(&site.url()), "{code}: {said}");
        }
    }
}

#[test]
fn read_only_store_is_reported_when_tables_are_opened() {
    if skipped() {
        return;
    }
    let proxy = StoreProxy::start(store::port());
    let site = ObjectsSite::new(1, &proxy.endpoint());
    proxy.plan(("PUT", ""), StoreFault::Refused(403, "AccessDenied"), 0, u32::MAX);
    assert!(fail_with(&mut site.run(), 1).contains("allow s3:ListBucket"));
}

#[test]
fn store_that_ignores_conditional_puts_is_refused() {
    if skipped() {
        return;
    }
    let proxy = StoreProxy::start(store::port());
    let site = ObjectsSite::new(1, &proxy.endpoint());
    proxy.plan(("PUT", ""), StoreFault::Unconditional, 0, u32::MAX);
    let said = fail_with(&mut site.run(), 1);
    assert!(said.contains("If-None-Match") && said.contains("overwrite each other's commits"), "{said}");
    assert!(site.bucket.keys("").is_empty(), "nothing is left there");
}

#[test]
fn missing_bucket_and_unreachable_server_are_reported() {
    if skipped() {
        return;
    }
    let site = ObjectsSite::new(1, &store::endpoint());
    let text = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), text.replace(&site.bucket.name, "nobodys")).unwrap();
    assert!(fail_with(&mut site.run(), 1).contains("create the bucket"));
    // A port without a listener.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = ObjectsSite::new(1, &format!("http://{nobody}"));
    let said = fail_with(&mut check(&site), 1);
    assert!(said.contains("cannot be reached"), "{said}");
}

#[test]
fn missing_credentials_are_reported_with_their_sources() {
    if skipped() {
        return;
    }
    let site = ObjectsSite::new(1, &store::endpoint());
    let mut command = without_aws_environment(pinflow(["run"]));
    command.arg(site.config()).env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_PROFILE");
    let said = fail_with(&mut command, 1);
    assert!(said.contains("AWS_PROFILE") && said.contains("give the machine a role"), "{said}");
}

#[test]
fn expired_credentials_are_retried() {
    if skipped() {
        return;
    }
    let proxy = StoreProxy::start(store::port());
    let site = ObjectsSite::new(200, &proxy.endpoint());
    site.configure(60, "rate_per_sec = 1500");
    proxy.plan(("PUT", "pin/_delta_log"), StoreFault::Refused(403, "ExpiredToken"), 3, 8);
    site.finish();
    assert_eq!(proxy.clear_faults(), 0);
}

#[test]
fn untrusted_certificate_is_rejected() {
    if skipped() {
        return;
    }
    let folder = create_temp_dir();
    let certificates = TestCertificates::make(folder.path());
    for (name, trusted) in [("good", true), ("self_signed", false), ("wrong_host", false), ("expired", false)] {
        let tls = TlsProxy::start(store::port(), &certificates.certificate(name), &certificates.key(name));
        let site = ObjectsSite::new(20, &tls.endpoint());
        let said = fail_with(&mut check(&site), 1);
        assert!(said.contains("SSL_CERT_FILE"), "{name}: {said}");
        let mut command = site.run();
        command.env("SSL_CERT_FILE", certificates.authority());
        if trusted {
            succeed(&mut command);
            site.assert_each_line_once_in_tables();
        } else {
            let said = fail_with(&mut command, 1);
            assert!(said.contains("certificate is not trusted"), "{name}: {said}");
        }
    }
}

#[test]
fn invalid_store_configuration_is_a_usage_error() {
    let site = create_temp_dir();
    let config = site.path().join("run.toml");
    for (text, said) in [
        ("[tables]\nurl = \"s3://P/x\"", "a bucket's name is"),
        ("[tables]\nurl = \"gs://posts\"", "s3://BUCKET/PREFIX"),
        ("[tables]\nurl = \"data\"\n[objects]\nbucket = \"x\"", "[objects] bucket: unknown key"),
        (
            "[tables]\nurl = \"data\"\n[objects]\naddressing = \"dns\"",
            "run.toml:7:14: [objects] addressing: unknown value \"dns\"",
        ),
        ("[tables]\nurl = \"data\"\n[objects]\nendpoint = \"http://minio:9000\"", "danger_allow_http"),
        ("[tables]\nurl = \"data\"\n[objects]\ntimeout_secs = 0", "[objects] timeout_secs: must be 1 to 600, found 0"),
        ("[tables]\nurl = \"data\"\n[objects]\nregion = \"Ireland!\"", "eu-west-1"),
    ] {
        let source = format!("[[source]]\nkind = \"recording\"\npath = \"recording\"\n{text}\n");
        std::fs::write(&config, source).unwrap();
        let told = fail_with(pinflow(["check"]).arg(&config), 2);
        assert!(told.contains(said), "{text}: {told}");
    }
    let told = fail_with(
        without_aws_environment(pinflow(["table", "s3://posts/x"]))
            .env_remove("AWS_REGION")
            .env_remove("AWS_ENDPOINT_URL"),
        2,
    );
    assert!(told.contains("no AWS region"), "{told}");
}
