#!/bin/bash
# The whole suite (`make test`): every step runs, also after one has failed; the end names those
# that failed, and the exit status is then 1.
#
# The privileged tests and the VM run as root, or through sudo. Where neither is, they fail: a test
# of the sandbox that was skipped would look like one that passed.
#
# No step has input, and each has a time limit, at which it fails and is ended with all that it
# started (limited.py).
set -uo pipefail
cd "$(dirname "$0")/.."
. packaging/root.sh

failed=()
summary=""

# step NAME SECONDS COMMAND...: a command of ours is a function below.
step() {
  local name=$1 limit=$2 start=$SECONDS status=0 result=passed
  shift 2
  printf '\n== %s\n' "$name"
  [ "$(declare -F "$1")" != "$1" ] || set -- tests/run.sh only "$@"
  # In the background, because a trap waits for a command in the foreground.
  tests/limited.py "$limit" "$@" &
  child=$!
  wait "$child" || status=$?
  child=""
  case $status in
    0) ;;
    124) result="FAILED (more than $limit s)" ;;
    *) result=FAILED ;;
  esac
  [ "$status" = 0 ] || failed+=("$name")
  summary+=$(printf '%6ss  %-6s  %s' "$((SECONDS - start))" "$result" "$name")$'\n'
}

stop() {
  trap '' INT TERM HUP
  [ -z "${child:-}" ] || { kill "$child" && wait "$child"; }
  exit "$1"
}

# src/init and src/probe are programs of their own, compiled by build.rs, which cargo fmt does not know.
check_format() {
  local bare
  cargo fmt --all --check || return 1
  cargo fmt --check --manifest-path tests/fuzz/Cargo.toml || return 1
  bare=$(find src/init src/probe -name '*.rs')
  # shellcheck disable=SC2086 # one argument a file; paths of ours have no spaces
  rustfmt --check --edition 2024 $bare
}

# Every test target of the package but the privileged ones.
unprivileged_tests() {
  local names flags=() name
  names=$(cargo metadata --locked --no-deps --format-version 1 |
    jq -r '.packages[].targets[] | select(.kind == ["test"]) | .name') || return 1
  for name in $names; do
    [ "$name" = privileged ] || flags+=(--test "$name")
  done
  cargo test --locked --no-fail-fast --lib --bins "${flags[@]}"
}

# Cargo runs the test binary through sudo where we are not root, and builds as ourselves. Arguments choose tests.
privileged_tests() {
  root_is_reachable || {
    echo "the privileged tests need root, or sudo that works without a terminal" >&2
    return 1
  }
  if [ "$(id -u)" != 0 ]; then
    local host
    host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${host}_RUNNER=sudo --preserve-env=TEST_TIME_SCALE,TEST_IMAGES,BUILD_CACHE,RUST_BACKTRACE --"
  fi
  # What a failed test says stands beside its name, and not at the end of a long log.
  cargo test --locked --test privileged -- --nocapture "$@"
}

# A test that starts the programs which the privileged tests were built with.
live_tests() {
  local target
  cargo build --locked --bins || return 1
  target=$(cargo metadata --locked --no-deps --format-version 1 | jq -r .target_directory) || return 1
  "$1" "$target/debug/kiln"
}

if [ "${1:-}" = only ]; then # called by `step`
  shift
  "$@"
  exit
fi

trap 'stop 130' INT
trap 'stop 143' TERM HUP
packaging/deps.sh test </dev/null || exit 1
step "format" 120 check_format
step "clippy" 900 cargo clippy --locked --all-targets -- -D warnings
step "unit, architecture, tidy, symbols and API tests" 900 unprivileged_tests
step "documentation tests" 600 cargo test --locked --doc
step "fuzzing, 5 s a target" 1200 tests/fuzz/run.sh
step "privileged tests" 1500 privileged_tests
step "contract with the OpenAPI document" 700 live_tests tests/contract/run.py
step "pages in a browser" 400 live_tests tests/browser/run.py
step "release build" 900 cargo build --release --locked --bins
step "VM tests" 3000 tests/vm/run.sh

printf '\n%s' "$summary"
if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
echo "all steps passed in ${SECONDS}s"
