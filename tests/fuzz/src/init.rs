//! What init reads of a job, as root's child but with the job's own ids: the program and its input files.
use std::path::{Component, Path};

use kiln::plan::mount::BoxPath;
use kiln::plan::process::{InputFile, Program, encode_files};

use crate::kernel;
use crate::program as subject;

/// The program memfd: what is accepted is one program, which the server's own writer would have written so.
pub(crate) fn program(bytes: &[u8]) {
    kernel::begin(bytes);
    let Ok(read) = subject::read(0) else { return };
    let directory = read.directory.strip_suffix(b"\0").expect("a directory ends with NUL");
    subject::execute([0, 1, 2], &read);
    let tried = kernel::asked(|asked| std::mem::take(&mut asked.executed));
    let Some((_, arguments, variables)) = tried.first() else {
        return assert!(long_name(bytes, directory), "a program that nobody tried to execute");
    };
    let name = arguments.first().expect("a program has a name");
    assert!(tried.iter().all(|(path, ..)| path.ends_with(name)), "{tried:?}");
    if name.contains(&b'/') {
        assert_eq!(tried.len(), 1, "a path is not searched for");
    }
    let directory = std::str::from_utf8(directory).ok().and_then(|text| BoxPath::try_from(text).ok());
    if let Some(directory) = directory {
        let program = Program { arguments: arguments.clone(), variables: variables.clone(), directory };
        assert_eq!(program.encode().as_deref(), Ok(bytes), "{program:?} is not the only form of itself");
    }
}

/// A name that does not fit behind a folder is refused before anything is executed.
fn long_name(bytes: &[u8], directory: &[u8]) -> bool {
    let name = &bytes[12 + directory.len() + 1..];
    name.iter().position(|&byte| byte == 0).is_some_and(|end| end > 4000)
}

/// The files memfd: whatever it holds, nothing is made but below the working directory; and what is accepted is what the
/// server's own writer would have written so.
pub(crate) fn files(bytes: &[u8]) {
    kernel::begin(bytes);
    let outcome = subject::write_files(0);
    let (directories, files) =
        kernel::asked(|asked| (std::mem::take(&mut asked.directories), std::mem::take(&mut asked.files)));
    for path in directories.iter().chain(files.iter().map(|file| &file.path)) {
        assert!(is_below(path), "{path:?}");
    }
    let written: usize = files.iter().map(|file| file.content.len()).sum();
    assert!(written <= bytes.len());
    if outcome.is_err() || bytes.is_empty() || files.iter().any(|file| !matches!(file.mode, 0o644 | 0o755)) {
        return;
    }
    let file = |file: &kernel::Written| {
        let path = String::from_utf8(file.path.clone()).ok()?;
        Some(InputFile { path, executable: file.mode == 0o755, content: file.content.clone() })
    };
    if let Some(files) = files.iter().map(file).collect::<Option<Vec<_>>>() {
        assert_eq!(encode_files(&files).as_deref(), Ok(bytes));
    }
}

/// By the standard library's own reading of paths.
fn is_below(path: &[u8]) -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    path.components().count() > 0 && path.components().all(|part| matches!(part, Component::Normal(_)))
}

pub(crate) fn program_seeds() -> Vec<Vec<u8>> {
    let program = |arguments: &[&str], variables: &[&str]| {
        let words = |list: &[&str]| list.iter().map(|text| text.as_bytes().to_vec()).collect();
        let directory = BoxPath::try_from("/work").expect("a path");
        let program = Program { arguments: words(arguments), variables: words(variables), directory };
        program.encode().expect("a program")
    };
    vec![
        program(&["sh", "-c", ""], &["A=b"]),
        program(&["/usr/bin/python3", "/work/main.py"], &["PATH=/usr/bin", "HOME=/work"]),
        program(&[""], &[]),
    ]
}

pub(crate) fn files_seeds() -> Vec<Vec<u8>> {
    let file = |path: &str, executable, content: &[u8]| InputFile {
        path: path.to_owned(),
        executable,
        content: content.to_vec(),
    };
    let lists = [
        Vec::new(),
        vec![file("main.py", false, b"print()\n")],
        vec![file("a/b.c", true, b""), file("a/c/d", false, b"\0\xff")],
    ];
    lists.iter().map(|files| encode_files(files).expect("files")).chain([Vec::new()]).collect()
}
