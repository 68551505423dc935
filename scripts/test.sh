#!/usr/bin/env bash
# Command 2 of the README: installs what the tests need, and runs all tests.
#
#   PINFLOW_SKIP_READERS=1   skips the tests that read the tables with other engines (Python deltalake, DuckDB, SQLAlchemy)
#   PINFLOW_SKIP_KAFKA=1     skips the tests against a real Kafka broker (Java 17 or later, jars from Maven Central)
#   PINFLOW_SKIP_KINESIS=1   skips the tests against Kinesis servers (Node and Python, from npm and PyPI)
#   PINFLOW_SKIP_MYSQL=1     skips the tests with a real database (MariaDB, from Debian)
#   PINFLOW_SKIP_POSTGRES=1  skips the tests with a real PostgreSQL (from Debian)
#   PINFLOW_SKIP_OBJECTS=1   skips the tests against an S3-compatible object store (Python, from PyPI)
#   PINFLOW_SKIP_AIRFLOW=1   skips the run of the example DAG by a real Airflow (Python, from PyPI)
#   PINFLOW_SKIP_REQUESTS=1  skips the tests that send with Python's requests (from PyPI)
#   PINFLOW_SKIP_PAGE=1      skips the tests of the page in a real browser (Chromium and Node, from Debian and npm)
#   PINFLOW_SKIP_FAKETIME=1  skips the tests with a clock that is wrong (libfaketime, from Debian)
#   PINFLOW_SKIP_TERMINAL=1  skips the tests in a real terminal (tmux, from Debian)
#   PINFLOW_SKIP_NGINX=1     skips the tests behind a real nginx (from Debian)
#   PINFLOW_SKIP_CHECKERS=1  skips the checks by promtool, groff, zsh and fish (from Debian)
#   PINFLOW_SKIP_NETNS=1     skips the tests that cut a network between processes of a cluster (iproute2, from Debian)
#   PINFLOW_SKIP_OPENAPI=1   skips the test of the OpenAPI document by schemathesis (Python, from PyPI)
#   PINFLOW_KINESIS_ROUNDS=1000   rounds of kill -9 while shards are split and merged (by default 12)
#   PINFLOW_KILLS=300        rounds of the kill -9 test (by default 60)
#   PINFLOW_CLUSTER_KILLS=300   kills of processes of a cluster (by default 16)
#   PINFLOW_DATABASE_KILLS=100   kills of a run that writes to a database (by default 14), and a fifth as many of the database
#   PINFLOW_WHILE_TESTING=C  runs the command C after the other tests, while those of the program still wait
#
# Arguments are given to `cargo test`, such as `--test it kafka::`.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh tests

# Download the servers of the tests while the compiler runs.
downloads="$(mktemp)"
others="$(mktemp)"
ran="$(mktemp)"
trap 'kill $(jobs -p) 2>/dev/null || true; rm -f "$downloads" "$others" "$ran"' EXIT
{
[ "${PINFLOW_SKIP_READERS:-}" = 1 ] || tests/readers/setup.sh
[ "${PINFLOW_SKIP_KAFKA:-}" = 1 ] || tests/kafka/setup.sh
[ "${PINFLOW_SKIP_KINESIS:-}" = 1 ] || tests/kinesis/setup.sh
[ "${PINFLOW_SKIP_MYSQL:-}" = 1 ] || tests/mysql/setup.sh
[ "${PINFLOW_SKIP_POSTGRES:-}" = 1 ] || tests/postgres/setup.sh
[ "${PINFLOW_SKIP_OBJECTS:-}" = 1 ] || tests/ministack/setup.sh
[ "${PINFLOW_SKIP_AIRFLOW:-}" = 1 ] || tests/airflow/setup.sh
[ "${PINFLOW_SKIP_REQUESTS:-}" = 1 ] || tests/gateway/setup.sh
[ "${PINFLOW_SKIP_OPENAPI:-}" = 1 ] || tests/openapi/setup.sh
[ "${PINFLOW_SKIP_CHECKERS:-}" = 1 ] || tests/promtool/setup.sh
[ "${PINFLOW_SKIP_PAGE:-}" = 1 ] || tests/page/setup.sh
} > "$downloads" 2>&1 &
downloading=$!

# Always the whole workspace: with another choice of packages Cargo would compile the dependencies again.
cargo=(cargo test --release --workspace --features failpoints)
# With `nohup` this script ignores SIGHUP, but tests that send SIGHUP need its default action.
run=(env --default-signal=HUP)
# Most tests of the program wait for a broker, a kill or a timeout, so run more of them than there are cores.
cores="$(nproc)"
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$((cores > 8 ? cores : 8))}"

wait_for_downloads() {
    wait "$downloading" || { cat "$downloads" >&2; echo "test: a component could not be installed" >&2; exit 1; }
}

if [ $# -gt 0 ]; then
    "${cargo[@]}" --no-run
    wait_for_downloads
    "${run[@]}" "${cargo[@]}" "$@"
    exit
fi

# The names of all test targets but `it`. Doc tests cannot be chosen together with others.
failed=0
"${cargo[@]}" --no-run
wait_for_downloads
"${run[@]}" "${cargo[@]}" --lib --bins --test '???*' --no-fail-fast || failed=$?
"${cargo[@]}" --doc || failed=$?

# The tests of the program take longest, and often wait. Meanwhile PINFLOW_WHILE_TESTING runs at the lowest priority, so
# that no test is late because of it. Its output follows theirs. The tests are started without Cargo, which would wait
# for the other command's build.
"${cargo[@]}" --test it --no-run 2>&1 | tee "$others"
it="$(sed -n 's/^ *Executable tests\/it\/main\.rs (\(.*\))$/\1/p' "$others")"
[ -x "$it" ] || { echo "test: Cargo did not say where it built tests/it" >&2; exit 1; }
{
    renice -n 19 -p "$BASHPID" > /dev/null
    ${PINFLOW_WHILE_TESTING:-true}
} > "$others" 2>&1 &
background=$!

it_failed=0
"${run[@]}" "$it" 2>&1 | tee "$ran" || it_failed=$?
echo "test: waiting for what runs beside the tests"
wait "$background" || failed=$?
cat "$others"

# On a busy machine a server or a timer can be too late for a test. So up to three tests that failed run once more, with
# nothing beside them. A second failure fails the run. A test that passes then is named at the end, because it has a bug or
# found one: see docs/testing.md. 101 is how a test binary ends that has run all its tests.
mapfile -t failing < <(awk '
    /^failures:$/ {delete names; listed = 1}
    listed && /^    [a-z0-9_:]+$/ {names[$1]}
    END {for (name in names) print name}' "$ran")
count="${#failing[@]}"
if [ "$it_failed" -eq 101 ] && [ "$count" -ge 1 ] && [ "$count" -le 3 ] && grep -q "^test result: FAILED\..* $count failed;" "$ran"; then
    echo "test: running again, alone: ${failing[*]}"
    RUST_TEST_THREADS=1 "${run[@]}" "$it" --exact "${failing[@]}" 2>&1 | tee "$ran" || true
    if grep -q "^test result: ok\. $count passed; 0 failed;" "$ran"; then
        printf 'test: failed at first and passed alone: %s\n' "${failing[@]}"
        it_failed=0
    fi
fi
[ "$it_failed" -eq 0 ] || failed="$it_failed"
exit "$failed"
