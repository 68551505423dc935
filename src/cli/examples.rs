//! The examples below each command's help. A test parses every one of them.

/// Examples by command, with the words that select it.
pub(super) const EXAMPLES: &[(&str, &str)] = &[
    ("run", RUN),
    ("demo", DEMO),
    ("init", INIT),
    ("check", CHECK),
    ("table", TABLE),
    ("table optimize", TABLE_OPTIMIZE),
    ("table vacuum", TABLE_VACUUM),
    ("table accept-deletion", TABLE_ACCEPT_DELETION),
    ("table doctor", TABLE_DOCTOR),
    ("rejected", REJECTED),
    ("rejected list", REJECTED_LIST),
    ("rejected count", REJECTED_COUNT),
    ("rejected show", REJECTED_SHOW),
    ("rejected replay", REJECTED_REPLAY),
    ("query", QUERY),
    ("question", QUESTION),
    ("question explain", QUESTION_EXPLAIN),
    ("question try", QUESTION_TRY),
    ("question add", QUESTION_ADD),
    ("question replace", QUESTION_REPLACE),
    ("question drop", QUESTION_DROP),
    ("question list", QUESTION_LIST),
    ("question builtin", QUESTION_BUILTIN),
    ("verify", VERIFY),
    ("gateway", GATEWAY),
    ("emit", EMIT),
    ("topics", TOPICS),
    ("topics create", TOPICS_CREATE),
    ("topics list", TOPICS_LIST),
    ("topics describe", TOPICS_DESCRIBE),
    ("topics delete", TOPICS_DELETE),
    ("streams", STREAMS),
    ("streams create", STREAMS_CREATE),
    ("streams list", STREAMS_LIST),
    ("streams describe", STREAMS_DESCRIBE),
    ("streams split", STREAMS_SPLIT),
    ("streams merge", STREAMS_MERGE),
    ("streams scale", STREAMS_SCALE),
    ("streams delete", STREAMS_DELETE),
    ("schema", SCHEMA),
    ("completions", COMPLETIONS),
    ("man", MAN),
    ("answer-names", ANSWER_NAMES),
];

const RUN: &str = "\
Examples:
  pinflow run examples/recordings
          Print the answers over a folder of recorded posts
  pinflow run examples/recordings --tables data
          Append the cleaned rows to Delta tables in the folder `data`, too
  pinflow run posts.toml --listen 7461
          Run a configuration; serve the page and the HTTP API at http://127.0.0.1:7461
  pinflow run examples/recordings --question examples/questions/pins_by_category.sql
          Keep the answer to a question of your own up to date, too
  pinflow run recordings --follow
          Go on as the files of the folder grow, until Ctrl-C
  pinflow run posts.toml --until-caught-up
          Read what exists now, commit it and exit: for cron and Airflow
  pinflow run posts.toml --accept-loss kafka/12ab.pin/3:4200-4799
          Continue after records expired before they were read

Exit status: 0 done; 1 failed; 2 wrong command line or configuration; 75 another run has taken over the tables";

const DEMO: &str = "\
Examples:
  pinflow demo
          Generate posts, and serve their answers on a page until Ctrl-C
  pinflow demo --rate 2000 --inds 1M --listen 8000
          More posts, and another port
  pinflow demo --keep demo --for 60
          End after a minute, and keep the recording and the tables

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const INIT: &str = "\
Examples:
  pinflow init recording
          Print a configuration for a folder of recorded posts
  pinflow init kafka --to posts.toml
          Write one for three topics to a new file
  pinflow init kinesis --all-keys
          Print every key that there is, with its default and meaning

Exit status: 0 done; 1 failed; 2 wrong command line, or the file exists";

const SCHEMA: &str = "\
Examples:
  pinflow schema
          Print the JSON Schema of the configuration, for editors that complete and check TOML files

Exit status: 0 done; 1 failed; 2 wrong command line";

const COMPLETIONS: &str = "\
Examples:
  pinflow completions bash
          Print the script for bash: in ~/.bashrc write  source <(pinflow completions bash)
  pinflow completions zsh
          Print the script for zsh: save it as _pinflow in a folder of $fpath
  pinflow completions fish
          Print the script for fish: save it as ~/.config/fish/completions/pinflow.fish

Exit status: 0 done; 1 failed; 2 wrong command line";

const MAN: &str = "\
Examples:
  pinflow man --to /usr/local/share/man/man1
          Write pinflow.1, pinflow-run.1 and so on, for `man pinflow` and `man pinflow-run`

Exit status: 0 done; 1 failed; 2 wrong command line";

const ANSWER_NAMES: &str = "\
Examples:
  pinflow answer-names
          Print the names of the answers of the run on this machine
  pinflow answer-names --added
          Print the names of the questions that were added to it

Exit status: 0 done; 1 failed; 2 wrong command line";

const CHECK: &str = "\
Examples:
  pinflow check posts.toml
          Report all errors of the configuration, or reach every source and table
  pinflow check examples/recordings --tables s3://12ab-lake/posts
          Check a recording, and a bucket to write to

Exit status: 0 nothing is wrong; 1 something cannot be reached; 2 wrong command line or configuration";

const TABLE: &str = "\
Examples:
  pinflow table data
          Rows, files, positions and the newest commits of the tables in the folder `data`
  pinflow table data --verify
          Prove that no row is lost and no row is stored twice
  pinflow table s3://12ab-lake/posts doctor --connection lake.toml
          Look for problems of tables in a bucket
  pinflow table data vacuum --keep 168
          Remove files that no version of the last week needs

Exit status: 0 done; 1 failed, or --verify or doctor found a problem; 2 wrong command line or configuration";

const TABLE_OPTIMIZE: &str = "\
Examples:
  pinflow table data optimize
          Compact the tables in the folder `data`
  pinflow table s3://12ab-lake/posts optimize --connection lake.toml
          Compact tables in a bucket

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const TABLE_VACUUM: &str = "\
Examples:
  pinflow table data vacuum
          Remove files that no version of the last 168 hours needs
  pinflow table data vacuum --keep 0 --nothing-writes
          Keep only the newest version, while no pinflow is running

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const TABLE_ACCEPT_DELETION: &str = "\
Examples:
  pinflow table data accept-deletion
          Record that the rows that are missing now were deleted on purpose
  pinflow table data --verify
          Check that everything else is still there

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const TABLE_DOCTOR: &str = "\
Examples:
  pinflow table data doctor
          Report problems, each with its remedy
  pinflow table data doctor --format json
          The same for programs

Exit status: 0 no problem; 1 failed, or a problem was found; 2 wrong command line or configuration";

const REJECTED: &str = "\
Examples:
  pinflow rejected count --tables data
          Count the rejections in the tables of the folder `data` by reason
  pinflow rejected list --tables data --reason not_json --since 24h
          List those of the last day that are not JSON
  pinflow rejected show kafka/12ab.pin/3 4211 --tables data
          Show one rejection with the bytes of its message

Exit status: 0 done; 1 failed; 2 wrong command line";

const REJECTED_LIST: &str = "\
Examples:
  pinflow rejected list --tables data
          The newest 50 rejections in the tables of the folder `data`
  pinflow rejected list --tables data --reason wrong_type --stream pin --since 2026-01-31 --format csv
          Those of one stream with fields of wrong types since a day, as CSV
  pinflow rejected list --tables s3://12ab-lake/posts --connection lake.toml --source kafka/12ab.pin/ --limit 1000
          More of them, of all partitions of a topic

Exit status: 0 done; 1 failed; 2 wrong command line";

const REJECTED_COUNT: &str = "\
Examples:
  pinflow rejected count --tables data
          How many rejections there are for each reason
  pinflow rejected count --tables data --by source,reason --since 24h --format json
          Those of the last day by source and reason, as JSON

Exit status: 0 done; 1 failed; 2 wrong command line";

const REJECTED_SHOW: &str = "\
Examples:
  pinflow rejected show kafka/12ab.pin/3 4211 --tables data
          The reason, and the bytes of the message as text
  pinflow rejected show recording/pin.jsonl 17 --sub 2 --tables data --raw message.json
          Write the bytes as they were received to a new file

Exit status: 0 done; 1 failed, or there is no such rejection; 2 wrong command line";

const REJECTED_REPLAY: &str = "\
Examples:
  pinflow rejected replay posts.toml --dry-run
          Count the rejections that the limits of posts.toml accept now
  pinflow rejected replay posts.toml --reason too_large
          Read those of one reason again, while the run is stopped

Exit status: 0 done; 1 failed; 2 wrong command line or configuration; 75 another pinflow took over the tables";

const QUERY: &str = "\
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

const QUESTION: &str = "\
Examples:
  pinflow question explain examples/questions/pins_by_category.sql
          Columns, plan and memory of a question
  pinflow question try examples/questions/pins_by_category.sql --tables data
          Answer it over the tables in the folder `data`
  pinflow question add examples/questions/pins_by_category.sql
          Add it to the run on this machine
  pinflow question builtin popular_category_by_year
          Print the SQL of a built-in question

Exit status: 0 done; 1 failed; 2 wrong command line or question";

const QUESTION_EXPLAIN: &str = "\
Examples:
  pinflow question explain examples/questions/pins_by_category.sql
          Columns, order, plan, and what a run holds in memory
  pinflow question explain examples/questions/pins_by_category.sql --tables data
          With the memory that a run over the rows of these tables holds for it
  pinflow question explain examples/questions/pins_by_category.sql examples/questions/latest_posts.sql --format json
          The same of two questions for programs
  pinflow question explain -
          Explain what is typed or piped in

Exit status: 0 done; 1 failed; 2 wrong command line or question";

const QUESTION_TRY: &str = "\
Examples:
  pinflow question try examples/questions/pins_by_category.sql --tables data
          Answer a question over the tables in the folder `data`, also while a run writes to them
  pinflow question try examples/questions/latest_posts.sql --tables data --limit 3 --format csv
          The first three rows as CSV
  pinflow question try examples/questions/latest_posts.sql --tables s3://12ab-lake/posts --connection lake.toml
          Answer a question over tables in a bucket

Exit status: 0 done; 1 failed; 2 wrong command line or question";

const QUESTION_ADD: &str = "\
Examples:
  pinflow question add examples/questions/pins_by_category.sql
          Add a question to the run on this machine, and wait until it is answered
  pinflow question add examples/questions/latest_posts.sql --name newest --at 7461 --no-wait
          Add it under another name, and return at once
  pinflow question add - --name pins --at https://pinflow.example.com --token env:PINFLOW_ADMIN
          Add what is typed or piped in to a run elsewhere, with its admin token

Exit status: 0 done; 1 failed; 2 wrong command line or question";

const QUESTION_REPLACE: &str = "\
Examples:
  pinflow question replace examples/questions/pins_by_category.sql
          Replace the added question `pins_by_category`. There is an answer at every moment

Exit status: 0 done; 1 failed; 2 wrong command line or question";

const QUESTION_DROP: &str = "\
Examples:
  pinflow question drop pins_by_category
          Drop the added question, and free what is held for it

Exit status: 0 done; 1 failed; 2 wrong command line";

const QUESTION_LIST: &str = "\
Examples:
  pinflow question list
          List the questions of the run on this machine, with their states and costs
  pinflow question list --at localhost:7461 --format json
          The same with SQL, plans and columns, for programs

Exit status: 0 done; 1 failed; 2 wrong command line";

const QUESTION_BUILTIN: &str = "\
Examples:
  pinflow question builtin
          List the names of the built-in questions
  pinflow question builtin popular_category_by_year
          Print the SQL of one

Exit status: 0 done; 1 failed; 2 wrong command line";

const VERIFY: &str = "\
Examples:
  pinflow verify
          Verify all answers of the run on this machine
  pinflow verify popular_category_by_country --at localhost:7461 --format json
          Verify one answer, and print the result as JSON
  pinflow verify --at https://pinflow.example.com --tables s3://12ab-lake/posts --connection lake.toml
          Verify a run on another machine, over its tables in a bucket

Exit status: 0 all compared answers are equal; 1 an answer is different; 2 wrong command line; 3 the answers could not \
be compared";

const GATEWAY: &str = "\
Examples:
  pinflow gateway examples/gateway.toml
          Take records over HTTP, and append them to files

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const EMIT: &str = "\
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
          Draw rows of a database, as the posting emulator does, until a signal
  pinflow emit --to - --streams pin --count 3
          Print three posts

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const TOPICS: &str = "\
Examples:
  pinflow topics create --brokers localhost:9092 --prefix 12ab
          Create the topics 12ab.pin, 12ab.geo and 12ab.user
  pinflow topics list --brokers localhost:9092
  pinflow topics describe 12ab.pin --connection kafka.toml
  pinflow topics delete --brokers localhost:9092 --prefix 12ab

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const TOPICS_CREATE: &str = "\
Examples:
  pinflow topics create --brokers localhost:9092 --prefix 12ab
          Create the topics 12ab.pin, 12ab.geo and 12ab.user
  pinflow topics create all-posts --brokers localhost:9092 --partitions 4 --config retention.ms=604800000
          Create one topic with four partitions that keeps records for a week

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const TOPICS_LIST: &str = "\
Examples:
  pinflow topics list --brokers localhost:9092
  pinflow topics list 12ab.pin 12ab.geo --brokers localhost:9092
          Only those of these topics that exist
  pinflow topics list --connection kafka.toml --prefix 12ab --format json
          Only topics whose names begin with 12ab, as JSON Lines

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const TOPICS_DESCRIBE: &str = "\
Examples:
  pinflow topics describe --brokers localhost:9092 --prefix 12ab
  pinflow topics describe 12ab.pin --connection kafka.toml

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const TOPICS_DELETE: &str = "\
Examples:
  pinflow topics delete --brokers localhost:9092 --prefix 12ab
          Delete the topics 12ab.pin, 12ab.geo and 12ab.user with their records

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const STREAMS: &str = "\
Examples:
  pinflow streams create --region eu-west-1 --prefix streaming-12ab --shards 4
          Create the streams streaming-12ab-pin, -geo and -user
  pinflow streams list --region eu-west-1
  pinflow streams describe streaming-12ab-pin --connection kinesis.toml
  pinflow streams scale streaming-12ab-pin 8

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const STREAMS_CREATE: &str = "\
Examples:
  pinflow streams create --region eu-west-1 --prefix streaming-12ab --shards 4
          Create the streams streaming-12ab-pin, -geo and -user with four shards each
  pinflow streams create all-posts --retention-hours 168
          Create one on-demand stream that keeps records for a week

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const STREAMS_LIST: &str = "\
Examples:
  pinflow streams list --region eu-west-1
  pinflow streams list --prefix streaming-12ab --format json
          Only streams whose names begin with streaming-12ab, as JSON Lines

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const STREAMS_DESCRIBE: &str = "\
Examples:
  pinflow streams describe streaming-12ab-pin --region eu-west-1
  pinflow streams describe --prefix streaming-12ab --connection kinesis.toml

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const STREAMS_SPLIT: &str = "\
Examples:
  pinflow streams split streaming-12ab-pin shardId-000000000000
          Split the shard in the middle of its hash keys

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const STREAMS_MERGE: &str = "\
Examples:
  pinflow streams merge streaming-12ab-pin shardId-000000000001 shardId-000000000002

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const STREAMS_SCALE: &str = "\
Examples:
  pinflow streams scale streaming-12ab-pin 8
          Split or merge shards until eight are open

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";

const STREAMS_DELETE: &str = "\
Examples:
  pinflow streams delete --region eu-west-1 --prefix streaming-12ab
          Delete the streams streaming-12ab-pin, -geo and -user with their records

Exit status: 0 done; 1 failed; 2 wrong command line or configuration";
