"""What the host shows of a daemon: processes, descriptors, cgroups, mounts, memory. Imported by the benches beside this
file; all of it needs root."""
import os
import pathlib

PROC = pathlib.Path("/proc")


def children(process):
    """None of a process that has just ended."""
    try:
        text = (PROC / f"{process}/task/{process}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(word) for word in text.split()]


def both(daemon):
    """The server and its spawner."""
    server = daemon.process.pid
    (spawner,) = children(server)
    return server, spawner


def resident_kib(process):
    status = (PROC / str(process) / "status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])


def private_kib(process):
    """Memory that no other process shares (proc_pid_smaps(5))."""
    lines = (PROC / str(process) / "smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def descriptors(process):
    return len(os.listdir(PROC / str(process) / "fd"))


def mounts(process):
    return len((PROC / str(process) / "mountinfo").read_text().splitlines())


def memory_kib():
    """`/proc/meminfo` by name (proc_meminfo(5))."""
    lines = (line.split() for line in (PROC / "meminfo").read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines}


def objects():
    """Objects of the kernel's that are in use, by the name of their cache (slabinfo(5)). Namespaces that wait to be torn
    down are among them."""
    lines = (PROC / "slabinfo").read_text().splitlines()[2:]
    return {line.split()[0]: int(line.split()[1]) for line in lines}


def cgroups(instance):
    """Directories of this daemon's in any hierarchy."""
    name = f"kiln-{instance}"
    return sum(name in pathlib.Path(folder).parts for folder, _, _ in os.walk("/sys/fs/cgroup"))


def memory_cgroups():
    """Of the whole host, with those that were removed and that something is still charged to (cgroups(7))."""
    for line in (PROC / "cgroups").read_text().splitlines():
        if line.startswith("memory\t"):
            return int(line.split()[2])
    return 0


def entries(folder, without=()):
    """Files and directories below a folder, but for these of its own."""
    top = pathlib.Path(folder)
    return sum(1 for path in top.rglob("*") if path.relative_to(top).parts[0] not in without)
