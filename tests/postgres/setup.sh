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
# PostgreSQL does not run as root. Another user may not enter the folders above this one, so the cluster is made in /tmp.
# It also needs /dev/null. Where only root may write that, root gets another name.
made=$(mktemp -d /tmp/pinflow-postgres.XXXXXX)
trap 'rm -rf "$made"' EXIT
chmod 711 "$made"
mkdir -m 700 "$made/data"
run=""
if [ "$(id -u)" = 0 ]; then
    run="setpriv --reuid=nobody --regid=nogroup --clear-groups"
    if $run sh -c ': > /dev/null' 2>/dev/null; then
        chown nobody "$made/data"
    else
        run="unshare --user --map-user=1000 --map-group=1000"
    fi
fi
echo "$run" > "$home/run"
printf '%s\n' 'c%na/r:y@é' > "$made/password"
chmod 644 "$made/password"
(cd / && $run "$bin/initdb" --pgdata="$made/data" --username=postgres --pwfile="$made/password" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync) > "$home/install.log" 2>&1 || { cat "$home/install.log" >&2; exit 1; }
cp -a "$made/data" "$home/data"
echo "$bin" > "$home/bin"
mv "$home/wanted" "$home/stamp"
