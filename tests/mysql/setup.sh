#!/bin/sh
# Makes what the tests of --from mysql:// start: an empty MariaDB in target/mysql, once (about 26 MB). The server is
# Debian's: apt-get install mariadb-server-core mariadb-client-core
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$here/../../target/mysql"
home=$(cd "$here/../../target/mysql" && pwd)
PATH=$PATH:/usr/sbin
command -v mariadbd >/dev/null 2>&1 || { echo "no mariadbd here: apt-get install mariadb-server-core mariadb-client-core, or set PINFLOW_SKIP_MYSQL=1" >&2; exit 1; }
{ cat "$here/setup.sh"; mariadbd --version; } > "$home/wanted"
if cmp -s "$home/wanted" "$home/stamp" 2>/dev/null; then
    exit 0
fi
rm -rf "$home/data" "$home/stamp"
mariadb-install-db --no-defaults --datadir="$home/data" --user="$(id -un)" --auth-root-authentication-method=normal \
    --skip-test-db --innodb-log-file-size=8M > "$home/install.log" 2>&1 || { cat "$home/install.log" >&2; exit 1; }
mv "$home/wanted" "$home/stamp"
