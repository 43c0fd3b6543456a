#!/usr/bin/env python3
"""Runs many jobs through a daemon and compares what the host shows of it before and after.

    tests/bench/leak.py KILN [JOBS [CLIENTS]]

KILN is the program, of a release build; kiln-spawner lies beside it. Needs root. Without numbers it is 10,000 jobs by
8 clients. Ends with 1 where something has grown by more than it may, which the table states; what is of the whole host
grows by what others do on it, too.
"""
import http.client
import itertools
import json
import os
import pathlib
import re
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import host  # noqa: E402
import live  # noqa: E402

JOBS, CLIENTS, WARM_UP = 10_000, 8, 500
SETTLE_SECONDS = 90
MIB = 1024

# Each in turn: a request, and how it ends. Most are short, because that is when most are made and ended a second.
ENDINGS = [
    *[({"image": "host", "command": ["/bin/true"]}, "exited")] * 12,
    ({"language": "python", "code": "print(1)"}, "exited"),
    ({"language": "bash", "code": "for i in 1 2 3; do setsid sleep 100 & done; head -c 1M /dev/zero >x"}, "exited"),
    ({"language": "bash", "code": "mkdir -p a/b; touch a/b/{1..50}; kill -SEGV $$"}, "signaled"),
    ({"image": "host", "command": ["/bin/no-such-program"]}, "setup_failed"),
    ({"image": "host", "command": ["tail", "/dev/zero"], "memory_limit": 16}, "memory_limit"),
    ({"image": "host", "command": ["sleep", "100"], "timeout": 0.05}, "wall_time_limit"),
]


def sample(daemon, instance):
    """By name: how much there is, and by how much it may have grown."""
    server, spawner = host.both(daemon)
    memory, objects = host.memory_kib(), host.objects()
    kept = {
        "processes below the server": (1 + len(host.children(spawner)), 0),
        "descriptors of the server": (host.descriptors(server), 8),
        "descriptors of the spawner": (host.descriptors(spawner), 0),
        "cgroups": (host.cgroups(instance), 0),
        "mounts of the spawner": (host.mounts(spawner), 0),
        "mounts of the host": (host.mounts("self"), 0),
        "files in the data directory, logs and records apart": (host.entries(daemon.data, ("logs", "db")), 0),
        "locks of this daemon": (sum(instance in name for name in os.listdir("/run/kiln")), 0),
        "places of the spawner's own": (len(os.listdir(f"/proc/{spawner}/root/run/kiln/stage")), 0),
        "resident memory of the server, KiB": (host.resident_kib(server), 48 * MIB),
        "resident memory of the spawner, KiB": (host.resident_kib(spawner), 2 * MIB),
        "memory cgroups of the host, removed ones too": (host.memory_cgroups(), 256),
        "unreclaimable slab, KiB": (memory["SUnreclaim"], 96 * MIB),
        "memory that is not available, KiB": (memory["MemTotal"] - memory["MemAvailable"], 256 * MIB),
    }
    # A cache that the kernel has merged with another is not there.
    for name in ("net_namespace", "user_namespace", "pid_namespace", "uts_namespace"):
        if name in objects:
            kept[f"{name} objects of the host"] = (objects[name], 128)
    return kept


def run(daemon, count, clients):
    """Gives the times in ms. A job that does not end as it should ends the test."""
    times, faults, numbers = [], [], itertools.count()

    def client():
        connection = http.client.HTTPConnection(daemon.address)
        while (number := next(numbers)) < count and not faults:
            body, reason = ENDINGS[number % len(ENDINGS)]
            begin = time.monotonic()
            connection.request("POST", "/v1/execute", json.dumps(body), {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
            times.append((time.monotonic() - begin) * 1000)
            if (answer.get("termination") or {}).get("reason") != reason:
                faults.append((body, answer))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults or len(times) < count:
        sys.exit(f"{len(times)} of {count} jobs were answered; {faults[:1]}")
    return times


def grown(before, after):
    """Names of what has grown by more than it may."""
    return [name for name, (then, most) in before.items() if after[name][0] > then + most]


def settled(daemon, instance, before):
    """The kernel frees namespaces and groups some time after their last process."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while grown(before, after := sample(daemon, instance)) and time.monotonic() < deadline:
        time.sleep(1)
    return after


def show(before, after, failed):
    print(f"{'':52} {'before':>9} {'after':>9} {'may grow':>9}")
    for name, (then, most) in before.items():
        print(f"{name:52} {then:9} {after[name][0]:9} {most:9}{'  GROWN' if name in failed else ''}")


def main(kiln, jobs=JOBS, clients=CLIENTS):
    jobs, clients = int(jobs), int(clients)
    if os.geteuid() != 0:
        sys.exit("needs root")
    with live.Daemon(kiln) as daemon:
        instance = re.search(r"instance=(\S+)", daemon.log())[1]
        run(daemon, WARM_UP, clients)
        time.sleep(5)  # until what the warm-up needed is given back
        before = sample(daemon, instance)
        begin = time.monotonic()
        times = run(daemon, jobs, clients)
        seconds = time.monotonic() - begin
        after = settled(daemon, instance, before)
        cuts = statistics.quantiles(times, n=100)
        print(f"{jobs} jobs, {clients} clients: {seconds:.0f} s, {jobs / seconds:.0f} a second; "
              f"p50 {cuts[49]:.1f}, p95 {cuts[94]:.1f}, p99 {cuts[98]:.1f} ms")
        failed = grown(before, after)
        show(before, after, failed)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
