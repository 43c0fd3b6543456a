//! Loads a seccomp program that was prepared at build time (seccomp(2)).
use std::io;

/// Bytes of one instruction (`struct sock_filter`, linux/filter.h).
const INSTRUCTION: usize = 8;

/// A seccomp program.
#[derive(Debug)]
pub struct Program {
    instructions: Vec<libc::sock_filter>,
}

impl Program {
    /// Reads the form that libseccomp exports: instructions one after another, in this machine's byte order.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let instructions = bytes
            .chunks_exact(INSTRUCTION)
            .map(|chunk| match *chunk {
                [c0, c1, jt, jf, k0, k1, k2, k3] => libc::sock_filter {
                    code: u16::from_ne_bytes([c0, c1]),
                    jt,
                    jf,
                    k: u32::from_ne_bytes([k0, k1, k2, k3]),
                },
                _ => libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 },
            })
            .collect();
        Self { instructions }
    }

    /// Puts the program in force for this process and everything it starts, for ever.
    ///
    /// # Errors
    /// What the kernel says; `EACCES` when `no_new_privs` is not set.
    pub fn load(&self) -> io::Result<()> {
        let length = u16::try_from(self.instructions.len()).map_err(io::Error::other)?;
        let program = libc::sock_fprog { len: length, filter: self.instructions.as_ptr().cast_mut() };
        // SAFETY: the kernel only reads the instructions, whose number is passed and which live through the call.
        let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
