//! The attempts of `tests/hostile/attempts.toml`: what is run, with which limits, how it must end, what stopped it and why.
//!
//! Pure. Not here: running them, and their table in `docs/SECURITY.md` (`tests/attempts.rs`).
use serde::Deserialize;
use serde_json::Value;

/// All attempts, in their order.
const ATTEMPTS: &str = include_str!("../../hostile/attempts.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    attempt: Vec<Attempt>,
}

/// One way of going for the host, for another job or for the limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attempt {
    /// What is attempted, for people.
    pub(crate) name: String,
    pub(crate) family: Family,
    /// Below `tests/hostile`; the folder is the language.
    pub(crate) program: String,
    /// `{bait}`, `{neighbour}` and `{port}` stand for what only a run knows.
    #[serde(default)]
    pub(crate) args: Vec<String>,
    /// Members of the request. Without a `timeout` it has one that fits the machine.
    #[serde(default)]
    pub(crate) request: Value,
    /// The reasons of termination that are right.
    pub(crate) ends: Vec<String>,
    /// Of a program that ended by itself.
    #[serde(default)]
    pub(crate) exit: i64,
    /// The limits that were hit without ending it.
    #[serde(default)]
    pub(crate) hits: Vec<String>,
    /// Every line that it prints.
    pub(crate) says: Option<Vec<String>>,
    /// What stopped it.
    pub(crate) layers: Vec<String>,
    /// How that stopped it, in a sentence.
    pub(crate) why: String,
    /// The past escapes that it stands for, as SECURITY.md names them.
    #[serde(default)]
    pub(crate) escapes: Vec<String>,
}

/// Attempts that are run one after another, beside other families.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Family {
    Processes,
    Memory,
    Time,
    Output,
    Disk,
    Kernel,
    Mounts,
    Others,
    Host,
}

/// What can stop an attempt.
pub(crate) const LAYERS: &[&str] = &[
    "seccomp",
    "capabilities",
    "no_new_privs",
    "user namespace",
    "pid namespace",
    "mount namespace",
    "network namespace",
    "ipc namespace",
    "read-only mounts",
    "covered /proc",
    "private /dev",
    "Landlock",
    "undumpable init",
    "memory cgroup",
    "pids cgroup",
    "rlimit",
    "tmpfs size",
    "wall time",
    "processor time",
    "output limit",
    "rules of the kernel",
    "nobody follows names",
];

/// All attempts. Each says what stops it, how, and how it may end.
pub(crate) fn attempts() -> Vec<Attempt> {
    let manifest: Manifest = toml::from_str(ATTEMPTS).unwrap();
    for attempt in &manifest.attempt {
        let is_known = |layer: &String| LAYERS.contains(&layer.as_str());
        assert!(!attempt.layers.is_empty() && attempt.layers.iter().all(is_known), "what stops it? {attempt:?}");
        assert!(attempt.why.len() > 10 && !attempt.ends.is_empty(), "how is it stopped? {attempt:?}");
        assert!(attempt.escapes.iter().all(|escape| escape.len() > 5), "which escape? {attempt:?}");
    }
    manifest.attempt
}
