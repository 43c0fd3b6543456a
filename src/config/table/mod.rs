//! Every setting, as data: there is no other list of them.
//!
//! The names of variables, the reading of the file, the default file and `docs/CONFIG.md` are all
//! made from these rows. Not here: what the server does with a setting.
mod job;
mod network;
mod rows;

use crate::config::kind::Kind;

/// A setting.
#[derive(Debug)]
pub struct Key {
    /// Dotted path in the file.
    pub path: &'static str,
    /// Its type, unit and range.
    pub kind: Kind,
    /// The default, as YAML.
    pub default: &'static str,
    /// What it is, in one sentence or two.
    pub describes: &'static str,
    /// Variables that set it, beside those that follow from the path.
    pub aliases: &'static [&'static str],
    /// When a change takes effect.
    pub change: Change,
    /// Whether it does what it says.
    pub force: Force,
}

/// When a change of a setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// When kiln is started again.
    AtRestart,
    /// When the file is read again.
    AtReload,
}

/// Whether a setting does what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// It does.
    Full,
    /// What it is about is not built yet. It is accepted, and warned of.
    NotYet {
        /// What is the case instead.
        holds: &'static str,
        /// When that is said.
        warned: Warned,
    },
    /// Only this value may be served; another one is refused at start.
    Only {
        /// The value, as YAML.
        value: &'static str,
        /// Why, and what to do.
        why: &'static str,
    },
    /// It belongs to another key, and has no effect where that one has none.
    With(&'static str),
}

/// When a warning is due about a setting that is not in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warned {
    /// When somebody sets it.
    WhenSet,
    /// Unless it has this value, which promises nothing.
    Unless(&'static str),
}

/// A section of the file.
#[derive(Debug)]
pub struct Section {
    /// Dotted path.
    pub path: &'static str,
    /// What it holds.
    pub describes: &'static str,
}

/// The sections, each before those inside it. The keys of one stand together in [`keys`].
pub const SECTIONS: &[Section] = &[
    section("api", "The HTTP side."),
    section("api.tls", "Encryption of the listening socket."),
    section("api.auth", "Who may do something."),
    section("api.rate_limit", "How many requests are answered."),
    section(
        "api.job",
        "How many jobs there may be, and what one may ask for at most. What a job gets that asks for nothing is never \
         above these.",
    ),
    section("api.security", "Bounds on requests, and where browsers may come from."),
    section("sandbox", "The root side."),
    section(
        "network",
        "What jobs reach that ask for network_access. Whatever is set here, they never reach this host, each other, \
         link-local addresses or metadata services.",
    ),
];

const fn section(path: &'static str, describes: &'static str) -> Section {
    Section { path, describes }
}

/// The settings in the order of the default file.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    rows::BEFORE_JOBS.iter().chain(job::ROWS).chain(rows::AFTER_JOBS).chain(network::ROWS)
}

/// The setting of this path.
pub fn key(path: &str) -> Option<&'static Key> {
    keys().find(|key| key.path == path)
}

const fn row(path: &'static str, kind: Kind, default: &'static str, describes: &'static str) -> Key {
    Key { path, kind, default, describes, aliases: &[], change: Change::AtRestart, force: Force::Full }
}

const fn count(unit: &'static str, least: u32, most: u32) -> Kind {
    Kind::Count { unit, least, most }
}

impl Key {
    const fn aliases(mut self, names: &'static [&'static str]) -> Self {
        self.aliases = names;
        self
    }

    const fn with(mut self, other: &'static str) -> Self {
        self.force = Force::With(other);
        self
    }

    const fn only(mut self, value: &'static str, why: &'static str) -> Self {
        self.force = Force::Only { value, why };
        self
    }

    const fn not_yet(mut self, holds: &'static str, warned: Warned) -> Self {
        self.force = Force::NotYet { holds, warned };
        self
    }
}
