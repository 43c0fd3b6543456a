# Everything that a program finds of its sandbox, as one JSON object of names and values. Runs in the sandbox.
# What is right is in golden.json and settings.txt; nothing is judged here.
import ctypes, errno, fcntl, json, os, resource, socket, stat, struct, sys, termios, threading

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
# Of /proc/self/status: how much this very process has used of something, and numbers of its processes.
COUNTS = ("Vm", "Rss", "voluntary", "nonvoluntary", "Hugetlb", "Pid", "Tgid", "NSpid", "NStgid", "NSpgid", "NSsid",
          "PPid", "Name", "State", "FDSize", "Threads", "SigQ")


def error_of(action, *arguments):
    """OK, or the name of the error."""
    try:
        action(*arguments)
        return "OK"
    except OSError as error:
        return errno.errorcode[error.errno]


def call(number, *arguments):
    """What a system call gives; negative is an error."""
    ctypes.set_errno(0)
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    result = libc.syscall(ctypes.c_long(number), *words)
    return errno.errorcode[ctypes.get_errno()] if result == -1 else result


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "backslashreplace")
    except OSError as error:
        return errno.errorcode[error.errno]


def reading(path):
    """How a file can be read: `text`, `empty`, or the error."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return "text" if os.read(descriptor, 1) else "empty"
        finally:
            os.close(descriptor)
    except OSError as error:
        return errno.errorcode[error.errno]


def writing(path):
    return error_of(lambda: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK)))


def status():
    """The same lines of every thread; those that differ are named."""
    gate, threads = threading.Event(), []
    for _ in range(3):
        threads.append(threading.Thread(target=gate.wait))
        threads[-1].start()
    of_each = {}
    for task in os.listdir("/proc/self/task"):
        for line in read(f"/proc/self/task/{task}/status").splitlines():
            name, _, value = line.partition(":")
            if not name.startswith(COUNTS):
                of_each.setdefault(name, set()).add(" ".join(value.split()))
    yield "threads", {"count": len(os.listdir("/proc/self/task")),
                      "differ in": sorted(name for name, values in of_each.items() if len(values) > 1),
                      "namespaces": [len({os.readlink(f"/proc/self/task/{task}/ns/{kind}")
                                          for task in os.listdir("/proc/self/task")})
                                     for kind in sorted(os.listdir("/proc/self/ns"))]}
    gate.set()
    for thread in threads:
        thread.join()
    # Of a program that changes nothing of itself, and not of this one: Python ignores two signals.
    for line in sys.stdin.read().splitlines():
        name, _, value = line.partition(":")
        if not name.startswith(COUNTS):
            yield f"status/{name}", " ".join(value.split())


def identity():
    yield "ids", [os.getresuid(), os.getresgid(), os.getgroups()]
    yield "ids of files", [call(122, -1), call(123, -1)]  # setfsuid, setfsgid: -1 changes nothing
    header, data = struct.pack("Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
    yield "capget", [call(125, header, data), data.raw.hex()]
    for name in ("uid_map", "gid_map"):
        yield f"{name}", [[line.split()[0], line.split()[2]] for line in read(f"/proc/self/{name}").splitlines()]
    yield "projid_map", read("/proc/self/projid_map")
    yield "setgroups", read("/proc/self/setgroups")
    yield "umask", os.umask(0o22)
    names = {"parent death signal": 2, "dumpable": 3, "keep capabilities": 7, "timing": 13, "seccomp": 21,
             "time stamp counter": 25, "securebits": 27, "timer slack": 30, "machine check": 34, "subreaper": 37,
             "no new privileges": 39, "no huge pages": 42, "io flusher": 58, "tagged addresses": 56,
             "execute in memory that was written": 66}
    for name, number in names.items():
        kept = ctypes.c_long(-1)
        in_memory = number in (2, 25, 37)
        result = call(157, number, ctypes.byref(kept) if in_memory else 0, 0, 0, 0)
        yield f"prctl/{name}", [result, kept.value & 0xffffffff] if in_memory else result
    yield "ambient capabilities", [call(157, 47, 1, number, 0, 0) for number in range(41)]
    yield "bounding capabilities", [call(157, 23, number, 0, 0, 0) for number in range(41)]


def process():
    yield "environment", dict(os.environ)
    yield "arguments", read("/proc/self/cmdline").split("\0")[:-2]
    yield "cwd", os.getcwd()
    yield "root", os.readlink("/proc/self/root")
    yield "session", {"leads": os.getsid(0) == os.getpid(), "group": os.getpgrp() == os.getpid(),
                      "parent": os.getppid(), "terminal": read("/proc/self/stat").rsplit(") ", 1)[1].split()[4],
                      "/dev/tty": error_of(os.open, "/dev/tty", os.O_RDWR),
                      "TIOCSTI": error_of(fcntl.ioctl, 1, termios.TIOCSTI, b"x"), "login": read("/proc/self/loginuid"),
                      "audit": read("/proc/self/sessionid")}
    for name in sorted(name for name in dir(resource) if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE"):
        yield name, resource.getrlimit(getattr(resource, name))
    yield "out of memory/score adjustment", int(read("/proc/self/oom_score_adj"))
    yield "out of memory/lowered", error_of(lower_oom_score)
    attributes = ctypes.create_string_buffer(56)
    yield "scheduling", {"policy": os.sched_getscheduler(0), "priority": os.sched_getparam(0).sched_priority,
                         "nice": os.getpriority(os.PRIO_PROCESS, 0), "io": call(252, 1, 0),
                         "attributes": [call(315, 0, attributes, 56, 0), attributes.raw[:24].hex()],
                         "less nice": error_of(os.setpriority, os.PRIO_PROCESS, 0, -1),
                         "real time": error_of(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1)),
                         "real time io": call(251, 1, 0, 1 << 13)}
    yield "processors", sorted(os.sched_getaffinity(0))
    yield "personality", call(135, 0xffffffff)
    yield "clocks", {"timens": [line.split()[0] for line in read("/proc/self/timens_offsets").splitlines()]}
    yield "auxiliary vector", auxiliary_vector()
    yield "processes", sorted(int(name) for name in os.listdir("/proc") if name.isdigit()) == [1, os.getpid()]
    for name in sorted(os.listdir("/proc/1")):
        path = f"/proc/1/{name}"
        yield path[1:], error_of(os.readlink, path) if os.path.islink(path) else proc_entry(path)


def lower_oom_score():
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("799")


def auxiliary_vector():
    """Types and, where it is no address of this process, the value (getauxval(3))."""
    with open("/proc/self/auxv", "rb") as file:
        pairs = list(struct.iter_unpack("QQ", file.read()))
    shown = {6: "page", 11: "uid", 12: "euid", 13: "gid", 14: "egid", 23: "secure"}
    return {shown[number]: value for number, value in pairs if number in shown}


def entering(kind):
    descriptor = os.open(f"/proc/self/ns/{kind}", os.O_RDONLY)
    try:
        return call(308, descriptor, 0)
    finally:
        os.close(descriptor)


def namespaces():
    for kind in sorted(os.listdir("/proc/self/ns")):
        yield f"namespace/{kind}", {"own": os.readlink(f"/proc/self/ns/{kind}").split(":")[0],
                                    "of init": error_of(os.readlink, f"/proc/1/ns/{kind}"),
                                    "entered": entering(kind)}
    yield "cgroup", sorted({line.split(":", 2)[2] for line in read("/proc/self/cgroup").splitlines()})
    yield "host/name", [os.uname().nodename, read("/proc/sys/kernel/domainname").strip()]
    yield "host/release", os.uname().release


def mounts():
    """What is mounted at each place, the uppermost last; without numbers of mounts and devices, and with ids as they
    differ from the block's first."""
    base = int(read("/proc/self/uid_map").split()[1])
    places = {}
    for line in read("/proc/self/mountinfo").splitlines():
        words = line.split()
        kind, source, options = words[words.index("-") + 1 :]
        # How wide the numbers of files are is a matter of how the kernel was built (tmpfs(5), inode64).
        own = [f"{option.partition('=')[0]}=+{int(option.partition('=')[2]) - base}"
               if option.startswith(("uid=", "gid=")) else option for option in options.split(",") if option != "inode64"]
        place, spread = words[4], " ".join(words[6 : words.index("-")])
        found = [words[3], words[5], spread, kind, source, ",".join(own)]
        # The file system below /usr, and what the host has mounted there, are the host's.
        if place == "/usr" or place.startswith("/usr/") and kind != "tmpfs":
            found = ["of the host", *(flag for flag in ("ro", "nosuid", "nodev") if flag in words[5].split(","))]
        places.setdefault(place, []).append(found)
    for place, stack in places.items():
        yield f"mount{place}", stack
    yield "mounts as told", len(read("/proc/self/mounts").splitlines()) == sum(len(stack) for stack in places.values())


def descriptors():
    for name in sorted(os.listdir("/proc/self/fd"), key=int):
        try:
            target = os.readlink(f"/proc/self/fd/{name}").split(":[")[0]
        except OSError:
            continue  # the one that lists
        flags = [line.split()[1] for line in read(f"/proc/self/fdinfo/{name}").splitlines() if line.startswith("flags")]
        found = os.fstat(int(name))
        yield f"descriptor/{name}", [target, stat.filemode(found.st_mode), *flags]


def kind_of(path, with_mode=True):
    found = os.lstat(path)
    kind = [stat.filemode(found.st_mode), found.st_uid, found.st_gid] if with_mode else []
    if stat.S_ISLNK(found.st_mode) and with_mode:
        kind.append(os.readlink(path))
    if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
        kind.append(f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}")
    return kind


def files():
    for name in sorted(os.listdir("/")):
        yield f"file/{name}", kind_of(f"/{name}")
    for name in sorted(os.listdir("/dev")):
        yield f"file/dev/{name}", [*kind_of(f"/dev/{name}"), writing(f"/dev/{name}") if name != "fd" else "EISDIR"]
    for name in sorted(os.listdir("/etc")):
        found = os.lstat(f"/etc/{name}")
        yield f"etc/{name}", {"of": found.st_uid, "for others": found.st_mode & 0o022 == 0 or stat.S_ISLNK(found.st_mode),
                              "written": error_of(os.rename, f"/etc/{name}", "/etc/x")}
    for folder in ("/work", "/tmp", "/dev/shm", "/dev", "/proc", "/usr", "/"):
        found = os.statvfs(folder)
        names = dict(RDONLY=os.ST_RDONLY, NOSUID=os.ST_NOSUID, NODEV=os.ST_NODEV, NOEXEC=os.ST_NOEXEC)
        yield f"flags{folder}", [name for name, flag in names.items() if found.f_flag & flag]
    yield "found below /work", sorted(os.listdir("/work"))
    yield "found below /tmp", sorted(os.listdir("/tmp")) + sorted(os.listdir("/dev/shm"))
    yield "/sys", error_of(os.listdir, "/sys")


def proc_entry(path):
    """How an entry of /proc can be read and, where that is not for its owner's process, written."""
    if os.path.islink(path):
        return f"link to {os.readlink(path)}" if not path.endswith("self") else "link"
    if os.path.isdir(path):
        found = error_of(os.listdir, path)
        return found if found != "OK" else "folder" if os.listdir(path) else "empty folder"
    return f"{reading(path)}, {writing(path)}"


def proc():
    for name in sorted(name for name in os.listdir("/proc") if not name.isdigit()):
        yield f"proc/{name}", proc_entry(f"/proc/{name}")
    for name in sorted(os.listdir("/proc/self")):
        path = f"/proc/self/{name}"
        yield f"proc/self/{name}", "link" if os.path.islink(path) else proc_entry(path)
    for folder, _, names in os.walk("/proc/self/net"):
        for name in sorted(names):
            path = os.path.join(folder, name)
            yield path[1:], proc_entry(path)
    for name in sorted(os.listdir("/proc/sysvipc")):
        yield f"proc/sysvipc/{name}", len(read(f"/proc/sysvipc/{name}").splitlines())
    for folder, _, names in os.walk("/proc/sys"):
        paths = [os.path.join(folder, name) for name in names]
        changeable = [path for path in paths if writing(path) == "OK" or error_of(os.chmod, path, 0o666) != "EROFS"]
        if paths:
            yield f"{folder[1:]}/*", changeable


def network():
    yield "interfaces", socket.if_nameindex()
    yield "addresses", [line.split() for line in read("/proc/net/if_inet6").splitlines()]
    yield "routes", len(read("/proc/net/route").splitlines())
    yield "sockets", [len(read(f"/proc/net/{name}").splitlines()) for name in ("tcp", "tcp6", "udp", "udp6", "unix")]


def kernel_pointers():
    """Addresses of the kernel (`kptr_restrict`, `dmesg_restrict`): none is read anywhere."""
    fields = read("/proc/self/stat").rsplit(") ", 1)[1].split()
    yield "pointers", {"wchan": read("/proc/self/wchan"), "stack": read("/proc/self/stack"),
                       "instruction and stack of init": read("/proc/1/stat").rsplit(") ", 1)[1].split()[26:28],
                       "wchan in stat": fields[32], "syslog": call(103, 3, None, 0),
                       "unix": {line.split()[0] for line in read("/proc/net/unix").splitlines()[1:]} <= {"0" * 16 + ":"}}


def probe():
    found = {}
    for part in (descriptors, status, identity, process, namespaces, mounts, files, proc, network, kernel_pointers):
        for name, value in part():
            assert name not in found, name
            found[name] = value
    # Which place of the daemon this is.
    return {**found, "block": int(read("/proc/self/uid_map").split()[1])}


print(json.dumps(probe()))
