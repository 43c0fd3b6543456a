//! Settings and languages, as an operator writes them: whatever a text is, it is settings or faults, and what is shown of
//! settings loads as the same.
use std::collections::BTreeMap;

use kiln::base::size::ByteSize;
use kiln::config::layers::Sources;
use kiln::config::value::Value;
use kiln::config::{Config, names, render, table};
use kiln::lang::{Languages, Room, Sources as Files};
use libfuzzer_sys::arbitrary::{Result, Unstructured};

use crate::{memory, scratch};

/// What a text of so many bytes may need.
fn bound(bytes: usize) -> usize {
    2048 * bytes + (4 << 20)
}

/// The settings that nobody set.
pub(crate) fn defaults() -> Config {
    Config::load(&sources("")).expect("the defaults load")
}

fn sources(text: &str) -> Sources {
    let file = Some(scratch::file("kiln.yaml", text.as_bytes()));
    Sources { file, executable: "/opt/bin/kiln".into(), ..Sources::default() }
}

/// The YAML file.
pub(crate) fn file(bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => loaded(&sources(text), bytes.len()),
        Err(_) => {
            let mut sources = sources("");
            sources.file = Some(scratch::file("kiln.yaml", bytes));
            assert!(Config::load(&sources).is_err(), "a file that is not UTF-8");
        }
    }
}

/// All layers: a file, variables and arguments.
pub(crate) fn layers(bytes: &[u8]) {
    let mut from = Unstructured::new(bytes);
    let Ok((variables, flags)) = given(&mut from) else { return };
    let text = std::str::from_utf8(from.take_rest()).unwrap_or_default();
    loaded(&Sources { flags, environment: variables, ..sources(text) }, bytes.len());
}

fn given(from: &mut Unstructured<'_>) -> Result<(BTreeMap<String, String>, Vec<String>)> {
    let keys: Vec<_> = table::keys().collect();
    let (mut variables, mut flags) = (BTreeMap::new(), Vec::new());
    for _ in 0..from.int_in_range(0..=4)? {
        let key = *from.choose(&keys)?;
        let text: String = from.arbitrary()?;
        match from.int_in_range(0..=3)? {
            0 => drop(variables.insert(names::variable(key), text)),
            1 => flags.push(format!("{}={text}", key.path)),
            2 => drop(variables.insert(from.arbitrary()?, text)),
            _ => flags.push(text),
        }
    }
    Ok((variables, flags))
}

fn loaded(sources: &Sources, bytes: usize) {
    match memory::within(bound(bytes), || Config::load(sources)) {
        Err(faults) => {
            assert!(!faults.is_empty());
            assert!(!faults.to_string().is_empty());
        }
        Ok(config) => {
            assert_eq!(config.settings().len(), table::keys().count());
            drop(config.refusals().to_string());
            let shown = render::effective(config.settings());
            let again = Config::load(&self::sources(&shown)).unwrap_or_else(|faults| panic!("{faults}\n{shown}"));
            assert_eq!(values(&config), values(&again), "{shown}");
        }
    }
}

/// Without those that are not shown.
fn values(config: &Config) -> Vec<Value> {
    let shown = |value: &Value| !matches!(value, Value::Secret(_));
    config.settings().iter().map(|setting| setting.value.clone()).filter(shown).collect()
}

/// A table of languages: each is found by its names, and its commands can be made for whatever files.
pub(crate) fn languages(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let languages = match memory::within(bound(bytes.len()), || Languages::parse(text)) {
        Ok(languages) => languages,
        Err(faults) => return assert!(!faults.is_empty()),
    };
    let files = Files { entrypoint: String::from("a/b.c"), files: vec![String::from("a/b.c"), String::from("{file}")] };
    let room = Room { memory: ByteSize::mib(64), milli_cpus: 1500 };
    for language in languages.iter() {
        for name in std::iter::once(&language.id).chain(&language.aliases) {
            assert_eq!(languages.find(name), Some(language), "a name of two languages");
        }
        for language in language.at_each_place() {
            let run = language.run_command(&files, &[String::from("arg")], room);
            assert_eq!(run.last().map(String::as_str), Some("arg"));
            assert!(run.len() > 1, "a command without a program");
            let compile = language.compile_command(&files, room);
            assert_eq!(compile.is_some(), language.reserved().is_some());
            drop((language.compile_environment(room), language.run_environment(room), language.tools()));
        }
    }
}

pub(crate) fn file_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "api:\n  host: \"0.0.0.0\"\n  port: 8080\n  tls:\n    enabled: false\n  job:\n    max_timeout: 300\n",
        "api: {security: {cors_origins: [\"*\"], max_request_size: \"10MB\"}, auth: {method: api_key}}\n",
        "# nothing\n---\nlog:\n  format: json\n...\n",
        "api:\n  auth:\n    jwt_secret: |\n      a\n      b\n  port: 1\n  port: 2\n",
        "a: &x 1\nb: *x\n",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub(crate) fn layers_seeds() -> Vec<Vec<u8>> {
    let mut seeds = file_seeds();
    seeds.extend([vec![2; 40], b"\x01\x04\x038080\x00\x00api:\n  port: 1\n".to_vec()]);
    seeds
}

pub(crate) fn languages_seeds() -> Vec<Vec<u8>> {
    let embedded = include_str!("../../../rootfs/host/languages.toml");
    let mut starts: Vec<_> = embedded.match_indices("[[language]]").map(|(at, _)| at).collect();
    starts.push(embedded.len());
    starts.windows(2).map(|ends| embedded.as_bytes()[ends[0]..ends[1]].to_vec()).collect()
}
