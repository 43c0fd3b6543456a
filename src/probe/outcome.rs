//! What came of an attempt, and the line that tells it: `name TAB word TAB number`. The server reads it
//! (`src/selftest/line.rs`).
use core::ffi::CStr;

use crate::kernel::{self, Errno};

/// What came of an attempt.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    /// A call failed with this.
    Refused(Errno),
    /// A signal ended the process that tried.
    Killed(usize),
    /// Every call went well, and nothing was gained by them.
    Hollow,
    /// It went well. With what a call gave.
    Through(usize),
    /// It could not be tried, because of this.
    Untried(Errno),
}

impl From<Result<usize, Errno>> for Outcome {
    fn from(result: Result<usize, Errno>) -> Self {
        match result {
            Ok(given) => Self::Through(given),
            Err(errno) => Self::Refused(errno),
        }
    }
}

/// Something that had to be there for the attempt.
pub(crate) fn needed(result: Result<usize, Errno>) -> Result<usize, Outcome> {
    result.map_err(Outcome::Untried)
}

/// Tells it. Where nobody reads there is nobody to tell.
pub(crate) fn tell(name: &CStr, outcome: Outcome) {
    let (word, number) = match outcome {
        Outcome::Refused(Errno(errno)) => (c"refused", errno.unsigned_abs() as usize),
        Outcome::Killed(signal) => (c"killed", signal),
        Outcome::Hollow => (c"hollow", 0),
        Outcome::Through(given) => (c"through", given),
        Outcome::Untried(Errno(errno)) => (c"untried", errno.unsigned_abs() as usize),
    };
    let mut line = Line { bytes: [0; 128], length: 0 };
    line.put(name.to_bytes());
    line.put(b"\t");
    line.put(word.to_bytes());
    line.put(b"\t");
    line.put_number(number);
    line.put(b"\n");
    let _unread = kernel::write(1, line.bytes.get(..line.length).unwrap_or_default());
}

struct Line {
    bytes: [u8; 128],
    length: usize,
}

impl Line {
    /// What has no room is left out.
    fn put(&mut self, bytes: &[u8]) {
        for (place, byte) in self.bytes.iter_mut().skip(self.length).zip(bytes) {
            *place = *byte;
            self.length += 1;
        }
    }

    fn put_number(&mut self, mut number: usize) {
        let mut digits = [0_u8; 20];
        let mut first = digits.len();
        for place in digits.iter_mut().rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
            first -= 1;
            if number == 0 {
                break;
            }
        }
        self.put(digits.get(first..).unwrap_or_default());
    }
}
