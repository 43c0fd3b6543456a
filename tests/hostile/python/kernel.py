# Doors into the kernel, and what belongs to the whole machine: every call is refused before it looks at anything.
from attempt import call, tell

CALLS = dict(keyctl=250, add_key=248, request_key=249, bpf=321, perf_event_open=298, userfaultfd=323, io_uring_setup=425,
             io_uring_enter=426, io_uring_register=427, init_module=175, finit_module=313, delete_module=176, kexec_load=246,
             kexec_file_load=320, reboot=169, swapon=167, swapoff=168, settimeofday=164, clock_settime=227, clock_adjtime=305,
             adjtimex=159, acct=163, quotactl=179, quotactl_fd=443, sethostname=170, setdomainname=171, iopl=172, ioperm=173,
             syslog=103, vhangup=153, fanotify_init=300, fanotify_mark=301, lookup_dcookie=212, modify_ldt=154, mbind=237,
             migrate_pages=256, move_pages=279, set_mempolicy=238, sync=162, syncfs=306, personality=135)
tell("not refused", {name: result for name, number in CALLS.items()
                     if (result := call(number, 0x40000, 1, 1, 1, 1, 1)) != "EPERM"})
ABSENT = dict(vmsplice=278, nfsservctl=180, io_setup=206, remap_file_pages=216, memfd_secret=447, process_mrelease=448, cachestat=451, lsm_list_modules=461, clone3=435, future=600)
tell("not absent", {name: result for name, number in ABSENT.items()
                    if (result := call(number, 1, 1, 1, 1, 1, 1)) != "ENOSYS"})
