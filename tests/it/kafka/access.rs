//! Permissions revoked while a topic is read.

use std::os::unix::fs::PermissionsExt;

use pinflow_testkit::kafka::broker::{BrokerListener, DENIED_USER, KafkaBroker, PASSWORD};
use pinflow_testkit::kafka::{path_text, skipped};
use pinflow_testkit::run;
use pinflow_testkit::serving::ServingRun;
use pinflow_testkit::{create_temp_dir, wait_until};

const REVOKED_TOPIC: &str = "revoked.geo";

fn change_right(action: &str, operation: &str) {
    let principal = format!("User:{DENIED_USER}");
    let arguments =
        [action, "--force", "--allow-principal", &principal, "--operation", operation, "--topic", REVOKED_TOPIC];
    KafkaBroker::shared().tool("org.apache.kafka.tools.AclCommand", &arguments);
}

fn send(inds: &str) {
    let to = format!("kafka://{}", KafkaBroker::shared().plaintext());
    assert_eq!(run(["emit", "--inds", inds, "--streams", "geo", "--to", &to, "--topic", REVOKED_TOPIC]).code, 0);
}

#[test]
fn revoked_topic_access_is_reported_by_readyz_and_log_and_reading_resumes() {
    if skipped() {
        return;
    }
    let (broker, place) = (KafkaBroker::shared(), create_temp_dir());
    let password = place.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    broker.create_topic(REVOKED_TOPIC, 1, &[]);
    ["Describe", "Read"].iter().for_each(|operation| change_right("--add", operation));
    send("20");
    let config = place.path().join("flow.toml");
    let text = format!(
        "[[source]]\nkind = \"kafka\"\nbrokers = \"{}\"\ntls = {{ ca = \"{}\" }}\nwatch_secs = 0.5\n\
         sasl = {{ mechanism = \"SCRAM-SHA-256\", username = \"{DENIED_USER}\", password = \"file:password\" }}\n\
         topics = {{ geo = \"{REVOKED_TOPIC}\" }}\n",
        broker.address(BrokerListener::Sasl),
        path_text(&broker.certificates().authority())
    );
    std::fs::write(&config, text).unwrap();
    let serving = ServingRun::start(place.path(), &config, &[]);
    serving.wait_until_read(20);
    let named = format!("Grant Describe and Read on Topic {REVOKED_TOPIC}");
    let mut sent = 20;
    for revoked in [&["Read"][..], &["Read", "Describe"]] {
        revoked.iter().for_each(|operation| change_right("--remove", operation));
        send("10");
        sent += 10;
        wait_until("readyz names the cause", || {
            let reply = serving.http.get("/readyz");
            reply.status == 503 && reply.text().contains(&named)
        });
        assert!(serving.http.json("/status")["waits_for"].as_str().unwrap().contains(&named));
        revoked.iter().for_each(|operation| change_right("--add", operation));
        serving.wait_until_read(sent);
    }
    let log = serving.log();
    assert_eq!(log.matches(&named).count(), 2, "{log}");
    serving.stop();
}
