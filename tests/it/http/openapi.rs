//! The server conforms to its `/openapi.json`, checked by schemathesis, which `tests/openapi/setup.sh` installs.
//!
//! `PINFLOW_SKIP_OPENAPI=1` skips the test.

use std::path::Path;
use std::process::Command;

use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{create_temp_dir, emit};

/// Generated requests per operation.
const EXAMPLES_PER_OPERATION: &str = "15";

#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
fn skipped() -> bool {
    let skipped = std::env::var_os("PINFLOW_SKIP_OPENAPI").is_some_and(|skip| skip == "1");
    if skipped {
        eprintln!("PINFLOW_SKIP_OPENAPI=1: the OpenAPI document is not compared with the server");
    }
    skipped
}

#[test]
fn server_answers_as_its_openapi_document_says() {
    if skipped() {
        return;
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/openapi/python/bin/schemathesis");
    assert!(program.exists(), "no {}: run tests/openapi/setup.sh", program.display());
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 200, 300, 131, &["--malformed", "0.05"]);
    let more = "[tables]\nurl = \"tables\"\ncommit_age_secs_max = 1";
    let serving = ServingRun::start(place.path(), &configure_followed_recording(place.path(), &recording, more), &[]);
    serving.wait_until_read(900);
    let url = format!("http://{}", serving.http.address);
    let output = Command::new(program)
        .args([
            "run",
            "--url",
            &url,
            "--max-examples",
            EXAMPLES_PER_OPERATION,
            "--seed",
            "7",
            "--generation-database",
            "none",
        ])
        // Event streams never end. Their content is tested elsewhere.
        .args(["--exclude-path-regex", "changes$", "--phases", "examples,coverage,fuzzing", "--no-color"])
        .arg(format!("{url}/openapi.json"))
        .current_dir(place.path())
        .output()
        .unwrap();
    let [said, failed] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{said}\n{failed}");
    assert!(said.contains("passed"), "{said}");
    // The server had data to return.
    assert!(!serving.http.json("/rejected").as_array().unwrap().is_empty());
    serving.stop();
}
