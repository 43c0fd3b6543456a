#!/usr/bin/python3
"""Runs a command with a time limit, and lets nothing that it started outlive it.

  limited.py SECONDS COMMAND...

The command has no input. When the time is over, or SIGTERM or SIGINT comes, it and all its
descendants are asked to end, and then killed; also those of root, of another session, and those
whose parent has ended already: as a subreaper this process is the parent of such. What still runs
after the command has ended by itself is ended and named, so that no daemon keeps the output open.

Exit status: that of the command; 124 when the time was over.
"""
import ctypes
import os
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
EXIT_TIMED_OUT = 124
# A daemon stops its jobs, writes its records, waits for its spawner.
GRACE_SECONDS = 20
# For what ends by itself a moment after the command.
AFTERMATH_SECONDS = 3
POLL_SECONDS = 0.05
SIGNALS = (signal.SIGALRM, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """The time is over, or somebody asked this process to end."""


class Interruption:
    """The handler of all these signals: it raises once, and never in the middle of the cleaning."""

    def __init__(self):
        self.armed = True
        for number in SIGNALS:
            signal.signal(number, self)

    def __call__(self, number, _):
        if self.armed:
            self.armed = False
            raise Interrupted(number)


def parents():
    """{pid: its parent} of every process that is not a zombie."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                state, parent = stat.read().rpartition(b")")[2].split()[:2]
        except OSError:  # it has ended
            continue
        if state not in (b"Z", b"X"):
            found[int(name)] = int(parent)
    return found


def descendants():
    parent_of = parents()
    mine = {os.getpid()}
    while more := {pid for pid, parent in parent_of.items() if parent in mine} - mine:
        mine |= more
    return mine - {os.getpid()}


def send(number, pids):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
        except PermissionError:  # it was started through sudo
            subprocess.run(["sudo", "-n", "kill", f"-{number}", str(pid)], stderr=subprocess.DEVNULL)


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def gone_within(seconds):
    """Waits for all descendants to end, and says whether they did."""
    deadline = time.monotonic() + seconds
    while descendants():
        reap()
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    reap()
    return True


def end_all():
    send(signal.SIGTERM, descendants())
    if gone_within(GRACE_SECONDS):
        return
    # Again and again: one may have forked in between.
    for _ in range(100):
        send(signal.SIGKILL, descendants())
        if gone_within(0.2):
            return
    print("limited: cannot be killed:", names(descendants()), file=sys.stderr)


def names(pids):
    found = []
    for pid in sorted(pids):
        try:
            with open(f"/proc/{pid}/comm") as comm:
                found.append(f"{comm.read().strip()} ({pid})")
        except OSError:
            pass
    return ", ".join(found)


def wait_for(process, seconds, interruption):
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        # Orphans too, at once: a test may wait until one is gone.
        while (ended := os.waitpid(-1, 0))[0] != process.pid:
            pass
        interruption.armed = False
    except Interrupted as interrupted:
        if interrupted.args[0] != signal.SIGALRM:
            return 128 + interrupted.args[0]
        print(f"limited: ended after {seconds:g} s: {names(descendants())}", file=sys.stderr)
        return EXIT_TIMED_OUT
    if not gone_within(AFTERMATH_SECONDS):
        print(f"limited: left running: {names(descendants())}", file=sys.stderr)
    status = os.waitstatus_to_exitcode(ended[1])
    return status if status >= 0 else 128 - status


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    interruption = Interruption()
    process = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)
    status = wait_for(process, float(sys.argv[1]), interruption)
    end_all()
    sys.exit(status)


main()
