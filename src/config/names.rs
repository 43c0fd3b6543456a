//! The names by which a key is set outside of the file, and which variables are meant for kiln.
//!
//! All names follow from the rows of the table: `api.port` is `KILN_API_PORT`.
use crate::config::table::{self, Key};

/// Variable that names the configuration file; it is not a key.
pub const FILE_VARIABLE: &str = "KILN_CONFIG";

/// Variables of the commands that ask a daemon; they are no keys.
pub const CLIENT_VARIABLES: [&str; 2] = [SERVER_VARIABLE, TOKEN_VARIABLE];

/// Variable that names the daemon to ask.
pub const SERVER_VARIABLE: &str = "KILN_SERVER";

/// Variable that holds the credential for it.
pub const TOKEN_VARIABLE: &str = "KILN_TOKEN";

const OUR_PREFIX: &str = "KILN_";
const ALIAS_PREFIX: &str = "FORGEAI_";

/// The section whose keys have a second name (contract of the documented `FORGEAI_API_*`).
const SECTION_WITH_ALIASES: &str = "api.";

/// The variable of a key.
pub fn variable(key: &Key) -> String {
    format!("{OUR_PREFIX}{}", capitals(key.path))
}

/// Other variables that set the same key.
pub fn aliases(key: &Key) -> Vec<String> {
    let documented = key.path.starts_with(SECTION_WITH_ALIASES);
    let second = documented.then(|| format!("{ALIAS_PREFIX}{}", capitals(key.path)));
    second.into_iter().chain(key.aliases.iter().map(|name| (*name).to_owned())).collect()
}

/// All variables of a key, its own first.
pub fn variables(key: &Key) -> Vec<String> {
    std::iter::once(variable(key)).chain(aliases(key)).collect()
}

fn capitals(path: &str) -> String {
    path.replace('.', "_").to_ascii_uppercase()
}

/// Whether a variable is meant for kiln, so that one nobody knows is a fault.
pub(super) fn is_ours(variable: &str, value: &str) -> bool {
    let ours = variable.starts_with(OUR_PREFIX) || variable.starts_with("FORGEAI_API_");
    let is_key = variable != FILE_VARIABLE && !CLIENT_VARIABLES.contains(&variable);
    ours && is_key && !is_service_link(variable, value)
}

/// Kubernetes gives every pod variables that are named after services: `KILN_SERVICE_HOST`,
/// `KILN_PORT_8080_TCP_ADDR`, and for a service `forgeai-api` even `FORGEAI_API_PORT=tcp://10.0.0.7:80`.
/// Those are nobody's setting.
pub(super) fn is_service_link(variable: &str, value: &str) -> bool {
    let address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    variable.ends_with("_SERVICE_HOST")
        || variable.contains("_SERVICE_PORT")
        || variable.contains("_PORT_")
        || (variable.ends_with("_PORT") && address)
}

/// The path that somebody may have meant.
pub(super) fn near_path(path: &str) -> Option<&'static str> {
    let sections = table::SECTIONS.iter().map(|section| section.path);
    let known = table::keys().map(|key| key.path).chain(sections);
    let (parent, name) = split(path);
    let scored = known.map(|known| {
        let (known_parent, known_name) = split(known);
        let elsewhere = usize::from(parent != known_parent);
        let part = name.len() >= 4 && known_name.contains(name);
        let distance = strsim::osa_distance(name, known_name);
        (if part { distance.min(2) } else { distance } + elsewhere, distance, known)
    });
    let (score, _, known) = scored.min_by_key(|(score, distance, _)| (*score, *distance))?;
    (score <= 1 + name.len() / 4).then_some(known)
}

/// The variable that somebody may have meant.
pub(super) fn near_variable(variable: &str) -> Option<String> {
    let known: Vec<_> = table::keys().flat_map(variables).collect();
    let name = variable.split_once('_').map_or(variable, |(_, name)| name);
    let mut ends = known.iter().filter(|known| known.starts_with(OUR_PREFIX) && known.ends_with(&format!("_{name}")));
    if let (Some(only), None) = (ends.next(), ends.next()) {
        return Some(only.clone());
    }
    let scored = known.into_iter().map(|known| (strsim::osa_distance(variable, &known), known));
    let (distance, known) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + variable.len() / 8).then_some(known)
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

#[cfg(test)]
mod test {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn names_of_variables_follow_from_the_key() {
        let names = |path| variables(table::key(path).unwrap());
        assert_eq!(names("data_dir"), ["KILN_DATA_DIR"]);
        assert_eq!(names("api.host"), ["KILN_API_HOST", "FORGEAI_API_HOST"]);
        assert_eq!(
            names("api.security.cors_origins"),
            ["KILN_API_SECURITY_CORS_ORIGINS", "FORGEAI_API_SECURITY_CORS_ORIGINS", "CORS_ORIGINS"]
        );
    }

    #[test]
    fn no_two_keys_share_a_variable() {
        let mut owners = BTreeMap::new();
        for key in table::keys() {
            for variable in variables(key) {
                assert!(!is_service_link(&variable, "1"), "{variable}");
                assert_eq!(owners.insert(variable, key.path), None, "{}", key.path);
            }
        }
    }

    #[test]
    fn other_variables_are_not_ours() {
        assert!(is_ours("KILN_API_PROT", "1"));
        assert!(is_ours("FORGEAI_API_PROT", "1"));
        assert!(is_ours("KILN_PORT", "8080"));
        for name in
            ["PATH", "KILN_CONFIG", "KILN_SERVER", "KILN_TOKEN", "FORGEAI_API_SERVICE_HOST", "KILN_PORT_8080_TCP_ADDR"]
        {
            assert!(!is_ours(name, "1"), "{name}");
        }
        assert!(!is_ours("KILN_PORT", "tcp://10.0.0.7:80"));
    }

    #[test]
    fn a_near_name_is_found_and_a_far_one_is_not() {
        assert_eq!(near_path("api.prot"), Some("api.port"));
        assert_eq!(near_path("port"), Some("api.port"));
        assert_eq!(near_path("api.max_timout"), Some("api.job.max_timeout"));
        assert_eq!(near_path("api.job.timeout"), Some("api.job.max_timeout"));
        assert_eq!(near_path("api.rate_limits"), Some("api.rate_limit"));
        assert_eq!(near_path("api.auth.jwt_secert"), Some("api.auth.jwt_secret"));
        assert_eq!(near_path("colour"), None);
        assert_eq!(near_variable("KILN_API_PROT").as_deref(), Some("KILN_API_PORT"));
        assert_eq!(near_variable("KILN_PORT").as_deref(), Some("KILN_API_PORT"));
        assert_eq!(near_variable("KILN_MAX_MEMORY").as_deref(), Some("KILN_API_JOB_MAX_MEMORY"));
        assert_eq!(near_variable("FORGEAI_API_HOTS").as_deref(), Some("FORGEAI_API_HOST"));
        assert_eq!(near_variable("KILN_NOTHING"), None);
    }
}
