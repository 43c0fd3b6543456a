//! The documented exit codes (sysexits.h where it has one).
use std::process::ExitCode;

/// How `kiln` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Ok,
    /// The command line is none.
    Usage,
    /// This host lacks a privilege or a kernel feature, or no daemon answers (`EX_UNAVAILABLE`).
    Unavailable,
    /// A fault in kiln itself (`EX_SOFTWARE`).
    Internal,
    /// The spawner went away; a supervisor should start kiln again (`EX_TEMPFAIL`).
    SpawnerLost,
    /// The settings are wrong or must not be served (`EX_CONFIG`).
    Configuration,
    /// The daemon refused what it was asked for.
    Refused,
    /// `kiln verify`: an attempt got through.
    Broken,
    /// `kiln verify`: not every attempt was seen to be stopped as it should be.
    Unproven,
    /// The caller may not ask this daemon (`EX_NOPERM`).
    Denied,
    /// `kiln run`: the program's own code, or one of `cli::run::ending`.
    Program(u8),
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
            Self::Refused => 1,
            Self::Broken => 3,
            Self::Unproven => 4,
            Self::Denied => 77,
            Self::Program(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}
