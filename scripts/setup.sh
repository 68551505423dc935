#!/usr/bin/env bash
# Installs what a fresh Debian machine with a Rust toolchain needs to build pinflow (and, with "tests", to test it).
# Installs only missing packages, prints what it does, and can be run again.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
need() { # need PROGRAM PACKAGE...
    command -v "$1" >/dev/null 2>&1 || missing+=("${@:2}")
}
need cc gcc libc6-dev
need make make
# librdkafka, the Kafka client: its configure script needs a C++ compiler, and it links the system's OpenSSL.
need g++ g++
need pkg-config pkg-config
pkg-config --exists openssl 2>/dev/null || missing+=(libssl-dev)
if [ "${1:-}" = tests ] && [ "${PINFLOW_SKIP_READERS:-}${PINFLOW_SKIP_AIRFLOW:-}${PINFLOW_SKIP_OPENAPI:-}" != 111 ]; then
    need python3 python3
    python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing+=(python3-venv)
fi
if [ "${1:-}" = tests ] && [ "${PINFLOW_SKIP_KAFKA:-}" != 1 ]; then
    need java default-jre-headless
    need mvn maven
fi
if [ "${1:-}" = tests ] && [ "${PINFLOW_SKIP_KINESIS:-}" != 1 ]; then
    need node nodejs
    need npm npm
    need python3 python3
    python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing+=(python3-venv)
fi
if [ "${1:-}" = tests ] && [ "${PINFLOW_SKIP_PAGE:-}" != 1 ]; then
    need node nodejs
    need npm npm
    need chromium chromium
fi
if [ "${1:-}" = tests ] && [ "${PINFLOW_SKIP_NGINX:-}" != 1 ]; then
    PATH=$PATH:/usr/sbin need nginx nginx-light
fi
if [ "${1:-}" = tests ] && [ "${PINFLOW_SKIP_MYSQL:-}" != 1 ]; then
    PATH=$PATH:/usr/sbin need mariadbd mariadb-server-core
    need mariadb mariadb-client-core
fi
if [ "${1:-}" = tests ] && [ "${PINFLOW_SKIP_POSTGRES:-}" != 1 ]; then
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
    need java default-jre-headless
    [ -e /usr/share/java/postgresql.jar ] || missing+=(libpostgresql-jdbc-java)
fi
if [ "${1:-}" = tests ] && [ "${PINFLOW_SKIP_NETNS:-}" != 1 ]; then
    PATH=$PATH:/usr/sbin need ip iproute2
fi
if [ "${1:-}" = tests ] && [ "${PINFLOW_SKIP_TERMINAL:-}" != 1 ]; then
    need tmux tmux
fi
if [ "${1:-}" = tests ] && [ "${PINFLOW_SKIP_CHECKERS:-}" != 1 ]; then
    need groff groff-base
    need zsh zsh
    need fish fish
fi
if [ "${1:-}" = tests ] && [ "${PINFLOW_SKIP_FAKETIME:-}" != 1 ]; then
    need faketime faketime
fi
if [ "${#missing[@]}" -gt 0 ]; then
    echo "setup: installing ${missing[*]}" >&2
    sudo=""; [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
fi
if ! command -v cargo >/dev/null 2>&1; then
    echo "setup: no cargo here; install Rust 1.95 or later first (https://rustup.rs)" >&2
    exit 1
fi
