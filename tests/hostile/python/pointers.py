# Addresses of the kernel, its log, and timing of its own doors.
import os
import re
from attempt import call, tell

names = ["kallsyms", "modules", "timer_list", "iomem", "ioports", "vmallocinfo", "slabinfo", "kcore", "sched_debug", "keys",
         "interrupts", "config.gz", "net/unix", "net/netlink", "net/packet", "net/ptype", "net/raw", "net/tcp", "self/stack",
         "self/wchan", "self/syscall", "self/stat", "1/stat", "self/smaps", "self/maps", "locks", "zoneinfo", "buddyinfo"]
found = []
for name in names:
    try:
        with open(f"/proc/{name}", "rb") as file:
            text = file.read().decode("latin-1")
    except OSError:
        continue
    # ffff8880… and ffffffff8…: the direct map and the image of the kernel. The vsyscall page is at one address for all.
    pointers = set(re.findall(r"(?<![0-9a-f])ffff[0-9a-f]{12}", text)) - {"ffffffffff600000", "ffffffffff601000", "f" * 16}
    if pointers:
        found.append((name, sorted(pointers)[:2]))
tell("addresses", found)
tell("log", [call(103, kind, b"\0" * 256, 256) for kind in (2, 3, 4, 9, 10)])
with open("/proc/self/pagemap", "rb") as file:
    page = id(names) // 4096
    file.seek(page * 8)
    entry = int.from_bytes(file.read(8), "little")
tell("frame of a page", entry & (1 << 55) - 1)
tell("counters", call(298, b"\0" * 128, 0, -1, -1, 0))
tell("symbols below /sys", os.path.exists("/sys/kernel/notes"))
