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
units=$prefix/lib/systemd/system

# file MODE SOURCE TARGET; the units say where the programs are.
file() {
  install -D -m "$1" "$2" "$root$3"
  case $3 in
    *.service) sed -i "s|^ExecStart=/usr/bin/|ExecStart=$prefix/bin/|" "$root$3" ;;
  esac
}

each() {
  "$1" 755 "$built/kiln" "$prefix/bin/kiln"
  "$1" 755 "$built/kiln-spawner" "$prefix/bin/kiln-spawner"
  local unit
  for unit in kiln.service kiln.socket kiln.slice kiln-spawner.service kiln-spawner.socket; do
    "$1" 644 "systemd/$unit" "$units/$unit"
  done
  "$1" 644 systemd/kiln.sysusers "$prefix/lib/sysusers.d/kiln.conf"
  "$1" 644 systemd/kiln.tmpfiles "$prefix/lib/tmpfiles.d/kiln.conf"
}

forget() { rm -f "$root$3"; }

case ${1:-install} in
  install)
    [ -x "$built/kiln" ] && [ -x "$built/kiln-spawner" ] || {
      echo "install: $built has no release build: run \`make build\` first" >&2
      exit 1
    }
    each file
    [ -e "$root/etc/kiln/kiln.yaml" ] || file 644 packaging/kiln.yaml /etc/kiln/kiln.yaml
    [ -n "$root" ] || cat <<'TEXT'
installed. As root:
  systemd-sysusers kiln.conf && systemd-tmpfiles --create kiln.conf
  systemctl daemon-reload && systemctl enable --now kiln
TEXT
    ;;
  uninstall)
    each forget
    echo "left in place: $root/etc/kiln, $root/var/lib/kiln and the user kiln"
    ;;
  *)
    echo "usage: packaging/install.sh [uninstall]" >&2
    exit 2 ;;
esac
