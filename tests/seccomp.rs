//! The compiled profile of a job, and the server's, asked call by call in children that load it: what is refused, how,
//! and what remains. Needs no privilege. Not here: that the spawner loads it (the privileged tests).
#![expect(unsafe_code, reason = "calls are made raw, as a hostile program makes them")]
#![expect(clippy::tests_outside_test_module, reason = "the whole file is a test")]
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::io;
use std::os::raw::c_long;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// As `build.rs` compiled it: 8 bytes for each instruction.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/job.bpf"));
const SERVER_PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/server.bpf"));
const PROFILE: &str = include_str!("../seccomp-profiles/job.json");

/// What became of a child that loaded the filter and made one call.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Succeeded,
    Failed(i32),
    Killed(i32),
}

const REFUSED: Fate = Fate::Failed(libc::EPERM);
const ABSENT: Fate = Fate::Failed(libc::ENOSYS);
const KILLED: Fate = Fate::Killed(libc::SIGSYS);

/// Children exit with the errno of their call, and with this if the filter could not be loaded.
const NOT_LOADED: i32 = 255;

type Arguments = [u64; 6];

fn instructions(program: &[u8]) -> Vec<libc::sock_filter> {
    let (whole, rest) = program.as_chunks::<8>();
    assert!(rest.is_empty(), "half an instruction");
    let parsed = whole.iter().map(|[c0, c1, jt, jf, k0, k1, k2, k3]| libc::sock_filter {
        code: u16::from_ne_bytes([*c0, *c1]),
        jt: *jt,
        jf: *jf,
        k: u32::from_ne_bytes([*k0, *k1, *k2, *k3]),
    });
    parsed.collect()
}

/// Of the last call that failed; makes no system call and no allocation.
fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(NOT_LOADED)
}

/// Between fork and exit in a process with threads: system calls only, no allocation (fork(2), signal-safety(7)).
fn load(program: &libc::sock_fprog) -> bool {
    // SAFETY: prctl with these numbers takes no pointer. A child that is killed shall leave no core file.
    let undumpable = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    // SAFETY: as above.
    let no_new_privileges = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: `program` points to as many instructions as it says, and the kernel copies them.
    let loaded = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const *program) };
    (undumpable, no_new_privileges, loaded) == (0, 0, 0)
}

/// What `act` comes to in a child under the filter; `act` returns 0 or an errno, and allocates nothing.
fn filtered(act: impl FnOnce() -> i32) -> Fate {
    filtered_by(PROGRAM, act)
}

fn filtered_by(program: &[u8], act: impl FnOnce() -> i32) -> Fate {
    let mut instructions = instructions(program);
    let length = u16::try_from(instructions.len()).expect("at most 4096 instructions");
    let program = libc::sock_fprog { len: length, filter: instructions.as_mut_ptr() };
    in_child(|| if load(&program) { act() } else { NOT_LOADED })
}

fn in_child(act: impl FnOnce() -> i32) -> Fate {
    // SAFETY: the child makes only system calls until it exits.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", errno());
    if child == 0 {
        let code = act();
        // SAFETY: ends the child without running anything of the test harness.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let reaped = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(reaped, child, "waitpid: {}", errno());
    if libc::WIFSIGNALED(status) {
        return Fate::Killed(libc::WTERMSIG(status));
    }
    match libc::WEXITSTATUS(status) {
        0 => Fate::Succeeded,
        NOT_LOADED => panic!("the kernel did not take the filter"),
        errno => Fate::Failed(errno),
    }
}

fn raw(number: c_long, [first, second, third, fourth, fifth, sixth]: Arguments) -> i32 {
    // SAFETY: every caller passes numbers, null or addresses of statics; the kernel checks what it is given.
    let result = unsafe { libc::syscall(number, first, second, third, fourth, fifth, sixth) };
    if result < 0 { errno() } else { 0 }
}

fn fate(number: c_long, arguments: Arguments) -> Fate {
    filtered(|| raw(number, arguments))
}

fn fate_of_socket(family: i32, kind: i32, protocol: i32) -> Fate {
    fate(libc::SYS_socket, [wide(family), wide(kind), wide(protocol), 0, 0, 0])
}

fn fate_of_clone(flags: i32) -> Fate {
    fate(libc::SYS_clone, [wide(flags), 0, 0, 0, 0, 0])
}

/// A flag or number as a register has it that was set from a 32-bit value.
fn wide(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

#[test]
fn every_rule_says_why() {
    let profile: serde_json::Value = serde_json::from_str(PROFILE).expect("JSON");
    let rules = profile["syscalls"].as_array().expect("a list");
    assert!(rules.len() > 30, "the list is cut off");
    for rule in rules {
        let comment = rule["comment"].as_str().unwrap_or_default();
        assert!(comment.trim().len() > 20, "no reason given: {rule}");
    }
}

#[test]
fn the_program_fits_the_kernel() {
    let length = instructions(PROGRAM).len();
    assert!((100..=4096).contains(&length), "{length} instructions");
}

#[test]
fn the_server_makes_no_namespace_mounts_nothing_and_starts_nothing() {
    let fate = |number, first| filtered_by(SERVER_PROGRAM, || raw(number, [first, 0, 0, 0, 0, 0]));
    let new_user = wide(libc::CLONE_NEWUSER);
    for (number, first) in [
        (libc::SYS_unshare, new_user),
        (libc::SYS_clone, new_user | wide(libc::SIGCHLD)),
        (libc::SYS_setns, 0),
        (libc::SYS_mount, 0),
        (libc::SYS_fsopen, 0),
        (libc::SYS_execve, 0),
        (libc::SYS_ptrace, 0),
    ] {
        assert_eq!(fate(number, first), REFUSED, "call {number}");
    }
    assert_eq!(fate(libc::SYS_clone3, 0), ABSENT);
    assert_eq!(fate(libc::SYS_getpid, 0), Fate::Succeeded);
}

#[test]
fn the_mount_calls_are_refused() {
    let calls = [
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_mount_setattr,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        467, // open_tree_attr
    ];
    for call in calls {
        assert_eq!(fate(call, [0; 6]), REFUSED, "call {call}");
    }
}

#[test]
fn unshare_and_setns_are_refused() {
    assert_eq!(fate(libc::SYS_unshare, [wide(libc::CLONE_NEWUSER), 0, 0, 0, 0, 0]), REFUSED);
    assert_eq!(fate(libc::SYS_unshare, [0; 6]), REFUSED);
    assert_eq!(fate(libc::SYS_setns, [0; 6]), REFUSED);
}

#[test]
fn clone_with_any_namespace_flag_is_refused() {
    let flags = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ];
    for flag in flags {
        assert_eq!(fate_of_clone(flag | libc::SIGCHLD), REFUSED, "flag {flag:#x}");
        assert_eq!(fate_of_clone(flag | libc::CLONE_VM | libc::CLONE_VFORK), REFUSED, "flag {flag:#x}");
    }
}

#[test]
fn clone3_is_absent_so_that_libraries_fall_back() {
    assert_eq!(fate(libc::SYS_clone3, [0; 6]), ABSENT);
}

#[test]
fn doors_into_the_kernel_are_refused() {
    let calls = [
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_fanotify_init,
        libc::SYS_lookup_dcookie,
        libc::SYS_name_to_handle_at,
        libc::SYS_open_by_handle_at,
        libc::SYS_modify_ldt,
    ];
    for call in calls {
        assert_eq!(fate(call, [0; 6]), REFUSED, "call {call}");
    }
}

#[test]
fn key_rings_are_refused() {
    for call in [libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key] {
        assert_eq!(fate(call, [0; 6]), REFUSED, "call {call}");
    }
}

#[test]
fn other_processes_are_out_of_reach() {
    let calls = [
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
    ];
    for call in calls {
        assert_eq!(fate(call, [0; 6]), REFUSED, "call {call}");
    }
}

#[test]
fn the_machine_as_a_whole_is_out_of_reach() {
    let calls = [
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_kexec_load,
        libc::SYS_kexec_file_load,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_acct,
        libc::SYS_quotactl,
        libc::SYS_quotactl_fd,
        libc::SYS_syslog,
        libc::SYS_iopl,
        libc::SYS_ioperm,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_clock_adjtime,
        libc::SYS_sethostname,
        libc::SYS_sync,
    ];
    for call in calls {
        assert_eq!(fate(call, [u64::MAX; 6]), REFUSED, "call {call}");
    }
}

#[test]
fn sockets_are_made_of_listed_families_only() {
    let packet_type = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    assert_eq!(fate_of_socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0), REFUSED);
    assert_eq!(fate_of_socket(libc::AF_PACKET, packet_type, 0), REFUSED);
    assert_eq!(fate_of_socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0), REFUSED);
    assert_eq!(fate_of_socket(-1, libc::SOCK_STREAM, 0), REFUSED);
    for family in (0..64).filter(|family| ![1, 2, 10, 16].contains(family)) {
        assert_eq!(fate_of_socket(family, libc::SOCK_STREAM, 0), REFUSED, "family {family}");
    }
}

#[test]
fn a_high_bit_does_not_smuggle_a_family() {
    let vsock = wide(libc::AF_VSOCK) | 1 << 32;
    assert_eq!(fate(libc::SYS_socket, [vsock, wide(libc::SOCK_STREAM), 0, 0, 0, 0]), REFUSED);
}

#[test]
fn internet_sockets_are_tcp_and_udp() {
    for family in [libc::AF_INET, libc::AF_INET6] {
        assert_eq!(fate_of_socket(family, libc::SOCK_RAW, libc::IPPROTO_ICMP), REFUSED);
        assert_eq!(fate_of_socket(family, libc::SOCK_STREAM, libc::IPPROTO_SCTP), REFUSED);
        assert_eq!(fate_of_socket(family, libc::SOCK_SEQPACKET, 0), REFUSED);
    }
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    for protocol in [0, libc::IPPROTO_TCP] {
        assert_eq!(fate_of_socket(libc::AF_INET, libc::SOCK_STREAM | flags, protocol), Fate::Succeeded);
    }
    for protocol in [0, libc::IPPROTO_UDP] {
        assert_eq!(fate_of_socket(libc::AF_INET, libc::SOCK_DGRAM | flags, protocol), Fate::Succeeded);
    }
    // A machine may be without IPv6; then the kernel says so, not the filter.
    let six = fate_of_socket(libc::AF_INET6, libc::SOCK_STREAM, 0);
    assert!(six == Fate::Succeeded || six == Fate::Failed(libc::EAFNOSUPPORT), "{six:?}");
}

#[test]
fn netlink_is_route_only() {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    assert_eq!(fate_of_socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE), Fate::Succeeded);
    for protocol in 1..32 {
        assert_eq!(fate_of_socket(libc::AF_NETLINK, kind, protocol), REFUSED, "protocol {protocol}");
    }
}

#[test]
fn socket_pairs_are_unix_only() {
    fn pair(family: i32) -> Fate {
        filtered(|| {
            let mut ends = [0; 2];
            // SAFETY: `ends` has room for two descriptors.
            let result = unsafe { libc::socketpair(family, libc::SOCK_STREAM, 0, ends.as_mut_ptr()) };
            if result < 0 { errno() } else { 0 }
        })
    }
    assert_eq!(pair(libc::AF_UNIX), Fate::Succeeded);
    assert_eq!(pair(30), REFUSED, "AF_TIPC");
}

#[test]
fn a_connection_is_not_handed_to_a_kernel_module() {
    let ulp = [u64::MAX, wide(libc::IPPROTO_TCP), wide(libc::TCP_ULP), 0, 0, 0];
    assert_eq!(fate(libc::SYS_setsockopt, ulp), REFUSED);
    let other = [u64::MAX, wide(libc::IPPROTO_TCP), wide(libc::TCP_NODELAY), 0, 0, 0];
    assert_eq!(fate(libc::SYS_setsockopt, other), Fate::Failed(libc::EBADF));
}

#[test]
fn typing_into_a_terminal_is_refused_whatever_the_high_bits_say() {
    const TIOCLINUX: u64 = 0x541c;
    for request in [libc::TIOCSTI, TIOCLINUX, libc::TIOCSETD] {
        assert_eq!(fate(libc::SYS_ioctl, [u64::MAX, request, 0, 0, 0, 0]), REFUSED, "{request:#x}");
        let high = request | 0x1_0000_0000;
        assert_eq!(fate(libc::SYS_ioctl, [u64::MAX, high, 0, 0, 0, 0]), REFUSED, "{high:#x}");
    }
    let allowed = fate(libc::SYS_ioctl, [u64::MAX, libc::TIOCGWINSZ, 0, 0, 0, 0]);
    assert_eq!(allowed, Fate::Failed(libc::EBADF), "the kernel answers, not the filter");
}

#[test]
fn personality_cannot_switch_protections_off() {
    for value in [0xffff_ffff, 0, 0x8, 0x2_0000, 0x2_0008] {
        assert_eq!(fate(libc::SYS_personality, [value, 0, 0, 0, 0, 0]), Fate::Succeeded, "{value:#x}");
    }
    for value in [wide(libc::ADDR_NO_RANDOMIZE), wide(libc::READ_IMPLIES_EXEC), wide(libc::MMAP_PAGE_ZERO)] {
        assert_eq!(fate(libc::SYS_personality, [value, 0, 0, 0, 0, 0]), REFUSED, "{value:#x}");
    }
}

#[test]
fn unknown_numbers_are_absent() {
    // 335 and 336 are not asked: newer kernels take these two past every filter, for their own probes.
    for number in [337, 400, 472, 500, 10_000, 0x3fff_ffff] {
        assert_eq!(fate(number, [0; 6]), ABSENT, "number {number}");
    }
}

#[test]
fn calls_that_would_tell_about_neighbours_are_absent() {
    for number in [451 /* cachestat */, 457 /* statmount */, 458 /* listmount */, 470 /* listns */] {
        assert_eq!(fate(number, [0; 6]), ABSENT, "number {number}");
    }
}

#[test]
fn the_x32_numbers_kill() {
    const X32: c_long = 0x4000_0000;
    for number in [libc::SYS_getpid, libc::SYS_ptrace, 520] {
        assert_eq!(fate(X32 | number, [0; 6]), KILLED, "number {number}");
    }
}

/// getpid (20) by the i386 gate. No value is wanted: the question is whether one comes back at all.
fn getpid_of_i386() -> i32 {
    let result: u64;
    // SAFETY: getpid takes no argument; the gate clobbers r8 to r11 on some kernels.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") 20_u64 => result,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _, options(nostack));
    }
    i32::from(result == 0)
}

#[test]
fn the_i386_gate_kills() {
    let open = in_child(getpid_of_i386) == Fate::Succeeded;
    // A kernel without 32-bit programs has no gate: the fault comes before any filter.
    let expected = if open { KILLED } else { Fate::Killed(libc::SIGSEGV) };
    assert_eq!(filtered(getpid_of_i386), expected);
}

#[test]
fn ordinary_calls_remain() {
    let calls = [
        libc::SYS_getpid,
        libc::SYS_getuid,
        libc::SYS_sched_yield,
        libc::SYS_umask,
        libc::SYS_epoll_create1,
        libc::SYS_inotify_init1,
        libc::SYS_eventfd2,
    ];
    for call in calls {
        assert_eq!(fate(call, [0; 6]), Fate::Succeeded, "call {call}");
    }
}

/// These fail for want of good arguments, but by the kernel's word: the filter let them pass.
#[test]
fn calls_of_language_runtimes_reach_the_kernel() {
    let calls = [
        libc::SYS_rseq,
        libc::SYS_set_robust_list,
        libc::SYS_futex_waitv,
        libc::SYS_statx,
        libc::SYS_memfd_create,
        libc::SYS_close_range,
        libc::SYS_faccessat2,
        libc::SYS_epoll_pwait2,
        libc::SYS_copy_file_range,
        libc::SYS_landlock_create_ruleset,
        libc::SYS_seccomp,
        libc::SYS_pidfd_open,
        libc::SYS_execveat,
    ];
    for call in calls {
        let fate = fate(call, [u64::MAX; 6]);
        let by_kernel = matches!(fate, Fate::Failed(errno) if errno != libc::EPERM && errno != libc::ENOSYS);
        assert!(by_kernel, "call {call}: {fate:?}");
    }
}

#[test]
fn a_child_can_be_forked_and_reaped() {
    let fate = filtered(|| match in_child(|| 0) {
        Fate::Succeeded => 0,
        Fate::Failed(_) | Fate::Killed(_) => libc::ECHILD,
    });
    assert_eq!(fate, Fate::Succeeded);
}

/// Whether a program, with these arguments, runs to a good end under the filter.
fn runs(program: &Path, arguments: &[&str]) -> bool {
    let mut instructions = instructions(PROGRAM);
    let length = u16::try_from(instructions.len()).expect("at most 4096 instructions");
    #[expect(clippy::disallowed_methods, reason = "a test of what programs may do")]
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null());
    let enter = move || {
        let program = libc::sock_fprog { len: length, filter: instructions.as_mut_ptr() };
        if load(&program) { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: `enter` makes only system calls between fork and exec.
    unsafe { command.pre_exec(enter) };
    command.status().expect("starts").success()
}

#[test]
fn a_shell_with_a_pipeline_runs() {
    let script = "set -e; test \"$(printf 'a\\nb\\n' | sort -r | head -n 1)\" = b; (exit 3) & wait $! || test $? = 3";
    assert!(runs(Path::new("/bin/sh"), &["-c", script]));
}

/// The test program itself, which runs its tests in threads: the C library asks for clone3 and falls back to clone.
#[test]
fn a_program_with_threads_runs() {
    let myself = std::env::current_exe().expect("has a name");
    assert!(runs(&myself, &["--exact", "every_rule_says_why", "--test-threads=2"]));
}
