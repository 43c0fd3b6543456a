# Everything that a program can observe of its sandbox, as one JSON object of names and values.
# Runs in the sandbox. What rightly differs from job to job is left out in one table, with the reason.
import ctypes, errno, fcntl, json, os, resource, socket, stat, struct, sys

# Beginnings of names, and why the rest of the name may have another value in the next job.
MAY_DIFFER = {
    "proc/sys/fs/aio-nr": "of the whole host",
    "proc/sys/fs/dentry-state": "of the whole host",
    "proc/sys/fs/file-nr": "of the whole host",
    "proc/sys/fs/inode-": "of the whole host",
    "proc/sys/fs/quota": "of the whole host",
    "proc/sys/kernel/random/entropy_avail": "of the whole host",
    "proc/sys/kernel/random/uuid": "another at each reading",
    "proc/sys/kernel/pty/nr": "of the whole host",
    "proc/sys/kernel/ns_last_pid": "checked by its size, under `pids`",
    "proc/sys/net/netfilter": "of the whole host",
    "self/net/stat/": "of the whole host",
    "self/net/softnet_stat": "of the whole host",
    "self/net/protocols": "buffers of the whole host, and sizes",
    "self/net/netlink": "addresses of the kernel, and inode numbers",
    "self/net/ptype": "addresses of the kernel",
    "self/net/psched": "the clock of the processor",
}
# Fields of /proc/self/status that are counts of this very process.
COUNTS = "Vm Rss voluntary nonvoluntary NSpid NStgid NSpgid NSsid Pid Tgid Ngid HugetlbPages Cpus_allowed Mems".split()


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "backslashreplace")
    except OSError as error:
        return errno.errorcode[error.errno]


def below(folder):
    for place, folders, files in os.walk(folder):
        folders.sort()
        yield from (os.path.join(place, name) for name in sorted(folders + files))


def kernel_settings():
    for path in below("/proc/sys"):
        if not os.path.isdir(path):
            yield path[1:], read(path)


def network_tables():
    for path in below("/proc/self/net"):
        if not os.path.isdir(path):
            yield path[6:], table(path, read(path))


def table(path, text):
    """Without what is of the whole host, or a number that the kernel gives each object."""
    name = os.path.basename(path)
    if name == "sockstat":
        words = text.split()
        for word in ("orphan", "alloc", "mem"):
            while word in words:
                del words[words.index(word) : words.index(word) + 2]
        return words
    if name == "ipv6_route":  # how often looked up
        return [line.split()[:6] + line.split()[8:] for line in text.splitlines()]
    if name == "unix":
        return [line.split()[1:6] + line.split()[7:] for line in text.splitlines()]
    return text


def status():
    for line in read("/proc/self/status").splitlines():
        name, _, value = line.partition(":")
        if not name.startswith(tuple(COUNTS)):
            yield f"status/{name}", value.split()


def mounts():
    """Without the numbers of mounts and of devices. Ids are those of the block that `uid_map` shows."""
    base = int(read("/proc/self/uid_map").split()[1])
    for number, line in enumerate(read("/proc/self/mountinfo").splitlines()):
        words = line.split()
        options = [f"{word.partition('=')[0]}+{int(word.partition('=')[2]) - base}"
                   if word.startswith(("uid=", "gid=")) else word for word in words[-1].split(",")]
        yield f"mount/{number}", [*words[3:-1], options]


def descriptors():
    for name in sorted(os.listdir("/proc/self/fd"), key=int):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the one that lists
        flags = [line for line in read(f"/proc/self/fdinfo/{name}").splitlines() if line.startswith(("flags", "lock"))]
        yield f"descriptor/{name}", [target.split(":")[0], flags]


def process():
    yield "umask", [os.umask(0o22)]
    yield "cwd", os.getcwd()
    yield "environment", dict(os.environ)
    yield "ids", [os.getresuid(), os.getresgid(), os.getgroups()]
    yield "session", [os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid(), os.getppid()]
    yield "priority", [os.nice(0), os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)]
    yield "affinity", sorted(os.sched_getaffinity(0))
    for name in sorted(name for name in dir(resource) if name.startswith("RLIMIT_")):
        yield name, resource.getrlimit(getattr(resource, name))
    libc = ctypes.CDLL(None, use_errno=True)
    names = dict(dumpable=3, keep_capabilities=7, timing=13, seccomp=21, secure_bits=27, timer_slack=30,
                 no_new_privs=39, subreaper=37, kill_early=34, huge_pages=42, parent_death=2, machine_check=34)
    for name, number in names.items():
        kept = ctypes.c_long(-1)
        yield f"prctl/{name}", [libc.prctl(number, ctypes.byref(kept) if number in (2, 37) else 0, 0, 0, 0), kept.value]
    yield "ioprio", libc.syscall(252, 1, 0)
    attributes = ctypes.create_string_buffer(56)
    libc.syscall(315, 0, attributes, 56, 0)
    yield "sched_attr", attributes.raw.hex()
    with socket.socket() as plug:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF, socket.SO_PRIORITY, socket.SO_MARK):
            yield f"socket/{option}", plug.getsockopt(socket.SOL_SOCKET, option)
        yield "socket/congestion", plug.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).hex()
    ends = os.pipe()
    yield "pipe", [fcntl.fcntl(end, 1032) for end in ends]
    for end in ends:
        os.close(end)


def processes():
    there = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    last = int(read("/proc/sys/kernel/ns_last_pid") or 0)
    yield "pids", [there == [1, os.getpid()], os.getpid() < 10, last < 10]
    yield "init", read("/proc/1/stat").split(") ")[1].split()[:6]


def files():
    for folder in ("/work", "/tmp", "/dev", "/etc", "/"):
        names = [folder, *(below(folder) if folder not in ("/", "/dev") else (os.path.join(folder, name) for name in
                                                                         sorted(os.listdir(folder))))]
        for path in names:
            found = os.lstat(path)
            own = found.st_uid == os.getuid() or path.startswith(("/work", "/tmp", "/dev/shm", "/proc"))
            # What is shared keeps its times as well: nothing that a job does may change them.
            times = [] if own else [found.st_mtime_ns, found.st_ctime_ns]
            try:
                attributes = {name: os.getxattr(path, name, follow_symlinks=False).hex()
                              for name in os.listxattr(path, follow_symlinks=False)}
            except OSError as error:
                attributes = errno.errorcode[error.errno]
            size = 0 if path == "/proc" else found.st_size
            links = 0 if path == "/proc" else found.st_nlink
            kind = [stat.filemode(found.st_mode), found.st_uid, found.st_gid]
            yield f"file{path}", [*kind, size, links, times, attributes]
    for folder in ("/work", "/tmp", "/dev/shm", "/dev", "/"):
        found = os.statvfs(folder)
        yield f"free{folder}", [found.f_blocks, found.f_bfree, found.f_files, found.f_ffree, found.f_flag]
    for name in ("cgroup", "setgroups", "limits", "loginuid", "sessionid", "oom_score_adj",
                 "coredump_filter", "personality", "timers", "timerslack_ns", "cpuset", "comm", "cmdline"):
        yield f"self/{name}", read(f"/proc/self/{name}")
    for name in ("uid_map", "gid_map"):  # which block it is, is no matter
        yield f"self/{name}", read(f"/proc/self/{name}").split()[::2]
    for name in ("shm", "sem", "msg"):
        yield f"sysvipc/{name}", read(f"/proc/sysvipc/{name}")
    yield "proc", sorted(name for name in os.listdir("/proc") if not name.isdigit())
    yield "host", os.uname()


def route_messages(kind):
    """What the kernel answers to a dump by NETLINK_ROUTE (rtnetlink(7)): one list of attributes a message."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as plug:
        plug.sendall(struct.pack("=IHHII", 32, kind, 0x301, 1, 0) + bytes(16))
        while True:
            data = plug.recv(1 << 16)
            while data:
                length, found, *_ = struct.unpack_from("=IHHII", data)
                if found in (2, 3):
                    return
                yield data[16:length]
                data = data[(length + 3) & ~3 :]


# Numbers of the messages, lengths of their fixed part, and attributes that hold the time: IFLA_AF_SPEC (the rest of it
# is in /proc/sys/net and /proc/net as well), IFA_CACHEINFO, RTA_CACHEINFO, NDA_CACHEINFO.
DUMPS = {"links": (18, 16, (26,)), "addresses": (22, 8, (6,)), "routes": (26, 12, (12,)), "neighbours": (30, 12, (3,)),
         "rules": (34, 12, ())}


def route_tables():
    for name, (kind, fixed, times) in DUMPS.items():
        for number, message in enumerate(route_messages(kind)):
            attributes, rest = [message[:fixed].hex()], message[fixed:]
            while len(rest) >= 4:
                length, found = struct.unpack_from("=HH", rest)
                if found not in times:
                    attributes.append(f"{found}: {rest[4:length].hex()}")
                rest = rest[(length + 3) & ~3 :] if length else b""
            yield f"{name}/{number}", attributes


def probe():
    found = {}
    # The tables of the network come first: to ask for others counts in them.
    for part in (network_tables, kernel_settings, status, mounts, descriptors, process, processes, files, route_tables):
        found.update(part())
    found = {name: value for name, value in found.items() if not name.startswith(tuple(MAY_DIFFER))}
    # Which place of the daemon this is.
    return {**found, "block": int(read("/proc/self/uid_map").split()[1])}


print(json.dumps(probe()))
