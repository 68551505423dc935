#!/usr/bin/env bash
# Command 2 of the README: installs what the tests need, and runs all tests.
#
#   PINFLOW_SKIP_READERS=1   skips the tests that read the tables with other engines (Python deltalake, DuckDB)
#   PINFLOW_SKIP_KAFKA=1     skips the tests against a real Kafka broker (Java 17 or later, jars from Maven Central)
#   PINFLOW_SKIP_KINESIS=1   skips the tests against Kinesis servers (Node and Python, from npm and PyPI)
#   PINFLOW_SKIP_MYSQL=1     skips the tests with a real database (MariaDB, from Debian)
#   PINFLOW_SKIP_OBJECTS=1   skips the tests against an S3-compatible object store (Python, from PyPI)
#   PINFLOW_SKIP_AIRFLOW=1   skips the run of the example DAG by a real Airflow (Python, from PyPI)
#   PINFLOW_SKIP_REQUESTS=1  skips the tests that send with Python's requests (from PyPI)
#   PINFLOW_SKIP_PAGE=1      skips the tests of the page in a real browser (Chromium and Node, from Debian and npm)
#   PINFLOW_SKIP_FAKETIME=1  skips the tests with a clock that is wrong (libfaketime, from Debian)
#   PINFLOW_SKIP_TERMINAL=1  skips the tests in a real terminal (tmux, from Debian)
#   PINFLOW_SKIP_NGINX=1     skips the tests behind a real nginx (from Debian)
#   PINFLOW_SKIP_OPENAPI=1   skips the test of the OpenAPI document by schemathesis (Python, from PyPI)
#   PINFLOW_KINESIS_ROUNDS=1000   rounds of kill -9 while shards are split and merged (by default 12)
#   PINFLOW_KILLS=300        rounds of the kill -9 test (by default 60)
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh tests

# Download the servers of the tests while the compiler runs.
downloads="$(mktemp)"
trap 'rm -f "$downloads"' EXIT
{
[ "${PINFLOW_SKIP_READERS:-}" = 1 ] || tests/readers/setup.sh
[ "${PINFLOW_SKIP_KAFKA:-}" = 1 ] || tests/kafka/setup.sh
[ "${PINFLOW_SKIP_KINESIS:-}" = 1 ] || tests/kinesis/setup.sh
[ "${PINFLOW_SKIP_MYSQL:-}" = 1 ] || tests/mysql/setup.sh
[ "${PINFLOW_SKIP_OBJECTS:-}" = 1 ] || tests/ministack/setup.sh
[ "${PINFLOW_SKIP_AIRFLOW:-}" = 1 ] || tests/airflow/setup.sh
[ "${PINFLOW_SKIP_REQUESTS:-}" = 1 ] || tests/gateway/setup.sh
[ "${PINFLOW_SKIP_OPENAPI:-}" = 1 ] || tests/openapi/setup.sh
[ "${PINFLOW_SKIP_PAGE:-}" = 1 ] || tests/page/setup.sh
} > "$downloads" 2>&1 &
downloading=$!
cargo test --release --workspace --features failpoints --no-run
wait "$downloading" || { cat "$downloads" >&2; echo "test: a component could not be installed" >&2; exit 1; }

# Most of these tests wait for a broker, a kill or a timeout, so run more of them than there are cores.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-6}"
# With `nohup` this script ignores SIGHUP, but tests that send SIGHUP need its default action.
env --default-signal=HUP cargo test --release --workspace --features failpoints "$@"
