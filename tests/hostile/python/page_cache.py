# The pages of programs that all jobs share, written by every way that does not need the file to be writable.
import hashlib
import mmap
import os
from attempt import call, outcome, tell

PATH = "/usr/bin/env"
before = hashlib.sha256(open(PATH, "rb").read()).hexdigest()
file = os.open(PATH, os.O_RDONLY)
ends = os.pipe()
tell("open to write", outcome(os.open, PATH, os.O_WRONLY))
tell("shared and writable", outcome(lambda: mmap.mmap(file, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)))
# CVE-2022-0847: a pipe whose buffers say "may be merged", a page of the file spliced in, then written over.
os.write(ends[1], b"x" * 65536)
os.read(ends[0], 65536)
tell("splice", call(275, file, b"\x01" + b"\0" * 7, ends[1], None, 1, 0))
tell("write behind it", outcome(os.write, ends[1], b"overwritten"))
tell("vmsplice", call(278, ends[1], None, 0, 0))
# CVE-2016-5195: a private copy thrown away while it is written.
private = mmap.mmap(file, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
private[0:4] = b"x\0\0\0"
tell("written to its memory", outcome(lambda: os.pwrite(os.open("/proc/self/mem", os.O_RDWR), b"y", 0)))
# Which of both is looked at first differs between kernels.
tell("truncate", [outcome(os.truncate, PATH, 0) in ("EACCES", "EROFS"), call(285, file, 0, 0, 1), call(77, file, 0)])
tell("remove", [outcome(os.unlink, PATH), outcome(os.rename, "/work", "/usr/bin/env")])
tell("copied into", call(326, file, None, file, None, 16, 0))
tell("attributes", [outcome(os.utime, PATH), outcome(os.setxattr, PATH, "user.x", b"x"), outcome(os.chmod, PATH, 0o777)])
tell("AF_ALG", call(41, 38, 5, 0))
tell("AF_RXRPC", call(41, 33, 2, 2))
tell("XFRM", call(41, 16, 3, 6))
tell("unchanged", hashlib.sha256(open(PATH, "rb").read()).hexdigest() == before)
