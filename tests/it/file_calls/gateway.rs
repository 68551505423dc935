//! A power loss under a gateway: acknowledged records are durable, also in folders that it has just created.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::json;

use super::journal::UnsyncedState;
use super::{FaultChoices, library};
use pinflow_testkit::create_temp_dir;
use pinflow_testkit::gateway::RunningGateway;

#[test]
fn acknowledged_record_survives_power_loss_in_folders_that_the_gateway_made() {
    for seed in 0..8 {
        let place = create_temp_dir();
        let (kept, journal) = (place.path().join("kept"), place.path().join("journal"));
        fs::create_dir(&kept).expect("a folder that was there before");
        let settings =
            [("LD_PRELOAD", library()), ("FILE_CALLS_ROOT", kept.as_path()), ("FILE_CALLS_JOURNAL", journal.as_path())];
        let settings = settings.map(|(name, path)| (name, path.to_str().expect("a path in UTF-8")));
        let gateway = RunningGateway::start_with(place.path(), "recording = \"kept/deep/posts\"", &settings);
        assert_eq!(gateway.produce("pin", &[json!({ "index": 1 })]), [(0, 0)]);
        gateway.signal(Signal::SIGKILL);
        drop(gateway);
        let lost = UnsyncedState::read(&journal).lose_power(&mut FaultChoices::new(seed));
        let text = fs::read_to_string(kept.join("deep/posts/pin.jsonl")).unwrap_or_default();
        assert_eq!(text, "{\"index\":1}\n", "seed {seed}: lost {lost:?}");
    }
}
