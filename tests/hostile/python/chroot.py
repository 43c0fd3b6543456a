# The old way out of a chroot: a directory held open, another root below it, and up from there.
import os
import sys
from attempt import call, outcome, tell

os.mkdir("jail")
out = os.open("/", os.O_RDONLY)
tell("chroot", call(161, "jail"))
tell("fchdir", outcome(os.fchdir, out))
for _ in range(100):
    os.chdir("..")
tell("chroot to where it leads", call(161, "."))
tell("the root is the same", os.stat(".").st_ino == os.stat("/").st_ino)
above = "../" * 100 + sys.argv[1].lstrip("/")
tell("by openat", outcome(lambda: os.open(above, os.O_RDONLY, dir_fd=out)))
os.symlink(above, "/work/up")
tell("by a link", outcome(os.open, "/work/up", os.O_RDONLY))
