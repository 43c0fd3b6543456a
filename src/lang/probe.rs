//! How the version of a language is read from what a command prints.

/// Of the output only this much is looked at.
const LOOK_AT: usize = 4096;

/// A command that prints a version, and where in its output the version stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Absolute path of the program, and its arguments.
    pub command: Vec<String>,
    /// The version follows the first occurrence of this text; empty means at the beginning.
    pub after: String,
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
}

#[cfg(test)]
mod test {
    use super::*;

    #[track_caller]
    fn check(after: &str, output: &[u8], version: Option<&str>) {
        let probe = Probe { command: Vec::new(), after: after.to_owned() };
        assert_eq!(probe.read(output).as_deref(), version);
    }

    #[test]
    fn versions_are_read_as_the_programs_print_them() {
        check("Python ", b"Python 3.11.2\n", Some("3.11.2"));
        check("version ", b"GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)\n", Some("5.2.15"));
        check("", b"12.2.0\n", Some("12.2.0"));
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
    fn only_the_head_of_the_output_is_looked_at() {
        let mut flood = vec![b' '; LOOK_AT];
        flood.extend_from_slice(b"Python 3.11.2");
        check("Python ", &flood, None);
    }
}
