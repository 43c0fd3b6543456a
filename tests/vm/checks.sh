# Sourced by the scripts that run in the guest: checks that are counted, and what a daemon leaves.
#
# A script sets `unit`, the unit of the server. Time limits are multiplied by TEST_TIME_SCALE.

scale=${TEST_TIME_SCALE:-1}
passed=0
failed=0

# Each with the seconds since the start.
pass() { passed=$((passed + 1)); printf 'ok   %4ss  %s\n' "$SECONDS" "$1"; }
fail() { failed=$((failed + 1)); printf 'FAIL %4ss  %s\n' "$SECONDS" "$1"; shift; [ $# = 0 ] || printf '%s\n' "$@" | sed 's/^/      /'; }

# check NAME COMMAND...: passes when the command does; its output is shown when it does not.
check() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then pass "$name"; else fail "$name" "$output"; return 1; fi
}

# within SECONDS COMMAND...: waits for the command to succeed.
within() {
  local deadline=$((SECONDS + $1 * scale))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

# --- what a job leaves, seen from the host

# Neither root's nor the system's, nor the server, which has a user of its own.
job_processes() {
  ps -e -o uid=,pid=,comm= |
    awk -v server="$(systemctl show -P MainPID "$unit")" \
      '$1 >= 1000 && $1 != 65534 && $2 != server'
}
kiln_processes() { ps -e -o pid=,comm= | awk '$2 ~ /^kiln/'; }
kiln_groups() { find /sys/fs/cgroup -type d -name '*kiln*'; }
kiln_mounts() { grep -i kiln /proc/1/mountinfo; }
net_namespaces() { lsns -n -r -t net -o NS | sort; }

# Prints what is there, and fails if there is something.
none() { local found; found=$("$@"); printf '%s' "$found"; [ -z "$found" ]; }
soon_none() { within 3 none "$@" >/dev/null || none "$@"; }
same_net_namespaces() { [ "$(net_namespaces)" = "$net_namespaces_before" ]; }

# The exit status of the script: every check runs, and one that failed is enough.
conclude() {
  echo "vm: $1: $passed checks passed, $failed failed in ${SECONDS}s"
  [ "$failed" = 0 ]
}
