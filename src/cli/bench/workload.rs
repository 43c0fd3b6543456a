//! What is run: the same small piece of work as a job and as a process.
use bytes::Bytes;
use clap::ValueEnum;
use serde_json::json;

const C: &str = "int puts(const char *); int main(void) { puts(\"hello\"); return 0; }";

/// The compiler's command is that of the language table; the source is `$0`.
const COMPILE: &str = "printf %s \"$0\" | /usr/bin/gcc -O2 -pipe -o \"$1/hello-$$\" -x c - -lm && exec \"$1/hello-$$\"";

/// A small piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Workload {
    /// GET /healthz, which is no job: what HTTP takes
    Http,
    /// /bin/true
    True,
    /// Bash: exit 0
    Bash,
    /// Python that prints one line
    Python,
    /// C that prints one line, compiled and run
    C,
}

impl Workload {
    /// Its name in arguments and answers.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::True => "true",
            Self::Bash => "bash",
            Self::Python => "python",
            Self::C => "c",
        }
    }

    /// The body of `POST /v1/execute`; nothing where there is no job.
    pub(super) fn body(self) -> Option<Bytes> {
        let body = match self {
            Self::Http => return None,
            Self::True => json!({"image": "host", "command": ["/bin/true"]}),
            Self::Bash => json!({"language": "bash", "code": "exit 0"}),
            Self::Python => json!({"language": "python", "code": "print('hello')"}),
            Self::C => json!({"language": "c", "code": C}),
        };
        Some(Bytes::from(body.to_string()))
    }

    /// The command that does the same, nothing where there is none. It may write into `folder`.
    pub(super) fn command(self, folder: &str) -> Option<Vec<String>> {
        let words = match self {
            Self::Http => return None,
            Self::True => vec!["/bin/true"],
            Self::Bash => vec!["/bin/bash", "-c", "exit 0"],
            Self::Python => vec!["/usr/bin/python3", "-c", "print('hello')"],
            Self::C => vec!["/bin/sh", "-c", COMPILE, C, folder],
        };
        Some(words.into_iter().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn names_are_those_of_the_arguments() {
        for workload in Workload::value_variants() {
            assert_eq!(workload.to_possible_value().unwrap().get_name(), workload.name());
            assert_eq!(workload.body().is_some(), workload.command("/tmp").is_some());
        }
    }

    #[test]
    fn a_request_has_only_what_the_daemon_knows() {
        for body in Workload::value_variants().iter().filter_map(|workload| workload.body()) {
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            for name in body.as_object().unwrap().keys() {
                assert!(crate::job::request::FIELDS.contains(&name.as_str()), "{name}");
            }
        }
    }
}
