//! What a client asks for, after every check: nothing is missing and nothing is above a ceiling.
use serde::{Deserialize, Serialize};

use crate::job::limits::Limits;

/// A job that may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What to run.
    pub work: Work,
    /// Arguments after the program's own (`args`).
    pub args: Vec<String>,
    /// What the program reads on descriptor 0; empty means end of file at once (`stdin`, `stdin_base64`).
    #[serde(with = "crate::base::base64_text")]
    pub stdin: Vec<u8>,
    /// Variables beside `PATH, HOME, LANG, USER` (`environment`), sorted by name, each name once.
    pub environment: Vec<(String, String)>,
    /// Limits of the phases.
    pub limits: Limits,
}

/// What to run. Later: a command on a remote server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// Source text in a language (`language` + `code`).
    Source {
        /// Id of the language in the table, aliases resolved.
        language: String,
        /// The text.
        code: String,
    },
    /// A program of an image, as it is (`image` + `command`).
    Command {
        /// Name of the image; `host` is the embedded one.
        image: String,
        /// The program and its arguments.
        command: Vec<String>,
    },
}
