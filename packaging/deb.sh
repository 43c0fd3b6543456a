#!/bin/bash
# Builds the Debian package from the release build and prints its path (`make deb`).
#
#   packaging/deb.sh [VERSION]      VERSION instead of that of Cargo.toml, with Debian's revision
#
# cargo-deb is compiled once (two minutes on one processor) and kept below $BUILD_CACHE, in a folder that is named by its
# version and the compiler; without a writable cache, below target.
# Not here: what is in the package (Cargo.toml, packaging/debian), the programs (`make build`).
set -euo pipefail
cd "$(dirname "$0")/.."

tool_version=3.8.0
target=${CARGO_TARGET_DIR:-target}
cache=${BUILD_CACHE:-/var/cache/kiln}
mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ] || cache=$target
cache=$(cd "$cache" && pwd)
tool=$cache/cargo-deb-$( (echo "$tool_version"; rustc -vV) | sha256sum | cut -c1-12)

install_tool() {
  local unfinished=$tool.$$
  echo "deb: compiling cargo-deb $tool_version" >&2
  env -u CARGO_TARGET_DIR cargo install --quiet cargo-deb --version "=$tool_version" --locked --root "$unfinished" >&2
  # Another build may have been faster.
  mv -T "$unfinished" "$tool" 2>/dev/null || rm -rf "$unfinished"
}

[ -x "$tool/bin/cargo-deb" ] || install_tool
packaging/generate.sh
"$tool/bin/cargo-deb" --no-build --locked --quiet ${1:+--deb-version "$1"}
