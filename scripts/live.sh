#!/usr/bin/env bash
# A live example: generates 200 posts per second, and serves a page with their answers until Ctrl-C.
# Needs a built pinflow (`cargo build --release`, or its path in PINFLOW). Flags are passed to `pinflow run`, for example
# --listen 127.0.0.1:8000.
set -euo pipefail
cd "$(dirname "$0")/.."
pinflow=${PINFLOW:-target/release/pinflow}
mkdir -p data/live
"$pinflow" emit --inds 1M --rate 200 --append --to data/live >/dev/null 2>data/live.log &
feed=$!
"$pinflow" run examples/live.toml --output none "$@" &
run=$!
trap 'kill "$run" 2>/dev/null || true' INT TERM HUP
trap 'kill "$feed" 2>/dev/null || true' EXIT
# A signal interrupts `wait`. Then the run takes a moment to commit what it has read.
code=0
wait "$run" || code=$?
if [ "$code" -gt 128 ]; then
    code=0
    wait "$run" || code=$?
fi
exit "$code"
