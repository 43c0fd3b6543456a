//! The three layers: defaults, one YAML file, the environment. Each value knows where it comes from.
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use figment::providers::YamlExtended;
use figment::value::{Dict, Map, Value};
use figment::{Error, Figment, Metadata, Profile, Provider};

use crate::base::fault::Faults;
use crate::config::names::{self, FILE_VARIABLE, Stranger};

/// The file that is read where none is named.
pub const USUAL_FILE: &str = "/etc/kiln/kiln.yaml";

/// What the layer of the defaults is called.
pub(super) const DEFAULT_SOURCE: &str = "the default";

const DEFAULTS: &str = include_str!("defaults.yaml");
const LARGEST_FILE: u64 = 1 << 20;

/// Where settings come from; all of it is given by the caller.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The file that the command line names, if it does.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// The running program, beside which the spawner lies.
    pub executable: PathBuf,
}

/// One layer: its values and what it is called in messages.
struct Layer {
    name: String,
    dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

/// The layers, merged, and the defaults by themselves.
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) merged: Figment,
    pub(super) defaults: Dict,
}

pub(super) fn merge(sources: &Sources, faults: &mut Faults) -> Layers {
    let defaults = yaml(DEFAULTS).unwrap_or_else(|message| {
        faults.add("defaults.yaml", message);
        Dict::new()
    });
    let mut merged = Figment::from(Layer { name: DEFAULT_SOURCE.to_owned(), dict: defaults.clone() });
    if let Some(file) = file_layer(sources, faults) {
        merged = merged.merge(file);
    }
    for variable in variable_layers(&sources.environment, &defaults, faults) {
        merged = merged.merge(variable);
    }
    refuse_strangers(&merged, &defaults, faults);
    Layers { merged, defaults }
}

fn refuse_strangers(merged: &Figment, defaults: &Dict, faults: &mut Faults) {
    let whole: Dict = merged.extract().unwrap_or_default();
    for (key, what) in names::strangers(defaults, &whole) {
        let name = source_name(merged, &key);
        match what {
            Stranger::Unknown => faults.add(key, format!("unknown setting (from {name})")),
            Stranger::NoSection => {
                faults.add(key, format!("a section with settings is expected (from {name})"));
            }
        }
    }
}

/// What the layer that a key's value comes from is called.
pub(super) fn source_name(merged: &Figment, key: &str) -> String {
    merged.find_metadata(key).map_or_else(|| String::from("unknown"), |data| data.name.to_string())
}

fn file_layer(sources: &Sources, faults: &mut Faults) -> Option<Layer> {
    let path = chosen_file(sources)?;
    let name = format!("file {}", path.display());
    match read_bounded(&path).and_then(|text| yaml(&text)) {
        Ok(dict) => Some(Layer { name, dict }),
        Err(message) => {
            faults.add(name, message);
            None
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

/// `YamlExtended` reads by way of a tree, which refuses a key that is given twice.
fn yaml(text: &str) -> Result<Dict, String> {
    let empty = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(empty) {
        return Ok(Dict::new());
    }
    let value: Value = YamlExtended::from_str(text).map_err(|error| error.to_string())?;
    value.into_dict().ok_or_else(|| String::from("holds no settings: `name: value` is expected"))
}

fn variable_layers(environment: &BTreeMap<String, String>, defaults: &Dict, faults: &mut Faults) -> Vec<Layer> {
    let mut known = Vec::new();
    let mut layers = Vec::new();
    for key in names::keys(defaults) {
        for variable in names::variables(&key) {
            if let Some(text) = environment.get(&variable) {
                let dict = figment::util::nest(&key, Value::from(text.clone())).into_dict();
                let name = format!("variable {variable}");
                layers.push(Layer { name, dict: dict.unwrap_or_default() });
            }
            known.push(variable);
        }
    }
    for variable in environment.keys() {
        if names::is_ours(variable) && !known.contains(variable) {
            faults.add(format!("variable {variable}"), "unknown setting");
        }
    }
    layers
}
