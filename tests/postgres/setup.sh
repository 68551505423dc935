#!/bin/sh
# Makes what the tests of [answers.postgres] start: an empty PostgreSQL cluster in target/postgres, once (about 40 MB). The
# server is Debian's: apt-get install postgresql
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$here/../../target/postgres"
home=$(cd "$here/../../target/postgres" && pwd)
bin=$(for found in /usr/lib/postgresql/*/bin; do echo "$found"; done | sort -V | tail -1)
[ -x "$bin/initdb" ] || { echo "no PostgreSQL here: apt-get install postgresql, or set PINFLOW_SKIP_POSTGRES=1" >&2; exit 1; }
{ cat "$here/setup.sh"; "$bin/postgres" --version; } > "$home/wanted"
if cmp -s "$home/wanted" "$home/stamp" 2>/dev/null; then
    exit 0
fi
rm -rf "$home/data" "$home/stamp"
mkdir -m 700 "$home/data"
# PostgreSQL does not run as root. Another user needs /dev/null. Where only root may write it, root gets another name.
run=""
if [ "$(id -u)" = 0 ]; then
    run="setpriv --reuid=nobody --regid=nogroup --clear-groups"
    if $run sh -c ': > /dev/null' 2>/dev/null; then
        chown nobody "$home/data"
    else
        run="unshare --user --map-user=1000 --map-group=1000"
    fi
fi
echo "$run" > "$home/run"
printf '%s\n' 'c%na/r:y@é' > "$home/password"
chmod 644 "$home/password"
(cd / && $run "$bin/initdb" --pgdata="$home/data" --username=postgres --pwfile="$home/password" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync) > "$home/install.log" 2>&1 || { cat "$home/install.log" >&2; exit 1; }
echo "$bin" > "$home/bin"
mv "$home/wanted" "$home/stamp"
