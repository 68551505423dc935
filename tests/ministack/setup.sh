#!/bin/sh
# Gets MiniStack from PyPI into target/ministack, once (about 40 MB): an object store whose conditional put is one under
# contention, too, and streams for volume. Debian: apt-get install python3-venv
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$here/../../target/ministack"
home=$(cd "$here/../../target/ministack" && pwd)
if cmp -s "$here/setup.sh" "$home/stamp" 2>/dev/null; then
    exit 0
fi
skip="or set PINFLOW_SKIP_OBJECTS=1 and PINFLOW_SKIP_KINESIS=1"
rm -rf "$home"
mkdir -p "$home"
python3 -m venv "$home/python" || { echo "no venv for Python here: apt-get install python3-venv, $skip" >&2; exit 1; }
"$home/python/bin/pip" install --quiet --disable-pip-version-check ministack==1.5.33
cp "$here/setup.sh" "$home/stamp"
