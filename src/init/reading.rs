//! Reads what the spawner wrote: words, strings, lists, one after another.
use crate::kernel::{self, Errno};

/// What is left to be read.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Errno> {
        let (taken, left) = self.0.split_at_checked(count).ok_or(Errno::PROTO)?;
        self.0 = left;
        Ok(taken)
    }

    pub(crate) fn word(&mut self) -> Result<u32, Errno> {
        kernel::word(self.bytes(4)?, 0).ok_or(Errno::PROTO)
    }

    /// 64 bits.
    pub(crate) fn long(&mut self) -> Result<u64, Errno> {
        let (low, high) = (self.word()?, self.word()?);
        Ok(u64::from(high) << 32 | u64::from(low))
    }

    /// One string, with the NUL at its end.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], Errno> {
        let end = self.0.iter().position(|&byte| byte == 0).ok_or(Errno::PROTO)?;
        self.bytes(end + 1)
    }

    /// As many bytes as a word before them says.
    pub(crate) fn block(&mut self) -> Result<&'a [u8], Errno> {
        let length = self.word()? as usize;
        self.bytes(length)
    }

    /// A list, each of whose members `member` reads; they are read again whenever the list is walked.
    pub(crate) fn list<T>(&mut self, member: fn(&mut Self) -> Result<T, Errno>) -> Result<List<'a, T>, Errno> {
        let count = self.word()?;
        self.list_of(count, member)
    }

    /// The same, of a length that is known.
    pub(crate) fn list_of<T>(
        &mut self,
        count: u32,
        member: fn(&mut Self) -> Result<T, Errno>,
    ) -> Result<List<'a, T>, Errno> {
        let list = List { count, members: *self, member };
        for _ in 0..count {
            member(self)?;
        }
        Ok(list)
    }
}

/// A list that was read once and found whole.
pub(crate) struct List<'a, T> {
    count: u32,
    members: Reader<'a>,
    member: fn(&mut Reader<'a>) -> Result<T, Errno>,
}

impl<T> List<'_, T> {
    /// Does it with each member.
    pub(crate) fn each(&self, mut act: impl FnMut(T) -> Result<(), Errno>) -> Result<(), Errno> {
        let mut members = self.members;
        for _ in 0..self.count {
            act((self.member)(&mut members)?)?;
        }
        Ok(())
    }
}
