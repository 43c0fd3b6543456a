//! The lines of the probe: `name TAB word TAB number` (`src/probe/outcome.rs`).

/// What the probe says of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an attempt, as the probe saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A call failed with this number (errno(3)).
    Refused(i32),
    /// This signal ended the process that tried.
    Killed(i32),
    /// Every call went well, and nothing was gained.
    Hollow,
    /// It went well. With what a call gave.
    Through(u64),
    /// It could not be tried, because a call failed with this number.
    Untried(i32),
}

/// All lines of an output that are the probe's; others say nothing.
pub fn lines(output: &[u8]) -> Vec<Line> {
    let text = String::from_utf8_lossy(output);
    text.lines().filter_map(line).collect()
}

fn line(text: &str) -> Option<Line> {
    let mut parts = text.split('\t');
    let (name, word, number) = (parts.next()?, parts.next()?, parts.next()?);
    let outcome = match word {
        "refused" => Outcome::Refused(number.parse().ok()?),
        "killed" => Outcome::Killed(number.parse().ok()?),
        "hollow" => Outcome::Hollow,
        "through" => Outcome::Through(number.parse().ok()?),
        "untried" => Outcome::Untried(number.parse().ok()?),
        _ => return None,
    };
    parts.next().is_none().then(|| Line { name: name.to_owned(), outcome })
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn each_word_of_the_probe_is_read() {
        let text = b"a\trefused\t1\nb\tkilled\t31\nc\thollow\t0\nd\tthrough\t18446744073709551615\ne\tuntried\t11\n";
        let read = lines(text);
        let expected = [
            ("a", Outcome::Refused(1)),
            ("b", Outcome::Killed(31)),
            ("c", Outcome::Hollow),
            ("d", Outcome::Through(u64::MAX)),
            ("e", Outcome::Untried(11)),
        ];
        assert_eq!(read, expected.map(|(name, outcome)| Line { name: name.to_owned(), outcome }));
    }

    #[test]
    fn anything_else_says_nothing() {
        for text in ["", "a", "a\trefused", "a\trefused\t", "a\trefused\tx", "a\trefused\t1\t2", "a\tstopped\t1"] {
            assert_eq!(lines(text.as_bytes()), [], "{text}");
        }
        assert_eq!(lines(b"\xff\xfe\nxxxx\na\thollow\t0").len(), 1);
    }
}
