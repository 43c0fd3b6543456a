# Sourced by scripts that do a part of their work as root: directly, or through sudo.

# Whether root's powers can be had here: we are root, sudo asks nothing, or it can ask.
root_is_reachable() {
  [ "$(id -u)" = 0 ] && return 0
  command -v sudo >/dev/null || return 1
  sudo -n true 2>/dev/null || (: </dev/tty) 2>/dev/null # where sudo asks, whatever our input is
}

# Runs one command as root. sudo clears the environment: give variables by `as_root env NAME=…`.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    sudo -- "$@"
  fi
}
