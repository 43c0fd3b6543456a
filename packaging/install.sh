#!/bin/bash
# Copies the release build into a system (`make install`); with `uninstall`, removes those files again.
#
#   [DESTDIR=/tmp/tree] [PREFIX=/usr/local] packaging/install.sh [uninstall]
#
# The programs must be built. With a DESTDIR nothing is started and no user is made; without one the
# script says what is left to do. Data and settings are never removed.
# Not here: the package, which dpkg installs (deb.sh); its list of files is in Cargo.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}
built=${CARGO_TARGET_DIR:-target}/release
generated=$built/generated
units=$prefix/lib/systemd/system
manual=$prefix/share/man/man1

# file MODE SOURCE TARGET; the units say where the programs are.
file() {
  install -D -m "$1" "$2" "$root$3"
  case $3 in
    *.service) sed -i "s|^ExecStart=/usr/bin/|ExecStart=$prefix/bin/|" "$root$3" ;;
  esac
}

# zsh looks for what packages bring and for what the operator brings in different folders.
zsh=$prefix/share/zsh/site-functions
[ "$prefix" != /usr ] || zsh=/usr/share/zsh/vendor-completions

each() {
  "$1" 755 "$built/kiln" "$prefix/bin/kiln"
  "$1" 755 "$built/kiln-spawner" "$prefix/bin/kiln-spawner"
  local unit
  for unit in kiln.service kiln.socket kiln.slice kiln-spawner.service kiln-spawner.socket; do
    "$1" 644 "systemd/$unit" "$units/$unit"
  done
  "$1" 644 systemd/kiln.sysusers "$prefix/lib/sysusers.d/kiln.conf"
  "$1" 644 systemd/kiln.tmpfiles "$prefix/lib/tmpfiles.d/kiln.conf"
  "$1" 644 "$generated/kiln-spawner.8.gz" "$prefix/share/man/man8/kiln-spawner.8.gz"
  "$1" 644 "$generated/kiln.bash" "$prefix/share/bash-completion/completions/kiln"
  "$1" 644 "$generated/kiln.zsh" "$zsh/_kiln"
  "$1" 644 "$generated/kiln.fish" "$prefix/share/fish/vendor_completions.d/kiln.fish"
}

forget() { rm -f "$root$3"; }

case ${1:-install} in
  install)
    [ -x "$built/kiln" ] && [ -x "$built/kiln-spawner" ] || {
      echo "install: $built has no release build: run \`make build\` first" >&2
      exit 1
    }
    packaging/generate.sh
    each file
    for page in "$generated"/*.1.gz; do
      file 644 "$page" "$manual/${page##*/}"
    done
    [ -e "$root/etc/kiln/kiln.yaml" ] || file 644 packaging/kiln.yaml /etc/kiln/kiln.yaml
    [ -n "$root" ] || cat <<'TEXT'
installed. As root:
  systemd-sysusers kiln.conf && systemd-tmpfiles --create kiln.conf
  systemctl daemon-reload && systemctl enable --now kiln
TEXT
    ;;
  uninstall)
    each forget
    rm -f "$root$manual"/kiln.1.gz "$root$manual"/kiln-*.1.gz
    echo "left in place: $root/etc/kiln, $root/var/lib/kiln and the user kiln"
    ;;
  *)
    echo "usage: packaging/install.sh [uninstall]" >&2
    exit 2 ;;
esac
