#!/bin/bash
# Builds the fuzz targets and runs them one after another (`make fuzz`).
#
#   tests/fuzz/run.sh [TARGET...]             FUZZ_SECONDS each (default 5); all when none is named
#   tests/fuzz/run.sh reproduce TARGET FILE   one input, with a backtrace
#
# What a run learns is kept below the target directory (corpus/TARGET) and begins the next one, beside the inputs in
# tests/fuzz/corpus and those that the targets make themselves. A finding lies below findings/, and the output says how to
# run it again. Exit status 1 when there is one, or when the program has no coverage counters: it would find nothing.
set -uo pipefail
cd "$(dirname "$0")"
seconds=${FUZZ_SECONDS:-5}
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-../../target}")/fuzz
export CARGO_TARGET_DIR
# Each would take the place of what .cargo/config.toml says.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET CARGO_BUILD_RUSTFLAGS

cargo build --locked || exit 1
program=$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/debug/fuzz
if [ -w /dev/shm ]; then SCRATCH=$(mktemp -d -p /dev/shm); else SCRATCH=$(mktemp -d); fi
export SCRATCH
trap 'rm -rf "$SCRATCH"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

SEEDS=$SCRATCH/seeds "$program" || exit 1
known=$(ls "$SCRATCH/seeds")
learnt=$CARGO_TARGET_DIR/corpus
findings=$CARGO_TARGET_DIR/findings
mkdir -p "$findings"
# Output of the compiled-in build script is for cargo.
flags=(-close_fd_mask=1 -timeout=20 -rss_limit_mb=2048)

if [ "${1:-}" = reproduce ]; then
  RUST_BACKTRACE=1 TARGET=$2 "$program" "${flags[@]}" "$3"
  exit
fi

targets=("$@")
# shellcheck disable=SC2206 # names of ours have no spaces
[ $# -gt 0 ] || targets=($known)

# The value of a line `stat::NAME: VALUE`.
stat() { sed -n "s/^stat::$1: *//p" "$log"; }

# libFuzzer begins with these folders, and writes to the first.
corpora() {
  mkdir -p "$learnt/$1"
  printf '%s\n' "$learnt/$1" "$SCRATCH/seeds/$1"
  [ ! -d "corpus/$1" ] || printf '%s\n' "corpus/$1"
}

# Says how it went; the whole output only where something was found.
run() {
  local status=0
  mapfile -t folders < <(corpora "$1")
  TARGET=$1 "$program" "${flags[@]}" -max_len=4096 -max_total_time="$seconds" -print_final_stats=1 \
    -artifact_prefix="$findings/$1-" "${folders[@]}" 2>"$log" || status=$?
  grep -q '^INFO: Loaded 1 modules .* inline 8-bit counters' "$log" || {
    echo "$1: the program has no coverage counters" >&2
    status=1
  }
  [ "$status" = 0 ] || {
    cat "$log" >&2
    sed -n "s|.*Test unit written to \(.*\)|$1: FOUND. Again by: tests/fuzz/run.sh reproduce $1 \1|p" "$log" >&2
    return 1
  }
  printf '%-17s %9s runs %7s/s  coverage %5s  inputs %5s\n' "$1" "$(stat number_of_executed_units)" \
    "$(stat average_exec_per_sec)" "$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 | cut -d' ' -f2)" \
    "$(find "$learnt/$1" -type f | wc -l)"
}

log=$SCRATCH/log
failed=()
for target in "${targets[@]}"; do
  run "$target" || failed+=("$target")
done
if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAILED: %s\n' "${failed[@]}" >&2
  exit 1
fi
