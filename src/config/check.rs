//! What a configuration means beyond its types: what must not be served, what is not in force.
use crate::config::fault::{ConfigFaults, Place};
use crate::config::layers::{self, Setting};
use crate::config::table::{Force, Warned};
use crate::config::{Config, Method, Network, Warning};
use crate::plan::network::PolicyFault;

/// A shorter key of HS256 can be guessed (RFC 7518 section 3.2).
const SHORTEST_JWT_SECRET: usize = 32;

pub(super) fn refusals(config: &Config) -> ConfigFaults {
    let mut faults = ConfigFaults::default();
    for setting in &config.settings {
        if let Force::Only { value, why } = setting.key.force
            && !is(setting, value)
        {
            faults.add(setting.key.path, why, &setting.place);
        }
    }
    let auth = &config.api.auth;
    if auth.enabled && auth.methods.contains(&Method::Jwt) && !has_strong_secret(config) {
        let message = format!("method jwt needs a secret of at least {SHORTEST_JWT_SECRET} bytes");
        faults.add("api.auth.jwt_secret", message, &place(config, "api.auth.jwt_secret"));
    }
    if open_to_others(config) && !config.api.auth.allow_unauthenticated_remote {
        let message = format!(
            "{} is reached by other hosts and api.auth.enabled is false: listen on 127.0.0.1, or \
             set api.auth.allow_unauthenticated_remote to true to let everybody run programs here",
            config.api.host
        );
        faults.add("api.host", message, &place(config, "api.host"));
    }
    for fault in network_faults(config) {
        faults.add(fault.key, fault.message, &place(config, fault.key));
    }
    faults
}

/// What nobody asks for is not looked at. Name servers that are not given are found later.
fn network_faults(config: &Config) -> Vec<PolicyFault> {
    let Network { egress, policy } = &config.network;
    let faults = if *egress { policy.faults() } else { Vec::new() };
    let found_later = |fault: &PolicyFault| fault.key == "network.dns" && policy.dns.is_empty();
    faults.into_iter().filter(|fault| !found_later(fault)).collect()
}

/// Whether a setting has a value that is written in the table.
fn is(setting: &Setting, value: &str) -> bool {
    layers::typed(setting.key.kind, value).is_ok_and(|value| value == setting.value)
}

fn place(config: &Config, path: &str) -> Place {
    let found = config.settings.iter().find(|setting| setting.key.path == path);
    found.map_or(Place::Default, |setting| setting.place.clone())
}

fn open_to_others(config: &Config) -> bool {
    !config.api.auth.enabled && !config.api.host.is_loopback()
}

fn has_strong_secret(config: &Config) -> bool {
    let secret = config.api.auth.jwt_secret.as_ref();
    secret.is_some_and(|secret| secret.reveal().len() >= SHORTEST_JWT_SECRET)
}

pub(super) fn warnings(config: &Config) -> Vec<Warning> {
    let mut warnings = jwt_warnings(config);
    if open_to_others(config) && config.api.auth.allow_unauthenticated_remote {
        let message = "everybody who reaches this address is an administrator";
        warnings.push(warning("api.auth.allow_unauthenticated_remote", message));
    }
    for setting in &config.settings {
        if let Force::NotYet { holds, warned } = setting.key.force
            && is_due(setting, warned)
        {
            warnings.push(warning(setting.key.path, holds));
        }
    }
    warnings
}

fn is_due(setting: &Setting, warned: Warned) -> bool {
    match warned {
        Warned::WhenSet => setting.place != Place::Default,
        Warned::Unless(value) => !is(setting, value),
    }
}

fn jwt_warnings(config: &Config) -> Vec<Warning> {
    if config.api.auth.jwt_secret.is_none() || has_strong_secret(config) {
        return Vec::new();
    }
    let message = format!("HS256 is off: the secret has less than {SHORTEST_JWT_SECRET} bytes");
    vec![warning("api.auth.jwt_secret", &message)]
}

fn warning(key: &str, message: &str) -> Warning {
    Warning { key: key.to_owned(), message: message.to_owned() }
}
