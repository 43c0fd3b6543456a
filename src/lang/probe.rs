//! How the version of a language is read from what a command prints, and which versions will do.
use std::cmp::Ordering;

/// Of the output only this much is looked at.
const LOOK_AT: usize = 4096;

/// A command that prints a version, and where in its output the version stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Absolute path of the program, and its arguments.
    pub command: Vec<String>,
    /// The version follows the first occurrence of this text; empty means at the beginning.
    pub after: String,
    /// The oldest version that will do, where not every one does.
    pub at_least: Option<String>,
}

impl Probe {
    /// The version: digits and dots that begin with a digit, right after the text.
    pub fn read(&self, output: &[u8]) -> Option<String> {
        let head = output.get(..LOOK_AT).unwrap_or(output);
        let text = String::from_utf8_lossy(head);
        let (_before, rest) = text.split_once(self.after.as_str())?;
        let rest = rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let version = rest.get(..end)?.trim_end_matches('.');
        version.starts_with(|c: char| c.is_ascii_digit()).then(|| version.to_owned())
    }

    /// The oldest version that will do, where this one is older.
    pub fn wants_newer(&self, version: &str) -> Option<&str> {
        self.at_least.as_deref().filter(|least| compare(version, least) == Ordering::Less)
    }
}

/// Whether a text can be compared: numbers with dots between them.
pub(super) fn is_version(text: &str) -> bool {
    text.split('.').all(|part| part.parse::<u32>().is_ok())
}

/// Number by number: 22.10 is newer than 22.9, and 22 is 22.0.
pub fn compare(one: &str, other: &str) -> Ordering {
    let numbers = |text: &str| text.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
    let (mut one, mut other) = (numbers(one), numbers(other));
    let parts = one.len().max(other.len());
    one.resize(parts, 0);
    other.resize(parts, 0);
    one.cmp(&other)
}

#[cfg(test)]
mod test {
    use super::*;

    #[track_caller]
    fn check(after: &str, output: &[u8], version: Option<&str>) {
        let probe = Probe { command: Vec::new(), after: after.to_owned(), at_least: None };
        assert_eq!(probe.read(output).as_deref(), version);
    }

    #[test]
    fn versions_are_read_as_the_programs_print_them() {
        check("Python ", b"Python 3.11.2\n", Some("3.11.2"));
        check("version ", b"GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)\n", Some("5.2.15"));
        check("", b"12.2.0\n", Some("12.2.0"));
        check("v", b"v20.20.2\n", Some("20.20.2"));
        check("go version go", b"go version go1.19.8 linux/amd64\n", Some("1.19.8"));
        check("rustc ", b"rustc 1.63.0\n", Some("1.63.0"));
        check("javac ", b"javac 17.0.17\n", Some("17.0.17"));
        check("ruby ", b"ruby 3.1.2p20 (2022-04-12 revision 4491bb740a) [x86_64-linux-gnu]\n", Some("3.1.2"));
        check("PHP ", b"PHP 8.2.29 (cli) (built: Jul  3 2025 16:16:05) (NTS)\n", Some("8.2.29"));
        check("(v", b"\nThis is perl 5, version 36, subversion 0 (v5.36.0) built for x86_64\n", Some("5.36.0"));
        check("Lua ", b"Lua 5.4.4  Copyright (C) 1994-2022 Lua.org, PUC-Rio\n", Some("5.4.4"));
        check("version ", b"Rscript (R) version 4.2.2 (2022-10-31)\n", Some("4.2.2"));
        check("", b"3.40.1 2022-12-28 14:03:47 df5c253c0b3dd24916e4ec7cf77d3db5294cc9fd45ae7b9c5e82\n", Some("3.40.1"));
    }

    #[test]
    fn what_is_no_version_is_none() {
        check("Python ", b"", None);
        check("Python ", b"bash: python3: not found", None);
        check("Python ", b"Python unknown", None);
        check("", b"...", None);
        check("v", b"\xff\xfe", None);
    }

    #[test]
    fn versions_are_compared_by_number() {
        let probe = Probe { command: Vec::new(), after: String::new(), at_least: Some(String::from("22.6")) };
        for old in ["20.20.2", "22.5.9", "22", "9.99"] {
            assert_eq!(probe.wants_newer(old), Some("22.6"), "{old}");
        }
        for new in ["22.6", "22.6.0", "22.10", "24.0.1", "23"] {
            assert_eq!(probe.wants_newer(new), None, "{new}");
        }
        assert!(is_version("22.6") && is_version("5") && !is_version("") && !is_version("1.x") && !is_version("1."));
    }

    #[test]
    fn only_the_head_of_the_output_is_looked_at() {
        let mut flood = vec![b' '; LOOK_AT];
        flood.extend_from_slice(b"Python 3.11.2");
        check("Python ", &flood, None);
    }
}
