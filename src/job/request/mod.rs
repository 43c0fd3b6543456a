//! What a client asks for, after every check: nothing is missing and nothing is above a ceiling.
//!
//! [`read`] is the only way from a body to a [`Request`]. It names every fault at once, each with
//! its dotted path. Not here: JSON text, multipart forms, HTTP.
pub mod fields;
pub mod files;
mod limits;
pub mod offer;
mod program;
mod work;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::fault::Faults;
use crate::job::limits::{Limits, Policy};
use crate::job::request::fields::Reader;
use crate::job::request::offer::{Offer, UsedImage};

/// The members that `POST /v1/execute` takes.
pub const FIELDS: &[&str] = &[
    "language",
    "version",
    "code",
    "files",
    "entrypoint",
    "image",
    "command",
    "args",
    "stdin",
    "stdin_base64",
    "environment",
    "timeout",
    "memory_limit",
    "network_access",
    "async",
    "limits",
];

/// The members of `limits`.
pub const LIMITS: &[&str] = &[
    "cpu_time",
    "cpus",
    "processes",
    "open_files",
    "file_size",
    "disk",
    "output",
    "compile_timeout",
    "compile_memory",
];

/// A job that may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What to run.
    pub work: Work,
    /// What it runs in (`image`), as it was found when the job was accepted.
    #[serde(default)]
    pub image: UsedImage,
    /// Arguments after the program's own (`args`).
    pub args: Vec<String>,
    /// What the program reads on descriptor 0; empty means end of file at once (`stdin`, `stdin_base64`).
    #[serde(with = "crate::base::base64_text")]
    pub stdin: Vec<u8>,
    /// Variables beside `PATH, HOME, LANG, USER` (`environment`), sorted by name, each name once.
    pub environment: Vec<(String, String)>,
    /// Limits of the phases.
    pub limits: Limits,
    /// What the program may reach (`network_access`). Written only where it is not nothing, so that a request from before
    /// there was a network is the same as one today.
    #[serde(default, skip_serializing_if = "Reach::is_nothing")]
    pub reach: Reach,
}

/// What a program may reach beside itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Nothing.
    #[default]
    Nothing,
    /// The outside, as the operator permits.
    Outside,
}

impl Reach {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_nothing(&self) -> bool {
        *self == Self::Nothing
    }
}

/// What to run. Later: a command on a remote server. [`read`] makes each but the last.
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
    /// Source files in a language (`language` + `files`).
    Files {
        /// Id of the language in the table, aliases resolved.
        language: String,
        /// At least one, no path twice.
        files: Vec<SourceFile>,
        /// Path of the one that is started, or that the compiler is given first.
        entrypoint: String,
    },
    /// A program of an image, as it is (`image` + `command`).
    Command {
        /// The program and its arguments.
        command: Vec<String>,
    },
    /// kiln's own program that tries to get out of the sandbox (`selftest`).
    Probe {
        /// What it is to try.
        attempt: String,
    },
}

impl Work {
    /// Id of the language of a source.
    pub fn language(&self) -> Option<&str> {
        match self {
            Self::Source { language, .. } | Self::Files { language, .. } => Some(language),
            Self::Command { .. } | Self::Probe { .. } => None,
        }
    }
}

/// A file of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Below the working directory: plain names with `/` between them.
    pub path: String,
    /// The bytes.
    #[serde(with = "crate::base::base64_text")]
    pub content: Vec<u8>,
    /// Whether it may be executed.
    pub executable: bool,
}

/// What a client asks for, and how it wants the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The job.
    pub request: Request,
    /// When to answer (`async`).
    pub answer: Answer,
}

/// When a client wants the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// When the job has ended.
    AtTheEnd,
    /// When the job is accepted.
    AtOnce,
}

/// Reads the body of `POST /v1/execute` (contract rule 21).
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(body: &Value, policy: &Policy, offer: &Offer) -> Result<Submission, Faults> {
    let mut faults = Faults::default();
    let mut reader = Reader::root(body, &mut faults);
    reader.only(FIELDS);
    let work::Chosen { work, language, image } = work::read(&mut reader, offer);
    let program = program::read(&mut reader);
    let answer = answer(&mut reader);
    let reach = reach(&mut reader);
    let limits = limits::read(&mut reader, policy, language);
    match work {
        Some(work) if faults.is_empty() => {
            let program::Program { args, stdin, environment } = program;
            let request = Request { work, image, args, stdin, environment, limits, reach };
            Ok(Submission { request, answer })
        }
        _ => Err(faults),
    }
}

fn answer(reader: &mut Reader<'_, '_>) -> Answer {
    if reader.flag("async") == Some(true) { Answer::AtOnce } else { Answer::AtTheEnd }
}

/// Whether it may be had is for whoever knows the caller and the settings to say.
fn reach(reader: &mut Reader<'_, '_>) -> Reach {
    if reader.flag("network_access") == Some(true) { Reach::Outside } else { Reach::Nothing }
}

#[cfg(test)]
mod test;
