//! The layers: defaults, one YAML file, the environment, the command line; the last one wins.
//!
//! Every value that was given is read, also one that another layer covers: a fault is never hidden.
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::config::fault::{ConfigFaults, Place};
use crate::config::kind::{Kind, Raw};
use crate::config::names::{self, FILE_VARIABLE};
use crate::config::table::{self, Key};
use crate::config::value::Value;
use crate::config::yaml::{self, Content, Entry, Mark, Node};

/// The file that is read where none is named.
pub const USUAL_FILE: &str = "/etc/kiln/kiln.yaml";

/// The argument that sets a key.
pub const FLAG: &str = "--set";

const LARGEST_FILE: u64 = 1 << 20;

/// Where settings come from; all of it is given by the caller.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that the command line names, if it does.
    pub file: Option<PathBuf>,
    /// The settings that the command line holds, each `KEY=VALUE`.
    pub flags: Vec<String>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// The running program, beside which the spawner lies.
    pub executable: PathBuf,
}

/// One setting in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Which.
    pub key: &'static Key,
    /// Its value.
    pub value: Value,
    /// Where the value comes from.
    pub place: Place,
}

/// Settings are equal when they are of the same row.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

/// Values that were given, by path; of each the one that counts.
type Given = BTreeMap<&'static str, (Value, Place)>;

/// All settings, in the order of the table.
pub(super) fn gather(sources: &Sources, faults: &mut ConfigFaults) -> Vec<Setting> {
    let mut given = Given::new();
    file(sources, &mut given, faults);
    environment(&sources.environment, &mut given, faults);
    flags(&sources.flags, &mut given, faults);
    let settings = table::keys().filter_map(|key| {
        let (value, place) = given.remove(key.path).or_else(|| default(key, faults))?;
        Some(Setting { key, value, place })
    });
    settings.collect()
}

/// The default of a key; a test reads all of them.
fn default(key: &Key, faults: &mut ConfigFaults) -> Option<(Value, Place)> {
    match typed(key.kind, key.default) {
        Ok(value) => Some((value, Place::Default)),
        Err(message) => {
            faults.add(key.path, message, &Place::Default);
            None
        }
    }
}

/// A value that is written in the table.
pub(super) fn typed(kind: Kind, text: &str) -> Result<Value, String> {
    let (node, _) = yaml::parse(text).map_err(|misfit| misfit.message)?;
    kind.read(Raw::Typed(&node.content))
}

fn file(sources: &Sources, given: &mut Given, faults: &mut ConfigFaults) {
    let Some(path) = chosen_file(sources) else { return };
    let at = |mark| Place::File { path: path.clone(), mark };
    let text = match read_bounded(&path) {
        Ok(text) => text,
        Err(message) => return faults.add_at(&at(None), message),
    };
    let root = match yaml::parse(&text) {
        Err(misfit) => return faults.add_at(&at(Some(misfit.mark)), misfit.message),
        Ok((root, twice)) => {
            for misfit in twice {
                faults.add_at(&at(Some(misfit.mark)), misfit.message);
            }
            root
        }
    };
    match root.content {
        Content::Null => {}
        Content::Section(entries) => Walk { path: &path, given, faults }.section("", &entries),
        Content::Switch(_) | Content::Number(_) | Content::Text(_) | Content::List(_) => {
            faults.add_at(&at(Some(root.mark)), "holds no settings: `name: value` is expected");
        }
    }
}

/// A file that was named must be there; the usual one need not.
fn chosen_file(sources: &Sources) -> Option<PathBuf> {
    let named = sources.environment.get(FILE_VARIABLE).filter(|name| !name.is_empty());
    sources.file.clone().or_else(|| named.map(PathBuf::from)).or_else(|| {
        let usual = Path::new(USUAL_FILE);
        usual.exists().then(|| usual.to_owned())
    })
}

fn read_bounded(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_string(&mut text))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= LARGEST_FILE) {
        Ok(text)
    } else {
        Err(format!("is larger than {LARGEST_FILE} bytes"))
    }
}

/// The way through the sections of the file.
struct Walk<'a> {
    path: &'a Path,
    given: &'a mut Given,
    faults: &'a mut ConfigFaults,
}

impl Walk<'_> {
    fn section(&mut self, prefix: &str, entries: &[Entry]) {
        for entry in entries {
            let path = if prefix.is_empty() { entry.name.clone() } else { format!("{prefix}.{}", entry.name) };
            if let Some(key) = table::key(&path) {
                self.value(key, &entry.node);
            } else if table::SECTIONS.iter().any(|section| section.path == path) {
                self.inner(&path, entry);
            } else {
                let shown = path.escape_debug().to_string();
                let place = self.place(entry.mark);
                self.faults.add(&shown, unknown(names::near_path(&path)), &place);
            }
        }
    }

    fn inner(&mut self, path: &str, entry: &Entry) {
        if let Content::Section(entries) = &entry.node.content {
            self.section(path, entries);
        } else {
            let place = self.place(entry.mark);
            self.faults.add(path, "a section with settings is expected", &place);
        }
    }

    fn value(&mut self, key: &'static Key, node: &Node) {
        let place = self.place(node.mark);
        take(key, Raw::Typed(&node.content), place, self.given, self.faults);
    }

    fn place(&self, mark: Mark) -> Place {
        Place::File { path: self.path.to_owned(), mark: Some(mark) }
    }
}

fn unknown(near: Option<impl std::fmt::Display>) -> String {
    near.map_or_else(|| String::from("unknown setting"), |near| format!("unknown setting; did you mean {near}?"))
}

fn take(key: &'static Key, raw: Raw<'_>, place: Place, given: &mut Given, faults: &mut ConfigFaults) {
    match key.kind.read(raw) {
        Ok(value) => {
            given.insert(key.path, (value, place));
        }
        Err(message) => faults.add(key.path, message, &place),
    }
}

fn environment(environment: &BTreeMap<String, String>, given: &mut Given, faults: &mut ConfigFaults) {
    let mut known = Vec::new();
    for key in table::keys() {
        let names = names::variables(key);
        let set = names.iter().filter_map(|name| {
            let text = environment.get(name)?;
            (!names::is_service_link(name, text)).then_some((name.as_str(), text.as_str()))
        });
        variables(key, set, given, faults);
        known.extend(names);
    }
    for (name, value) in environment {
        if names::is_ours(name, value) && !known.contains(name) {
            let place = Place::Variable { name: name.clone() };
            faults.add_at(&place, unknown(names::near_variable(name)));
        }
    }
}

/// The variables of one key, as far as they are set: all of them must say the same.
fn variables<'a>(
    key: &'static Key,
    set: impl Iterator<Item = (&'a str, &'a str)>,
    given: &mut Given,
    faults: &mut ConfigFaults,
) {
    let mut first: Option<(&str, Value)> = None;
    for (name, text) in set {
        let place = Place::Variable { name: name.to_owned() };
        match (key.kind.read(Raw::Untyped(text)), &first) {
            (Err(message), _) => faults.add(key.path, message, &place),
            (Ok(value), None) => {
                given.insert(key.path, (value.clone(), place));
                first = Some((name, value));
            }
            (Ok(value), Some((other, held))) if *held != value => {
                let message = format!("variable {other} says otherwise: remove one of the two");
                faults.add(key.path, message, &place);
            }
            (Ok(_same), Some(_)) => {}
        }
    }
}

fn flags(flags: &[String], given: &mut Given, faults: &mut ConfigFaults) {
    let place = Place::Flag { name: FLAG };
    let mut seen: Vec<&str> = Vec::new();
    for flag in flags {
        let Some((path, text)) = flag.split_once('=') else {
            faults.add_at(&place, format!("KEY=VALUE is expected, not {flag:?}"));
            continue;
        };
        let shown = path.escape_debug().to_string();
        match table::key(path) {
            None => faults.add(&shown, unknown(names::near_path(path)), &place),
            Some(key) if seen.contains(&key.path) => faults.add(key.path, "is set twice", &place),
            Some(Key { kind: Kind::Secret, .. }) => {
                let message = "every user of the host can see the arguments of a process: set it in the file";
                faults.add(path, message, &place);
            }
            Some(key) => {
                seen.push(key.path);
                take(key, Raw::Untyped(text), place.clone(), given, faults);
            }
        }
    }
}
