//! Settings as a YAML file: the defaults with their documentation, or what is in force.
use crate::config::layers::Setting;
use crate::config::render::wrap::wrap;
use crate::config::table::{self, Force, Key};

/// Longest line of a comment.
const WIDTH: usize = 100;

const HEAD: &str = "Every setting of kiln with its default. A name that is not here is not a setting. Order of \
                    precedence: the defaults, then the YAML file (--config FILE, else $KILN_CONFIG, else \
                    /etc/kiln/kiln.yaml where it exists), then the environment, then --set KEY=VALUE. The variable of \
                    a key is its path in capitals: api.job.max_timeout is KILN_API_JOB_MAX_TIMEOUT. null means: not \
                    set.";

/// The default file, with a comment for each setting. It loads, and changes nothing.
pub fn default() -> String {
    let mut file = Lines { comments: Comments::Written, ..Lines::default() };
    file.comment(HEAD);
    file.written.push(String::new());
    for key in table::keys() {
        file.enter(key.path);
        file.comment(&note(key));
        file.member(key.path, key.default);
    }
    file.text()
}

/// The settings in force, each with where it comes from; secrets are masked.
pub fn effective(settings: &[Setting]) -> String {
    let mut file = Lines::default();
    for Setting { key, value, place } in settings {
        file.enter(key.path);
        let source: String = place.to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        file.member(key.path, &format!("{}  # {source}", value.yaml()));
    }
    file.text()
}

/// What a comment says of a key.
fn note(key: &Key) -> String {
    let expected = key.kind.expected();
    let note = format!("{} Takes {}.", key.describes, expected.trim_end_matches(','));
    match key.force {
        Force::Full | Force::With(_) => note,
        Force::NotYet { holds, .. } => format!("{note} Not in force: {holds}."),
        Force::Only { value, why } => format!("{note} Only {value} may be served: {why}."),
    }
}

/// Whether sections get a comment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Comments {
    Written,
    #[default]
    Omitted,
}

/// The lines of a file, and the sections that are open at its end.
#[derive(Debug, Default)]
struct Lines {
    comments: Comments,
    written: Vec<String>,
    open: Vec<&'static str>,
}

impl Lines {
    /// Opens the sections of this path that are not open.
    fn enter(&mut self, path: &'static str) {
        let sections: Vec<_> = table::SECTIONS.iter().filter(|section| holds(section.path, path)).collect();
        self.open.retain(|open| sections.iter().any(|section| section.path == *open));
        for section in sections {
            if !self.open.contains(&section.path) {
                if self.comments == Comments::Written {
                    self.written.push(String::new());
                    self.comment(section.describes);
                }
                self.member(section.path, "");
                self.open.push(section.path);
            }
        }
    }

    fn comment(&mut self, text: &str) {
        let indent = self.indent();
        self.written.extend(wrap(text, WIDTH - 2 - indent.len()).iter().map(|line| format!("{indent}# {line}")));
    }

    fn member(&mut self, path: &str, value: &str) {
        let name = path.rsplit_once('.').map_or(path, |(_, name)| name);
        self.written.push(format!("{}{name}: {value}", self.indent()).trim_end().to_owned());
    }

    fn indent(&self) -> String {
        "  ".repeat(self.open.len())
    }

    fn text(self) -> String {
        self.written.join("\n") + "\n"
    }
}

/// Whether a path is inside a section.
fn holds(section: &str, path: &str) -> bool {
    path.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}
