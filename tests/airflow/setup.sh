#!/bin/sh
# Installs Airflow for the test of examples/airflow, once. Debian: apt-get install python3-venv
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=$here/../../target/airflow-venv
stamp=$venv/.requirements
if cmp -s "$here/requirements.txt" "$stamp" 2>/dev/null; then
    exit 0
fi
python3 -m venv "$venv" || { echo "python3 -m venv failed: apt-get install python3-venv" >&2; exit 1; }
"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
cp "$here/requirements.txt" "$stamp"
