//! `kiln doctor`: whether this host can run sandboxes, and what to do where it cannot.
//!
//! [`facts`] looks at the host and judges nothing; [`judge`] judges and looks at nothing.
mod cgroup;
pub mod facts;
pub mod judge;
#[cfg(test)]
mod test;

use std::io::{self, Write};

use crate::cli::doctor::judge::{Check, Verdict};

/// Whether no check failed.
pub fn healthy(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.verdict != Verdict::Fail)
}

/// Writes one line a check.
///
/// # Errors
/// When `out` takes no more.
pub fn print(checks: &[Check], out: &mut impl Write) -> io::Result<()> {
    checks.iter().try_for_each(|check| writeln!(out, "{check}"))
}
