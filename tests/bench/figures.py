#!/usr/bin/env python3
"""Measures what docs/PERFORMANCE.md states of a daemon: its start, its memory, jobs one after another.

    tests/bench/figures.py KILN

KILN is the program, of a release build; kiln-spawner lies beside it. Needs root, or sudo that asks
nothing. Figures are for people: nothing here fails because a machine is slow, only a failed job does.
"""
import http.client
import json
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import live  # noqa: E402
import residue  # noqa: E402

STARTS = 5
JOBS = [
    ("/bin/true", 300, {"image": "host", "command": ["/bin/true"]}),
    ("Python, print(1)", 100, {"language": "python", "code": "print(1)"}),
]


def show_starts(kiln):
    times = []
    for _ in range(STARTS):
        begin = time.monotonic()
        with live.Daemon(kiln):
            times.append((time.monotonic() - begin) * 1000)
    print(f"ready after start: {', '.join(f'{it:.0f}' for it in times)} ms")


def show_memory(daemon):
    server, spawner = residue.memory(daemon).values()
    print(f"idle memory: server {server / 1024:.1f} MiB, spawner {spawner / 1024:.1f} MiB")


def show_jobs(daemon, name, count, body):
    connection = http.client.HTTPConnection(daemon.address)
    times, failed = [], 0
    for _ in range(count):
        begin = time.monotonic()
        connection.request("POST", "/v1/execute", json.dumps(body), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        times.append((time.monotonic() - begin) * 1000)
        failed += answer.get("exit_code") != 0
    cuts = statistics.quantiles(times, n=100)
    print(f"{count} jobs, {name}: {failed} failed; p50 {cuts[49]:.1f}, p95 {cuts[94]:.1f}, p99 {cuts[98]:.1f} ms")
    return failed


def main(kiln):
    show_starts(kiln)
    with live.Daemon(kiln) as daemon:
        time.sleep(3)  # until what the start needed is given back
        show_memory(daemon)
        failed = sum(show_jobs(daemon, *row) for row in JOBS)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
