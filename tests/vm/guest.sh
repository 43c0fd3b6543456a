#!/bin/bash
# Runs as root inside the guest: kiln in a delegated systemd unit, over HTTP; then the privileged
# tests of the Rust suite, in such a unit too. Every check runs; the exit status is 0 only when all
# passed. Time limits are multiplied by TEST_TIME_SCALE, but for privileged_seconds, which is what all
# of those tests may take in the guest.
#
# In /share: bin/kiln, bin/kiln-spawner, tests/privileged, kiln-spawner.service, checks.sh, and hostile,
# the compiled programs of the hostile corpus. TEST_BUILT_IN is the folder where the tests expect the
# two binaries.
set -uo pipefail

unit=kiln-vm
port=8080
base=http://127.0.0.1:$port
privileged_seconds=1800
work=$(mktemp -d /tmp/vm-test.XXXXXX)
chmod 711 "$work" # the daemon gives up root, and must still reach its data

. /share/checks.sh

# --- the daemon

# None of its sandboxes stands ready: whatever is there was a job's. Those of the Rust tests do.

# start_daemon COMMAND...: in a delegated unit; the command executes `kiln serve` in the end.
start_daemon() {
  mkdir -p "$work/data"
  systemd-run --quiet --unit="$unit" \
    -p Type=simple -p Delegate=yes -p TasksMax=infinity \
    -E KILN_DATA_DIR="$work/data" -E KILN_API_HOST=127.0.0.1 -E KILN_API_PORT="$port" \
    -E KILN_API_AUTH_ENABLED=false -E KILN_SANDBOX_READY=0 -E RUST_BACKTRACE=1 "$@"
}

# Where a spawner moved what was in the group, and was killed before it switched the controllers on.
serve_in_daemon() {
  group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
  mkdir "$group/daemon"
  echo "$BASHPID" >"$group/daemon/cgroup.procs"
  exec /share/bin/kiln serve
}

is_ready() { curl -fsS -o /dev/null --max-time 5 "$base/readyz" 2>/dev/null; }
is_down() { ! systemctl --quiet is-active "$unit"; }
show_log() { journalctl --no-pager -o cat -n 60 -u "$unit"; }

unprivileged_server() {
  local pid uids caps
  pid=$(systemctl show -P MainPID "$unit")
  uids=$(awk '/^Uid:/ { print $2, $3, $4, $5 }' "/proc/$pid/status")
  caps=$(awk '/^Cap(Inh|Prm|Eff|Amb):/ { print $2 }' "/proc/$pid/status" | sort -u)
  echo "uids $uids, capabilities $caps"
  ! grep -qw 0 <<<"$uids" && [ "$caps" = 0000000000000000 ] &&
    grep -q '^NoNewPrivs:[[:space:]]*1$' "/proc/$pid/status"
}

# --- jobs

# execute LANGUAGE CODE [MORE]: posts a job; MORE is a JSON object with more members of the body.
# The answer is in $work/answer, and on standard output if it is not a 200.
execute() {
  local more=${3:-} code
  jq -cn --arg language "$1" --arg code "$2" --argjson more "${more:-null}" \
    '{language: $language, code: $code} + $more' >"$work/request"
  code=$(curl -sS --max-time $((12 * scale)) -o "$work/answer" -w '%{http_code}' \
    -H 'Content-Type: application/json' --data-binary "@$work/request" "$base/v1/execute")
  [ "$code" = 200 ] || { echo "HTTP $code"; cat "$work/answer"; return 1; }
}

# answer FILTER: whether the last answer satisfies a jq filter; shows the answer when not.
answer() { jq -e "$1" "$work/answer" >/dev/null || { jq -c . "$work/answer"; return 1; }; }

# job NAME FILTER LANGUAGE CODE [MORE]: a job whose answer must satisfy the filter.
job() {
  local name=$1 filter=$2 output
  shift 2
  if output=$(execute "$@" && answer "$filter"); then
    pass "$name"
  else
    fail "$name" "wanted: $filter" "$output"
  fi
}

run_jobs() {
  # memory_limit stands high where memory is not what is tested.
  job "a Python job says what it did" \
    '.status == "completed" and .exit_code == 3 and .stdout == "42\n" and .stderr == "note\n"
     and .termination.reason == "exited" and .termination.exit_code == 3
     and .termination.signal == null and .termination.limits_hit == []
     and .usage.wall_us > 0 and .usage.cpu_user_us + .usage.cpu_system_us > 0
     and .usage.memory_peak_bytes > 0 and .usage.processes_peak >= 1' \
    python $'import sys\nprint(6 * 7)\nprint("note", file=sys.stderr)\nsys.exit(3)'

  job "a Bash job reads its input, arguments and environment" \
    '.stdout == "in:hello arg:one env:two\n" and .termination.reason == "exited"' \
    bash 'read -r line; echo "in:$line arg:$1 env:$NAMED"' \
    '{"stdin": "hello\n", "args": ["one"], "environment": {"NAMED": "two"}}'

  job "a memory bomb ends with memory_limit" \
    '.status == "failed" and .termination.reason == "memory_limit" and .exit_code == null' \
    python $'kept = []\nwhile True:\n    kept.append(b"x" * (8 << 20))' \
    '{"memory_limit": 64, "timeout": 60}'

  job "a fork bomb is held by the limit of processes" \
    '.status == "timeout" and (.termination.limits_hit | index("processes") != null)
     and (.termination.reason == "wall_time_limit" or .termination.reason == "cpu_time_limit")' \
    python $'import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass' \
    '{"memory_limit": 512, "timeout": 10, "limits": {"processes": 16}}'

  job "a loop ends with cpu_time_limit" \
    '.status == "timeout" and .termination.reason == "cpu_time_limit"' \
    bash 'while :; do :; done' '{"timeout": 60, "limits": {"cpu_time": 2}}'

  job "a sleep ends with wall_time_limit" \
    '.status == "timeout" and .termination.reason == "wall_time_limit"' \
    bash 'sleep 1000' '{"timeout": 2}'

  job "mount is refused with EPERM" \
    '.stdout == "-1 EPERM\n" and .termination.reason == "exited"' \
    python "$(cat <<'PY'
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
result = libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)
print(result, errno.errorcode.get(ctypes.get_errno()))
PY
)"

  job "a daemon does not outlive its job" \
    '.termination.reason == "exited" and .exit_code == 0' \
    bash 'setsid sleep 4242 >/dev/null 2>&1 </dev/null & disown; exit 0'
  check "no process of a job is left" soon_none job_processes
  check "no net namespace of a job is left" within 3 same_net_namespaces
}

# Returns when it runs; it must not hold up the end of the unit.
start_endless_job() {
  curl -sS --max-time $((10 * scale)) -o "$work/answer" -H 'Prefer: respond-async' \
    -H 'Content-Type: application/json' "$base/v1/execute" --data-binary \
    '{"language": "bash", "code": "trap : TERM INT; while :; do sleep 4343; done", "timeout": 300}'
  jq -r .job_id "$work/answer" | grep '^job_' && within 5 pgrep -x -f 'sleep 4343'
}

test_daemon() {
  net_namespaces_before=$(net_namespaces)
  if start_daemon bash -c "$(declare -f serve_in_daemon); serve_in_daemon" && within 2 is_ready; then
    pass "kiln serve becomes ready where an earlier start was killed half way"
  else
    fail "kiln serve becomes ready where an earlier start was killed half way" "$(show_log)"
  fi
  systemctl stop "$unit"
  systemctl reset-failed "$unit" 2>/dev/null
  if ! start_daemon /share/bin/kiln serve || ! within 2 is_ready; then
    fail "kiln serve becomes ready in a delegated unit" "$(show_log)"
    systemctl stop "$unit"
    return
  fi
  pass "kiln serve becomes ready in a delegated unit"
  check "the server has given up every privilege" unprivileged_server
  run_jobs
  check "the unit is still active" systemctl --quiet is-active "$unit"

  check "a job that will not end by itself is taken" start_endless_job
  check "the unit stops" systemctl stop "$unit"
  check "the unit is down" within 3 is_down
  check "its result is success" test "$(systemctl show -P Result "$unit")" = success
  check "no process of kiln is left" soon_none kiln_processes
  check "no process of a job is left after the stop" soon_none job_processes
  check "no cgroup is left" soon_none kiln_groups
  check "no mount is left" soon_none kiln_mounts
  check "no net namespace is left" within 3 same_net_namespaces
  [ "$failed" = 0 ] || show_log
}

# --- the Rust tests

# The tests find the binaries by the path that cargo compiled into them.
link_binaries() {
  mkdir -p "$TEST_BUILT_IN"
  ln -sf /share/bin/kiln /share/bin/kiln-spawner "$TEST_BUILT_IN/"
}

# What sandboxes inherit of the spawner's unit is in force for the tests too: they then hold for both
# ways to start.
inherited() {
  local line
  grep -E '^(SystemCall|Restrict|DevicePolicy|DeviceAllow|KeyringMode|NoNewPrivileges)' /share/kiln-spawner.service |
    while read -r line; do printf '%s\n' -p "$line"; done
}

# Left out: what needs a compiler or a network, and what is about files and words and not about the kernel, for the time
# that it takes here.
test_privileged() {
  local hardened
  mapfile -t hardened < <(inherited)
  [ "${#hardened[@]}" -ge 18 ] || fail "the unit of the spawner has settings that sandboxes inherit" "${hardened[@]}"
  link_binaries
  if systemd-run --quiet --wait --pipe --collect --unit=kiln-privileged \
    -p Type=exec -p Delegate=yes -p TasksMax=infinity -p WorkingDirectory="$work" \
    -p RuntimeMaxSec="$privileged_seconds" -p TimeoutStopSec=20 "${hardened[@]}" \
    -E TEST_TIME_SCALE="$scale" -E RUST_BACKTRACE=1 -E TEST_HOSTILE_PROGRAMS=/share/hostile /share/tests/privileged --nocapture \
    --skip toolchain --skip golden --skip recipes:: --skip image_store:: --skip cli::bench --skip operator::; then
    pass "the privileged tests pass in a delegated unit"
  else
    fail "the privileged tests pass in a delegated unit"
  fi
  check "they leave no process" soon_none kiln_processes
  check "they leave no cgroup" soon_none kiln_groups
  check "they leave no mount" soon_none kiln_mounts
}

test_daemon
test_privileged
conclude "a unit of systemd-run"
