#!/bin/sh
# Gets what the tests of the page need, into target/page, once (about 17 MB): Playwright and axe-core from npm. The
# browser is Debian's: apt-get install chromium nodejs npm
set -eu
here=$(cd "$(dirname "$0")" && pwd)
home=$here/../../target/page
if cmp -s "$here/package-lock.json" "$home/stamp" 2>/dev/null; then
    exit 0
fi
command -v npm >/dev/null 2>&1 || { echo "no npm here: apt-get install nodejs npm, or set PINFLOW_SKIP_PAGE=1" >&2; exit 1; }
rm -rf "$home"
mkdir -p "$home"
cp "$here/package.json" "$here/package-lock.json" "$home/"
(cd "$home" && npm ci --no-audit --no-fund --silent)
cp "$here/package-lock.json" "$home/stamp"
