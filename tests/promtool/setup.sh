#!/bin/sh
# Puts Prometheus' promtool into target/promtool, once (about 48 MB), unless there is one already. It comes out of Debian's
# package without installing it, which would start a server.
set -eu
if command -v promtool >/dev/null 2>&1; then
    exit 0
fi
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$here/../../target/promtool"
home=$(cd "$here/../../target/promtool" && pwd)
if [ -x "$home/promtool" ]; then
    exit 0
fi
fail() {
    echo "promtool cannot be had ($1): put Prometheus' promtool into PATH, or set PINFLOW_SKIP_CHECKERS=1" >&2
    exit 1
}
rm -rf "$home/package"
mkdir "$home/package"
cd "$home/package"
# apt drops root's rights for downloads. Without that it could not write here.
get() { apt-get -qq -o APT::Sandbox::User=root download prometheus; }
get 2> ../log || { apt-get -qq update 2>> ../log && get 2>> ../log; } || { cat ../log >&2; fail "no package"; }
dpkg-deb -x prometheus_*.deb . || fail "the package cannot be unpacked"
mv usr/bin/promtool "$home/promtool"
cd "$home"
rm -rf package log
