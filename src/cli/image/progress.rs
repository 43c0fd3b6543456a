//! How far a command is that takes long: on a terminal one line that changes, else a line for each step.
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use crate::base::time::{Instant, instant};

/// One line on stderr, and since when.
#[derive(Debug)]
pub(super) struct Progress {
    begin: Instant,
    is_terminal: bool,
    last: String,
}

impl Progress {
    /// From now on.
    pub(super) fn begin() -> Self {
        Self { begin: instant(), is_terminal: io::stderr().is_terminal(), last: String::new() }
    }

    /// What is being done, and how much of it where that is known. Only a terminal hears of every amount.
    pub(super) fn show(&mut self, step: &str, amount: &str) {
        let told = if self.is_terminal { format!("{step} {amount}") } else { step.to_owned() };
        if told == self.last {
            return;
        }
        let seconds = self.begin.elapsed().as_secs_f64();
        let (before, after) = if self.is_terminal { ("\r", "\u{1b}[K") } else { ("", "\n") };
        say(&format!("{before}{seconds:6.1} s  {told}{after}"));
        self.last = told;
    }

    /// Takes the line away; how long it took.
    pub(super) fn end(self) -> Duration {
        if self.is_terminal && !self.last.is_empty() {
            say("\r\u{1b}[K");
        }
        self.begin.elapsed()
    }
}

/// Progress that nobody reads is not missed.
fn say(text: &str) {
    let mut out = io::stderr().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}
