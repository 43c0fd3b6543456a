//! The attempts that are made by a few calls: all of them in one job, each in a process of its own.
//!
//! Seccomp answers before the kernel looks at a call; what stands behind it would refuse most of them as well, with the
//! same error where `layers` has two.
use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::attempt::{Attempt, Layer, Stop};

const fn attempt(name: &'static str, tries: &'static str, layers: &'static [Layer], stops: &'static [Stop]) -> Attempt {
    Attempt { name, tries, layers, stops }
}

const NOT_PERMITTED: &[Stop] = &[Stop::Refused(Errno::EPERM)];
const DENIED: &[Stop] = &[Stop::Refused(Errno::EACCES)];
const INVALID: &[Stop] = &[Stop::Refused(Errno::EINVAL)];
const UNKNOWN_CALL: &[Stop] = &[Stop::Refused(Errno::ENOSYS)];
const KILLED: &[Stop] = &[Stop::Killed(Signal::SIGSYS)];
const NONE_HELD: &[Stop] = &[Stop::Hollow("it has none")];
const IN_FORCE: &[Stop] = &[Stop::Hollow("the kernel says that it is in force")];
const ANOTHER: &[Stop] = &[Stop::Hollow("the sandbox has another")];
const CLOSED: &[Stop] = &[Stop::Hollow("only 0, 1 and 2 are open")];
const IMMUNE: &[Stop] = &[Stop::Hollow("the signal is ignored, init lives")];
const READ_ONLY: &[Stop] = &[Stop::Refused(Errno::EROFS), Stop::Refused(Errno::EACCES)];
/// Covered with an empty file, or a kernel without it.
const HIDDEN: &[Stop] = &[Stop::Hollow("the file is empty"), Stop::Refused(Errno::ENOENT)];
/// Not the job's to write, on a read-only mount; or a kernel without it.
const PROTECTED: &[Stop] = &[Stop::Refused(Errno::EACCES), Stop::Refused(Errno::EROFS), Stop::Refused(Errno::ENOENT)];
/// By Landlock, or by the lack of a capability.
const NO_DEVICE: &[Stop] = &[Stop::Refused(Errno::EACCES), Stop::Refused(Errno::EPERM)];
const ABSENT: &[Stop] = &[Stop::Refused(Errno::ENOENT)];
/// No route; or a host without IPv6.
const NO_WAY: &[Stop] =
    &[Stop::Refused(Errno::ENETUNREACH), Stop::Refused(Errno::EADDRNOTAVAIL), Stop::Refused(Errno::EAFNOSUPPORT)];

/// All of them, in the order in which they are shown.
pub static BRIEF: &[Attempt] = &[
    attempt("capabilities", "hold a capability", &[Layer::Capabilities], NONE_HELD),
    attempt("bounding-set", "gain a capability by a file", &[Layer::Capabilities], NONE_HELD),
    attempt("no-new-privileges", "gain privileges by a set-user-id program", &[Layer::NoNewPrivileges], IN_FORCE),
    attempt("seccomp-filter", "run without a filter of system calls", &[Layer::Seccomp], IN_FORCE),
    attempt("inherited-descriptor", "use a descriptor of the spawner or of another job", &[Layer::Descriptors], CLOSED),
    attempt("setuid", "become root of the sandbox", &[Layer::Capabilities], NOT_PERMITTED),
    attempt("setgid", "join the group of root", &[Layer::Capabilities], NOT_PERMITTED),
    attempt("setgroups", "add the group of root", &[Layer::Capabilities], NOT_PERMITTED),
    attempt("setresuid", "become root by all three ids", &[Layer::Capabilities], NOT_PERMITTED),
    attempt("capset", "take every capability", &[Layer::Capabilities], NOT_PERMITTED),
    attempt("rlimit", "raise a hard resource limit", &[Layer::Capabilities], NOT_PERMITTED),
    attempt("nice", "go before other programs of the host", &[Layer::ResourceLimits, Layer::Capabilities], DENIED),
    attempt("realtime", "run as a real-time program", &[Layer::ResourceLimits, Layer::Capabilities], NOT_PERMITTED),
    attempt("oom-score", "be the last that is killed for memory", &[Layer::Capabilities], DENIED),
    attempt("personality", "switch off random addresses", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("clear-no-new-privileges", "take no_new_privs back", &[Layer::NoNewPrivileges], INVALID),
    attempt("share-user", "be in the user namespace of the host", &[Layer::UserNamespace], ANOTHER),
    attempt("share-mount", "be in the mount namespace of the host", &[Layer::Mounts], ANOTHER),
    attempt("share-pid", "be in the pid namespace of the host", &[Layer::PidNamespace], ANOTHER),
    attempt("share-network", "be in the network namespace of the host", &[Layer::NetworkNamespace], ANOTHER),
    attempt("share-ipc", "be in the ipc namespace of the host", &[Layer::OtherNamespaces], ANOTHER),
    attempt("share-uts", "be in the uts namespace of the host", &[Layer::OtherNamespaces], ANOTHER),
    attempt("share-cgroup", "be in the cgroup namespace of the host", &[Layer::OtherNamespaces], ANOTHER),
    attempt("share-time", "be in the time namespace of the host", &[Layer::OtherNamespaces], ANOTHER),
    attempt("unshare-user", "make a user namespace", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("unshare-mount", "make a mount namespace", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("unshare-pid", "make a pid namespace", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("unshare-network", "make a network namespace", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("unshare-ipc", "make an ipc namespace", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("unshare-uts", "make a uts namespace", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("unshare-cgroup", "make a cgroup namespace", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("unshare-time", "make a time namespace", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("clone-user", "start a process in a user namespace of its own", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("clone-all", "start a process in seven namespaces of its own", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("clone3-user", "the same by clone3, whose flags no filter sees", &[Layer::Seccomp], UNKNOWN_CALL),
    attempt("setns", "enter a namespace", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("sethostname", "rename the host", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("setdomainname", "rename the domain", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("mount", "mount a tmpfs", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("mount-bind", "mount /usr a second time", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("mount-proc", "mount /proc anew", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("remount-writable", "make /usr writable by mount", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("umount", "unmount /tmp", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("fsopen", "open a file system", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("fsmount", "mount an opened file system", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("open-tree", "copy the mounts", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("move-mount", "move a mount", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt(
        "mount-setattr",
        "make /usr writable by mount_setattr",
        &[Layer::Seccomp, Layer::Capabilities],
        NOT_PERMITTED,
    ),
    attempt("pivot-root", "change the root of the sandbox", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("chroot", "change the own root", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("open-by-handle", "open a file past every mount", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("name-to-handle", "learn the handle of a file", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("fanotify", "watch a whole mount", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("write-usr", "write a file into /usr/bin", &[Layer::Mounts, Layer::Landlock], READ_ONLY),
    attempt("write-etc", "write a file into /etc", &[Layer::Mounts, Layer::Landlock], READ_ONLY),
    attempt("write-root", "write a file into /", &[Layer::Mounts, Layer::Landlock], READ_ONLY),
    attempt("write-dev", "write a file into /dev", &[Layer::Mounts, Layer::Landlock], READ_ONLY),
    attempt("ptrace", "trace init", &[Layer::Seccomp, Layer::UndumpableInit], NOT_PERMITTED),
    attempt("process-vm-readv", "read the memory of init", &[Layer::Seccomp, Layer::UndumpableInit], NOT_PERMITTED),
    attempt(
        "process-vm-writev",
        "write into the memory of init",
        &[Layer::Seccomp, Layer::UndumpableInit],
        NOT_PERMITTED,
    ),
    attempt("process-madvise", "drop pages of init", &[Layer::Seccomp, Layer::UndumpableInit], NOT_PERMITTED),
    attempt(
        "pidfd-getfd",
        "take init's connection to the spawner",
        &[Layer::Seccomp, Layer::UndumpableInit],
        NOT_PERMITTED,
    ),
    attempt("kcmp", "compare what processes share", &[Layer::Seccomp, Layer::UndumpableInit], NOT_PERMITTED),
    attempt("init-memory", "open the memory of init", &[Layer::UndumpableInit], DENIED),
    attempt("init-root", "enter the root of init", &[Layer::UndumpableInit], DENIED),
    attempt("init-directory", "enter the directory of init", &[Layer::UndumpableInit], DENIED),
    attempt("init-program", "open the program of init", &[Layer::UndumpableInit], DENIED),
    attempt("init-descriptors", "list the descriptors of init", &[Layer::UndumpableInit], DENIED),
    attempt("init-channel", "open init's connection to the spawner", &[Layer::UndumpableInit], DENIED),
    attempt("init-environment", "read the environment of init", &[Layer::UndumpableInit], DENIED),
    attempt("init-namespace", "open a namespace of init", &[Layer::UndumpableInit], DENIED),
    attempt("kill-init", "kill init", &[Layer::PidNamespace], IMMUNE),
    attempt("proc-kcore", "read the memory of the kernel", &[Layer::Mounts], HIDDEN),
    attempt("proc-kmsg", "read the log of the kernel", &[Layer::Mounts], HIDDEN),
    attempt("proc-kallsyms", "read addresses of the kernel", &[Layer::Mounts], HIDDEN),
    attempt("proc-keys", "read the key rings", &[Layer::Mounts], HIDDEN),
    attempt("proc-cmdline", "read the kernel's command line", &[Layer::Mounts], HIDDEN),
    attempt("proc-sysrq", "reach the magic keys", &[Layer::Mounts, Layer::Capabilities], PROTECTED),
    attempt("core-pattern", "name a program that the host starts", &[Layer::Mounts, Layer::Capabilities], PROTECTED),
    attempt("modprobe-path", "name a program that the kernel starts", &[Layer::Mounts, Layer::Capabilities], PROTECTED),
    attempt("ip-forward", "change the network of the host", &[Layer::Mounts, Layer::Capabilities], PROTECTED),
    attempt("uevent-helper", "name a program for events of devices", &[Layer::Mounts], ABSENT),
    attempt("release-agent", "name a program for empty cgroups", &[Layer::Mounts], ABSENT),
    attempt("cgroup-procs", "leave the cgroup", &[Layer::Mounts], ABSENT),
    attempt("dev-mem", "read the memory of the machine", &[Layer::Mounts], ABSENT),
    attempt("dev-kmsg", "read the log of the kernel by a device", &[Layer::Mounts], ABSENT),
    attempt("dev-disk", "read the first disk", &[Layer::Mounts], ABSENT),
    attempt("dev-kvm", "start a virtual machine", &[Layer::Mounts], ABSENT),
    attempt("dev-tty", "open the terminal", &[Layer::Mounts], ABSENT),
    attempt("mknod-block", "make a device for the first disk", &[Layer::Landlock, Layer::Capabilities], NO_DEVICE),
    attempt(
        "mknod-memory",
        "make a device for the memory of the machine",
        &[Layer::Landlock, Layer::Capabilities],
        NO_DEVICE,
    ),
    attempt("host-shadow", "read the passwords of the host", &[Layer::Mounts], ABSENT),
    attempt("terminal-input", "type into a terminal", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("terminal-paste", "paste into a console", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("init-module", "load a kernel module", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("finit-module", "load a kernel module from a file", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("delete-module", "unload a kernel module", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("kexec-load", "load another kernel", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("kexec-file-load", "load another kernel from files", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("reboot", "restart the machine", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("swapon", "swap to a file", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("swapoff", "stop swapping", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("acct", "account processes into a file", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("quotactl", "ask for disk quotas", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("syslog", "read the log of the kernel by syslog(2)", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("settimeofday", "set the clock", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("clock-settime", "set a clock", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("adjtimex", "steer the clock", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("iopl", "reach every port of the machine", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("ioperm", "reach one port of the machine", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("modify-ldt", "change segments of the processor", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("bpf", "make an object of bpf", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("perf-event", "count events of the processor", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("userfaultfd", "stop the kernel in a copy", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("io-uring", "start work that no filter sees", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("keyctl", "use a key ring", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("add-key", "add a key", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("request-key", "ask for a key", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("move-pages", "move pages of init", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("sync", "write back all file systems", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("syncfs", "write back a file system of the host", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("vhangup", "hang up a terminal", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("call-of-x32", "make a call by the table of x32", &[Layer::Seccomp], KILLED),
    attempt("call-of-i386", "make a call by the table of 32-bit programs", &[Layer::Seccomp], KILLED),
    attempt("socket-raw", "forge packets", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("socket-icmp", "send pings", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("socket-packet", "read and forge frames", &[Layer::Seccomp, Layer::Capabilities], NOT_PERMITTED),
    attempt("socket-alg", "use the kernel's ciphers", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("socket-vsock", "speak to the hypervisor", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("socket-netfilter", "speak to the packet filter", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("socket-audit", "speak to the audit system", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("socket-bluetooth", "use bluetooth", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("socket-tipc", "use a rare protocol", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("socket-sctp", "use SCTP, whose module would be loaded", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("tcp-ulp", "hand a connection to a kernel module", &[Layer::Seccomp], NOT_PERMITTED),
    attempt("connect-out", "connect to another host", &[Layer::NetworkNamespace], NO_WAY),
    attempt("send-out", "send to another host", &[Layer::NetworkNamespace], NO_WAY),
    attempt("connect-out-ipv6", "connect to another host over IPv6", &[Layer::NetworkNamespace], NO_WAY),
    attempt("daemon-socket", "connect to the daemon's socket", &[Layer::Mounts], ABSENT),
];
