//! Where this process may make groups: the group of cgroup v2 that was delegated to it
//! (kernel: admin-guide/cgroup-v2.rst, "Delegation").
use std::path::Path;

/// The group below the delegated one that kiln's own processes move into, because no group with controllers on may hold
/// processes. systemd names it by `DelegateSubgroup=`, from version 254 on.
pub const DAEMON: &str = "daemon";

/// The path of the group that was delegated, below the mount point and with no `/` at its beginning, by the text of
/// `/proc/self/cgroup` (cgroups(7)): that of this process, or its parent where this process sits in [`DAEMON`] already,
/// whether or not the one that moved it there lived to switch the controllers on. Nothing where no line is of version 2.
#[must_use]
pub fn delegated(membership: &str) -> Option<&Path> {
    let own = Path::new(membership.lines().find_map(|line| line.strip_prefix("0::/"))?);
    let within = own.file_name().is_some_and(|name| name == DAEMON);
    Some(own.parent().filter(|_| within).unwrap_or(own))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_group_of_kilns_own_processes_is_not_the_delegated_one() {
        let of = |line: &str| delegated(&format!("4:memory:/x\n{line}\n")).map(|path| path.display().to_string());
        assert_eq!(of("0::/system.slice/a.service").unwrap(), "system.slice/a.service");
        assert_eq!(of("0::/system.slice/a.service/daemon").unwrap(), "system.slice/a.service");
        assert_eq!(of("0::/daemons").unwrap(), "daemons");
        assert_eq!(of("0::/daemon").unwrap(), "");
        assert_eq!(of("0::/").unwrap(), "");
        assert_eq!(of("3:pids:/y"), None);
    }
}
