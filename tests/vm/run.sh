#!/bin/bash
# The tests in the Debian VM (`make test-vm`): builds what goes in, starts the guest, and runs
# guest.sh there. The guest has systemd and pure cgroup v2, which this machine may not have.
#
# The bed itself runs as root (directly or through sudo), because the image and its cache are
# root's. Exit status: that of guest.sh; 124 when it took too long, 125 when the bed failed.
set -euo pipefail
cd "$(dirname "$0")/../.."
. packaging/root.sh

# Everything in the guest together, under TCG; a run that hangs ends here.
limit_seconds=1500

root_is_reachable || {
  echo "test-vm: the test bed needs root, or sudo that works without a terminal" >&2
  exit 1
}

# The path of the test binary that `cargo test` would run for test target $1.
test_binary() {
  cargo test --locked --no-run --test "$1" --message-format=json |
    jq -r --arg name "$1" \
      'select(.reason == "compiler-artifact" and .profile.test and .target.name == $name)
       | .executable'
}

cargo build --release --locked --bins
privileged=$(test_binary privileged)
[ -n "$privileged" ] || {
  echo "test-vm: cargo named no binary for the test target \"privileged\"" >&2
  exit 1
}
target=$(cargo metadata --locked --no-deps --format-version 1 | jq -r .target_directory)

share=$(mktemp -d "${TMPDIR:-/tmp}/kiln-vm.XXXXXX")
trap 'rm -rf "$share"' EXIT
mkdir "$share/bin" "$share/tests"
cp "$target/release/kiln" "$target/release/kiln-spawner" "$share/bin/"
objcopy --strip-debug "$privileged" "$share/tests/privileged"
cp tests/vm/guest.sh "$share/"

# Tests find the binaries by the path that cargo compiled into them; the guest makes it.
as_root env ${KILN_CACHE:+KILN_CACHE="$KILN_CACHE"} ${TEST_TIME_SCALE:+TEST_TIME_SCALE="$TEST_TIME_SCALE"} \
  tests/vm/vmbed.py run -v -d "$share" -t "$limit_seconds" \
  -e "KILN_BUILT_IN=$(dirname "$(dirname "$privileged")")" -- 'bash /share/guest.sh'
