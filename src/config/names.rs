//! Which keys there are, and which variables set them.
//!
//! The keys are those of `defaults.yaml`; the names of their variables follow from them.
use figment::value::{Dict, Value};

/// Variable that names the configuration file; it is not a key.
pub const FILE_VARIABLE: &str = "KILN_CONFIG";

const OUR_PREFIX: &str = "KILN_";
const ALIAS_PREFIX: &str = "FORGEAI_";
const CORS_ALIAS: (&str, &str) = ("CORS_ORIGINS", "api.security.cors_origins");

/// Paths of the leaves, dotted.
pub(super) fn keys(dict: &Dict) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in dict {
        match value.as_dict() {
            Some(inner) => found.extend(keys(inner).iter().map(|key| format!("{name}.{key}"))),
            None => found.push(name.clone()),
        }
    }
    found
}

/// The variables of a key, the one that wins last.
pub(super) fn variables(key: &str) -> Vec<String> {
    let name = key.replace('.', "_").to_ascii_uppercase();
    let mut names = Vec::new();
    if key == CORS_ALIAS.1 {
        names.push(CORS_ALIAS.0.to_owned());
    }
    if key.starts_with("api.") {
        names.push(format!("{ALIAS_PREFIX}{name}"));
    }
    names.push(format!("{OUR_PREFIX}{name}"));
    names
}

/// Whether a variable is meant for kiln, so that one nobody knows is a fault.
///
/// Kubernetes gives every pod variables that are named after services (`KILN_PORT_8080_TCP`,
/// `FORGEAI_API_SERVICE_HOST`): those are nobody's setting.
pub(super) fn is_ours(variable: &str) -> bool {
    let ours = variable.starts_with(OUR_PREFIX) || variable.starts_with("FORGEAI_API_");
    let link = variable.ends_with("_SERVICE_HOST")
        || variable.contains("_SERVICE_PORT")
        || variable.contains("_PORT_")
        || variable == "KILN_PORT";
    ours && !link && variable != FILE_VARIABLE
}

/// Paths that are in `dict` and not in `known`, and paths whose value is a
/// section on one side only.
pub(super) fn strangers(known: &Dict, dict: &Dict) -> Vec<(String, Stranger)> {
    let mut found = Vec::new();
    for (name, value) in dict {
        match (known.get(name), value) {
            (None, _) => found.push((name.clone(), Stranger::Unknown)),
            (Some(Value::Dict(_, known)), Value::Dict(_, inner)) => {
                let inner = strangers(known, inner);
                found.extend(inner.into_iter().map(|(key, what)| (format!("{name}.{key}"), what)));
            }
            (Some(Value::Dict(..)), _leaf) => found.push((name.clone(), Stranger::NoSection)),
            (Some(_leaf), _) => {}
        }
    }
    found
}

/// Why a path has no place in the configuration.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stranger {
    /// There is no such key.
    Unknown,
    /// The key has keys of its own, and this value none.
    NoSection,
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn names_of_variables_follow_from_the_key() {
        assert_eq!(variables("data_dir"), ["KILN_DATA_DIR"]);
        assert_eq!(variables("api.host"), ["FORGEAI_API_HOST", "KILN_API_HOST"]);
        assert_eq!(
            variables("api.security.cors_origins"),
            ["CORS_ORIGINS", "FORGEAI_API_SECURITY_CORS_ORIGINS", "KILN_API_SECURITY_CORS_ORIGINS"]
        );
    }

    #[test]
    fn other_variables_are_not_ours() {
        assert!(is_ours("KILN_API_PROT"));
        assert!(is_ours("FORGEAI_API_PROT"));
        assert!(!is_ours("PATH"));
        assert!(!is_ours("KILN_CONFIG"));
        assert!(!is_ours("FORGEAI_API_SERVICE_HOST"));
        assert!(!is_ours("KILN_PORT_8080_TCP_ADDR"));
    }
}
