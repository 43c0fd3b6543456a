# Settings of the kernel, helpers that it starts as root, triggers: written wherever one is found.
import os
from attempt import outcome, tell

NAMED = ["sysrq-trigger", "sys/kernel/core_pattern", "sys/kernel/modprobe", "sys/kernel/hotplug", "sys/kernel/poweroff_cmd",
         "sys/kernel/sysrq", "sys/kernel/hostname", "sys/kernel/panic", "sys/kernel/ns_last_pid", "sys/vm/drop_caches",
         "sys/vm/overcommit_memory", "sys/fs/suid_dumpable", "sys/fs/binfmt_misc/register", "sys/net/ipv4/ip_forward",
         "sys/kernel/random/uuid", "sys/user/max_user_namespaces", "self/oom_score_adj/x", "mtrr", "bus/pci/00/00.0",
         "irq/default_smp_affinity", "acpi/wakeup", "scsi/scsi"]


def change(path):
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, b"|/work/x\n")
    finally:
        os.close(descriptor)


changed = [name for name in NAMED if outcome(change, f"/proc/{name}") == "OK"]
tell("named", changed)
found = []
for folder, _, names in os.walk("/proc/sys"):
    found += [os.path.join(folder, name) for name in names]
tell("settings", [path for path in found if outcome(change, path) == "OK"])
tell("there are many", len(found) > 300)
helpers = ["/sys/kernel/uevent_helper", "/sys/fs/cgroup", "/sys/kernel/debug", "/sys/kernel/security", "/sys/firmware/efi",
           "/sys/class", "/dev/cgroup", "/sys/fs/bpf", "/sys/power/state"]
tell("below /sys", sorted({outcome(os.stat, path) for path in helpers}))
cgroup = [os.path.join(folder, name) for top in ("/sys", "/run", "/mnt", "/dev") for folder, _, names in os.walk(top)
          for name in names if name in ("release_agent", "notify_on_release", "cgroup.procs", "devices.allow")]
tell("of cgroups", cgroup)
