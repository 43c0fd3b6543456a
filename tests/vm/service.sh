#!/bin/bash
# Runs as root inside the guest: the package as a stranger installs it, and the service that it starts.
#
#   service.sh installed     installs, uses, restarts, kills, upgrades
#   service.sh rebooted      after a shutdown and a boot from the same disk: is up again; removes, purges
#
# In /share: kiln.deb, newer.deb (the same programs as version $NEWER), checks.sh. Every check
# runs; the exit status is 0 only when all passed.
set -uo pipefail

unit=kiln.service
base=http://127.0.0.1:8080
units=(kiln.service kiln.socket kiln.slice kiln-spawner.service kiln-spawner.socket)
# Highest exposure that is accepted, in tenths (systemd-analyze(1), security).
server_exposure=25
spawner_exposure=62
# What is checked after the boot.
kept=/var/tmp/kiln-kept
work=$(mktemp -d /tmp/vm-service.XXXXXX)
export DEBIAN_FRONTEND=noninteractive

. /share/checks.sh

# --- the service

property() { systemctl show -P "$1" "$2"; }
main_pid() { property MainPID "$1"; }
# is_ready [SECONDS]
is_ready() { curl -fsS -o /dev/null --max-time "${1:-5}" "$base/readyz" 2>/dev/null; }
is_active() { systemctl --quiet is-active "$1"; }
show_log() { journalctl --no-pager -o short-monotonic -n 80 -u kiln.service -u kiln-spawner.service -u init.scope; }

# Another process has taken the place of process $2 in unit $1, and requests are answered.
is_another() {
  local now
  now=$(main_pid "$1")
  [ "$now" != 0 ] && [ "$now" != "$2" ] && is_ready
}

# After something happened to a unit whose process was $2: the pair is up again, by itself.
recovers() { within 6 is_another kiln.service "$1" && within 3 is_active kiln-spawner.service; }

installs() { apt-get -q -o Dpkg::Use-Pty=0 -y --no-install-recommends install "$@"; }

# Jobs that are recorded, in all states.
count_jobs() { curl -fsS --max-time 20 "$base/v1/jobs?limit=1" | jq .total; }
state_of() { curl -fsS --max-time 20 "$base/v1/jobs/$1" | jq -r "$2"; }

# begin_job CODE: prints its name, and returns when it runs.
begin_job() {
  local id
  id=$(curl -fsS --max-time 60 -H 'Prefer: respond-async' -H 'Content-Type: application/json' "$base/v1/execute" \
    --data-binary "$(jq -cn --arg code "$1" '{language: "bash", code: $code, timeout: 300}')" | jq -r .job_id)
  echo "$id"
  within 5 is_running "$id"
}
is_running() { [ "$(state_of "$1" .status)" = running ]; }

ended_by_restart() {
  local found
  found=$(state_of "$1" '.status + " " + .termination.reason')
  echo "$1: $found"
  [ "$found" = "failed daemon_restart" ]
}

# --- what is installed

spawner_status() { cat "/proc/$(main_pid kiln-spawner.service)/status"; }

server_has_nothing() {
  local status
  status=$(cat "/proc/$(main_pid kiln.service)/status")
  echo "$status"
  [ "$(awk '/^Cap/ { print $2 }' <<<"$status" | sort -u)" = 0000000000000000 ] &&
    [ "$(awk '/^Uid:/ { print $2, $3, $4, $5 }' <<<"$status")" = "$(id -u kiln | sed 's/.*/& & & &/')" ] &&
    grep -q '^NoNewPrivs:[[:space:]]*1$' <<<"$status"
}

# CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID, SETPCAP, NET_ADMIN, SYS_CHROOT, SYS_PTRACE, SYS_ADMIN,
# SYS_RESOURCE, MKNOD, SETFCAP: each the bit of its number (linux/capability.h).
fourteen() {
  local sum=0 bit
  for bit in 0 1 3 5 6 7 8 12 18 19 21 24 27 31; do sum=$((sum | 1 << bit)); done
  printf '%016x' "$sum"
}
spawner_has_few_capabilities() {
  spawner_status
  [ "$(spawner_status | awk '/^Cap(Prm|Eff|Bnd):/ { print $2 }' | sort -u)" = "$(fourteen)" ]
}

spawner_sits_in_a_leaf() {
  cat "/proc/$(main_pid kiln-spawner.service)/cgroup"
  grep -q '^0::/kiln.slice/kiln-spawner.service/daemon$' "/proc/$(main_pid kiln-spawner.service)/cgroup"
}

owner_and_mode() { [ "$(stat -c '%U:%G %a' "$1")" = "$2" ] || { stat "$1"; return 1; }; }

exposure() {
  systemd-analyze security --no-pager "$1" | awk '/Overall exposure level/ { print $(NF-2), $(NF-1), $NF }'
}
exposed_at_most() {
  local found tenths
  found=$(exposure "$1")
  echo "$1: $found"
  tenths=$(awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^[0-9.]+$/) { printf "%d", $i * 10; exit } }' <<<"$found")
  [ -n "$tenths" ] && [ "$tenths" -le "$2" ]
}

units_are_sound() {
  local told
  told=$(systemd-analyze verify --man=no "${units[@]}" 2>&1 | grep -v 'Unknown key .*DelegateSubgroup')
  echo "$told"
  ! grep -q kiln <<<"$told"
}

job_by_curl() {
  curl -fsS --max-time 120 -H 'Content-Type: application/json' "$base/v1/execute" \
    -d '{"language": "python", "code": "print(6 * 7)"}' >"$work/answer"
  jq -c . "$work/answer"
  jq -e '.status == "completed" and .stdout == "42\n"' "$work/answer" >/dev/null
}
# Through the package's own units: the spawner sees the store, and has a loop device where the kernel wants one.
job_in_an_image() {
  local root=$work/image library
  mkdir -p "$root/usr/bin" "$root/usr/lib" "$root/usr/lib64"
  ln -s usr/bin usr/lib usr/lib64 "$root"
  cp /usr/bin/bash "$root/usr/bin"
  for library in $(ldd /usr/bin/bash | grep -o '/[^ ]*'); do
    mkdir -p "$root/usr$(dirname "$library")"
    cp -L "$library" "$root/usr$library"
  done
  tar -C "$root" -cf "$work/image.tar" . && kiln image import --name tools:1 "$work/image.tar" || return 1
  kiln run --image tools:1 -- /bin/bash -c 'echo in /*' >"$work/answer" 2>&1
  cat "$work/answer"
  grep -qx 'in /bin /dev /etc /lib /lib64 /proc /tmp /usr /work' "$work/answer" && kiln image rm tools:1
}
job_by_socket() { [ "$("$@" kiln run -l python -c 'print(6 * 7)' 2>&1 | tee /dev/stderr)" = 42 ]; }
member() { setpriv --reuid=nobody --regid=nogroup --groups="$(getent group kiln | cut -d: -f3)" "$@"; }
stranger() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
stranger_is_refused() {
  local told
  told=$(stranger kiln run -l python -c 'print(1)' 2>&1)
  [ $? != 0 ] && grep -q 'neither root nor in the group kiln' <<<"$told" || { echo "$told"; return 1; }
}
spawner_refuses() { # somebody who may connect, and is not the server
  python3 - <<'PY'
import socket
spawner = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
spawner.settimeout(60)
spawner.connect("/run/kiln/spawner.sock")
assert spawner.recv(1) == b"", "it answers"
PY
}

test_installation() {
  if ! check "apt-get installs the package" installs /share/kiln.deb || ! is_ready 60; then
    fail "the service is ready when the installation returns" "$(systemctl status "${units[@]}" 2>&1)" "$(show_log)"
    return 1
  fi
  pass "the service is ready when the installation returns"
  check "it starts at boot" systemctl --quiet is-enabled kiln.service
  check "the units are sound" units_are_sound
  check "the server is exposed no more than stated" exposed_at_most kiln.service "$server_exposure"
  check "the spawner is exposed no more than stated" exposed_at_most kiln-spawner.service "$spawner_exposure"
  echo "     figures: $(exposed_at_most kiln.service 100); $(exposed_at_most kiln-spawner.service 100)"
  check "the server has its own user and no capability" server_has_nothing
  check "the spawner has fourteen capabilities" spawner_has_few_capabilities
  check "the spawner sits in a leaf of its delegated group" spawner_sits_in_a_leaf
  check "the records are the server's alone" owner_and_mode /var/lib/kiln 'kiln:kiln 700'
  check "/run/kiln is root's" owner_and_mode /run/kiln 'root:root 755'
  check "only the server may reach the spawner" owner_and_mode /run/kiln/spawner.sock 'kiln:kiln 600'
  check "a job by curl" job_by_curl
  check "a job by the command line, as root" job_by_socket env
  check "a job by the command line, as a member of the group" job_by_socket member
  check "nobody else comes in by the local socket" stranger_is_refused
  check "a job in an image of the store" job_in_an_image
  check "the store is root's" owner_and_mode /var/lib/kiln/images 'root:root 755'
}

# What a job sees of itself, without the numbers that are another's each time, and without how many seccomp filters there
# are: those of the spawner's unit are inherited.
# shellcheck disable=SC2016 # for the job's shell
posture='grep -vE "^(Tgid|Pid|PPid|NStgid|NSpid|NSpgid|NSsid|Vm|Rss|Hugetlb|.*ctxt_switches|TracerPid|SigQ|Seccomp_filters)" /proc/self/status
cat /proc/self/limits /proc/self/cgroup /proc/self/oom_score_adj /proc/self/uid_map | sed "s/ [0-9]\{10\}/ ID/"
cut -d" " -f4- /proc/self/mountinfo | sed "s/[0-9]*:[0-9]*//; s/[gu]id=[0-9]*//g" | sort
env | sort; id; umask; nice; chrt -p $$ | cut -d: -f2
find /dev /etc /proc/self/ns /usr -maxdepth 1 -printf "%M %U %G %p\n" | sort; ls /usr/lib'

# posture_of BASE: that of a job of the daemon there.
posture_of() {
  curl -fsS --max-time 120 -H 'Content-Type: application/json' "$1/v1/execute" \
    --data-binary "$(jq -cn --arg code "$posture" '{language: "bash", code: $code}')" | jq -r '.stdout + .stderr'
}
same_posture() {
  posture_of "$base" >"$work/by-service" && posture_of http://127.0.0.1:8081 >"$work/by-hand" &&
    [ "$(wc -l <"$work/by-hand")" -gt 100 ] && diff "$work/by-hand" "$work/by-service"
}

# Another daemon, started by hand as root, beside the service.
test_posture() {
  mkdir "$work/data"
  chmod 711 "$work"
  check "kiln serve by hand, beside the service" systemd-run --quiet --unit=kiln-hand -p Type=notify -p Delegate=yes \
    -p TasksMax=infinity kiln serve --set data_dir="$work/data" --set api.port=8081 --set api.socket=null
  check "a job of the service is as one of the other" same_posture
  check "the other one ends" systemctl stop kiln-hand
}

# --- jobs with network, through the units of the package

# Behind this host: one public and one private address.
make_outside() {
  ip netns add outside && ip link add up0 type veth peer name net0 netns outside || return 1
  ip address add 203.0.113.1/24 dev up0 && ip link set up0 up || return 1
  ip -n outside address add 203.0.113.2/24 dev net0 && ip -n outside address add 198.51.100.10/32 dev lo &&
    ip -n outside address add 10.99.0.5/32 dev lo && ip -n outside link set lo up && ip -n outside link set net0 up || return 1
  ip route add 198.51.100.0/24 via 203.0.113.2 && ip route add 10.99.0.0/16 via 203.0.113.2 || return 1
  systemd-run --quiet --unit=outside -p NetworkNamespacePath=/run/netns/outside python3 -m http.server 80
}
remove_outside() { systemctl stop outside && ip netns delete outside; }

switch_network() { # on|off
  rm -f /run/systemd/system/kiln.service.d/network.conf
  if [ "$1" = on ]; then
    mkdir -p /run/systemd/system/kiln.service.d
    printf '[Service]\nEnvironment=KILN_NETWORK_EGRESS=true KILN_NETWORK_DNS=198.51.100.10\n' \
      >/run/systemd/system/kiln.service.d/network.conf
  fi
  systemctl daemon-reload && systemctl restart kiln.service && within 6 is_ready
}

# What connecting to each ended with: a public address, a private one, and the host, which answers itself at that port.
reaches_only_public() {
  timeout 30 bash -c '</dev/tcp/203.0.113.1/22' || { echo "nothing listens on port 22 of the host"; return 1; }
  jq -cn --arg code 'import errno, socket
for place in ("198.51.100.10", 80), ("10.99.0.5", 80), ("203.0.113.1", 22):
    with socket.socket() as plug:
        plug.settimeout(60)
        print(*place, errno.errorcode.get(plug.connect_ex(place), "OK"))' \
    '{language: "python", code: $code, timeout: 100, network_access: true}' >"$work/request"
  curl -fsS --max-time 120 -H 'Content-Type: application/json' "$base/v1/execute" --data-binary "@$work/request" >"$work/answer"
  jq -c . "$work/answer"
  jq -e '.stdout == "198.51.100.10 80 OK\n10.99.0.5 80 ECONNREFUSED\n203.0.113.1 22 ECONNREFUSED\n"' "$work/answer" >/dev/null
}
is_forbidden() {
  [ "$(curl -sS --max-time 60 -o "$work/answer" -w '%{http_code}' -H 'Content-Type: application/json' "$base/v1/execute" \
    --data-binary "@$work/request")" = 403 ] && grep -q network.egress "$work/answer" || { cat "$work/answer"; return 1; }
}
has_bridge_and_rules() { ip -o link show type bridge | grep -q kiln- && nft list tables | grep -q kiln-; }
network_traces() { ip -o link show | awk -F': ' '$2 ~ /^k/'; nft list tables | grep kiln; }

test_network() {
  check "a network behind this host" make_outside || return
  # The guest has its way out from a router's advertisement; kiln would not start, and says what to set.
  check "the host keeps its own way out" sysctl -qw net.ipv6.conf.eth0.accept_ra=2
  check "the service starts with network for jobs" switch_network on || { show_log; switch_network off; return; }
  check "a job reaches what is public and nothing else" reaches_only_public || show_log
  check "its bridge and its rules are there" has_bridge_and_rules
  check "the service starts without" switch_network off
  check "no bridge and no rule is left" soon_none network_traces
  check "network is refused by name" is_forbidden
  check "the network behind is gone" remove_outside
}

# --- what happens to the two processes

# interrupted NAME UNIT COMMAND...: a job runs, the command strikes.
interrupted() {
  local name=$1 struck=$2 server id
  shift 2
  server=$(main_pid kiln.service)
  id=$(begin_job 'while :; do sleep 4343; done') || { fail "$name: a job runs" "$id" "$(show_log)"; return; }
  "$@" "$(main_pid "$struck")" || fail "$name: the blow" "$*"
  check "$name: the pair is up again by itself" recovers "$server" || show_log
  check "$name: the job that ran is recorded as ended by it" ended_by_restart "$id"
  check "$name: no process of a job is left" within 3 none job_sleeps
}
job_sleeps() { pgrep -x -f 'sleep 4343'; }
restart_server() { systemctl restart kiln.service; }
restart_spawner() { systemctl restart kiln-spawner.service; }

short_watchdog() {
  local of
  for of in kiln kiln-spawner; do
    mkdir -p "/run/systemd/system/$of.service.d"
    printf '[Service]\nWatchdogSec=15s\n' >"/run/systemd/system/$of.service.d/watchdog.conf"
  done
  systemctl daemon-reload && systemctl restart kiln.service && within 6 is_ready
}
long_watchdog() { rm -r /run/systemd/system/kiln{,-spawner}.service.d && systemctl daemon-reload; }
bitten() { [ "$(journalctl --no-pager -o cat -u "$1" | grep -c 'Watchdog timeout')" -gt 0 ]; }

test_blows() {
  local before after
  before=$(count_jobs)
  interrupted "restart of the server" kiln.service restart_server
  interrupted "restart of the spawner" kiln-spawner.service restart_spawner
  interrupted "SIGKILL of the server" kiln.service kill -KILL
  interrupted "SIGKILL of the spawner" kiln-spawner.service kill -KILL
  check "a shorter watchdog" short_watchdog
  interrupted "SIGSTOP of the server" kiln.service kill -STOP
  check "the server's watchdog saw it" bitten kiln.service
  interrupted "SIGSTOP of the spawner" kiln-spawner.service kill -STOP
  check "the spawner's watchdog saw it" bitten kiln-spawner.service
  check "the watchdog as installed" long_watchdog
  after=$(count_jobs)
  check "no record was lost" test "$((before + 6))" = "$after"
  check "a job by curl after all that" job_by_curl
}

# --- upgrade, boot, removal

is_version() { [ "$(dpkg-query -W -f='${Version}' kiln)" = "$1" ]; }
still_says() { [ "$(state_of "$1" '.status + " " + .stdout')" = $'completed 42' ] || { state_of "$1" .; return 1; }; }

test_upgrade() {
  local server id
  job_by_curl >/dev/null
  id=$(jq -r .job_id "$work/answer")
  echo "# of the operator" >>/etc/kiln/kiln.yaml
  server=$(main_pid kiln.service)
  check "apt-get upgrades the package" installs /share/newer.deb
  check "the new version is installed" is_version "$NEWER"
  check "the service was started anew and is ready" is_another kiln.service "$server"
  check "the operator's settings are kept" grep -q '^# of the operator$' /etc/kiln/kiln.yaml
  check "a job of before is still there" still_says "$id"
  check "a job by curl after the upgrade" job_by_curl
  echo "$id" >"$kept"
  systemctl stop kiln.service
  check "the package is installed once more" installs --reinstall /share/newer.deb
  check "what was stopped stays so" test "$(property ActiveState kiln.service)" = inactive
}

test_boot() {
  check "the service is up after a boot" within 6 is_ready
  check "a job of before the boot is still there" still_says "$(cat "$kept")"
  check "a job by the command line after the boot" job_by_socket env
  [ "$failed" = 0 ] || show_log
}

spawner_files() { find / -xdev \( -iname '*kiln*' \) -not -path '/share/*' -not -path '/tmp/*' -not -path '/var/log/*' \
  -not -path '/var/lib/dpkg/*' -not -path '/var/cache/*' -not -path "$kept" 2>/dev/null; }
kiln_files() { spawner_files; find /run -iname '*kiln*' 2>/dev/null; }
is_down() { ! is_active kiln.service && ! is_active kiln-spawner.service && ! is_active kiln-spawner.socket; }
has_data() { [ -d /var/lib/kiln/db ] && [ -e /etc/kiln/kiln.yaml ]; }

test_removal() {
  begin_job 'while :; do sleep 4343; done' >/dev/null
  check "apt-get removes the package while a job runs" apt-get -q -o Dpkg::Use-Pty=0 -y remove kiln
  check "the service is down" within 3 is_down
  check "no process of kiln or a job is left" soon_none kiln_processes
  check "no process of a job is left after the removal" within 3 none job_sleeps
  check "no cgroup is left" soon_none kiln_groups
  check "no mount is left" soon_none kiln_mounts
  check "settings and records are kept" has_data
  check "dpkg purges the package" dpkg -P kiln
  check "a purge leaves no file" none kiln_files
  check "the user stays, and owns nothing" id kiln
  check "no unit is known any more" none systemctl list-units --all --no-legend 'kiln*'
}

case ${1:-} in
  installed)
    if test_installation; then
      test_posture
      test_network
      test_blows
      test_upgrade
    fi
    [ "$failed" = 0 ] || show_log ;;
  rebooted)
    test_boot
    test_removal ;;
  *) echo "usage: service.sh installed|rebooted" >&2; exit 2 ;;
esac
conclude "the package, $1"
