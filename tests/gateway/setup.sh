#!/bin/sh
# Installs the HTTP client of the original scripts, Python's requests, into target/gateway, once.
# Debian: apt-get install python3-venv
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$here/../../target/gateway"
home=$(cd "$here/../../target/gateway" && pwd)
if cmp -s "$here/setup.sh" "$home/stamp" 2>/dev/null; then
    exit 0
fi
rm -rf "$home"
mkdir -p "$home"
python3 -m venv "$home/python" ||
    { echo "no venv for Python here: apt-get install python3-venv, or set PINFLOW_SKIP_REQUESTS=1" >&2; exit 1; }
"$home/python/bin/pip" install --quiet --disable-pip-version-check requests==2.32.5
cp "$here/setup.sh" "$home/stamp"
