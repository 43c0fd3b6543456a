# Every way into another process: of its own family, and of init.
import os
import time
from attempt import call, opened, tell

child = os.fork()
if child == 0:
    time.sleep(1000)
for name, process in (("child", child), ("init", 1)):
    descriptor = os.pidfd_open(process)
    tell(f"attach to {name}", call(101, 16, process, 0, 0))
    tell(f"seize {name}", call(101, 0x4206, process, 0, 0))
    tell(f"process_vm_readv of {name}", call(310, process, None, 0, None, 0, 0))
    tell(f"process_vm_writev of {name}", call(311, process, None, 0, None, 0, 0))
    tell(f"process_madvise of {name}", call(440, descriptor, None, 0, 0, 0))
    tell(f"process_mrelease of {name}", call(448, descriptor, 0))
    tell(f"pidfd_getfd of {name}", sorted({call(438, descriptor, number, 0) for number in range(8)}))
    tell(f"kcmp with {name}", call(312, os.getpid(), process, 0, 0, 0))
    tell(f"prlimit of {name}", call(302, process, 7, None, b"\0" * 16) if name == "child" else
         call(302, process, 7, b"\xff" * 16, None))
    tell(f"priority of {name}", call(141, 0, process, -20))
tell("traceme", call(101, 0, 0, 0, 0))
tell("be traced by anybody", call(157, 0x59616d61, -1, 0, 0, 0) in (0, "EINVAL"))
for name in ("mem", "environ", "maps", "auxv", "io", "stack", "syscall", "pagemap", "clear_refs", "fd/3", "root", "cwd",
             "exe", "map_files", "task/1/mem"):
    tell(f"init's {name}", sorted({opened(f"/proc/1/{name}"), opened(f"/proc/1/{name}", os.O_RDWR)}))
os.kill(child, 9)
