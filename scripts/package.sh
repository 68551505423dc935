#!/usr/bin/env bash
# Builds packages of pinflow: a tar.gz that is unpacked anywhere, and a .deb for Debian and Ubuntu.
#
#   scripts/package.sh                      builds the program with the profile `dist` (thin LTO, no symbols), then both packages
#   scripts/package.sh --binary PROGRAM     packages a program that is built already
#   scripts/package.sh --to FOLDER          writes them there instead of target/packages
#
# Both hold the program, the systemd unit, manual pages, completions for bash, zsh and fish, the licence, the docs and the
# examples. With SOURCE_DATE_EPOCH (by default the time of the last commit) the same inputs give the same bytes.
# PACKAGE_COMPRESSION (xz, zstd or gzip) is that of the .deb.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=""
to=target/packages
while [ $# -gt 0 ]; do
    case "$1" in
    --binary) binary=${2:?--binary needs a program}; shift 2 ;;
    --to) to=${2:?--to needs a folder}; shift 2 ;;
    *) echo "package: unknown argument $1; see the head of scripts/package.sh" >&2; exit 2 ;;
    esac
done
if [ -z "$binary" ]; then
    cargo build --profile dist --locked --bin pinflow
    binary=target/dist/pinflow
fi
[ -x "$binary" ] || { echo "package: $binary is not a program; build it, or name another with --binary" >&2; exit 1; }

version="$("$binary" --version)"
version=${version#pinflow }
machine="$(uname -m)"
name="pinflow-$version-linux-$machine"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
stage="$(mktemp -d)"
trap 'rm -rf "$stage"' EXIT
mkdir -p "$to"

# install_tree ROOT PREFIX: everything that both packages hold, below ROOT/PREFIX. PREFIX is where the program will be.
install_tree() {
    local root=$1 prefix=$2 into="$1$2"
    install -D -m 755 "$binary" "$into/bin/pinflow"
    "$binary" man --to "$root/man" >/dev/null
    for page in "$root"/man/*.1; do
        install -d "$into/share/man/man1"
        gzip -9nc "$page" >"$into/share/man/man1/$(basename "$page").gz"
    done
    rm -r "$root/man"
    install -d "$into/share/bash-completion/completions" "$into/share/zsh/vendor-completions" "$into/share/fish/vendor_completions.d"
    "$binary" completions bash >"$into/share/bash-completion/completions/pinflow"
    "$binary" completions zsh >"$into/share/zsh/vendor-completions/_pinflow"
    "$binary" completions fish >"$into/share/fish/vendor_completions.d/pinflow.fish"
    install -d "$into/share/doc/pinflow" "$into/lib/systemd/system"
    sed "s|/usr/local/bin/pinflow|$prefix/bin/pinflow|" examples/deploy/pinflow.service >"$into/lib/systemd/system/pinflow.service"
    cp LICENSE README.md CHANGELOG.md SECURITY.md "$into/share/doc/pinflow/"
    # What is in the project, and not what runs and editors left there.
    git ls-files -z docs examples | tar -c --null -T - | tar -x -C "$into/share/doc/pinflow"
    find "$into/share" "$into/lib" -type d -exec chmod 755 {} +
    find "$into/share" "$into/lib" -type f -exec chmod 644 {} +
    find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

# The packages of Debian that have the libraries of the program.
library_packages() {
    ldd "$binary" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | while read -r library; do
        # dpkg knows a library by one of its paths: with the link of /lib to /usr/lib resolved, or not.
        dpkg-query -S "$library" "$(readlink -f "$library")" 2>/dev/null | sed 's/:.*//' | head -n 1 || true
    done | sort -u
}

# The time, the owners and the order of the files do not depend on the machine.
reproducible=(--sort=name --owner=0 --group=0 --numeric-owner "--mtime=@$SOURCE_DATE_EPOCH")

install_tree "$stage/tar/$name" ""
# A unit that the archive brings runs the program from where its own comment says to put it.
sed -i "s|=/bin/pinflow|=/usr/local/bin/pinflow|" "$stage/tar/$name/lib/systemd/system/pinflow.service"
tar -C "$stage/tar" "${reproducible[@]}" -c "$name" | gzip -6n >"$to/$name.tar.gz"
echo "$to/$name.tar.gz"

if ! command -v dpkg-deb >/dev/null 2>&1; then
    echo "package: no dpkg-deb on this machine, so no .deb is built" >&2
    exit 0
fi
architecture="$(dpkg --print-architecture)"
deb="$stage/deb"
install_tree "$deb" /usr
depends="$(library_packages | paste -sd, | sed 's/,/, /g')"
install -d "$deb/DEBIAN"
cat >"$deb/DEBIAN/control" <<CONTROL
Package: pinflow
Version: $version
Architecture: $architecture
Maintainer: The maintainers of pinflow
Installed-Size: $(du -sk --apparent-size "$deb/usr" | cut -f1)
Depends: ca-certificates${depends:+, $depends}
Section: utils
Priority: optional
Description: Live answers over streams of posts
 Reads pin, geo and user posts from Kafka, Amazon Kinesis or recorded files,
 joins them, keeps the answers to questions up to date while they change, and
 appends each cleaned row to Delta Lake exactly once.
 .
 The service is not started on installation: write /etc/pinflow/flow.toml, then
 run "systemctl enable --now pinflow".
CONTROL
(cd "$deb" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$deb/DEBIAN/md5sums"
find "$deb" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Z"${PACKAGE_COMPRESSION:-xz}" --build "$deb" "$to/pinflow_${version}_$architecture.deb" >/dev/null
echo "$to/pinflow_${version}_$architecture.deb"
