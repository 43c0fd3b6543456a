//! The name servers of jobs, where the operator names none: those of this host (resolv.conf(5)).
//!
//! A job has a loopback interface of its own, so that a server on the host's is none for it. Where only such a one is
//! named, as by systemd-resolved, the servers behind it are (`systemd-resolved.service(8)`, /run/systemd/resolve).
use std::fs;
use std::net::IpAddr;

use crate::daemon::DaemonError;
use crate::plan::network::{NAME_SERVERS, NEVER, Policy};
use crate::plan::prefix::Prefix;

/// Where they are named, the one that counts first.
const PLACES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// The policy with name servers.
///
/// # Errors
/// When there is none that a job could ask.
pub(super) fn complete(mut policy: Policy) -> Result<Policy, DaemonError> {
    if policy.dns.is_empty() {
        let texts = PLACES.iter().filter_map(|place| fs::read_to_string(place).ok());
        policy.dns = texts.map(|text| usable(&text, &policy)).find(|servers| !servers.is_empty()).unwrap_or_default();
    }
    if policy.dns.is_empty() {
        let places = PLACES.join(" and ");
        let message = format!("network.dns: {places} name no server that a job could ask: name one here");
        return Err(DaemonError::Configuration { message });
    }
    Ok(policy)
}

fn usable(text: &str, policy: &Policy) -> Vec<IpAddr> {
    let lines = text.lines().map(str::split_whitespace);
    let servers = lines.filter_map(|mut words| match (words.next(), words.next()) {
        (Some("nameserver"), Some(address)) => address.parse::<IpAddr>().ok(),
        _ => None,
    });
    let can_be_asked = |server: &IpAddr| {
        let whole = Prefix::whole(*server);
        !NEVER.iter().any(|never| never.contains(whole)) && (server.is_ipv4() || policy.subnet6.is_some())
    };
    servers.filter(can_be_asked).take(NAME_SERVERS).collect()
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::plan::network::test::policy;

    #[track_caller]
    fn check(text: &str, policy: &Policy, expected: &[&str]) {
        let found: Vec<String> = usable(text, policy).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_server_on_a_loopback_interface_is_none_for_a_job() {
        check("nameserver 127.0.0.53\noptions edns0\n", &policy(), &[]);
        check("nameserver ::1\nnameserver fe80::1%eth0\nnameserver 10.1.1.1\n", &policy(), &["10.1.1.1"]);
    }

    #[test]
    fn as_many_are_asked_as_a_resolver_asks() {
        let text = "# nameserver 9.9.9.9\nnameserver 1.1.1.1\nsearch a\nnameserver 2001:db8::1\n\
                    nameserver 1.1.1.2\nnameserver 1.1.1.3\n";
        check(text, &policy(), &["1.1.1.1", "2001:db8::1", "1.1.1.2"]);
        check(text, &Policy { subnet6: None, ..policy() }, &["1.1.1.1", "1.1.1.2", "1.1.1.3"]);
    }

    #[test]
    fn what_the_operator_names_stays() {
        let named = policy();
        assert_eq!(complete(named.clone()).unwrap(), named);
    }
}
