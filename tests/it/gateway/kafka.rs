//! A gateway that writes to a real Kafka broker.

use std::sync::Mutex;

use serde_json::{Value, json};

use pinflow_testkit::gateway::{BINARY_CONTENT_TYPE, JSON_CONTENT_TYPE, RunningGateway, code};
use pinflow_testkit::kafka::broker::{BrokerListener, KafkaBroker};
use pinflow_testkit::kafka::site::PostsSite;
use pinflow_testkit::kafka::{offsets, read_all, skipped};
use pinflow_testkit::run;
use pinflow_testkit::{create_temp_dir, wait_until};

fn start_gateway(broker: &KafkaBroker, place: &std::path::Path, more: &str) -> RunningGateway {
    RunningGateway::start(place, &format!("kafka = {{ brokers = \"{}\" }}\n{more}", broker.plaintext()))
}

#[test]
fn records_are_stored_at_the_returned_offsets() {
    if skipped() {
        return;
    }
    let (broker, place) = (KafkaBroker::shared(), create_temp_dir());
    let topic = PostsSite::without_topics("").topic("pin");
    broker.create_topic(&topic, 3, &[]);
    let gateway = start_gateway(broker, place.path(), "");
    let placed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for sender in 0..4 {
            let (gateway, placed, topic) = (&gateway, &placed, &topic);
            scope.spawn(move || {
                for request in 0..25 {
                    let values: Vec<_> = (0..4).map(|record| json!({ "ind": [sender, request, record] })).collect();
                    let places = gateway.produce(topic, &values);
                    placed.lock().unwrap().extend(places.into_iter().zip(values));
                }
            });
        }
    });
    let body = "{\"records\":[{\"key\":{\"a\":1},\"value\":\"x\",\"partition\":2},{\"key\":\"k\",\"value\":null,\"partition\":2}]}";
    let reply = gateway.send("POST", &format!("/prod/topics/{topic}"), JSON_CONTENT_TYPE, body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply = gateway.send(
        "POST",
        &format!("/topics/{topic}/partitions/2"),
        BINARY_CONTENT_TYPE,
        "{\"records\":[{\"key\":\"aw==\",\"value\":\"AP8K\"}]}",
    );
    assert_eq!((reply.status, &reply.json()["offsets"][0]["partition"]), (200, &json!(2)));
    gateway.stop();
    let held = read_all(broker, &topic);
    assert_eq!(held.len(), 4 * 25 * 4 + 3);
    let of = |partition: i64| held.iter().filter(move |one| i64::from(one.partition) == partition).collect::<Vec<_>>();
    let partitions = [of(0), of(1), of(2)];
    for ((partition, offset), value) in placed.into_inner().unwrap() {
        let found = partitions[usize::try_from(partition).unwrap()][usize::try_from(offset).unwrap()];
        assert_eq!(found.text(), value.to_string());
    }
    let last = &partitions[2][partitions[2].len() - 3..];
    assert_eq!((last[0].key(), last[0].text()), ("{\"a\":1}", "\"x\""));
    assert_eq!((last[1].key(), last[1].payload.len()), ("\"k\"", 0));
    assert_eq!((last[2].key(), last[2].payload.as_slice()), ("k", [0, 255, 10].as_slice()));
}

#[test]
fn topics_are_listed_and_described() {
    if skipped() {
        return;
    }
    let (broker, place) = (KafkaBroker::shared(), create_temp_dir());
    let site = PostsSite::without_topics("");
    let (topic, other) = (site.topic("geo"), site.topic("other"));
    broker.create_topic(&topic, 2, &[("retention.ms", "3600000")]);
    broker.create_topic(&other, 1, &[]);
    let gateway = start_gateway(broker, place.path(), &format!("allow = [\"{topic}\", \"missing\"]"));
    gateway.produce(&topic, &[json!(1)]);
    let get = |path: &str| gateway.send("GET", path, "", "");
    assert_eq!(get("/topics").json(), json!([topic]));
    let described = get(&format!("/topics/{topic}")).json();
    assert_eq!((&described["name"], &described["configs"]["retention.ms"]), (&json!(topic), &json!("3600000")));
    let replica = json!([{ "broker": 1, "leader": true, "in_sync": true }]);
    let partition = |number: i32| json!({ "partition": number, "leader": 1, "replicas": replica });
    assert_eq!(described["partitions"], json!([partition(0), partition(1)]));
    assert_eq!(get(&format!("/topics/{topic}/partitions")).json(), described["partitions"]);
    assert_eq!(get(&format!("/topics/{topic}/partitions/1")).json(), partition(1));
    let ends = [0, 1].map(|number| get(&format!("/topics/{topic}/partitions/{number}/offsets")).json());
    let sum: i64 = ends.iter().map(|ends| ends["end_offset"].as_i64().unwrap()).sum();
    assert_eq!((sum, &ends[0]["beginning_offset"]), (1, &json!(0)));
    for absent in [format!("/topics/{other}"), "/topics/missing".to_owned(), format!("/topics/{topic}/partitions/2")] {
        let reply = get(&absent);
        let wanted = if absent.ends_with("/2") { 40402 } else { 40401 };
        assert_eq!((reply.status, code(&reply)), (404, json!(wanted)), "{absent}");
    }
    let reply = gateway.send("POST", &format!("/topics/{other}"), JSON_CONTENT_TYPE, "{\"records\":[{\"value\":1}]}");
    assert_eq!(code(&reply), json!(40401), "what is not allowed is not there");
}

#[test]
fn oversized_record_does_not_affect_others() {
    if skipped() {
        return;
    }
    let (broker, place) = (KafkaBroker::shared(), create_temp_dir());
    let topic = PostsSite::without_topics("").topic("user");
    broker.create_topic(&topic, 1, &[("max.message.bytes", "1000")]);
    let gateway = start_gateway(broker, place.path(), "");
    // Bytes that do not compress.
    let noise: String = (0..3_000).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
    let body = |values: &[&str]| {
        let records: Vec<_> = values.iter().map(|value| json!({ "value": value })).collect();
        json!({ "records": records }).to_string()
    };
    let alone = gateway.send("POST", &format!("/topics/{topic}"), JSON_CONTENT_TYPE, &body(&[&noise]));
    assert_eq!((alone.status, code(&alone)), (422, json!(42206)), "{}", alone.text());
    assert_eq!(alone.json()["offsets"][0]["error_code"], 1);
    gateway.produce(&topic, &[json!("small")]);
    assert_eq!(offsets(broker, &topic), [1]);
    // `pinflow emit` sends each record in a separate request.
    let recording = place.path().join("user.jsonl");
    let lines = [1, 2, 3].map(|ind| {
        let name = if ind == 2 { &*noise } else { "name" };
        json!({ "ind": ind, "user_name": name }).to_string() + "\n"
    });
    std::fs::write(&recording, lines.concat()).unwrap();
    let url = format!("http://{}", gateway.http.address);
    let from = recording.to_str().unwrap();
    let ended = run(["emit", "--from", from, "--to", &url, "--topic", &topic, "--rate", "20"]);
    assert!(ended.code == 1 && ended.stderr.contains("1 of 3 messages were not acknowledged"), "{ended:?}");
    assert_eq!(offsets(broker, &topic), [3]);
}

#[test]
fn clients_get_503_while_brokers_are_down() {
    if skipped() {
        return;
    }
    let (mut broker, place) = (KafkaBroker::start_dedicated(""), create_temp_dir());
    let topic = PostsSite::without_topics("").topic("pin");
    broker.create_topic(&topic, 1, &[]);
    let gateway = start_gateway(&broker, place.path(), "answer_secs_max = 2");
    let send = |value: &str| {
        let body = json!({ "records": [{ "value": value }] }).to_string();
        gateway.send("POST", &format!("/topics/{topic}"), JSON_CONTENT_TYPE, &body)
    };
    // A broker that has just started may not know a new topic on all its listeners.
    wait_until("the topic is known", || send("before").status == 200);
    broker.kill();
    let away = send("lost or not");
    assert_eq!((away.status, code(&away)), (503, json!(50003)), "{}", away.text());
    assert!(away.headers.contains_key("retry-after"));
    broker.start_again();
    wait_until("records are taken again", || send("after").status == 200);
    gateway.stop();
    let texts: Vec<String> = read_all(&broker, &topic).iter().map(|one| one.text().to_owned()).collect();
    assert_eq!(texts.first().map(String::as_str), Some("\"before\""));
    assert_eq!(texts.last().map(String::as_str), Some("\"after\""));
}

#[test]
fn gateway_authenticates_to_a_secured_broker() {
    if skipped() {
        return;
    }
    let (broker, place) = (KafkaBroker::shared(), create_temp_dir());
    let topic = PostsSite::without_topics("").topic("geo");
    broker.create_topic(&topic, 1, &[]);
    let more = format!(
        "[gateway.kafka]\nbrokers = \"{}\"\ntls = {{ ca = \"{}\" }}\n\
         sasl = {{ mechanism = \"SCRAM-SHA-256\", username = \"posts\", password = \"env:WORD\" }}",
        broker.address(BrokerListener::Sasl),
        broker.certificates().authority().display()
    );
    let gateway =
        RunningGateway::start_with(place.path(), &more, &[("WORD", pinflow_testkit::kafka::broker::PASSWORD)]);
    let values: Vec<Value> = (0..10).map(Value::from).collect();
    let places = gateway.produce(&topic, &values);
    assert_eq!(places, (0..10).map(|offset| (0, offset)).collect::<Vec<_>>());
    assert!(!gateway.log().contains(pinflow_testkit::kafka::broker::PASSWORD));
}
