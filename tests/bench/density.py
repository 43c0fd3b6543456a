#!/usr/bin/env python3
"""Keeps many sandboxes alive at once: what each needs, how long they take to begin and to end, and whether the API
answers meanwhile.

    tests/bench/density.py KILN [SANDBOXES]

KILN is the program, of a release build; kiln-spawner lies beside it. Needs root. Without a number it is 500, the most
that `api.job.max_concurrent` takes. Ends with 1 where a job did not run or did not end.
"""
import concurrent.futures
import http.client
import json
import os
import pathlib
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import host  # noqa: E402
import live  # noqa: E402

SANDBOXES, CLIENTS, QUESTIONS = 500, 8, 200
# Stand ready by default, and most that the setting takes.
READY, MANY_READY = 8, 128
PATIENCE_SECONDS = 300
SLEEP = {"image": "host", "command": ["/bin/sleep", "1000"], "timeout": PATIENCE_SECONDS, "async": True}
# Names of /proc/meminfo (proc_meminfo(5)) and what they are. Of the whole host: nothing else should run.
PARTS = [("SUnreclaim", "slab that cannot be reclaimed"), ("KernelStack", "stacks in the kernel"),
         ("PageTables", "page tables"), ("Percpu", "memory of each processor"), ("Shmem", "tmpfs")]
LOCAL = threading.local()


def ask(daemon, method, path, body=None):
    if not hasattr(LOCAL, "connection"):
        LOCAL.connection = http.client.HTTPConnection(daemon.address)
    text = None if body is None else json.dumps(body)
    LOCAL.connection.request(method, path, text, {"Content-Type": "application/json"})
    answer = LOCAL.connection.getresponse()
    return answer.status, json.loads(answer.read())


def wait_until(what, is_true):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_true():
        if time.monotonic() > deadline:
            sys.exit(f"not within {PATIENCE_SECONDS} s: {what}")
        time.sleep(0.01)


def total(daemon, status):
    return ask(daemon, "GET", f"/v1/jobs?status={status}&limit=1")[1]["total"]


def begin(daemon, pool, count):
    """Gives the ids and the seconds until all of them run."""
    earlier = ended(daemon)
    start = time.monotonic()
    answers = list(pool.map(lambda _: ask(daemon, "POST", "/v1/execute", SLEEP), range(count)))
    refused = [answer for status, answer in answers if status != 202]
    if refused:
        sys.exit(f"{len(refused)} of {count} jobs were refused: {refused[0]}")
    wait_until(f"{count} jobs run", lambda: total(daemon, "running") >= count or ended(daemon) > earlier)
    if (now := ended(daemon)) > earlier:
        sys.exit(f"{now - earlier} jobs ended at once: {ask(daemon, 'GET', '/v1/jobs?status=failed&limit=1')[1]}")
    # A record says "running" a little before the program does.
    _, spawner = host.both(daemon)
    wait_until(f"{count} programs are there", lambda: programs(spawner) >= count)
    return [answer["job_id"] for _, answer in answers], time.monotonic() - start


def programs(spawner):
    return sum(len(host.children(init)) for init in host.children(spawner))


def ended(daemon):
    return sum(total(daemon, status) for status in ("completed", "failed", "timeout", "cancelled"))


def end(daemon, pool, ids):
    start = time.monotonic()
    for status, answer in pool.map(lambda id: ask(daemon, "DELETE", f"/v1/jobs/{id}"), ids):
        if status != 200 or answer["termination"]["reason"] != "cancelled":
            sys.exit(f"a job was not cancelled: {status} {answer}")
    _, spawner = host.both(daemon)
    wait_until("no process of theirs is left", lambda: len(host.children(spawner)) <= READY)
    return time.monotonic() - start


def show_idle(kiln):
    """What a sandbox takes that stands ready and has no job: a daemon with many of them, beside one with none."""
    taken = {}
    for count in (0, MANY_READY):
        with live.Daemon(kiln, {"KILN_SANDBOX_READY": str(count)}) as daemon:
            _, spawner = host.both(daemon)
            wait_until(f"{count} sandboxes stand", lambda: len(host.children(spawner)) >= count)
            time.sleep(3)  # until what was needed before is given back
            memory = host.memory_kib()
            inits = sum(map(host.private_kib, host.children(spawner)))
            taken[count] = sum(memory[name] for name, _ in PARTS) + inits
    print(f"memory of each sandbox that stands ready: {(taken[MANY_READY] - taken[0]) / MANY_READY:.0f} KiB")


def show_answers(daemon):
    """Of what costs the queue something."""
    for path in ("/v1/status", "/v1/jobs?limit=20"):
        times = []
        for _ in range(QUESTIONS):
            start = time.monotonic()
            status, _ = ask(daemon, "GET", path)
            times.append((time.monotonic() - start) * 1000)
            if status != 200:
                sys.exit(f"{path}: {status}")
        cuts = statistics.quantiles(times, n=100)
        print(f"meanwhile {path}: p50 {cuts[49]:.1f}, p99 {cuts[98]:.1f} ms")


def show_memory(daemon, before, count):
    now = host.memory_kib()
    server, spawner = host.both(daemon)
    inits = host.children(spawner)
    parts = [(what, now[name] - before[name]) for name, what in PARTS]
    parts.append(("init", sum(map(host.private_kib, inits))))
    parts.append(("the program", sum(host.private_kib(program) for init in inits for program in host.children(init))))
    print(f"memory of each running job: {sum(kib for _, kib in parts) / count:.0f} KiB")
    for what, kib in parts:
        print(f"  {what:32} {kib / count:7.1f} KiB")
    print(f"  {'by what is no longer available':32} {(before['MemAvailable'] - now['MemAvailable']) / count:7.1f} KiB")
    print(f"server {host.resident_kib(server) / 1024:.1f} MiB and {host.descriptors(server)} descriptors, "
          f"spawner {host.resident_kib(spawner) / 1024:.1f} MiB and {host.descriptors(spawner)} descriptors")


def main(kiln, count=SANDBOXES):
    count = int(count)
    if os.geteuid() != 0:
        sys.exit("needs root")
    settings = {"KILN_API_JOB_MAX_CONCURRENT": str(count)}
    with live.Daemon(kiln, settings) as daemon, concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        for which in ("first", "second"):
            time.sleep(3)  # until what was needed before is given back
            before = host.memory_kib()
            ids, seconds = begin(daemon, pool, count)
            print(f"{which} time: {count} sandboxes began in {seconds:.2f} s, {count / seconds:.0f} a second")
            show_memory(daemon, before, count)
            show_answers(daemon)
            print(f"ended in {end(daemon, pool, ids):.2f} s")
    show_idle(kiln)


if __name__ == "__main__":
    main(*sys.argv[1:])
