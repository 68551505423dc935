//! A custom endpoint over TLS and HTTP/2 with a private certificate authority.

use super::emit::run;
use pinflow_testkit::certificates::TestCertificates;
use pinflow_testkit::kafka::site::LiveSite;
use pinflow_testkit::kinesis::server::KinesisServer;
use pinflow_testkit::kinesis::site::{KinesisSite, STREAMS, with_credentials};
use pinflow_testkit::kinesis::skipped;
use pinflow_testkit::{pinflow, wait_until};

fn read(path: std::path::PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn configured_certificate_authority_is_trusted() {
    if skipped() {
        return;
    }
    let folder = pinflow_testkit::create_temp_dir();
    let certificates = TestCertificates::make(folder.path());
    let server =
        KinesisServer::start_with_certificate(&read(certificates.certificate("good")), &read(certificates.key("good")));
    for fan_out in ["", "fan_out = true"] {
        let site = KinesisSite::new(&server.endpoint(), &server.tls_endpoint(), 1);
        STREAMS.iter().for_each(|stream| site.probe.register(&site.stream(stream), "pinflow-posts"));
        let config = site.configure(fan_out);
        site.probe.put(&site.stream("geo"), &[("7".to_owned(), b"{\"ind\":7,\"country\":\"Chad\"}".to_vec())]);
        let (code, said, _) = run(["check", config.to_str().unwrap()]);
        assert!(code == 1 && said.contains("UnknownIssuer"), "{said}");
        let mut command = with_credentials(pinflow(["run"]));
        command.arg(&config).env("SSL_CERT_FILE", certificates.authority());
        let live = LiveSite::start_command(&mut command, &site.place.path().join("log"));
        site.wait_until_durable();
        site.probe.put(&site.stream("geo"), &[("8".to_owned(), b"{\"ind\":8,\"country\":\"Chad\"}".to_vec())]);
        site.wait_until_durable();
        wait_until("it is answered", || live.cut().is_some());
        assert!(!live.log().contains("refused"), "{}", live.log());
        site.assert_answers_and_rows(&live.stop());
    }
}

#[test]
fn certificate_of_another_host_is_rejected() {
    if skipped() {
        return;
    }
    let folder = pinflow_testkit::create_temp_dir();
    let certificates = TestCertificates::make(folder.path());
    let (certificate, key) = (certificates.certificate("wrong_host"), certificates.key("wrong_host"));
    let server = KinesisServer::start_with_certificate(&read(certificate), &read(key));
    let site = KinesisSite::without_streams(&server.endpoint(), &server.tls_endpoint());
    let mut command = with_credentials(pinflow(["check"]));
    command.arg(site.configure("")).env("SSL_CERT_FILE", certificates.authority());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(1) && said.contains("not valid for name"), "{said}");
}
