#!/bin/bash
# `make demo`: builds kiln, starts it on 127.0.0.1 with a data directory of its own, runs real
# programs through POST /v1/execute, then three hostile ones, and shows how each of them ended.
#
#   PORT=N   listen there (default: 8080, or the next free port)
#   KEEP=1   stay up until Ctrl-C
#
# It leaves nothing behind, however it ends, and says so if that fails. The exit status is 0 only
# when every program ended as it should have.
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/root.sh

ready_seconds=10
stop_seconds=15
expected_ends=0
unexpected_ends=0

say() { printf '\n%s\n' "$*"; }
die() { echo "demo: $*" >&2; exit 1; }

# --- the daemon

# systemd answers: the spawner's cgroup is then a delegated one.
under_systemd() {
  [ -d /run/systemd/system ] || return 1
  case $(systemctl is-system-running 2>/dev/null) in
    running | degraded | starting | initializing) return 0 ;;
    *) return 1 ;;
  esac
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

choose_port() {
  local candidate
  if [ -n "${PORT:-}" ]; then
    [[ $PORT =~ ^[1-9][0-9]{0,4}$ ]] && [ "$PORT" -le 65535 ] || die "PORT=$PORT is no port: 1 to 65535"
    port_is_free "$PORT" || die "port $PORT is taken"
    echo "$PORT"
    return
  fi
  for candidate in $(seq 8080 8179); do
    if port_is_free "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  die "no free port between 8080 and 8179; choose one by PORT=N"
}

start_daemon() {
  local settings=(
    "KILN_DATA_DIR=$work/data"
    "KILN_API_HOST=127.0.0.1"
    "KILN_API_PORT=$port"
    "KILN_API_SOCKET="
    "KILN_API_AUTH_ENABLED=false"
  )
  mkdir "$work/data"
  if under_systemd; then
    unit=kiln-demo-$$
    as_root systemd-run --quiet --collect --unit="$unit" \
      -p Type=simple -p Delegate=yes -p KillMode=mixed -p TasksMax=infinity \
      -p StandardOutput="append:$work/log" -p StandardError="append:$work/log" \
      "${settings[@]/#/--setenv=}" "$binaries/kiln" serve
  else
    # A session of its own: Ctrl-C reaches this script, which then stops the daemon in order. What
    # is in $work/pid is the daemon's own process id, also behind sudo.
    # shellcheck disable=SC2016 # expanded by the inner shell
    as_root setsid sh -c 'echo $$ >"$1"; shift; exec env "$@"' \
      sh "$work/pid" "${settings[@]}" "$binaries/kiln" serve >"$work/log" 2>&1 </dev/null &
    launcher=$!
  fi
}

daemon_is_up() {
  if [ -n "${unit:-}" ]; then
    systemctl --quiet is-active "$unit"
  elif [ -s "$work/pid" ]; then
    [ -d "/proc/$(cat "$work/pid")" ]
  else
    # Not started yet, or never: sudo may still be asking.
    [ -n "${launcher:-}" ] && [ -d "/proc/$launcher" ]
  fi
}

wait_until_ready() {
  local deadline=$((SECONDS + ready_seconds))
  until curl --noproxy '*' -fsS -o "$work/ready" --max-time 2 "$base/readyz" 2>/dev/null; do
    daemon_is_up || { cat "$work/log" >&2; die "the daemon ended before it was ready"; }
    [ "$SECONDS" -lt "$deadline" ] ||
      { cat "$work/log" >&2; die "the daemon was not ready within $ready_seconds s"; }
    sleep 0.05
  done
}

# Ends the daemon and everything that it started; fails if it had to be forced.
stop_daemon() {
  local session deadline=$((SECONDS + stop_seconds))
  if [ -n "${unit:-}" ]; then
    as_root systemctl stop "$unit" || return 1
    return 0 # a bare `return` in a trap gives the status from before the trap
  fi
  [ -s "$work/pid" ] || return 0
  session=$(cat "$work/pid")
  as_root kill -TERM "$session" 2>/dev/null || true
  while pgrep -s "$session" >/dev/null; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      echo "demo: the daemon did not end within $stop_seconds s and was killed" >&2
      as_root pkill -KILL -s "$session" || true
      return 1
    fi
    sleep 0.05
  done
}

# What of this daemon could outlive it. All of it bears the name of its instance, so that another
# kiln on this host does not count. A process of a job keeps its cgroup alive.
traces() {
  find /sys/fs/cgroup -type d -name "kiln-$instance" 2>/dev/null || true
  grep -F "$work" /proc/self/mountinfo || true
  pgrep -af -- "--instance $instance" || true
}

# Fails if something is left; the kernel needs a moment for some of it.
nothing_is_left() {
  local deadline=$((SECONDS + 5)) left
  while left=$(traces) && [ -n "$left" ]; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      printf 'demo: left behind:\n%s\n' "$left" >&2
      return 1
    fi
    sleep 0.1
  done
}

cleanup() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP # the second Ctrl-C does not interrupt the cleaning
  [ -z "${child:-}" ] || kill "$child" 2>/dev/null || true
  stop_daemon || status=1
  instance=$(as_root cat "$work/data/instance" 2>/dev/null) || true # none: it did not come so far
  as_root rm -rf --one-file-system "$work" || status=1
  if [ -n "$instance" ]; then
    nothing_is_left || status=1
    # Its lock: the data directory, and with it the instance, is gone.
    as_root rm -f "/run/kiln/instance-$instance.lock" || status=1
  fi
  exit "$status"
}

# --- programs

# A shell runs its traps between commands only: what can take long is waited for in the background.
waited() {
  local status=0
  "$@" &
  child=$!
  wait "$child" || status=$?
  child=""
  return "$status"
}

# run NAME EXPECTED_REASON REQUEST: sends the request, keeps the answer in $work/answer.
run() {
  local name=$1 expected=$2 code reason
  printf '%s' "$3" >"$work/request"
  waited curl --noproxy '*' -sS --max-time 120 -o "$work/answer" -w '%{http_code}' \
    -H 'Content-Type: application/json' --data-binary "@$work/request" \
    "$base/v1/execute" >"$work/code" || die "$name: no answer; the log: $(tail -n 20 "$work/log")"
  code=$(cat "$work/code")
  [ "$code" = 200 ] || die "$name: HTTP $code: $(cat "$work/answer")"
  reason=$(jq -r '.termination.reason' "$work/answer")
  if grep -qx "$reason" <<<"${expected//|/$'\n'}"; then
    expected_ends=$((expected_ends + 1))
  else
    unexpected_ends=$((unexpected_ends + 1))
    echo "demo: $name ended with $reason, expected $expected: $(cat "$work/answer")" >&2
  fi
  row "$name"
}

heading() {
  printf '%-14s %-16s %-5s %-12s %9s %9s %9s %10s %6s\n' \
    program 'ended by' exit 'limits hit' 'cpu ms' 'wall ms' 'setup ms' 'memory MiB' procs
}

# A figure that the kernel could not give is null, and shows as "-".
row() {
  local fields
  mapfile -t fields < <(jq -r '
    def thousandth: if . == null then "-" else . / 100 | round / 10 end;
    def or_dash: if . == null then "-" else . end;
    .usage as $u
    | .termination.reason,
      (.exit_code | or_dash),
      (.termination.limits_hit // [] | if . == [] then "-" else join(",") end),
      (if $u.cpu_user_us == null or $u.cpu_system_us == null then null
       else $u.cpu_user_us + $u.cpu_system_us end | thousandth),
      ($u.wall_us | thousandth),
      ($u.setup_us | thousandth),
      ($u.memory_peak_bytes | if . == null then "-" else . / 104857.6 | round / 10 end),
      ($u.processes_peak | or_dash)' "$work/answer")
  printf '%-14s %-16s %-5s %-12s %9s %9s %9s %10s %6s\n' "$1" "${fields[@]}"
}

printed() { jq -r '.stdout' "$work/answer" | sed '/^$/d; s/^/    /'; }

# request LANGUAGE CODE [LIMITS]: the body; LIMITS is a JSON object with more members.
request() {
  local limits=${3:-}
  jq -cn --arg language "$1" --arg code "$2" --argjson more "${limits:-null}" \
    '{language: $language, code: $code} + $more'
}

run_real_programs() {
  heading
  run python exited "$(request python '
import os, platform
print("Python", platform.python_version(), "as uid", os.getuid(), "among", len([p for p in os.listdir("/proc") if p.isdigit()]), "processes")
print("sum of squares below a million:", sum(n * n for n in range(1_000_000)))')"
  printed
  run bash exited "$(request bash '
echo "Bash $BASH_VERSION in $PWD, host name $(uname -n)"
echo "network interfaces: $(tail -n +3 /proc/net/dev | cut -d: -f1 | xargs)"')"
  printed
  run c exited "$(request c '
#include <stdio.h>
#include <unistd.h>
int main(void) {
    unsigned long a = 0, b = 1;
    for (int i = 0; i < 90; i++) { unsigned long c = a + b; a = b; b = c; }
    printf("compiled by GCC %s; fibonacci(90) = %lu\n", __VERSION__, a);
    return 0;
}')"
  printed
}

run_hostile_programs() {
  heading
  run 'memory bomb' memory_limit "$(request python '
kept = []
while True:
    kept.append(b"x" * (8 << 20))' '{"memory_limit": 64, "timeout": 20}')"
  run 'fork bomb' 'wall_time_limit|cpu_time_limit' "$(request python '
import os
while True:
    try:
        os.fork()
    except OSError:
        pass' '{"timeout": 2, "memory_limit": 256, "limits": {"processes": 32}}')"
  if ! jq -e '.termination.limits_hit | index("processes")' "$work/answer" >/dev/null; then
    unexpected_ends=$((unexpected_ends + 1))
    echo "demo: the fork bomb did not hit the limit of processes: $(cat "$work/answer")" >&2
  fi
  run 'endless loop' cpu_time_limit "$(request bash 'while :; do :; done' \
    '{"timeout": 20, "limits": {"cpu_time": 1}}')"
}

# --- the story

packaging/deps.sh demo
root_is_reachable ||
  die "kiln's spawner needs root; run this as root, or as a user who may use sudo"
port=$(choose_port) # a PORT that cannot be had is said before the build
say "Building (the first time takes some minutes)"
cargo build --release --locked --bins
binaries=$(cargo metadata --locked --no-deps --format-version 1 | jq -r .target_directory)/release

work=$(mktemp -d "${TMPDIR:-/tmp}/kiln-demo.XXXXXX")
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
chmod 711 "$work" # the daemon gives up root, and must still reach its data
port=$(choose_port)
base=http://127.0.0.1:$port
[ "$(id -u)" = 0 ] || sudo -v # asked for here, not in the background

start_daemon
wait_until_ready
say "kiln $("$binaries/kiln" --version | awk '{ print $NF }') is ready on $base"

say "Three programs, each in a sandbox of its own:"
run_real_programs
say "Three hostile ones:"
run_hostile_programs

say "Swagger UI: $base/docs"
if [ "${KEEP:-}" = 1 ]; then
  echo "The daemon stays up until Ctrl-C."
  waited sleep infinity
fi
[ "$unexpected_ends" = 0 ] || die "$unexpected_ends of the programs did not end as expected"
echo "All $expected_ends programs ended as they should."
