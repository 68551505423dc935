//! The examples below each command's help. A test parses every one of them.

pub(super) const RUN: &str = "\
Examples:
  pinflow run examples/recordings
          Print the answers over a folder of recorded posts
  pinflow run examples/recordings --tables data
          Append the cleaned rows to Delta tables in the folder `data`, too
  pinflow run posts.toml --listen 7461
          Run a configuration; serve the page and the HTTP API at http://127.0.0.1:7461
  pinflow run posts.toml --until-caught-up
          Read what is there now, commit it and exit: for cron and Airflow
  pinflow run posts.toml --accept-loss kafka/12ab.pin/3:4200-4799
          Continue after records expired before they were read

Exit status: 0 done; 1 failed; 2 wrong command line or configuration; 75 another run has taken over the tables";

pub(super) const CHECK: &str = "\
Examples:
  pinflow check posts.toml
          Report everything that is wrong with the configuration, or reach every source and table
  pinflow check examples/recordings --tables s3://12ab-lake/posts
          Check a recording, and a bucket to write to

Exit status: 0 nothing is wrong; 1 something cannot be reached; 2 wrong command line or configuration";

pub(super) const TABLE: &str = "\
Examples:
  pinflow table data
          Rows, files, positions and the newest commits of the tables in the folder `data`
  pinflow table data --verify
          Prove that no row is lost and none is there twice
  pinflow table s3://12ab-lake/posts doctor --connection lake.toml
          Look for problems of tables in a bucket
  pinflow table data vacuum --keep 168
          Remove files that no version of the last week needs

Exit status: 0 done; 1 failed, or --verify or doctor found a problem; 2 wrong command line or configuration";

pub(super) const QUERY: &str = "\
Examples:
  pinflow query
          List the answers of the run on this machine
  pinflow query popular_category_by_country --at localhost:7461
          Print one answer
  pinflow query popular_category_by_country country=Albania --format csv
          Only some rows of it, as CSV
  pinflow query popular_category_by_country --follow
          Print every change until Ctrl-C

Exit status: 0 done; 1 failed; 2 wrong command line";

pub(super) const GATEWAY: &str = "\
Examples:
  pinflow gateway examples/gateway.toml
          Take records over HTTP, and append them to files

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

pub(super) const EMIT: &str = "\
Examples:
  pinflow emit --to recordings --inds 1000
          Write pin.jsonl, geo.jsonl and user.jsonl with 1,000 posts each
  pinflow emit --to kafka://localhost:9092/12ab --rate 100
          Send 100 messages a second to the topics 12ab.pin, 12ab.geo and 12ab.user
  pinflow emit --to kinesis://streaming-12ab --region eu-west-1
          Send to three Kinesis streams
  pinflow emit --to http://127.0.0.1:8082 --prefix 12ab --from recordings
          Send a recording again, through a gateway
  pinflow emit --from mysql://posts@localhost/pinterest_data --to kafka://localhost:9092/12ab
          Draw rows of a database, as the original emulator does, until a signal
  pinflow emit --to - --streams pin --count 3
          Print three posts

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

pub(super) const TOPICS: &str = "\
Examples:
  pinflow topics create --brokers localhost:9092 --prefix 12ab
          Create the topics 12ab.pin, 12ab.geo and 12ab.user
  pinflow topics list --brokers localhost:9092
  pinflow topics describe 12ab.pin --connection kafka.toml
  pinflow topics delete --brokers localhost:9092 --prefix 12ab

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

pub(super) const STREAMS: &str = "\
Examples:
  pinflow streams create --region eu-west-1 --prefix streaming-12ab --shards 4
          Create the streams streaming-12ab-pin, -geo and -user
  pinflow streams list --region eu-west-1
  pinflow streams describe streaming-12ab-pin --connection kinesis.toml
  pinflow streams scale streaming-12ab-pin 8

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";
