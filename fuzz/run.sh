#!/bin/sh
# Builds all fuzz targets and runs one on its seeds and corpus; without a target it only builds.
# usage: fuzz/run.sh [TARGET [libFuzzer options, e.g. -max_total_time=60, or a file to try again]]
# SANITIZER=address adds AddressSanitizer: slower, but a stack overflow leaves its input behind.
set -eu
cd "$(dirname "$0")"
# The versions of the workspace; cargo adds the fuzzing engine.
[ Cargo.lock -nt ../Cargo.lock ] || cp ../Cargo.lock Cargo.lock
host=$(rustc -vV | sed -n 's/^host: //p')
folder=${CARGO_TARGET_DIR:-$PWD/target}
# The flags of cargo-fuzz; with --target they apply to the target's code only, not to build scripts.
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
if [ -n "${SANITIZER:-}" ]; then
    flags="$flags -Zsanitizer=$SANITIZER"
    folder=$folder/$SANITIZER
fi
RUSTC_BOOTSTRAP=1 RUSTFLAGS=$flags CARGO_TARGET_DIR=$folder \
    cargo build --quiet --release --bins --target "$host"
[ $# -gt 0 ] || exit 0
target=$1
shift
mkdir -p "$folder/corpus/$target"
# Tests of the loader are seeds, too. Templates are rendered a dozen times an input: short ones find more.
more=
case $target in
playbook) more=../provision/playbook/tests/errors ;;
template) more=-max_len=1024 ;;
esac
program=$folder/$host/release/$target
dictionary=dictionaries/$target.dict
[ ! -f "$dictionary" ] || set -- -dict="$dictionary" "$@"
for argument; do
    # A file to try again: nothing but this input.
    [ ! -f "$argument" ] || exec "$program" "$@"
done
exec "$program" "$folder/corpus/$target" "seeds/$target" $more \
    -artifact_prefix="$folder/$target-" -timeout=10 "$@"
