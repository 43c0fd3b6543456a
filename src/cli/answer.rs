//! How commands answer: what is asked for on stdout, complaints on stderr, and an exit code.
use std::fmt::Display;
use std::io::{self, Write};

use crate::cli::exit::Exit;
use crate::config::fault::ConfigFaults;

/// Prints a text that was asked for.
pub(super) fn printed(text: &str) -> Exit {
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()), Exit::Ok)
}

/// One line a fault: all of them at once.
pub(super) fn refused(faults: &ConfigFaults) -> Exit {
    let mut exit = Exit::Configuration;
    for fault in faults.as_slice() {
        exit = complain(fault, exit);
    }
    exit
}

/// One line on stderr.
pub(super) fn complain(what: &dyn Display, exit: Exit) -> Exit {
    written(writeln!(io::stderr(), "kiln: {}", harmless(&what.to_string())), exit)
}

/// Text of somebody else, for a terminal: what would steer it is shown as U+FFFD.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// A reader that went away (`kiln doctor | head`) makes the answer no other; any other failure to
/// write an answer that was well is one.
pub(super) fn written(result: io::Result<()>, exit: Exit) -> Exit {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe && exit == Exit::Ok => Exit::Internal,
        Ok(()) | Err(_) => exit,
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_not_printed() {
        assert_eq!(harmless("a\u{1b}[31mb\nc\u{9b}d"), "a\u{fffd}[31mb\nc\u{fffd}d");
    }

    #[test]
    fn a_reader_that_went_away_changes_no_code() {
        let gone = || Err(io::ErrorKind::BrokenPipe.into());
        assert_eq!(written(gone(), Exit::Ok), Exit::Ok);
        assert_eq!(written(Err(io::ErrorKind::StorageFull.into()), Exit::Ok), Exit::Internal);
        assert_eq!(written(gone(), Exit::Unavailable), Exit::Unavailable);
    }
}
