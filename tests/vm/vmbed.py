#!/usr/bin/python3
"""Test bed: runs a command as root in a Debian guest (systemd, pure cgroup v2) under qemu TCG.

  vmbed.py snap [-s SUITE]
        boots a guest and keeps the booted state (`run` does it too, when there is none)
  vmbed.py run [-s SUITE] [--cold] [-k DISK] [-d DIR] [-o OUT] [-e NAME=VALUE] [-t SECONDS] [--ssh] [-v] -- CMD...
        a CMD of one word goes to bash -c

DIR is /share in the guest, read-only; what CMD leaves in /out is unpacked into OUT, also when CMD
fails. The guest starts from the same disk every time, and what it writes is thrown away; with -k it is
kept in the file DISK: the guest is shut down after CMD, and the next run with the same DISK boots from it. CMD finds
TEST_TIME_SCALE in its environment: its time limits are to be multiplied by it. --cold boots instead
of resuming; --ssh keeps the guest until Ctrl-C and says how to get in.

Exit status: that of CMD; 124 when it ran past SECONDS; 125 when the bed itself failed.
Environment: BUILD_CACHE (see build-image.sh), TEST_VM_QEMU (the binary), TEST_VM_SHARE_MB,
TEST_TIME_SCALE. No KVM, no network, no root (only the build of the image needs root).
Not here: the guest itself (guest.py), what is run in it (guest.sh).
"""
import argparse
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # nothing is left in the checkout
from guest import DISK_MB, KERNEL, MACHINE, QEMU, BedError, Guest

HERE = os.path.dirname(os.path.abspath(__file__))
# TCG runs most things 3 to 16 times slower than the host.
TIME_SCALE = os.environ.get("TEST_TIME_SCALE", "10")
# A share on the host can lie behind stale blocks of the resumed guest: they are flushed first.
MOUNT = "blockdev --flushbufs /dev/vdb; modprobe erofs; mount -t erofs -o ro /dev/vdb /share"
# The packages may have to be downloaded.
IMAGE_SECONDS = 420
EXIT_TIMED_OUT = 124
EXIT_BED_FAILED = 125


def build_image(suite):
    build = [f"{HERE}/../limited.py", str(IMAGE_SECONDS), f"{HERE}/build-image.sh", suite]
    build = subprocess.run(build, stdout=subprocess.PIPE, text=True)
    if build.returncode:
        raise BedError(f"build-image.sh failed: exit {build.returncode}")
    return build.stdout.strip()


def saved_state(image, memory):
    """Gives (memory image, its disk), made when missing.

    The two belong together: a state resumed on another disk reads old blocks through new caches.
    The name holds what a state is tied to: the machine, the disks' size, the qemu that wrote it.
    """
    binary = os.stat(shutil.which(QEMU) or QEMU)
    tied_to = (MACHINE, KERNEL, memory, DISK_MB, binary.st_size, binary.st_mtime_ns)
    key = hashlib.sha256(repr(tied_to).encode()).hexdigest()[:12]
    state, disk = f"{image}/state-{key}", f"{image}/state-{key}.ext4"
    if os.path.exists(state):
        return state, disk
    with open(f"{image}/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(state):
            subprocess.run(["cp", "--sparse=always", f"{image}/root.ext4", disk], check=True)
            with Guest(image, disk, memory, keep_writes=True) as guest:
                rehearse(guest)
                guest.save(f"{state}.tmp")
            os.rename(f"{state}.tmp", state)
    return state, disk


def rehearse(guest):
    """Boots to the end, and brings what every run does into the page cache that is saved."""
    guest.must("boot", "systemctl is-system-running --wait")
    guest.must("rehearsal", f"{MOUNT}; umount /share; tar -C /out -cf /dev/null .; sync")


class Marks:
    """What each part of a run took, for -v."""

    def __init__(self):
        self.marks = [("start", time.monotonic())]

    def add(self, name):
        self.marks.append((name, time.monotonic()))

    def __str__(self):
        pairs = zip(self.marks, self.marks[1:])
        parts = ", ".join(f"{name} {end - start:.2f}" for (_, start), (name, end) in pairs)
        return f"{parts} = {self.marks[-1][1] - self.marks[0][1]:.2f} s"


def fetch_out(guest, folder):
    guest.must("/out", "tar -C /out -cf /dev/vdc . && sync")
    os.makedirs(folder, exist_ok=True)
    unpack = ["tar", "-C", folder, "--no-same-owner", "-xf", f"{guest.dir}/out.img"]
    subprocess.run(unpack, check=True)


def run_command(guest, options, command, marks):
    if options.dir:
        guest.must("mount of /share", MOUNT)
        marks.add("mount")
    environment = dict(pair.split("=", 1) for pair in options.env)
    environment.setdefault("TEST_TIME_SCALE", TIME_SCALE)
    status, timed_out = guest.run(
        command[0] if len(command) == 1 else command,
        options.timeout,
        environment,
        sys.stdout.buffer,
        sys.stderr.buffer,
    )
    marks.add("command")
    if timed_out:
        print(f"vmbed: killed after {options.timeout:g} s", file=sys.stderr)
        status = EXIT_TIMED_OUT
    if options.out:
        fetch_out(guest, options.out)
        marks.add("out")
    return status


def wait_for_visitors(image, guest):
    print(
        f"ssh -i {image}/id -p {guest.ssh_port} -o StrictHostKeyChecking=no"
        " -o UserKnownHostsFile=/dev/null root@127.0.0.1",
        file=sys.stderr,
    )
    signal.pause()


def parse_arguments(argv):
    command = []
    if "--" in argv:
        cut = argv.index("--")
        argv, command = argv[:cut], argv[cut + 1:]
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=argparse.SUPPRESS,
    )
    parser.add_argument("what", choices=["run", "snap"])
    parser.add_argument("-s", "--suite", default="bookworm")
    parser.add_argument("-m", "--memory", type=int, default=2048, help="MiB")
    parser.add_argument("-d", "--dir")
    parser.add_argument("-o", "--out")
    parser.add_argument("-e", "--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("-t", "--timeout", type=float, default=600)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("-k", "--keep", metavar="DISK")
    parser.add_argument("--ssh", action="store_true")
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args(argv)
    if options.what == "run" and not command:
        parser.error("run needs -- CMD")
    return options, command


def main():
    options, command = parse_arguments(sys.argv[1:])
    marks = Marks()
    image = build_image(options.suite)
    marks.add("image")
    state, disk = None, f"{image}/root.ext4"
    if options.keep and os.path.exists(options.keep):
        disk = options.keep
    elif not options.cold:
        state, disk = saved_state(image, options.memory)
        marks.add("state")
    if options.keep and disk != options.keep:
        subprocess.run(["cp", "--sparse=always", disk, options.keep], check=True)
        disk = options.keep
        marks.add("disk")
    status = 0
    if options.what == "run":
        keep = options.keep is not None
        with Guest(image, disk, options.memory, options.dir, state, keep_writes=keep) as guest:
            marks.add("up")
            status = run_command(guest, options, command, marks)
            if options.ssh:
                wait_for_visitors(image, guest)
            if keep:
                guest.shut_down()
        marks.add("down")
    if options.verbose:
        print("vmbed:", marks, file=sys.stderr)
    return status


if __name__ == "__main__":
    # Unwind on SIGTERM, so that the guest and its folder go too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except (BedError, OSError, subprocess.SubprocessError) as error:
        print("vmbed:", error, file=sys.stderr)
        sys.exit(EXIT_BED_FAILED)
    except KeyboardInterrupt:
        sys.exit(130)
