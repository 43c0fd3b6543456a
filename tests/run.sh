#!/bin/bash
# The whole suite (`make test`): every step runs, also after one has failed; the end names those
# that failed, and the exit status is then 1.
#
# The privileged tests and the VM run as root, or through sudo. Where neither is, they fail: a test
# of the sandbox that was skipped would look like one that passed.
set -uo pipefail
cd "$(dirname "$0")/.."
. packaging/root.sh

failed=()
summary=""

step() {
  local name=$1 start=$SECONDS result=passed
  shift
  printf '\n== %s\n' "$name"
  "$@" || { result=FAILED; failed+=("$name"); }
  summary+=$(printf '%6ss  %-6s  %s' "$((SECONDS - start))" "$result" "$name")$'\n'
}

# src/init is a program of its own, compiled by build.rs, which cargo fmt does not know.
check_format() {
  local init
  cargo fmt --all --check || return 1
  init=$(find src/init -name '*.rs' 2>/dev/null)
  # shellcheck disable=SC2086 # one argument a file; paths of ours have no spaces
  [ -z "$init" ] || rustfmt --check --edition 2024 $init
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

# Cargo runs the test binary through sudo where we are not root, and builds as ourselves.
privileged_tests() {
  root_is_reachable || {
    echo "the privileged tests need root, or sudo that works without a terminal" >&2
    return 1
  }
  if [ "$(id -u)" != 0 ]; then
    local host
    host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${host}_RUNNER=sudo --preserve-env=TEST_TIME_SCALE,RUST_BACKTRACE --"
  fi
  cargo test --locked --test privileged
}

packaging/deps.sh test || exit 1
step "format" check_format
step "clippy" cargo clippy --locked --all-targets -- -D warnings
step "unit, architecture, tidy, symbols and API tests" unprivileged_tests
step "documentation tests" cargo test --locked --doc
step "privileged tests" privileged_tests
step "release build" cargo build --release --locked --bins
step "VM tests" tests/vm/run.sh

printf '\n%s' "$summary"
if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
echo "all steps passed in ${SECONDS}s"
