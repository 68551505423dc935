#!/bin/sh
# Installs the Kinesis servers of the tests: kinesis-local from npm into target/kinesis, once (about 20 MB), for
# resharding, closed shards and expiry, and MiniStack for volume.
# Debian: apt-get install nodejs npm python3-venv
set -eu
here=$(cd "$(dirname "$0")" && pwd)
"$here/../ministack/setup.sh"
mkdir -p "$here/../../target/kinesis"
home=$(cd "$here/../../target/kinesis" && pwd)
if cmp -s "$here/setup.sh" "$home/stamp" 2>/dev/null; then
    exit 0
fi
skip="or set PINFLOW_SKIP_KINESIS=1"
command -v npm >/dev/null 2>&1 || { echo "no npm here: apt-get install nodejs npm, $skip" >&2; exit 1; }
rm -rf "$home"
mkdir -p "$home/npm"
echo '{"private":true}' > "$home/npm/package.json"
(cd "$home/npm" && npm install --no-audit --no-fund --silent kinesis-local@0.6.2)
cp "$here/setup.sh" "$home/stamp"
