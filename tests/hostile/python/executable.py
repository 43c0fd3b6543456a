# What runs is never the host's to be overwritten (CVE-2019-5736), and no folder of it was left open (CVE-2024-21626).
import os
import sys
from attempt import opened, outcome, tell

tell("write /proc/self/exe", opened("/proc/self/exe", os.O_WRONLY))
tell("write /proc/1/exe", opened("/proc/1/exe", os.O_WRONLY))
tell("read /proc/1/exe", opened("/proc/1/exe"))
tell("execute /proc/1/exe", outcome(os.execv, "/proc/1/exe", ["x"]))
tell("a root beside its own", sorted({opened(f"/proc/{process}/root{sys.argv[1]}") for process in (1, "self")}))
# Folders among the descriptors, by number and as a working directory, before and after each exec.
tell("descriptors", [number for number in range(3, 4096) if outcome(os.fstat, number) != "EBADF"])
tell("folders", [number for number in range(64) if outcome(os.chdir, f"/proc/self/fd/{number}") == "OK"])
tell("of init", sorted({outcome(os.chdir, f"/proc/1/fd/{number}") for number in range(64)}))
os.chdir("/work")
tell("working directory", os.getcwd())
tell("/work/../../..", os.path.realpath("../../.."))
