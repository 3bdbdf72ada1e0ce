#!/bin/sh
# Builds one fuzz target with AddressSanitizer and coverage, and runs it on its seeds and corpus.
# usage: fuzz/run.sh TARGET [libFuzzer options, e.g. -max_total_time=60]
set -eu
cd "$(dirname "$0")"
target=$1
shift
host=$(rustc -vV | sed -n 's/^host: //p')
folder=${CARGO_TARGET_DIR:-$PWD/target}
# The flags of cargo-fuzz; with --target they apply to the target's code only, not to build scripts.
RUSTC_BOOTSTRAP=1 \
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing -Zsanitizer=address" \
    cargo build --release --target "$host" --features "$target" --bin "$target"
mkdir -p "$folder/corpus/$target"
exec "$folder/$host/release/$target" "$folder/corpus/$target" "seeds/$target" -artifact_prefix="$folder/" -timeout=10 "$@"
