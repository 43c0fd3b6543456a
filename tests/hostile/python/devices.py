# Devices: those that are there, those that can be made, and the disks, the memory and the log of the host by any name.
import os
import stat
from attempt import call, opened, outcome, tell

NAMES = ("mem kmem port kmsg console tty tty0 ttyS0 ptmx sda vda nvme0n1 loop0 loop-control mapper/control dm-0 fuse kvm "
         "vhost-net vsock net/tun rtc rtc0 watchdog uinput input/event0 fb0 dri/card0 snapshot hpet cpu/0/msr btrfs-control "
         "userfaultfd dma_heap/system vfio/vfio autofs hwrng nvram raw/rawctl mqueue pts/0 initctl log").split()
tell("there", [name for name in NAMES if opened(f"/dev/{name}") != "ENOENT"])
made = set()
for folder in ("/work", "/tmp", "/dev/shm", "/dev"):
    for major, minor in ((1, 1), (1, 2), (1, 11), (5, 1), (7, 0), (8, 0), (10, 229), (10, 232), (254, 0), (259, 0)):
        for kind in (stat.S_IFBLK, stat.S_IFCHR):
            made.add(call(133, f"{folder}/x", kind | 0o666, major << 8 | minor))
            made.add(call(259, -100, f"{folder}/x", kind | 0o666, major << 8 | minor))
# EACCES where Landlock answers first, EPERM by the lack of a capability, EROFS in /dev.
tell("made", sorted(made - {"EACCES", "EPERM", "EROFS"}, key=str))
# 0:0 anybody may make: it is what an overlay takes for "removed" (since Linux 5.8), and no device.
tell("whiteout", call(133, "/work/w", stat.S_IFCHR | 0o666, 0) in ("EACCES", "EPERM", 0) and opened("/work/w") in ("EACCES", "ENOENT"))
tell("full", outcome(os.write, os.open("/dev/full", os.O_WRONLY), b"x"))
tell("seed of the host's random numbers", call(16, os.open("/dev/urandom", os.O_RDWR), 0x40045201, b"\xff\xff\0\0"))
tell("and its reset", call(16, os.open("/dev/random", os.O_RDWR), 0x5207, None))
tell("kernel log", [call(103, kind, b"\0" * 64, 64) for kind in (2, 3, 5, 8, 10)])
tell("ports", [call(172, 3), call(173, 0x80, 1, 1)])
