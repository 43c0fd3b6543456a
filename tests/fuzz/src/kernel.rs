//! In place of init's `kernel`: it makes nothing, and keeps what init would have asked for.
//!
//! The real one takes pointers. What they must point to is checked here: a path ends with NUL, a list with a null
//! pointer, and every string of a list lies in the file that was mapped, with its NUL.
use std::cell::RefCell;

/// A descriptor.
pub(crate) type Fd = i32;

/// Why a call failed (errno(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

impl Errno {
    pub(crate) const NO_ENTRY: Self = Self(2);
    pub(crate) const ACCESS: Self = Self(13);
    pub(crate) const INVALID: Self = Self(22);
    pub(crate) const PROTO: Self = Self(71);
}

/// A file that init would have written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) path: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) content: Vec<u8>,
}

/// What was asked for since [`begin`].
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) directories: Vec<Vec<u8>>,
    pub(crate) files: Vec<Written>,
    /// Paths that were tried, with arguments and variables.
    pub(crate) executed: Vec<(Vec<u8>, Vec<Vec<u8>>, Vec<Vec<u8>>)>,
    mapped: Mapped,
}

/// What init keeps for ever, and a target until the next begins.
#[derive(Default)]
struct Mapped {
    file: Option<*mut [u8]>,
    words: Vec<*mut [usize]>,
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: they come from Box::into_raw, and nobody uses them after the target that asked for them.
        drop(self.file.map(|file| unsafe { Box::from_raw(file) }));
        for words in self.words.drain(..) {
            // SAFETY: as above.
            drop(unsafe { Box::from_raw(words) });
        }
    }
}

thread_local! {
    static ASKED: RefCell<Asked> = RefCell::default();
}

/// Everything that is mapped from now on has this content. What was mapped before must not be used any more.
pub(crate) fn begin(content: &[u8]) {
    let file = (!content.is_empty()).then(|| Box::into_raw(content.to_vec().into_boxed_slice()));
    ASKED.replace(Asked { mapped: Mapped { file, words: Vec::new() }, ..Asked::default() });
}

/// What was asked for.
pub(crate) fn asked<T>(look: impl FnOnce(&mut Asked) -> T) -> T {
    ASKED.with_borrow_mut(look)
}

pub(crate) fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

pub(crate) fn map_file(_fd: Fd) -> Result<&'static [u8], Errno> {
    // SAFETY: it stays until `begin` is called again.
    Ok(asked(|asked| asked.mapped.file).map_or(&[], |file| unsafe { &*file }))
}

pub(crate) fn allocate_words(count: usize) -> Result<&'static mut [usize], Errno> {
    let words = Box::into_raw(vec![0; count].into_boxed_slice());
    asked(|asked| asked.mapped.words.push(words));
    // SAFETY: it stays until `begin` is called again, and nobody else has it.
    Ok(unsafe { &mut *words })
}

/// As the kernel reads a path: up to its NUL, which must be there.
fn path_of(bytes: &[u8]) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0).expect("a path ends with NUL");
    bytes[..end].to_vec()
}

pub(crate) fn make_directory(path: &[u8]) -> Result<(), Errno> {
    asked(|asked| asked.directories.push(path_of(path)));
    Ok(())
}

pub(crate) fn create_file(path: &[u8], mode: u32) -> Result<Fd, Errno> {
    let path = path_of(path);
    asked(|asked| {
        asked.files.push(Written { path, mode, content: Vec::new() });
        Ok(Fd::try_from(asked.files.len()).expect("few files"))
    })
}

/// Takes a part of it, as write(2) may.
pub(crate) fn write(fd: Fd, bytes: &[u8]) -> Result<usize, Errno> {
    let count = bytes.len().div_ceil(2);
    asked(|asked| {
        let index = usize::try_from(fd).expect("a file") - 1;
        asked.files[index].content.extend_from_slice(&bytes[..count]);
    });
    Ok(count)
}

pub(crate) fn execute(path: &[u8], arguments: &[usize], variables: &[usize]) -> Errno {
    let call = (path_of(path), strings(arguments), strings(variables));
    asked(|asked| asked.executed.push(call));
    Errno::NO_ENTRY
}

/// As the kernel reads a list: up to its null pointer, which must be there.
fn strings(list: &[usize]) -> Vec<Vec<u8>> {
    let (&last, pointers) = list.split_last().expect("a list has an end");
    assert_eq!(last, 0, "a list ends with a null pointer");
    let file = map_file(0).expect("mapped");
    let begin = file.as_ptr().addr();
    let string = |&pointer: &usize| path_of(&file[pointer.checked_sub(begin).expect("a string of the file")..]);
    pointers.iter().map(string).collect()
}

pub(crate) fn close(_fd: Fd) {}

pub(crate) fn set_umask(_mask: u32) {}

pub(crate) fn set_session() -> Result<(), Errno> {
    Ok(())
}

pub(crate) fn duplicate(_from: Fd, _to: Fd) -> Result<(), Errno> {
    Ok(())
}

pub(crate) fn duplicate_above(_fd: Fd, least: Fd) -> Result<Fd, Errno> {
    Ok(least)
}

pub(crate) fn close_others_at_exec() -> Result<(), Errno> {
    Ok(())
}
