//! What a configuration means beyond its types: what must not be served, what is not in force.
use crate::base::fault::Faults;
use crate::config::layers::{self, Layers, Sources};
use crate::config::{Config, Method, Warning, names};

/// A shorter key of HS256 can be guessed (RFC 7518 section 3.2).
const SHORTEST_JWT_SECRET: usize = 32;

/// Settings without effect until they are built; warned of when somebody sets them.
const NOT_IN_FORCE: [(&str, &str); 2] = [
    ("api.job.retention_days", "ended jobs are kept: retention is not built yet"),
    ("api.security.cors_origins", "no CORS header is sent: CORS is not built yet"),
];

pub(super) fn refusals(config: &Config) -> Faults {
    let mut faults = Faults::default();
    if config.api.tls.enabled {
        let message = "TLS is not built yet: set KILN_API_TLS_ENABLED=false and encrypt in front";
        faults.add("api.tls.enabled", message);
    }
    if config.api.auth.enabled {
        let message = "identity is not built yet, so nobody could be asked who they are: set \
                       KILN_API_AUTH_ENABLED=false on a loopback address (KILN_API_HOST=127.0.0.1)";
        faults.add("api.auth.enabled", message);
    }
    let auth = &config.api.auth;
    if auth.enabled && auth.methods.contains(&Method::Jwt) && !has_strong_secret(config) {
        let message = format!("method jwt needs a secret of at least {SHORTEST_JWT_SECRET} bytes");
        faults.add("api.auth.jwt_secret", message);
    }
    if open_to_others(config) && !config.api.auth.allow_unauthenticated_remote {
        let message = format!(
            "{} is reached by other hosts and api.auth.enabled is false: listen on 127.0.0.1, or \
             set api.auth.allow_unauthenticated_remote to true to let everybody run programs here",
            config.api.host
        );
        faults.add("api.host", message);
    }
    faults
}

fn open_to_others(config: &Config) -> bool {
    !config.api.auth.enabled && !config.api.host.is_loopback()
}

fn has_strong_secret(config: &Config) -> bool {
    let secret = config.api.auth.jwt_secret.as_ref();
    secret.is_some_and(|secret| secret.reveal().len() >= SHORTEST_JWT_SECRET)
}

pub(super) fn warnings(config: &Config, layers: &Layers) -> Vec<Warning> {
    let mut warnings = jwt_warnings(config);
    if open_to_others(config) && config.api.auth.allow_unauthenticated_remote {
        let message = "everybody who reaches this address is an administrator";
        warnings.push(warning("api.auth.allow_unauthenticated_remote", message));
    }
    if config.api.rate_limit.enabled {
        let message = "no rate limit is in force: rate limits are not built yet";
        warnings.push(warning("api.rate_limit.enabled", message));
    }
    for (key, message) in NOT_IN_FORCE {
        if layers::source_name(&layers.merged, key) != layers::DEFAULT_SOURCE {
            warnings.push(warning(key, message));
        }
    }
    warnings
}

fn jwt_warnings(config: &Config) -> Vec<Warning> {
    if config.api.auth.jwt_secret.is_none() || has_strong_secret(config) {
        return Vec::new();
    }
    let message = format!("HS256 is off: the secret has less than {SHORTEST_JWT_SECRET} bytes");
    vec![warning("api.auth.jwt_secret", &message)]
}

/// Keys that are set by two variables with different values.
pub(super) fn overridden(sources: &Sources, layers: &Layers) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for key in names::keys(&layers.defaults) {
        let variables = names::variables(&key);
        let given = |name: &&String| sources.environment.contains_key(*name);
        let Some(winner) = variables.iter().rfind(given) else { continue };
        for name in variables.iter().filter(given) {
            if sources.environment.get(name) != sources.environment.get(winner) {
                let message = format!("variable {name} has no effect: {winner} says otherwise");
                warnings.push(warning(&key, &message));
            }
        }
    }
    warnings
}

fn warning(key: &str, message: &str) -> Warning {
    Warning { key: key.to_owned(), message: message.to_owned() }
}
