//! Reads what is to be started, writes its input files, starts it.
use crate::kernel::{self, Errno, Fd};
use crate::protocol::{CHANNEL, FILES_MAGIC, PROGRAM_MAGIC};
use crate::reading::Reader;

/// Where a program named without `/` is looked for, in this order.
const SEARCH: [&[u8]; 3] = [b"/usr/local/bin/", b"/usr/bin/", b"/bin/"];

/// Longest path that exec takes (PATH_MAX).
const PATH_BYTES: usize = 4096;

/// What is to be started. Strings end with NUL, lists with a null pointer.
pub(crate) struct Program {
    /// Working directory.
    pub(crate) directory: &'static [u8],
    name: &'static [u8],
    arguments: &'static [usize],
    variables: &'static [usize],
}

/// Reads the program memfd.
pub(crate) fn read(fd: Fd) -> Result<Program, Errno> {
    let mut from = Reader(kernel::map_file(fd)?);
    if from.word()? != PROGRAM_MAGIC {
        return Err(Errno::PROTO);
    }
    let (argument_count, variable_count) = (from.word()? as usize, from.word()? as usize);
    let directory = from.string()?;
    let name = from.0;
    let arguments = take_list(&mut from, argument_count)?;
    let variables = take_list(&mut from, variable_count)?;
    if argument_count == 0 || !from.is_at_end() {
        return Err(Errno::PROTO);
    }
    Ok(Program { directory, name, arguments, variables })
}

fn take_list(from: &mut Reader<'static>, count: usize) -> Result<&'static [usize], Errno> {
    if count > from.0.len() {
        return Err(Errno::PROTO);
    }
    let list = kernel::allocate_words(count + 1)?;
    for place in list.iter_mut().take(count) {
        *place = from.string()?.as_ptr() as usize;
    }
    Ok(list)
}

/// Writes the input files below the working directory, as the job's own user.
pub(crate) fn write_files(fd: Fd) -> Result<(), Errno> {
    let mut from = Reader(kernel::map_file(fd)?);
    if from.is_at_end() {
        return Ok(());
    }
    if from.word()? != FILES_MAGIC {
        return Err(Errno::PROTO);
    }
    kernel::set_umask(0o022);
    for _ in 0..from.word()? {
        write_file(&mut from)?;
    }
    if from.is_at_end() { Ok(()) } else { Err(Errno::PROTO) }
}

fn write_file(from: &mut Reader<'static>) -> Result<(), Errno> {
    let (mode, path_length, length) = (from.word()?, from.word()? as usize, from.long()? as usize);
    let (path, content) = (from.bytes(path_length)?, from.bytes(length)?);
    check_path(path)?;
    make_parents(path)?;
    let file = kernel::create_file(path, mode)?;
    let written = write_all(file, content);
    kernel::close(file);
    written
}

/// A path below the working directory: NUL at its end and nowhere else, no empty name, no `.` or `..`.
fn check_path(path: &[u8]) -> Result<(), Errno> {
    let (&last, names) = path.split_last().ok_or(Errno::INVALID)?;
    let plain = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.contains(&0);
    let whole = last == 0 && names.len() < PATH_BYTES && names.split(|&byte| byte == b'/').all(plain);
    if whole { Ok(()) } else { Err(Errno::INVALID) }
}

fn make_parents(path: &[u8]) -> Result<(), Errno> {
    let mut prefix = [0_u8; PATH_BYTES];
    for (index, &byte) in path.iter().enumerate() {
        if byte == b'/' {
            kernel::make_directory(&prefix)?;
        }
        *prefix.get_mut(index).ok_or(Errno::INVALID)? = byte;
    }
    Ok(())
}

fn write_all(file: Fd, mut content: &[u8]) -> Result<(), Errno> {
    while !content.is_empty() {
        let count = kernel::write(file, content)?;
        content = content.get(count..).ok_or(Errno::PROTO)?;
    }
    Ok(())
}

/// In the child: descriptors 0, 1, 2, a session of its own, exec. Comes back only with why it failed.
pub(crate) fn execute(stdio: [Fd; 3], program: &Program) -> Errno {
    match prepare(stdio) {
        Ok(()) => search_and_execute(program),
        Err(errno) => errno,
    }
}

fn prepare(stdio: [Fd; 3]) -> Result<(), Errno> {
    kernel::set_session()?;
    // Copies far above first: a source must not be overwritten before it was copied.
    let mut high = [0; 3];
    for (place, fd) in high.iter_mut().zip(stdio) {
        *place = kernel::duplicate_above(fd, CHANNEL + 1)?;
    }
    for (target, fd) in (0..).zip(high) {
        kernel::duplicate(fd, target)?;
    }
    kernel::close_others_at_exec()
}

fn search_and_execute(program: &Program) -> Errno {
    let end = program.name.iter().position(|&byte| byte == 0).unwrap_or(0);
    let name = program.name.get(..=end).unwrap_or_default();
    if name.contains(&b'/') {
        return kernel::execute(name, program.arguments, program.variables);
    }
    let mut result = Errno::NO_ENTRY;
    for folder in SEARCH {
        let mut path = [0_u8; PATH_BYTES];
        let Some(place) = path.get_mut(..folder.len() + name.len()) else { return Errno::INVALID };
        let (first, second) = place.split_at_mut(folder.len());
        first.copy_from_slice(folder);
        second.copy_from_slice(name);
        match kernel::execute(&path, program.arguments, program.variables) {
            Errno(2) => {}
            Errno(13) => result = Errno::ACCESS,
            errno => return errno,
        }
    }
    result
}
