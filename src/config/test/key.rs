//! Every key of the table: by file, by variable, by alias, by flag; absent, of a wrong type, out of range.
use std::collections::BTreeSet;

use crate::config::kind::{Hosts, Kind, Presence};
use crate::config::table::{self, Force, Key, Warned};
use crate::config::test::{load, load_flags, only};
use crate::config::value::Value;
use crate::config::{Config, layers, names};

/// A value that is not the default, as YAML and as a variable has it.
fn another(key: &Key) -> (String, String) {
    let same = |text: &str| (text.to_owned(), text.to_owned());
    match key.kind {
        Kind::Switch => same(if key.default == "true" { "false" } else { "true" }),
        Kind::Count { most, .. } => same(&most.to_string()),
        Kind::Seconds { .. } => same("1.5"),
        Kind::Mebibytes { most, .. } => same(&most.to_string()),
        Kind::Processors { .. } => same("0.25"),
        Kind::Bytes { .. } => same("64KiB"),
        Kind::Address => ("\"::1\"".to_owned(), "::1".to_owned()),
        Kind::Text => same("other"),
        Kind::Filter => same("debug"),
        Kind::Choice(words) => same(words[1]),
        Kind::Choices(words) => (format!("[{}, {}]", words[1], words[2]), format!("{},{}", words[1], words[2])),
        Kind::Words => ("[\"https://a.example\", b]".to_owned(), "https://a.example, b".to_owned()),
        Kind::Path(_) => same("/another/path"),
        Kind::Secret => same("a text of more than thirty-two bytes"),
        Kind::Prefix(Presence::Required) => same("10.9.0.0/20"),
        Kind::Prefix(Presence::Optional) => ("\"fd09::/64\"".to_owned(), "fd09::/64".to_owned()),
        Kind::Hosts(Hosts::Addresses) => ("[9.9.9.9, \"2001:db8::53\"]".to_owned(), "9.9.9.9,2001:db8::53".to_owned()),
        Kind::Hosts(Hosts::Prefixes) => ("[192.0.2.0/24, 192.0.2.7]".to_owned(), "192.0.2.0/24, 192.0.2.7".to_owned()),
        Kind::Hosts(Hosts::Destinations) => {
            ("[192.168.7.0/24, \"[fd08::1]:443\"]".to_owned(), "192.168.7.0/24,[fd08::1]:443".to_owned())
        }
    }
}

/// Values as YAML that are of the wrong type or out of range.
fn wrong(kind: Kind) -> Vec<String> {
    let mut texts = vec![String::from("{ a: 1 }")];
    let mut more = |list: &[&str]| texts.extend(list.iter().map(|text| String::from(*text)));
    if !matches!(kind, Kind::Secret | Kind::Path(Presence::Optional) | Kind::Prefix(Presence::Optional)) {
        more(&["~", "\"\""]);
    }
    if !matches!(kind, Kind::Switch) {
        more(&["true"]);
    }
    match kind {
        Kind::Switch => more(&["1", "yes", "\"true\"", "[true]"]),
        Kind::Count { .. } | Kind::Mebibytes { .. } => {
            more(&["\"1\"", "1.5", "-1", "1e3", "0x10", "007", "some", "[1]"]);
        }
        Kind::Seconds { .. } | Kind::Processors { .. } => {
            more(&["\"1\"", "0", "-1", ".inf", ".nan", "1s", "1e99", "[1]"]);
        }
        Kind::Bytes { .. } => more(&["0", "-1", "1.5MB", "10 apples", "0MB", "99999999999999999999", "[1]"]),
        Kind::Address => more(&["5", "example.org", "127.0.0.1:80", "300.0.0.1", "[127.0.0.1]"]),
        Kind::Text | Kind::Secret => more(&["5", "1.5", "[a]", "\"a\\0b\""]),
        Kind::Filter => more(&["5", "\"kiln=loud\"", "[info]"]),
        Kind::Choice(_) => more(&["5", "neither", "[json]"]),
        Kind::Choices(_) => more(&["5", "neither", "[]", "[jwt, neither]", "[[jwt]]"]),
        Kind::Words => more(&["5", "[5]", "[\"\"]", "[[a]]"]),
        Kind::Path(_) => more(&["5", "here", "./here", "[/a]"]),
        Kind::Prefix(_) => more(&["5", "10.0.0.1/8", "10.0.0.0/33", "fd00::/129", "[10.0.0.0/8]"]),
        Kind::Hosts(_) => more(&["5", "[5]", "[\"\"]", "neither", "[10.0.0.1/8]", "[\"[fd00::1]\"]", "[10.0.0.1:0]"]),
    }
    texts.extend(out_of_range(kind));
    texts
}

fn out_of_range(kind: Kind) -> Vec<String> {
    let around = |least: u64, most: u64| {
        let below = least.checked_sub(1).map(|number| number.to_string());
        below.into_iter().chain([(most + 1).to_string()]).collect()
    };
    match kind {
        Kind::Count { least, most, .. } => around(least.into(), most.into()),
        Kind::Mebibytes { least, most } | Kind::Bytes { least, most } => around(least, most),
        Kind::Seconds { most } => vec![String::from("0.0009"), (u64::from(most) + 1).to_string()],
        Kind::Processors { least, most } => vec![
            (f64::from(least - 1) / 1000.0).to_string(),
            (f64::from(most + 1) / 1000.0).to_string(),
            String::from("1.0005"),
        ],
        Kind::Switch
        | Kind::Address
        | Kind::Text
        | Kind::Filter
        | Kind::Choice(_)
        | Kind::Choices(_)
        | Kind::Words
        | Kind::Path(_)
        | Kind::Prefix(_)
        | Kind::Hosts(_)
        | Kind::Secret => Vec::new(),
    }
}

/// A file with one key.
fn file(key: &Key, value: &str) -> String {
    let mut text = value.to_owned();
    for name in key.path.rsplit('.') {
        text = format!("{{ {name}: {text} }}");
    }
    text
}

fn value(config: &Config, key: &Key) -> (Value, String) {
    let setting = config.settings().iter().find(|setting| setting.key == key).unwrap();
    (setting.value.clone(), setting.place.to_string())
}

#[test]
fn every_key_can_be_absent_and_has_its_default() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.settings().len(), table::keys().count());
    for key in table::keys() {
        let default = layers::typed(key.kind, key.default).unwrap();
        assert_eq!(value(&config, key), (default, String::from("default")), "{}", key.path);
    }
}

#[test]
fn every_key_is_set_by_file_variable_alias_and_flag() {
    for key in table::keys() {
        let (yaml, text) = another(key);
        let expected = layers::typed(key.kind, &yaml).unwrap();
        assert_ne!(expected, layers::typed(key.kind, key.default).unwrap(), "{}", key.path);
        let (found, place) = value(&load(&file(key, &yaml), &[]).unwrap(), key);
        assert_eq!(found, expected, "{}", key.path);
        assert!(place.contains("line 1, column "), "{place}");
        for name in names::variables(key) {
            let found = value(&load("", &[(&name, &text)]).unwrap(), key);
            assert_eq!(found, (expected.clone(), format!("variable {name}")));
        }
        if key.kind != Kind::Secret {
            let found = value(&load_flags(&[&format!("{}={text}", key.path)], &[]).unwrap(), key);
            assert_eq!(found, (expected, String::from("flag --set")));
        }
    }
}

#[test]
fn every_key_refuses_wrong_types_and_what_is_out_of_range_in_the_file() {
    for key in table::keys() {
        for text in wrong(key.kind) {
            let loaded = load(&file(key, &text), &[]);
            assert!(loaded.is_err(), "{}: {text} is taken", key.path);
            let fault = only(loaded);
            assert_eq!(fault.key.as_deref(), Some(key.path));
            assert!(fault.message.contains(" is expected, not "), "{fault}");
            assert!(fault.place.to_string().contains("line 1, column "), "{fault}");
        }
    }
}

#[test]
fn every_key_refuses_wrong_types_and_what_is_out_of_range_in_a_variable_and_names_it() {
    for key in table::keys() {
        let takes_any_text = matches!(key.kind, Kind::Text | Kind::Filter | Kind::Words | Kind::Secret);
        let wrong_type = if takes_any_text { "a\u{fffd}" } else { "neither" };
        for name in names::variables(key) {
            for text in out_of_range(key.kind).into_iter().chain([wrong_type.to_owned()]) {
                let fault = only(load("", &[(&name, &text)]));
                assert_eq!(fault.key.as_deref(), Some(key.path));
                assert!(fault.to_string().ends_with(&format!("(from variable {name})")), "{fault}");
            }
        }
    }
}

#[test]
fn every_ceiling_and_floor_of_a_range_is_taken() {
    for key in table::keys() {
        let ends = match key.kind {
            Kind::Count { least, most, .. } => vec![least.to_string(), most.to_string()],
            Kind::Mebibytes { least, most } | Kind::Bytes { least, most } => vec![least.to_string(), most.to_string()],
            Kind::Seconds { most } => vec![String::from("0.001"), most.to_string()],
            Kind::Processors { least, most } => {
                [least, most].map(|number| (f64::from(number) / 1000.0).to_string()).to_vec()
            }
            Kind::Switch
            | Kind::Address
            | Kind::Text
            | Kind::Filter
            | Kind::Choice(_)
            | Kind::Choices(_)
            | Kind::Words
            | Kind::Path(_)
            | Kind::Prefix(_)
            | Kind::Hosts(_)
            | Kind::Secret => Vec::new(),
        };
        for end in ends {
            assert!(load(&file(key, &end), &[]).is_ok(), "{}: {end}", key.path);
        }
    }
}

#[test]
fn what_is_not_in_force_is_refused_or_warned_of() {
    for key in table::keys() {
        let (yaml, _) = another(key);
        let config = load(&file(key, &yaml), &[]).unwrap();
        let warned = config.warnings().iter().any(|warning| warning.key == key.path);
        let refused = config.refusals().as_slice().iter().any(|fault| fault.key.as_deref() == Some(key.path));
        match key.force {
            Force::NotYet { warned: Warned::WhenSet, .. } => assert!(warned && !refused, "{}", key.path),
            Force::NotYet { warned: Warned::Unless(value), .. } => assert_eq!(warned, value != yaml, "{}", key.path),
            Force::Only { value, .. } => assert_eq!(refused, value != yaml, "{}", key.path),
            Force::With(other) => {
                let force = table::key(other).unwrap().force;
                assert!(matches!(force, Force::Full | Force::NotYet { .. } | Force::Only { .. }), "{}", key.path);
            }
            Force::Full => {}
        }
    }
}

#[test]
fn the_table_is_sound() {
    let mut paths = BTreeSet::new();
    for key in table::keys() {
        assert!(paths.insert(key.path), "{} is there twice", key.path);
        assert!(key.describes.ends_with('.') && !key.describes.contains('\n'), "{}", key.path);
        let parent = key.path.rsplit_once('.').map(|(parent, _)| parent);
        let section = |parent| table::SECTIONS.iter().any(|section| section.path == parent);
        assert!(parent.is_none_or(section), "{} has no section", key.path);
        assert!(table::SECTIONS.iter().all(|section| section.path != key.path));
        if let Force::NotYet { warned: Warned::Unless(value), .. } | Force::Only { value, .. } = key.force {
            assert!(layers::typed(key.kind, value).is_ok(), "{}", key.path);
        }
    }
    let parents: Vec<_> = table::keys().map(|key| key.path.rsplit_once('.').map_or("", |(parent, _)| parent)).collect();
    let mut runs = parents.clone();
    runs.dedup();
    let distinct: BTreeSet<_> = parents.iter().collect();
    assert_eq!(runs.len(), distinct.len(), "the keys of a section do not stand together");
}
