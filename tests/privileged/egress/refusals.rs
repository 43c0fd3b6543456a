//! Where there is no network for jobs: requests that ask for it, and starts that cannot give it.
use std::io::Read as _;

use super::world::{SETTINGS, networked, on_a_host, run};
use crate::harness::{data_directory, serve, shared};

#[test]
fn where_it_is_switched_off_a_request_for_it_is_forbidden_by_name() {
    let daemon = shared();
    let answer = daemon.post(&networked("print('never')"));
    let error = &answer.body["error"];
    assert_eq!((answer.status, error["code"].as_str()), (403, Some("FORBIDDEN")), "{:#}", answer.body);
    assert!(error["message"].as_str().unwrap().contains("network.egress"), "{error:#}");
    assert_eq!(error["details"][0]["field"], "network_access");
    assert_eq!(daemon.get("/v1/capabilities").body["features"]["network_access"], false);
}

/// How `kiln serve` ends that cannot start: its exit code, and its last words.
fn start(program: &str, settings: &[(&str, &str)]) -> (Option<i32>, String) {
    let data = data_directory();
    let mut command = serve(data.path(), settings);
    if !program.is_empty() {
        command = wrapped(program, &command);
    }
    let mut child = command.spawn().unwrap();
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    (child.wait().unwrap().code(), text)
}

/// The command after a line of shell, in a mount namespace of its own.
#[expect(clippy::disallowed_methods, reason = "unshare(1) makes the host that lacks something")]
fn wrapped(line: &str, inner: &std::process::Command) -> std::process::Command {
    let mut command = std::process::Command::new("/usr/bin/unshare");
    command.args(["--mount", "/bin/sh", "-c", &format!("{line} && exec \"$0\" \"$@\"")]);
    command.arg(inner.get_program()).args(inner.get_args()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    command
}

fn nothing_is_left() {
    assert!(!run("ip -o link show").contains("kiln-"));
    assert_eq!(run("nft list tables"), "");
}

#[test]
fn a_subnet_that_the_host_uses_is_refused_by_name() {
    on_a_host(|_| {
        run("ip link add other0 type veth peer name other1");
        run("ip addr add 10.213.128.9/28 dev other0");
        run("ip link set other0 up");
        let (code, text) = start("", &SETTINGS);
        assert_eq!(code, Some(69), "{text}");
        assert!(
            text.contains("network.subnet: 10.213.128.0/24 is in use") && text.contains("10.213.128.0/28"),
            "{text}"
        );
        nothing_is_left();
    });
}

#[test]
fn without_nft_the_start_says_what_to_install() {
    on_a_host(|_| {
        let (code, text) = start("mount -t tmpfs none /usr/sbin", &SETTINGS);
        assert_eq!(code, Some(69), "{text}");
        assert!(text.contains("/usr/sbin/nft is not there") && text.contains("install nftables"), "{text}");
        nothing_is_left();
    });
}

/// The rules are in force as a whole, or nothing is.
#[test]
fn rules_that_cannot_be_put_in_force_are_a_reason_not_to_start() {
    on_a_host(|_| {
        let (code, text) = start("mount --bind /bin/false /usr/sbin/nft", &SETTINGS);
        assert_eq!(code, Some(69), "{text}");
        assert!(text.contains("network.egress: /usr/sbin/nft refuses the rules"), "{text}");
        assert!(!run("ip -o link show").contains("kiln-"));
    });
}

#[test]
fn every_setting_that_cannot_be_is_named_at_once() {
    let settings = [
        ("KILN_NETWORK_EGRESS", "true"),
        ("KILN_NETWORK_SUBNET", "203.0.113.0/24"),
        ("KILN_NETWORK_SUBNET6", "2001:db8::/64"),
        ("KILN_NETWORK_DNS", "127.0.0.53"),
        ("KILN_NETWORK_ALLOW", "169.254.169.254"),
    ];
    let (code, text) = start("", &settings);
    assert_eq!(code, Some(78), "{text}");
    for key in ["network.subnet:", "network.subnet6:", "network.dns:", "network.allow:"] {
        assert!(text.contains(key), "{key} in {text}");
    }
}
