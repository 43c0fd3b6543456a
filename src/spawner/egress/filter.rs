//! Puts the rules of the packet filter in force, by the one program of the host that root ever starts: nft(8).
//!
//! It is started twice in the life of a keeper, never for a job: by its full path, without variables, with rules of our own
//! on its standard input. All of them are in force at once, or none.
use std::io::{self, Write};
use std::process::{Command, Stdio};

use crate::plan::standard::FILTER;

/// What of its complaint is told.
const COMPLAINT: usize = 400;

/// Has nft read these rules.
///
/// # Errors
/// What it complains of, or that it is not there.
#[expect(clippy::disallowed_methods, reason = "rules of sets, masquerading and counts have no other stable interface")]
pub(super) fn apply(rules: &str) -> io::Result<()> {
    let mut command = Command::new(FILTER);
    command.args(["-f", "-"]).env_clear().current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut nft = command.spawn().map_err(|error| {
        let advice = if error.kind() == io::ErrorKind::NotFound { ": install the package nftables" } else { "" };
        io::Error::other(format!("{FILTER} cannot be started ({error}){advice}"))
    })?;
    // It reads all of it before it says anything. Where it ends early, its complaint says why.
    let written = nft.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(rules.as_bytes()));
    let output = nft.wait_with_output()?;
    if output.status.success() {
        return written;
    }
    let complaint: String = String::from_utf8_lossy(&output.stderr).chars().take(COMPLAINT).collect();
    Err(io::Error::other(format!("{FILTER} refuses the rules: {}", complaint.trim())))
}
