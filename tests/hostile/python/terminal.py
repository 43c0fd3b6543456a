# Input pushed into a terminal (TIOCSTI), a selection pasted (TIOCLINUX), other line disciplines; with bits above the 32
# that the kernel reads.
import os
from attempt import call, opened, outcome, tell

for name, request in dict(TIOCSTI=0x5412, TIOCLINUX=0x541C, TIOCSETD=0x5423).items():
    tell(name, sorted({call(16, number, request | high << 32, b"x\0\0\0") for number in range(3) for high in (0, 1, 1 << 31)}))
tell("TIOCSCTTY", sorted({call(16, number, 0x540E, 1) for number in range(3)}))
tell("a new terminal", [opened("/dev/ptmx", os.O_RDWR), opened("/dev/pts/ptmx", os.O_RDWR), outcome(os.openpty)])
tell("of its own", opened("/dev/tty", os.O_RDWR))
tell("to the host's", [opened(f"/proc/self/fd/{number}/../tty") for number in range(3)])
