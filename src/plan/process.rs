//! What is started inside a sandbox, and the form in which it travels: two memfds that only init reads.
//!
//! The form is described in `src/init/protocol.rs`, which init includes as well.
use crate::plan::mount::BoxPath;
use crate::plan::protocol::{FILES_MAGIC, PROGRAM_MAGIC};

/// A program, its arguments, its variables and where it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program (a path, or a name that is searched for) and its arguments.
    pub arguments: Vec<Vec<u8>>,
    /// `NAME=value`
    pub variables: Vec<Vec<u8>>,
    /// Working directory; input files are written below it.
    pub directory: BoxPath,
}

/// A file that exists before the program starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// Below the working directory: plain names with `/` between them.
    pub path: String,
    /// Whether it may be executed.
    pub executable: bool,
    /// The bytes.
    pub content: Vec<u8>,
}

/// Why something cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// There is no program.
    #[error("there is no program to start")]
    Empty,
    /// execve(2) takes strings that end with NUL.
    #[error("an argument, a variable or a path contains a NUL byte")]
    Nul,
    /// The kernel's own limit is a quarter of the stack limit (execve(2)).
    #[error("arguments and variables together are longer than {} bytes", Program::MAX_BYTES)]
    TooLong,
    /// A name is empty, `.` or `..`, or the path is absolute or too long.
    #[error("an input file's path is not made of plain names below the working directory")]
    BadPath,
}

impl Program {
    /// Arguments and variables together, in bytes.
    pub const MAX_BYTES: usize = 2 << 20;

    /// The content of the program memfd.
    ///
    /// # Errors
    /// When execve(2) could not take it.
    pub fn encode(&self) -> Result<Vec<u8>, ProgramError> {
        let strings = || self.arguments.iter().chain(&self.variables);
        if self.arguments.is_empty() {
            return Err(ProgramError::Empty);
        }
        if strings().any(|text| text.contains(&0)) {
            return Err(ProgramError::Nul);
        }
        let length: usize = strings().map(|text| text.len().saturating_add(1)).sum();
        if length > Self::MAX_BYTES {
            return Err(ProgramError::TooLong);
        }
        let mut bytes = Vec::with_capacity(length.saturating_add(512));
        for word in [PROGRAM_MAGIC, count(self.arguments.len())?, count(self.variables.len())?] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(self.directory.as_str().as_bytes());
        bytes.push(0);
        for text in strings() {
            bytes.extend(text);
            bytes.push(0);
        }
        Ok(bytes)
    }
}

/// The content of the files memfd.
///
/// # Errors
/// When a path is not below the working directory.
pub fn encode_files(files: &[InputFile]) -> Result<Vec<u8>, ProgramError> {
    let mut bytes = Vec::new();
    bytes.extend(FILES_MAGIC.to_le_bytes());
    bytes.extend(count(files.len())?.to_le_bytes());
    for file in files {
        check_path(&file.path)?;
        let mode: u32 = if file.executable { 0o755 } else { 0o644 };
        bytes.extend(mode.to_le_bytes());
        bytes.extend(count(file.path.len().saturating_add(1))?.to_le_bytes());
        bytes.extend(u64::from(count(file.content.len())?).to_le_bytes());
        bytes.extend(file.path.as_bytes());
        bytes.push(0);
        bytes.extend(&file.content);
    }
    Ok(bytes)
}

fn check_path(path: &str) -> Result<(), ProgramError> {
    if path.contains('\0') {
        return Err(ProgramError::Nul);
    }
    let plain = |name: &str| !matches!(name, "" | "." | "..");
    let whole = path.split('/').all(plain) && path.len() < 4096;
    if whole { Ok(()) } else { Err(ProgramError::BadPath) }
}

fn count(number: usize) -> Result<u32, ProgramError> {
    u32::try_from(number).map_err(|_beyond| ProgramError::TooLong)
}

#[cfg(test)]
mod test {
    use super::*;

    fn program(arguments: &[&str]) -> Program {
        Program {
            arguments: arguments.iter().map(|text| text.as_bytes().to_vec()).collect(),
            variables: vec![b"A=b".to_vec()],
            directory: BoxPath::try_from("/work").unwrap(),
        }
    }

    #[test]
    fn strings_lie_one_after_another() {
        let bytes = program(&["sh", "-c"]).encode().unwrap();
        assert_eq!(bytes.get(12..).unwrap(), b"/work\0sh\0-c\0A=b\0");
    }

    #[test]
    fn what_execve_could_not_take_is_refused() {
        assert_eq!(program(&[]).encode(), Err(ProgramError::Empty));
        assert_eq!(program(&["a\0b"]).encode(), Err(ProgramError::Nul));
        assert_eq!(program(&["a", &"x".repeat(2 << 20)]).encode(), Err(ProgramError::TooLong));
    }

    #[track_caller]
    fn check(path: &str, accepted: bool) {
        let file = InputFile { path: path.to_owned(), executable: false, content: Vec::new() };
        assert_eq!(encode_files(&[file]).is_ok(), accepted, "{path:?}");
    }

    #[test]
    fn a_file_lies_below_the_working_directory() {
        check("main.py", true);
        check("a/b.c", true);
        check("/etc/passwd", false);
        check("../x", false);
        check("a/./b", false);
        check("a//b", false);
        check("", false);
        check("a\0b", false);
    }
}
