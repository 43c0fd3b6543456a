# Races in the work folder: while the job ends, names that somebody outside might follow change between file, folder and
# links to the host without end. Nobody outside follows any.
import os
import sys
from attempt import call

bait, folder = sys.argv[1], os.path.dirname(sys.argv[1])
NAMES = ["main.py", "main.sh", "stdout", "stderr", "output", "program", "result.json", "core", "a/b"]
print("begun", flush=True)
os.makedirs("a", exist_ok=True)
for number, name in enumerate(NAMES):
    for target in (bait, folder, "/", "/etc/passwd", "/proc/self/fd/1", "/proc/1/root", "."):
        if not os.path.lexists(f"link{number}"):
            os.symlink(target, f"link{number}")
    if not os.path.lexists(name):
        open(name, "w").close()
for place in ("/tmp", "/dev/shm"):
    os.symlink(bait, place + "/x")
while True:
    for number, name in enumerate(NAMES):
        call(316, -100, name, -100, f"link{number}", 2)  # renameat2, RENAME_EXCHANGE
    for target in (bait, folder):
        os.symlink(target, "swap")
        os.replace("swap", f"link{len(target) % len(NAMES)}")
