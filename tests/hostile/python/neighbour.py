# Another job at work: its files, processes, memory, sockets, objects, environment. Its bait lies under known names.
import ctypes
import os
import socket
import sys
from attempt import call, libc, opened, outcome, tell

neighbour = int(sys.argv[1])
KEY = 0x6B696C6E
tell("processes", sorted(int(name) for name in os.listdir("/proc") if name.isdigit()) == [1, os.getpid()])
tell("by number", [opened(f"/proc/{neighbour}/{name}") for name in ("environ", "mem", "cmdline", "root", "cwd")])
tell("signal", outcome(os.kill, neighbour, 9))
tell("descriptor", outcome(os.pidfd_open, neighbour))
tell("attach", call(101, 16, neighbour, 0, 0))
environments = b"".join(open(f"/proc/{name}/environ", "rb").read() for name in ("self", "thread-self"))
tell("environment", b"SECRET" in environments)
tell("files", [path for folder in ("/work", "/tmp", "/dev/shm", "/dev/mqueue", "/run", "/var") for path, _, names in
               os.walk(folder) for name in names if name.startswith("bait")])
tell("abstract socket", outcome(socket.socket(socket.AF_UNIX).connect, "\0kiln-bait"))
tell("datagram to it", outcome(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto, b"x", "\0kiln-bait-datagram"))
tell("port", outcome(socket.socket().connect, ("127.0.0.1", 4242)))
tell("shared memory", call(29, KEY, 0, 0))
tell("semaphores", call(64, KEY, 0, 0))
tell("message queue", call(68, KEY, 0))
tell("POSIX queue", call(240, "kiln-bait", 0, 0, None))
tell("by their numbers", sorted({call(30, number, 0, 0) for number in range(64)}))
tell("key ring", [call(250, 0, -3, 0), call(248, "user", "bait", b"x", 1, -3), call(249, "user", "bait", None, 0)])
tell("listed", [len(open(f"/proc/sysvipc/{name}").readlines()) for name in ("shm", "sem", "msg")])
tell("sockets listed", "bait" in open("/proc/net/unix").read())
tell("vsock to the host", call(41, 40, 1, 0))
