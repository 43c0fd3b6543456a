# Links to what is not its own: hard links to programs of the host, and links that a process of root might follow.
import os
import sys
from attempt import call, outcome, tell

SOURCES = ["/usr/bin/env", "/usr/bin/su", "/etc/passwd", "/proc/self/exe", "/proc/1/exe", "/dev/null", "/proc/self/fd/0"]
found = set()
for source in SOURCES:
    for folder in ("/work", "/tmp", "/dev/shm"):
        found.add(outcome(os.link, source, folder + "/hard"))
        found.add(call(265, -100, source, -100, folder + "/hard", 0x400))  # linkat, AT_SYMLINK_FOLLOW
tell("hard links", sorted(found, key=str))
tell("input as a file of its own", call(265, 0, "", -100, "/work/input", 0x1000))
for number, target in enumerate((sys.argv[1], "/", "/proc/self/root", "/etc/shadow")):
    os.symlink(target, f"/work/link{number}")
tell("followed", [outcome(open, f"/work/link{number}") for number in (0, 3)])
tell("renamed out", outcome(os.rename, "/work/link0", "/link"))
tell("in a folder of others", sorted({outcome(os.symlink, "x", f"/{name}/x") for name in ("", "usr", "etc", "dev", "proc")}))
