# Programs with the set-user-id bit or with capabilities: the host's, and ones that it makes itself.
import os
import shutil
import stat
import subprocess
from attempt import call, outcome, tell

found = []
for folder in ("/usr/bin", "/usr/sbin", "/usr/libexec"):
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_ISUID | stat.S_ISGID):
                found.append(path)
tell("there are some", bool(found))
tell("their mounts honour them", [path for path in found if not os.statvfs(path).f_flag & os.ST_NOSUID])
REPORT = "import os; print(os.getresuid(), os.getresgid(), open('/proc/self/status').read().split('CapEff:')[1].split()[0])"
own = "/work/python"
shutil.copy("/usr/bin/python3", own)
tell("own bit", outcome(os.chmod, own, 0o6755))
tell("as the own user", subprocess.run([own, "-c", REPORT], capture_output=True, text=True).stdout.strip())
# VFS_CAP_REVISION_2 with every capability, effective.
tell("capabilities", outcome(os.setxattr, own, "security.capability", bytes.fromhex("01000002") + b"\xff" * 16))
tell("of another user", [outcome(os.chown, own, 0, 0), outcome(os.chown, own, 65534, 65534), outcome(os.chown, own, 1001, -1)])
tell("ids", [call(105, 0), call(106, 0), call(117, 0, 0, 0), call(119, 0, 0, 0), call(116, 0, None), call(122, 0)])
tell("capset", call(126, b"\x22\x05\x08\x20" + b"\0" * 4, b"\xff" * 24))
tell("ambient", call(157, 47, 2, 21, 0, 0))
tell("securebits", call(157, 28, 0, 0, 0, 0))
tell("no_new_privs", [call(157, 38, 0, 0, 0, 0), call(157, 39, 0, 0, 0, 0)])
for path in found:
    if os.path.basename(path) in ("su", "sudo", "mount", "pkexec", "newgrp"):
        with subprocess.Popen(["/usr/bin/env", "-i", path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as child:
            child.wait()
