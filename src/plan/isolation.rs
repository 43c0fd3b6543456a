//! What differs between hosts of what keeps jobs apart. The rest is in force on all of them, or no job starts.

/// As the spawner found it when it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    /// How limits are put in force: `cgroup v2`, `cgroup v1`.
    pub cgroups: String,
    /// Version of Landlock's interface; absent where the kernel has none that can be used (landlock(7)).
    pub landlock: Option<u32>,
}
