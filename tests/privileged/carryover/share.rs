//! What a job holds counts for itself: nobody else, on the host or in another job, has less for it.
use std::process::{Command, Stdio};

use crate::harness::{printed, shared};
use crate::held::Held;

/// Takes all that one user may have of inotify instances and of POSIX message queues, and says how many.
const TAKE: &str = "
import ctypes
libc = ctypes.CDLL(None)
def take(make):
    count = 0
    while count < 1000 and make(count) >= 0:
        count += 1
    return count
found = [take(lambda number: libc.inotify_init()),
         take(lambda number: libc.mq_open(b'/q%d' % number, os.O_CREAT | os.O_RDWR, 0o600, None))]
";

/// Whether root on the host gets one inotify instance more.
#[expect(clippy::disallowed_methods, reason = "Rust's own ways to inotify are not among the dependencies")]
fn root_can_watch() -> bool {
    let code = "import ctypes, sys; sys.exit(ctypes.CDLL(None).inotify_init() < 0)";
    let status = Command::new("/usr/bin/python3").args(["-c", code]).stdin(Stdio::null()).status();
    status.unwrap().success()
}

/// A user namespace counts for whoever made it as well (`user_namespaces(7)`, ucounts).
#[test]
fn a_job_that_takes_all_it_can_takes_nothing_from_root_and_other_jobs() {
    let daemon = shared();
    assert!(root_can_watch());
    let one = Held::start(&daemon, TAKE, "print(found)");
    assert!(root_can_watch());
    let other = Held::start(&daemon, TAKE, "print(found)");
    let (first, second) = (one.release(), other.release());
    assert_eq!(printed(&first), printed(&second));
    assert!(!printed(&first).contains("0]") && !printed(&first).contains("[0"), "{first:#}");
}
