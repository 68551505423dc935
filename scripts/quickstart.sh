#!/usr/bin/env bash
# Command 1 of the README: builds pinflow, runs it on the sample recording, prints the answers and writes Delta tables.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
cargo build --release --bin pinflow
cargo run --release --quiet --bin pinflow -- run examples/quickstart.toml --output tables
echo
cargo run --release --quiet --bin pinflow -- table data/quickstart --verify
