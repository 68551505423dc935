//! Faults that a real broker does not have on demand: errors of single requests, moving leaders, clusters that are
//! temporarily unreachable. They come from librdkafka's mock cluster, which speaks the protocol over TCP.

use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use pinflow_testkit::kafka::site::{PostsSite, STREAMS};
use pinflow_testkit::kafka::skipped;
use pinflow_testkit::wait_until;

const BROKER_COUNT: i32 = 3;

struct MockSite {
    cluster: MockCluster<'static, DefaultProducerContext>,
    site: PostsSite,
}

impl MockSite {
    fn new() -> MockSite {
        let cluster = MockCluster::new(BROKER_COUNT).unwrap();
        let site = PostsSite::without_topics(&cluster.bootstrap_servers());
        for stream in STREAMS {
            cluster.create_topic(&site.topic(stream), 4, 3).unwrap();
        }
        MockSite { cluster, site }
    }

    fn all_brokers(&self, up: bool) {
        for broker in 1..=BROKER_COUNT {
            if up { self.cluster.broker_up(broker).unwrap() } else { self.cluster.broker_down(broker).unwrap() }
        }
    }
}

#[test]
fn transient_broker_errors_lose_and_repeat_nothing() {
    if skipped() {
        return;
    }
    use RDKafkaRespErr as Error;
    let mocked = MockSite::new();
    let site = &mocked.site;
    let recording = site.recording(1_000, 61, &[]);
    let config = site.configure("");
    // The cluster is also incomplete at the start.
    let moving = [Error::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, Error::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION];
    mocked.cluster.request_errors(RDKafkaApiKey::ListOffsets, &moving);
    let live = site.run(&config, &[]);
    site.send(&recording, 4);
    live.wait_until_read(&site.ends());
    let errors = [
        Error::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        Error::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        Error::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        Error::RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
        Error::RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
        // A replica that lags behind returns this error although the records exist.
        Error::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
        Error::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
        Error::RD_KAFKA_RESP_ERR__TRANSPORT,
    ];
    for error in errors {
        mocked.cluster.request_errors(RDKafkaApiKey::Fetch, &[error, error]);
        mocked.cluster.request_errors(RDKafkaApiKey::Metadata, &[Error::RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE]);
        site.send(&recording, 4);
        live.wait_until_read(&site.ends());
    }
    mocked.cluster.clear_request_errors(RDKafkaApiKey::Metadata);
    mocked.cluster.clear_request_errors(RDKafkaApiKey::ListOffsets);
    site.assert_answers_and_rows(&live.stop());
}

#[test]
fn moved_leaders_and_broker_outages_lose_and_repeat_nothing() {
    if skipped() {
        return;
    }
    let mocked = MockSite::new();
    let site = &mocked.site;
    let recording = site.recording(500, 62, &[]);
    let config = site.configure("");
    let live = site.run(&config, &[]);
    for turn in 0..6 {
        for stream in STREAMS {
            for partition in 0..4 {
                let leader = (turn + partition) % BROKER_COUNT + 1;
                mocked.cluster.partition_leader(&site.topic(stream), partition, Some(leader)).unwrap();
            }
        }
        site.send(&recording, 4);
    }
    live.wait_until_read(&site.ends());
    mocked.all_brokers(false);
    wait_until("it says that no broker responds", || live.log().contains("no broker responds"));
    // Longer than the timeout of any request.
    std::thread::sleep(Duration::from_secs(12));
    mocked.all_brokers(true);
    site.send(&recording, 4);
    live.wait_until_read(&site.ends());
    site.assert_answers_and_rows(&live.stop());
}
