//! Landlock: rights on files that a process gives up, but below some directories (landlock(7)).
use super::{Errno, Fd, call};

/// A ruleset that restricts rights on files, and who is reached by signals and abstract sockets
/// (landlock_create_ruleset(2)). A kernel that does not know the scopes takes a zero for them.
pub(crate) fn create(rights: u64, scopes: u64) -> Result<Fd, Errno> {
    // struct landlock_ruleset_attr: files, network, scopes.
    let attributes = [rights, 0, scopes];
    let size = size_of_val(&attributes);
    call(444, [attributes.as_ptr() as usize, size, 0, 0, 0, 0]).map(|fd| fd as Fd)
}

/// Permits rights below a directory (landlock_add_rule(2)).
pub(crate) fn permit(ruleset: Fd, directory: Fd, rights: u64) -> Result<(), Errno> {
    const LANDLOCK_RULE_PATH_BENEATH: usize = 1;
    /// `struct landlock_path_beneath_attr`
    #[repr(C, packed)]
    struct Beneath {
        rights: u64,
        directory: Fd,
    }
    let rule = Beneath { rights, directory };
    let rule = &raw const rule as usize;
    call(445, [ruleset as usize, LANDLOCK_RULE_PATH_BENEATH, rule, 0, 0, 0]).map(drop)
}

/// Puts a ruleset in force, for this process and everything it starts, for ever (landlock_restrict_self(2)).
pub(crate) fn restrict(ruleset: Fd) -> Result<(), Errno> {
    call(446, [ruleset as usize, 0, 0, 0, 0, 0]).map(drop)
}
