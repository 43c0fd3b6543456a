# Names that break lines, terminals and lists: new lines, escapes, every byte, 255 of them, as files and as arguments.
import os
import sys
from attempt import outcome, tell

NAMES = [b"a\nb", b"\x1b[2J", b"-rf", b" ", b"\\", b"'\"`$(id)", b"\xff\xfe", b"x" * 255, "\u202e".encode(), b"\r", b"*", b"..."]
tell("made", sorted({outcome(os.mkdir, b"/work/" + name) for name in NAMES}))
tell("all bytes", sorted({outcome(os.mkdir, b"/tmp/" + bytes([byte])) for byte in range(1, 256) if byte not in (46, 47)}))
tell("256", outcome(os.mkdir, b"/work/" + b"x" * 256))
tell("a path of 4096", outcome(os.mkdir, b"/work/" + b"./" * 2046))
with open("/proc/self/comm", "wb") as comm:
    comm.write(b"kworker/\n 0:0)")
tell("called", repr(open("/proc/self/comm").read()))
tell("arguments", sys.argv[1:])
os.makedirs("/work/kiln: error=\"\nERROR fake", exist_ok=True)
