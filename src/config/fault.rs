//! What is wrong with settings: every fault with its key and the place that it comes from.
use std::fmt;
use std::path::PathBuf;

use crate::config::yaml::Mark;

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nobody set it.
    Default,
    /// The file.
    File {
        /// Which.
        path: PathBuf,
        /// Where in it; nothing where the whole file is meant.
        mark: Option<Mark>,
    },
    /// A variable of the environment.
    Variable {
        /// Its name.
        name: String,
    },
    /// An argument of the command line.
    Flag {
        /// Its name, with the dashes.
        name: &'static str,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, mark: None } => write!(f, "file {}", path.display()),
            Self::File { path, mark: Some(Mark { line, column }) } => {
                write!(f, "file {}, line {line}, column {column}", path.display())
            }
            Self::Variable { name } => write!(f, "variable {name}"),
            Self::Flag { name } => write!(f, "flag {name}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// Path of the key or section, where it is about one.
    pub key: Option<String>,
    /// What is wrong, and what would be right.
    pub message: String,
    /// Where it comes from.
    pub place: Place,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, message, place } = self;
        match key {
            Some(key) => write!(f, "{key}: {message} (from {place})"),
            None => write!(f, "{place}: {message}"),
        }
    }
}

/// All that is wrong, in the order it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigFaults(Vec<ConfigFault>);

impl ConfigFaults {
    /// Notes a fault of a key.
    pub(super) fn add(&mut self, key: &str, message: impl Into<String>, place: &Place) {
        let fault = ConfigFault { key: Some(key.to_owned()), message: message.into(), place: place.clone() };
        self.0.push(fault);
    }

    /// Notes a fault of something that is no key.
    pub(super) fn add_at(&mut self, place: &Place, message: impl Into<String>) {
        self.0.push(ConfigFault { key: None, message: message.into(), place: place.clone() });
    }

    /// Whether nothing is wrong.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The faults.
    pub fn as_slice(&self) -> &[ConfigFault] {
        &self.0
    }
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigFaults {}
