//! The documented exit codes (sysexits.h where it has one).
use std::process::ExitCode;

/// How `kiln` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Ok,
    /// The command line is none.
    Usage,
    /// This host lacks a privilege or a kernel feature (`EX_UNAVAILABLE`).
    Unavailable,
    /// A fault in kiln itself (`EX_SOFTWARE`).
    Internal,
    /// The spawner went away; a supervisor should start kiln again (`EX_TEMPFAIL`).
    SpawnerLost,
    /// The settings are wrong or must not be served (`EX_CONFIG`).
    Configuration,
}

impl Exit {
    /// The number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Usage => 2,
            Self::Unavailable => 69,
            Self::Internal => 70,
            Self::SpawnerLost => 75,
            Self::Configuration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}
