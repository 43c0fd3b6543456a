#!/bin/bash
# Installs the Debian packages that are missing for a purpose, and names what it cannot install.
#
#   packaging/deps.sh make|build|demo|test      (each contains the one before)
#   packaging/deps.sh bench|deb|fuzz|images      (each contains build)
#
# With every package there it needs no root and touches nothing. Downloaded packages are kept in
# $BUILD_CACHE/debs (default /var/cache/kiln), which may be deleted.
# Not here: the Rust toolchain, which has an installer of its own; its absence is reported.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/root.sh"

purpose=${1:-test}
packages=()
case $purpose in
  test)
    packages+=(nftables iproute2 binutils mmdebstrap e2fsprogs erofs-utils cpio xz-utils qemu-system-x86 python3-venv chromium) ;;&
  images)
    packages+=(mmdebstrap erofs-utils) ;;&
  test | deb)
    packages+=(dpkg-dev) ;;&
  bench)
    packages+=(bubblewrap crun python3 util-linux) ;;&
  test | fuzz)
    packages+=(g++) ;;& # for libFuzzer, which is C++
  test | demo)
    packages+=(curl jq python3 procps) ;;&
  test | demo | bench | deb | fuzz | images | build)
    packages+=(gcc libc6-dev libseccomp-dev pkg-config) ;;&
  test | demo | bench | deb | fuzz | images | build | make)
    packages+=(make ca-certificates) ;;
  *)
    echo "usage: packaging/deps.sh make|build|demo|test|bench|deb|fuzz|images" >&2
    exit 2 ;;
esac

die() { echo "deps: $*" >&2; exit 1; }

is_installed() {
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

install_missing() {
  local debs=${BUILD_CACHE:-/var/cache/kiln}/debs
  echo "deps: installing ${missing[*]}"
  as_root mkdir -p "$debs/partial"
  as_root apt-get -qq update || echo "deps: apt-get update failed; trying with the lists there are" >&2
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
    -o Dir::Cache::archives="$debs" install "${missing[@]}" >/dev/null ||
    die "apt-get could not install: ${missing[*]}"
}

command -v dpkg-query >/dev/null || die "this is no Debian: needed are the packages ${packages[*]}"
missing=()
for package in "${packages[@]}"; do
  is_installed "$package" || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  root_is_reachable ||
    die "missing, and neither root nor sudo is here. As root: apt-get install ${missing[*]}"
  install_missing
fi

if [ "$purpose" != make ]; then
  command -v cargo >/dev/null ||
    die "cargo is not on the PATH: install Rust 1.95 or newer (with clippy and rustfmt) by rustup"
fi
