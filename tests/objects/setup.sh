#!/bin/sh
# Gets the object store that the tests start, into target/objects, once (about 40 MB): MiniStack from PyPI, whose
# conditional put is one under contention, too. Debian: apt-get install python3-venv
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$here/../../target/objects"
home=$(cd "$here/../../target/objects" && pwd)
if cmp -s "$here/setup.sh" "$home/stamp" 2>/dev/null; then
    exit 0
fi
skip="or set PINFLOW_SKIP_OBJECTS=1"
rm -rf "$home"
mkdir -p "$home"
python3 -m venv "$home/python" || { echo "no venv for Python here: apt-get install python3-venv, $skip" >&2; exit 1; }
"$home/python/bin/pip" install --quiet --disable-pip-version-check ministack==1.5.33
cp "$here/setup.sh" "$home/stamp"
