//! What Landlock forbids in every sandbox, where the kernel has it: a second wall behind the mounts.
//!
//! Nothing relies on it alone. Not here: who puts it in force (`src/init/build/files.rs`).
use std::io;

use crate::sys::landlock;

/// Oldest version with which files can be renamed from one directory into another (landlock(7), ABI version 2).
const OLDEST: u32 = 2;

/// Rights on files by their bits, and from which version on the kernel knows them (linux/landlock.h).
const RIGHTS: [(u64, u32); 16] = [
    (EXECUTE, 1),
    (WRITE_FILE, 1),
    (READ_FILE, 1),
    (READ_DIR, 1),
    (REMOVE_DIR, 1),
    (REMOVE_FILE, 1),
    (MAKE_CHAR, 1),
    (MAKE_DIR, 1),
    (MAKE_REG, 1),
    (MAKE_SOCK, 1),
    (MAKE_FIFO, 1),
    (MAKE_BLOCK, 1),
    (MAKE_SYM, 1),
    (REFER, 2),
    (TRUNCATE, 3),
    (IOCTL_DEV, 5),
];

const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
const MAKE_SOCK: u64 = 1 << 9;
const MAKE_FIFO: u64 = 1 << 10;
const MAKE_BLOCK: u64 = 1 << 11;
const MAKE_SYM: u64 = 1 << 12;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;

/// Everywhere.
const READ: u64 = EXECUTE | READ_FILE | READ_DIR;
/// In /proc: a process may write about itself.
const TELL: u64 = READ | WRITE_FILE | TRUNCATE;
/// In /dev.
const DEVICE: u64 = TELL | IOCTL_DEV;
/// In /tmp, /dev/shm and writable trees: everything but devices.
const CHANGE: u64 = TELL | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_SYM | REFER;

/// Abstract sockets and signals end at the sandbox, from version 6 on.
const SCOPES: (u64, u32) = (0b11, 6);

/// What is restricted, and what is permitted where.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Policy {
    /// Version of the kernel's interface, where it is used.
    pub(super) version: Option<u32>,
    pub(super) restricted: u64,
    pub(super) scopes: u64,
    pub(super) in_trees: u64,
    /// Below the root.
    pub(super) directories: Vec<(u64, &'static str)>,
}

impl Policy {
    /// For this kernel.
    pub(super) fn of_the_kernel() -> io::Result<Self> {
        Ok(Self::of(landlock::version()?))
    }

    fn of(version: u32) -> Self {
        if version < OLDEST {
            return Self::default();
        }
        let known = RIGHTS.iter().filter(|(_, since)| *since <= version);
        let restricted = known.fold(0, |all, (right, _)| all | right);
        let (scopes, since) = SCOPES;
        let directories = [(READ, "."), (TELL, "proc"), (DEVICE, "dev"), (CHANGE, "dev/shm"), (CHANGE, "tmp")];
        Self {
            version: Some(version),
            restricted,
            scopes: if version >= since { scopes } else { 0 },
            in_trees: CHANGE & restricted,
            directories: directories.map(|(rights, path)| (rights & restricted, path)).to_vec(),
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn nothing_is_restricted_where_renaming_would_break() {
        assert_eq!(Policy::of(0), Policy::default());
        assert_eq!(Policy::of(1), Policy::default());
    }

    #[test]
    fn what_the_kernel_does_not_know_is_not_asked_for() {
        let debian_12 = Policy::of(2);
        assert_eq!((debian_12.restricted, debian_12.scopes), ((1 << 14) - 1, 0));
        let newest = Policy::of(7);
        assert_eq!((newest.restricted, newest.scopes), ((1 << 16) - 1, 3));
    }

    #[test]
    fn no_rule_permits_what_is_not_restricted_or_makes_a_device() {
        for version in OLDEST..=8 {
            let policy = Policy::of(version);
            let all = policy.directories.iter().map(|(rights, _)| *rights).chain([policy.in_trees]);
            for rights in all {
                assert_eq!(rights & !policy.restricted, 0);
                assert_eq!(rights & (MAKE_CHAR | MAKE_BLOCK), 0);
            }
        }
    }
}
