# Files of the host: by every name, by every way up, and what identifies the host.
import os
import sys
from attempt import opened, outcome, tell

PATHS = ("/etc/shadow /etc/gshadow /etc/sudoers /etc/machine-id /etc/ssh /etc/kiln /etc/fstab /etc/crontab /etc/hostid /root "
         "/home /var /var/lib/kiln /var/lib/dbus/machine-id /boot /srv /opt /mnt /media /sys /run /run/kiln /run/docker.sock "
         "/var/run/docker.sock /run/systemd/private /run/dbus/system_bus_socket /run/containerd/containerd.sock /sys/fs/cgroup "
         "/sys/class/dmi/id/product_uuid /sys/class/net /sys/devices /lost+found /.dockerenv /initrd.img /vmlinuz").split()
PATHS += sys.argv[1:]
ways = ["", "/..", "/../..", "/proc/self/root", "/proc/self/cwd/../..", "/usr/../..", "/work/.."]
tell("found", sorted({way + path for way in ways for path in PATHS if outcome(os.stat, way + path) != "ENOENT"}))
tell("by task", {outcome(os.stat, f"/proc/self/task/{os.getpid()}/root{path}") for path in PATHS})
tell("roots", sorted({opened(f"/proc/{name}/root{PATHS[0]}") for name in (1, os.getpid())}))
tell("names", [os.uname().nodename, open("/etc/hostname").read().strip(), open("/proc/sys/kernel/hostname").read().strip()])
tell("boot", [open("/proc/sys/kernel/random/boot_id").read(), open("/proc/cmdline").read()])
tell("addresses of the network's hardware", len(open("/proc/net/arp").readlines()) - 1)
tell("accounts", [line.split(":")[0] for line in open("/etc/passwd")])
tell("hidden", [path for path in ("/usr/local", "/usr/src") if os.path.isdir(path) and os.listdir(path)])
tell("of others in /usr", sorted({outcome(os.stat, path) for path in ("/usr/../home", "/usr/../root/.ssh")}))
