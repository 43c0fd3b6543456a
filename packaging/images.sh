#!/bin/bash
# Builds every image that comes with kiln into the store of this host (`make images`), by the release build and with the
# settings of this host. As root, or through sudo.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/root.sh"

cd "$here/.."
target=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
as_root "$target/release/kiln" image build --all --cache "${BUILD_CACHE:-/var/cache/kiln}/images"
