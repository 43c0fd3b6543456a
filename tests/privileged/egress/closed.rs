//! What no job reaches, and that it is told so at once.
use std::net::{TcpListener, TcpStream};

use serde_json::json;

use super::first_line;
use super::world::{SETTINGS, attempt, attempts, networked, on_a_host, on_the_shared_host, run};
use crate::harness::{Daemon, printed, seconds, until, with};

#[track_caller]
fn assert_refused(daemon: &Daemon, places: &[(&str, u16)]) {
    let found = attempts(&daemon.execute(&attempt(places)));
    assert_eq!(found.len(), places.len(), "{found:?}");
    // A reset. Silence would be a time-out.
    assert!(found.iter().all(|(_, outcome)| outcome == "ECONNREFUSED"), "{found:?}");
}

#[test]
fn private_and_link_local_networks_and_metadata_are_refused_at_once() {
    on_the_shared_host(|daemon, _| {
        let closed = [
            ("169.254.169.254", 80),
            ("10.99.0.5", 80),
            ("172.20.1.1", 80),
            ("192.168.55.5", 80),
            ("100.64.9.9", 80),
            ("198.18.0.9", 80),
            ("fd00:99::5", 80),
            ("64:ff9b::a63:5", 80),
        ];
        assert_refused(daemon, &closed);
    });
}

/// As a firewall does that is loaded anew.
#[test]
fn rules_that_somebody_took_away_are_put_back() {
    on_a_host(|_| {
        let daemon = Daemon::start(&SETTINGS);
        let table = format!("table inet kiln-{}", daemon.instance());
        for _ in 0..3 {
            run("nft flush ruleset");
            until(seconds(30), "the table is there again", || run("nft list tables").contains(&table).then_some(()));
        }
        assert_refused(&daemon, &[("10.99.0.5", 80), ("169.254.169.254", 80), ("203.0.113.1", 80)]);
        assert_eq!(attempts(&daemon.execute(&attempt(&[("198.51.100.10", 80)])))[0].1, "OK");
    });
}

#[test]
fn ports_of_mail_are_refused() {
    on_the_shared_host(|daemon, _| {
        assert_refused(daemon, &[("198.51.100.10", 25), ("198.51.100.10", 465), ("2001:db8:2::10", 587)]);
    });
}

#[test]
fn nothing_of_the_host_is_reached_by_any_of_its_addresses() {
    on_the_shared_host(|daemon, _| {
        let listener = TcpListener::bind("[::]:7777").unwrap();
        let port = listener.local_addr().unwrap().port();
        let places = [
            ("203.0.113.1", port),
            ("2001:db8:1::1", port),
            ("10.213.128.1", port),
            ("fd6b:696c:6e00::1", port),
            ("10.213.128.1", daemon.address().port()),
        ];
        assert_refused(daemon, &places);
    });
}

#[test]
fn other_protocols_than_tcp_and_udp_and_closed_datagrams_are_refused() {
    on_the_shared_host(|daemon, _| {
        let code = "
for address in ('10.99.0.5', 'fd00:99::5', '10.213.128.1'):
    with socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM) as plug:
        plug.settimeout(20)
        plug.connect((address, 9))
        plug.send(b'closed')
        try:
            print(plug.recv(100))
        except TimeoutError:
            print('SILENCE')
        except OSError as error:
            print(errno.errorcode[error.errno])
";
        // An error of ICMP: "administratively prohibited" (ip(7), ICMPv6 in RFC 4443).
        assert_eq!(printed(&daemon.execute(&networked(code))), "EHOSTUNREACH\nEACCES\nEHOSTUNREACH\n");
    });
}

/// A job that listens, in both versions of IP; its path and its two addresses.
fn listening(daemon: &Daemon) -> (String, String, String) {
    let code = "
def address(family, to):
    with socket.socket(family, socket.SOCK_DGRAM) as plug:
        plug.connect((to, 9))
        return plug.getsockname()[0]
plug = socket.create_server(('::', 80), family=socket.AF_INET6, dualstack_ipv6=True)
print(address(socket.AF_INET, '198.51.100.10'), address(socket.AF_INET6, '2001:db8:2::10'), flush=True)
while True:
    print(plug.accept(), flush=True)
";
    let path = daemon.submit(&with(networked(code), json!({"timeout": 300})));
    let addresses = first_line(daemon, &path);
    let (v4, v6) = addresses.split_once(' ').unwrap();
    (path, v4.to_owned(), v6.to_owned())
}

#[test]
fn jobs_never_reach_one_another() {
    on_the_shared_host(|daemon, _| {
        let (path, v4, v6) = listening(daemon);
        assert_refused(daemon, &[(&v4, 80), (&v6, 80)]);
        let spoken = format!(
            "
for address in ('{v4}', '{v6}'):
    with socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM) as plug:
        plug.connect((address, 80))
        plug.send(b'closed')
        plug.settimeout(20)
        try:
            print(plug.recv(100))
        except OSError as error:
            print(errno.errorcode[error.errno])
"
        );
        assert_eq!(printed(&daemon.execute(&networked(&spoken))), "EHOSTUNREACH\nEACCES\n");
        assert_eq!(daemon.get(&path).body["status"], "running");
        assert_eq!(daemon.delete(&path), 200);
        assert_eq!(daemon.wait_for_status(&path, "cancelled")["stdout"], format!("{v4} {v6}\n"));
    });
}

/// Three walls stand between two jobs. They are torn down one after the other, and the first is built again alone.
#[test]
fn each_wall_between_jobs_holds_alone() {
    on_a_host(|_| {
        let daemon = Daemon::start(&SETTINGS);
        let table = format!("inet kiln-{}", daemon.instance());
        let (_, v4, v6) = listening(&daemon);
        let places = [(v4.as_str(), 80), (v6.as_str(), 80)];

        run(&format!("nft flush chain {table} own"));
        assert_refused(&daemon, &places);

        let rules = run(&format!("nft -a list chain {table} outward"));
        let (_, handle) = rules.lines().find(|rule| rule.contains("oifname")).unwrap().rsplit_once(' ').unwrap();
        run(&format!("nft delete rule {table} outward handle {handle}"));
        assert_refused(&daemon, &places);

        run(&format!("nft flush set {table} closed4"));
        run(&format!("nft flush set {table} closed6"));
        let found = attempts(&daemon.execute(&attempt(&places)));
        assert!(found.iter().all(|(_, outcome)| outcome == "OK"), "with no wall they reach each other: {found:?}");

        run(&format!("nft add rule {table} own ip daddr {v4} goto refused"));
        run(&format!("nft add rule {table} own ip6 daddr {v6} goto refused"));
        assert_refused(&daemon, &places);
    });
}

#[test]
fn what_is_allowed_is_reached_and_what_is_denied_is_not() {
    on_a_host(|_| {
        let mut settings = SETTINGS.to_vec();
        settings.push(("KILN_NETWORK_ALLOW", "10.99.0.0/24:5432,192.168.55.5,[fd00:99::5]:80,198.51.100.10:25"));
        settings.push(("KILN_NETWORK_DENY", "198.51.100.66,192.168.55.0/28"));
        let daemon = Daemon::start(&settings);
        let places = [
            ("10.99.0.5", 5432),
            ("10.99.0.5", 80),
            ("192.168.55.5", 80),
            ("fd00:99::5", 80),
            ("fd00:99::5", 8080),
            ("198.51.100.10", 25),
            ("198.51.100.10", 587),
            ("198.51.100.66", 80),
            ("198.51.100.10", 80),
        ];
        let outcomes: Vec<String> =
            attempts(&daemon.execute(&attempt(&places))).into_iter().map(|(_, end)| end).collect();
        let (open, closed) = ("OK", "ECONNREFUSED");
        assert_eq!(outcomes, [open, closed, closed, open, closed, open, closed, closed, open]);
    });
}

/// IPv6 lets a program send from an address that is not its own (ipv6(7), `IPV6_FREEBIND`); the host does not pass it on.
#[test]
fn a_packet_from_another_address_than_its_own_goes_nowhere() {
    on_the_shared_host(|daemon, world| {
        let code = "
IPV6_FREEBIND, IP_FREEBIND = 78, 15
def speak(address, to, word):
    family, level, option = (socket.AF_INET6, 41, IPV6_FREEBIND) if ':' in to else (socket.AF_INET, 0, IP_FREEBIND)
    with socket.socket(family, socket.SOCK_DGRAM) as plug:
        plug.setsockopt(level, option, 1)
        try:
            plug.bind((address, 0))
            plug.sendto(word, (to, 9))
        except OSError as error:
            print(errno.errorcode[error.errno])
for other in ('fd6b:696c:6e00::77', '2001:db8:1::7', 'fd6b:696c:6e00::1'):
    speak(other, '2001:db8:2::10', b'forged')
for other in ('10.213.128.77', '203.0.113.1'):
    speak(other, '198.51.100.10', b'forged')
speak('::', '2001:db8:2::10', b'honest')
";
        printed(&daemon.execute(&networked(code)));
        // What was forged was sent before, over the same link.
        assert_eq!(world.lock().unwrap().line(), "udp 2001:db8:1::1 honest");
    });
}

/// The way back leads to who asked, and to nobody else.
#[test]
fn nobody_outside_reaches_a_job() {
    on_the_shared_host(|daemon, world| {
        let listens = "
plug = socket.create_server(('0.0.0.0', 80))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
    asked.connect(('198.51.100.10', 9))
    print(asked.getsockname()[0], flush=True)
time.sleep(1000)
";
        let path = daemon.submit(&with(networked(listens), json!({"timeout": 300})));
        let address = first_line(daemon, &path);
        // The host is no stranger: it does reach what it keeps.
        TcpStream::connect((address.as_str(), 80)).unwrap();
        world.lock().unwrap().inside("ip route add 10.213.128.0/24 via 203.0.113.1");
        let knock =
            format!("import socket; socket.create_connection(('{address}', 80), timeout={})", seconds(2).as_secs());
        assert!(world.lock().unwrap().fails("/usr/bin/python3", &["-c", &knock]).contains("timed out"));
        daemon.delete(&path);
        daemon.wait_for_status(&path, "cancelled");
    });
}
