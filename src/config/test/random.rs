//! Properties: nothing that is given makes the loading fail otherwise than by faults, and what is shown loads as the
//! same.
use proptest::collection::vec;
use proptest::prelude::*;

use crate::config::kind::Kind;
use crate::config::table;
use crate::config::test::load;
use crate::config::value::Value;
use crate::config::{Config, names, render};

/// Texts out of which files of settings are made, whole and broken.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "api",
        ":",
        " ",
        "\n",
        "  ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "port",
        "8080",
        "log",
        "tls",
        "enabled",
        "true",
        "~",
        "\"",
        "'",
        "#",
        "&a",
        "*a",
        "!!str",
        "|",
        ">",
        "? ",
        "---\n",
        "...\n",
        "\t",
        "\\",
        "%",
        "\u{feff}",
        "\0",
        "ü",
        "10MB",
        "job",
        "max_memory",
        "1.5",
        "-",
        "\r\n",
        "<<",
    ];
    prop::sample::select(words.to_vec()).prop_map(String::from)
}

fn values(config: &Config) -> Vec<Value> {
    let shown = |value: &Value| !matches!(value, Value::Secret(_));
    config.settings().iter().map(|setting| setting.value.clone()).filter(shown).collect()
}

/// Texts of all sorts, and some that mean something to YAML.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{1,40}", "\\PC{1,20}", "(null|true|5|0x5|~|:|- a|#b|a: b|a #b|\"|\\\\)"]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn a_file_of_anything_is_settings_or_faults(pieces in vec(piece(), 0..60)) {
        match load(&pieces.concat(), &[]) {
            Ok(config) => prop_assert_eq!(config.settings().len(), table::keys().count()),
            Err(faults) => prop_assert!(!faults.is_empty()),
        }
    }

    #[test]
    fn a_variable_of_anything_sets_its_key_or_is_a_fault_of_it(at in 0..table::keys().count(), text in any_text()) {
        let key = table::keys().nth(at).unwrap();
        let name = names::variable(key);
        match load("", &[(&name, &text)]) {
            Ok(_) => {}
            Err(faults) => {
                for fault in faults.as_slice() {
                    prop_assert_eq!(fault.key.as_deref(), Some(key.path));
                    let whole = fault.to_string();
                    let source = format!("(from variable {name})");
                    prop_assert!(whole.ends_with(&source), "{}", whole);
                }
            }
        }
    }

    #[test]
    fn what_is_shown_loads_as_the_same(texts in vec(any_text(), table::keys().count()), set in vec(any::<bool>(), 64)) {
        let mut variables = Vec::new();
        for ((key, text), set) in table::keys().zip(texts).zip(set) {
            let text = if matches!(key.kind, Kind::Path(_)) { format!("/{text}") } else { text };
            let name = names::variable(key);
            if set && load("", &[(&name, &text)]).is_ok() {
                variables.push((name, text));
            }
        }
        let variables: Vec<_> = variables.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let config = load("", &variables).unwrap();
        let shown = render::effective(config.settings());
        let again = load(&shown, &[]).unwrap();
        prop_assert_eq!(values(&config), values(&again), "{}", shown);
    }

    #[test]
    fn amounts_are_shown_as_they_are_read(seconds in 1_u64..3_600_000, milli in 10_u32..64_000, bytes in 1_u64..1 << 30) {
        let seconds = format!("{}.{:03}", seconds / 1000, seconds % 1000);
        let processors = format!("{}.{:03}", milli / 1000, milli % 1000);
        let bytes = bytes.to_string();
        let variables = [
            ("KILN_API_JOB_MAX_TIMEOUT", seconds.as_str()),
            ("KILN_API_JOB_MAX_CPUS", processors.as_str()),
            ("KILN_API_SECURITY_MAX_REQUEST_SIZE", bytes.as_str()),
        ];
        let config = load("", &variables).unwrap();
        let again = load(&render::effective(config.settings()), &[]).unwrap();
        prop_assert_eq!(values(&config), values(&again));
        prop_assert_eq!(config.policy().ceiling.milli_cpus, milli);
    }
}
