#!/bin/bash
# Writes what the program knows of itself into target/release/generated: the manual pages, and what shells need to
# complete its command line. The programs must be built. What is newer than they are stays: root installs what somebody
# else has built, and leaves no file among theirs.
set -euo pipefail
cd "$(dirname "$0")/.."

built=${CARGO_TARGET_DIR:-target}/release
generated=$built/generated
if [ "$generated/done" -nt "$built/kiln" ] && [ "$generated/done" -nt packaging/kiln-spawner.8 ]; then
  exit 0
fi
rm -rf "$generated"
mkdir "$generated"
"$built/kiln" manual "$generated"
cp packaging/kiln-spawner.8 "$generated/"
gzip -9 --no-name "$generated"/*.[18]
for shell in bash zsh fish; do
  "$built/kiln" completions "$shell" >"$generated/kiln.$shell"
done
touch "$generated/done"
