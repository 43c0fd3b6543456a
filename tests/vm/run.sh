#!/bin/bash
# The tests in the Debian VM (`make test-vm`): builds what goes in, starts the guest, and runs
# service.sh (the package) and guest.sh (the rest) there. The guest has systemd and pure cgroup v2,
# which this machine may not have.
#
# The bed itself runs as root (directly or through sudo), because the image and its cache are
# root's. Exit status: 0, or that of the last part that failed: 124 when it took too long, 125 when
# the bed failed. TEST_VM_SUITE=trixie takes Debian 13 instead of 12.
set -euo pipefail
cd "$(dirname "$0")/../.."
. packaging/root.sh

# What hangs ends here. The guest itself may take service_seconds, reboot_seconds and guest_seconds for
# its three parts; the bed, which may have to build the image and to boot first, bed_seconds for each.
build_seconds=900
service_seconds=600
reboot_seconds=240
guest_seconds=2000
bed_seconds=2200
tool_seconds=900

root_is_reachable || {
  echo "test-vm: the test bed needs root, or sudo that works without a terminal" >&2
  exit 1
}

# The path of the test binary that `cargo test` would run for test target $1.
test_binary() {
  tests/limited.py "$build_seconds" cargo test --locked --no-run --test "$1" --message-format=json |
    jq -r --arg name "$1" \
      'select(.reason == "compiler-artifact" and .profile.test and .target.name == $name)
       | .executable'
}

tests/limited.py "$build_seconds" cargo build --release --locked --bins
privileged=$(test_binary privileged)
[ -n "$privileged" ] || {
  echo "test-vm: cargo named no binary for the test target \"privileged\"" >&2
  exit 1
}
# Debian's revision is the only difference.
newer=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n1)-2
target=$(cargo metadata --locked --no-deps --format-version 1 | jq -r .target_directory)

share=$(mktemp -d "${TMPDIR:-/tmp}/kiln-vm.XXXXXX")
trap 'rm -rf "$share"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir "$share/bin" "$share/tests"
cp "$target/release/kiln" "$target/release/kiln-spawner" "$share/bin/"
objcopy --strip-debug "$privileged" "$share/tests/privileged"
# The guest has no compiler.
mkdir "$share/hostile"
tests/hostile/compile.sh tests/hostile/c "$share/hostile"
cp tests/vm/{checks,guest,service}.sh systemd/kiln-spawner.service "$share/"
# cargo-deb removes the package of another version.
cp "$(tests/limited.py "$tool_seconds" packaging/deb.sh)" "$share/kiln.deb"
cp "$(tests/limited.py "$tool_seconds" packaging/deb.sh "$newer")" "$share/newer.deb"

# What is in the package, without its documents and what dpkg needs, is what `make install` copies.
installed=$(mktemp -d "${TMPDIR:-/tmp}/kiln-vm.XXXXXX")
trap 'as_root rm -rf "$share" "$installed"' EXIT
DESTDIR=$installed PREFIX=/usr packaging/install.sh
listed() { sed -E 's|^\.?/?||' | grep -v -e '/$' -e '^usr/share/doc/' | sort; }
if ! diff <(dpkg-deb -c "$share/kiln.deb" | awk '{ print $6 }' | listed) <(cd "$installed" && find . -type f | listed); then
  echo "test-vm: the package and \`make install\` differ" >&2
  exit 1
fi

# part SECONDS OPTIONS... -- COMMAND: every part runs.
part() {
  local seconds=$1
  shift
  as_root env ${BUILD_CACHE:+BUILD_CACHE="$BUILD_CACHE"} ${TEST_TIME_SCALE:+TEST_TIME_SCALE="$TEST_TIME_SCALE"} \
    tests/limited.py "$bed_seconds" tests/vm/vmbed.py run -v -s "${TEST_VM_SUITE:-bookworm}" -d "$share" -t "$seconds" "$@" || status=$?
}
disk=$installed/disk.ext4
status=0
part "$service_seconds" -k "$disk" -e "NEWER=$newer" -- 'bash /share/service.sh installed'
part "$reboot_seconds" -k "$disk" -- 'bash /share/service.sh rebooted'
# Tests find the binaries by the path that cargo compiled into them; the guest makes it.
part "$guest_seconds" -e "TEST_BUILT_IN=$(dirname "$(dirname "$privileged")")" -- 'bash /share/guest.sh'
exit "$status"
