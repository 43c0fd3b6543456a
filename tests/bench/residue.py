"""What a daemon has of the host: descriptors, processes, mounts, cgroups, memory. Imported by run.py."""
import http.client
import json
import pathlib
import subprocess
import time

SANDBOXES = 500
START_SECONDS = 180
# Until what jobs needed is given back; the kernel frees cgroups and namespaces late.
SETTLE_SECONDS = 5
# Long enough to be alive when the last of them starts.
SLEEPER = {"image": "host", "command": ["/bin/sleep", "290"], "timeout": 300, "memory_limit": 16, "async": True}


def meminfo(name):
    """KiB of the host."""
    lines = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def resident_kib(process):
    status = pathlib.Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])


def children(process):
    words = pathlib.Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8").split()
    return [int(word) for word in words]


def processes(daemon):
    """The server and the spawner."""
    server = daemon.process.pid
    while pathlib.Path(f"/proc/{server}/comm").read_text(encoding="utf-8").strip() != "kiln":  # sudo stands between
        (server,) = children(server)
    (spawner,) = children(server)
    return server, spawner


def lines(daemon, command):
    """How many lines a command prints as root."""
    done = subprocess.run([*daemon.root, *command], capture_output=True, text=True, check=False)
    return len(done.stdout.splitlines())


def held(daemon):
    """What must not grow with the jobs that were."""
    server, spawner = processes(daemon)
    instance = next(line.split("instance=", 1)[1].split()[0] for line in daemon.lines if "instance=" in line)
    return {
        "descriptors of the server": lines(daemon, ["ls", f"/proc/{server}/fd"]),
        "descriptors of the spawner": lines(daemon, ["ls", f"/proc/{spawner}/fd"]),
        "processes of the spawner": len(children(spawner)),
        "mounts of the spawner": lines(daemon, ["cat", f"/proc/{spawner}/mounts"]),
        "cgroups": lines(daemon, ["find", "/sys/fs/cgroup", "-type", "d", "-path", f"*{instance}*"]),
    }


def memory(daemon):
    server, spawner = processes(daemon)
    return {"server_kib": resident_kib(server), "spawner_kib": resident_kib(spawner)}


def endurance(daemon, work):
    """Many jobs, and what is there afterwards that was not there before. What is made once was made before."""
    time.sleep(SETTLE_SECONDS)
    before, small = held(daemon), memory(daemon)
    cell = work()["cells"][0]
    time.sleep(SETTLE_SECONDS)
    after, large = held(daemon), memory(daemon)
    left = {name: [before[name], count] for name, count in after.items() if count > before[name]}
    figures = {name: cell[name] for name in ("jobs", "failed", "p50_ms", "p99_ms", "max_ms", "jobs_per_s")}
    return {**figures, "left": left, "memory_before": small, "memory_after": large}


def ask(connection, method, path, body=None):
    head = {"Content-Type": "application/json"} if body else {}
    connection.request(method, path, json.dumps(body) if body else None, head)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 300:
        raise SystemExit(f"{method} {path}: {answer.status} {text.decode()}")
    return json.loads(text)


def wait_for(connection, running):
    deadline = time.monotonic() + START_SECONDS
    while (status := ask(connection, "GET", "/v1/status"))["jobs_running"] != running or status["jobs_queued"]:
        if time.monotonic() > deadline:
            raise SystemExit(f"{running} jobs did not run at once: {status}")
        time.sleep(0.1)


def density(daemon):
    """Sandboxes alive at once, and the memory of the host that they take."""
    connection = http.client.HTTPConnection(daemon.address)
    ask(connection, "POST", "/v1/execute", {"image": "host", "command": ["/bin/true"]})
    time.sleep(SETTLE_SECONDS)
    idle, free = memory(daemon), meminfo("MemAvailable")
    begin = time.monotonic()
    jobs = [ask(connection, "POST", "/v1/execute", SLEEPER)["job_id"] for _ in range(SANDBOXES)]
    wait_for(connection, SANDBOXES)
    seconds = time.monotonic() - begin
    alive = sum(ask(connection, "GET", f"/v1/jobs/{job}")["status"] == "running" for job in jobs)
    time.sleep(SETTLE_SECONDS)
    full, taken = memory(daemon), free - meminfo("MemAvailable")
    for job in jobs:
        ask(connection, "DELETE", f"/v1/jobs/{job}")
    wait_for(connection, 0)
    time.sleep(SETTLE_SECONDS)
    kept = free - meminfo("MemAvailable")
    return {
        "alive": alive,
        "seconds": round(seconds, 2),
        "kib_per_running_job": round(taken / SANDBOXES),
        "kib_per_idle_slot": round(kept / SANDBOXES),
        "memory_idle": idle,
        "memory_full": full,
    }
