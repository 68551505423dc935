#!/bin/sh
# Gets the Kinesis servers that the tests start, into target/kinesis, once (about 60 MB): kinesis-local from npm for
# resharding, closed shards and expiry; MiniStack from PyPI for volume.
# Debian: apt-get install nodejs npm python3-venv
set -eu
here=$(cd "$(dirname "$0")" && pwd)
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
python3 -m venv "$home/python" || { echo "no venv for Python here: apt-get install python3-venv, $skip" >&2; exit 1; }
"$home/python/bin/pip" install --quiet --disable-pip-version-check ministack==1.5.33
cp "$here/setup.sh" "$home/stamp"
