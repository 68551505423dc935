#!/bin/sh
# Gets schemathesis, which checks a server against its OpenAPI document, into target/openapi, once.
# Debian: apt-get install python3-venv
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$here/../../target/openapi"
home=$(cd "$here/../../target/openapi" && pwd)
if cmp -s "$here/requirements.txt" "$home/stamp" 2>/dev/null; then
    exit 0
fi
rm -rf "$home"
mkdir -p "$home"
python3 -m venv "$home/python" ||
    { echo "no venv for Python here: apt-get install python3-venv, or set PINFLOW_SKIP_OPENAPI=1" >&2; exit 1; }
"$home/python/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$here/requirements.txt"
cp "$here/requirements.txt" "$home/stamp"
