#!/usr/bin/env python3
"""`make bench`: measures a daemon of its own beside other ways to run the same, and writes docs/PERFORMANCE.md.

    tests/bench/run.py KILN [--before] [--quick]

KILN is the program, of a release build; kiln-spawner lies beside it. Needs root, or sudo that asks nothing.
The figures go to docs/performance/now.json; those of docs/performance/before.json stay as they are, unless
--before says that these are they. --quick takes two minutes and is for trying the script.

Nothing here fails because a machine is slow. A job that fails does, and so does anything that jobs left behind.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import live  # noqa: E402
import render  # noqa: E402
import residue  # noqa: E402

ROOT = pathlib.Path(__file__).parent.parent.parent
# The place of the local socket may be another daemon's.
SETTINGS = {"KILN_API_SOCKET": ""}
DENSITY = {"KILN_API_SOCKET": "", "KILN_API_JOB_MAX_CONCURRENT": str(residue.SANDBOXES)}
WORDS = "--against bare,bwrap,crun --idle 1 --burst 100 --half-load --rounds 5 --seconds 1".split()
QUICK = "--against bare,bwrap,crun --idle 0.2 --burst 10 --half-load --rounds 1 --seconds 0.3 --clients 1,8".split()
ENDURANCE = "--workload true --clients 8 --rounds 1 --jobs".split()

# crun 1.8 does not start where cgroup v2 stands beside v1 with a controller. In a mount namespace of its own it sees v2
# alone; the others do not look there.
BESIDE_V1 = "! grep -q ' /sys/fs/cgroup/unified ' /proc/self/mounts || mount -t cgroup2 none /sys/fs/cgroup; exec \"$@\""


def bench(kiln, daemon, words):
    command = [*daemon.root, "unshare", "--mount", "--propagation", "private", "sh", "-c", BESIDE_V1, "sh"]
    command += [os.path.realpath(kiln), "bench", "--json", "--server", f"http://{daemon.address}", *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"kiln bench {' '.join(words)} ended with {done.returncode}")
    return json.loads(done.stdout)


def said(*command):
    """The first line that a program says of itself; nothing where it is not here."""
    try:
        text = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT).stdout
    except OSError:
        return None
    return text.splitlines()[0] if text else None


def machine():
    model = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if "model name" in line]
    v1 = any(line.split()[2] == "cgroup" for line in open("/proc/self/mounts", encoding="utf-8"))
    return {
        "processors": len(model),
        "model": model[0] if model else platform.machine(),
        "memory_gib": round(residue.meminfo("MemTotal") / 1024**2, 1),
        "kernel": ".".join(platform.release().split("-")[0].split(".")[:2]),
        "cgroups": "v1" if v1 else "v2",
        "python": said("/usr/bin/python3", "--version"),
        "bwrap": said("bwrap", "--version"),
        "crun": said("crun", "--version"),
        "commit": said("git", "rev-parse", "--short", "HEAD"),
        "changed": bool(said("git", "status", "--porcelain", "--", "src", "Cargo.lock", "build")),
    }


def measure(kiln, words, jobs):
    result = {"date": datetime.date.today().isoformat(), "machine": machine(), "words": words}
    result["load_before"] = [round(it, 1) for it in os.getloadavg()]
    with live.Daemon(kiln, SETTINGS) as daemon:
        result["bench"] = bench(kiln, daemon, words)
        result["load_after"] = [round(it, 1) for it in os.getloadavg()]
        print(f"bench: measured; now {jobs} jobs, and what they leave", file=sys.stderr)
        result["endurance"] = residue.endurance(daemon, lambda: bench(kiln, daemon, [*ENDURANCE, str(jobs)]))
    print(f"bench: now {residue.SANDBOXES} sandboxes at once", file=sys.stderr)
    with live.Daemon(kiln, DENSITY) as daemon:
        result["density"] = residue.density(daemon)
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kiln")
    parser.add_argument("--before", action="store_true")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    result = measure(asked.kiln, QUICK, 200) if asked.quick else measure(asked.kiln, WORDS, 10_000)
    if asked.quick:
        print(json.dumps(result, indent=1))
    else:
        render.keep(ROOT, "before" if asked.before else "now", result)
        render.write(ROOT)
    if left := result["endurance"]["left"]:
        sys.exit(f"left behind: {left}")


if __name__ == "__main__":
    main()
