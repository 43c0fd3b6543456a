//! What no job reaches, and that it is told so at once.
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use nix::sys::signal::Signal;
use serde_json::json;

use super::first_line;
use super::leftovers::keeper;
use super::world::{SETTINGS, attempt, attempts, networked, on_a_host, on_the_shared_host, program, run};
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
            ("168.63.129.16", 80),
            ("2001::a63:5", 80),
            ("200::1", 80),
            ("4000::1", 80),
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
        assert_eq!(daemon.cancel(&path)["stdout"], format!("{v4} {v6}\n"));
    });
}

/// Three walls stand between two jobs. They are torn down one after the other; with none jobs do reach each other, and
/// with each alone they do not.
#[test]
fn each_wall_between_jobs_holds_alone() {
    on_a_host(|_| {
        let daemon = Daemon::start(&SETTINGS);
        let table = format!("inet kiln-{}", daemon.instance());
        let (_, v4, v6) = listening(&daemon);
        let places = [(v4.as_str(), 80), (v6.as_str(), 80)];
        let rules = |chain: &str| {
            let listed = run(&format!("nft -a list chain {table} {chain}"));
            let rules = listed.lines().filter_map(|line| line.trim().split_once(" # handle "));
            let rules = rules.filter(|(rule, _)| !rule.ends_with('{'));
            rules.map(|(rule, handle)| (rule.to_owned(), handle.to_owned())).collect::<Vec<_>>()
        };
        let before_routing: Vec<(String, String)> =
            rules("own").into_iter().filter(|(rule, _)| rule.ends_with("goto refused")).collect();
        assert_eq!(before_routing.len(), 2, "{before_routing:?}");
        let outward = rules("outward");
        let (to_the_bridge, handle) = outward.iter().find(|(rule, _)| rule.starts_with("oifname")).unwrap();

        run(&format!("nft flush chain {table} own"));
        run(&format!("nft delete rule {table} outward handle {handle}"));
        // The closed ranges are left, in which the addresses of jobs lie.
        assert_refused(&daemon, &places);

        run(&format!("nft flush set {table} closed4"));
        run(&format!("nft flush set {table} closed6"));
        let found = attempts(&daemon.execute(&attempt(&places)));
        assert!(found.iter().all(|(_, outcome)| outcome == "OK"), "with no wall they reach each other: {found:?}");

        run(&format!("nft insert rule {table} outward {to_the_bridge}"));
        assert_refused(&daemon, &places);

        let (_, handle) = &rules("outward")[0];
        run(&format!("nft delete rule {table} outward handle {handle}"));
        for (rule, _) in &before_routing {
            run(&format!("nft add rule {table} own {rule}"));
        }
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

/// One that a service of the host has would else lead the service's callers to the job.
#[test]
fn no_connection_has_the_port_on_the_host_that_its_job_chose() {
    on_the_shared_host(|daemon, _| {
        let holds = "
plug = socket.socket()
plug.bind(('0.0.0.0', 2222))
plug.connect(('198.51.100.10', 80))
print(plug.getsockname()[0], flush=True)
time.sleep(1000)
";
        let path = daemon.submit(&with(networked(holds), json!({"timeout": 300})));
        let address = first_line(daemon, &path);
        let flows = std::fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap();
        let own = |flow: &&str| flow.contains(&format!("src={address} ")) && flow.contains("sport=2222 dport=80");
        let flow = flows.lines().find(own).unwrap();
        let outside: u16 = flow.rsplit_once("dport=").unwrap().1.split(' ').next().unwrap().parse().unwrap();
        assert!(outside >= 61_000, "{flow}");
        daemon.delete(&path);
        daemon.wait_for_status(&path, "cancelled");
    });
}

/// The kernel of the host would have to keep them until they are whole, and has little space for that.
#[test]
fn pieces_of_datagrams_go_nowhere() {
    on_the_shared_host(|daemon, world| {
        let code = "
for to in ('198.51.100.10', '2001:db8:2::10'):
    with socket.socket(socket.AF_INET6 if ':' in to else socket.AF_INET, socket.SOCK_DGRAM) as plug:
        plug.sendto(b'x' * 3000, (to, 9))
        plug.sendto(b'whole', (to, 9))
";
        let mut world = world.lock().unwrap();
        printed(&daemon.execute(&networked(code)));
        assert_eq!([world.line(), world.line()], ["udp ::ffff:203.0.113.1 whole", "udp 2001:db8:1::1 whole"]);
    });
}

/// What is sent on the bridge to many is for those who listen there, which no job may.
#[test]
fn what_the_host_says_to_many_no_job_hears() {
    on_a_host(|_| {
        let daemon = Daemon::start(&SETTINGS);
        let listens = "
import struct
plug = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
plug.bind(('::', 5353))
plug.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, 'ff02::fb') + struct.pack('I', socket.if_nametoindex('eth0')))
print('listens', flush=True)
print(plug.recv(100), plug.recv(100))
";
        let path = daemon.submit(&with(networked(listens), json!({"timeout": 300})));
        assert_eq!(first_line(&daemon, &path), "listens");
        let bridge = format!("kiln-{}", &daemon.instance()[6..]);
        let says = format!(
            "import socket; plug = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); \
             plug.sendto(b'host', ('ff02::fb', 5353, 0, socket.if_nametoindex('{bridge}')))"
        );
        let said = program("/usr/bin/python3", &["-c", &says]);
        assert!(String::from_utf8_lossy(&said.stderr).contains("Operation not permitted"), "{said:?}");
        assert_eq!(daemon.get(&path).body["status"], "running");
    });
}

/// As long as there are none, anything is open. What was begun then must not go on.
#[test]
fn what_was_begun_while_there_were_no_rules_ends_with_them() {
    on_a_host(|_| {
        let daemon = Daemon::start(&SETTINGS);
        let keeper = keeper(&daemon);
        let plug = TcpListener::bind("10.213.128.1:7777").unwrap();
        let asks = "
plug = socket.create_connection(('10.213.128.1', 7777), 60)
print(plug.recv(100), flush=True)
try:
    for _ in range(1200):
        plug.send(b'still here')
        time.sleep(0.1)
    print('it goes on')
except ConnectionError as error:
    print(type(error).__name__)
";
        // The first waits until there are no rules.
        Daemon::signal(keeper, Signal::SIGSTOP);
        run("nft flush ruleset");
        let path = daemon.submit(&with(networked(asks), json!({"timeout": 300})));
        let (mut from_job, _) = plug.accept().unwrap();
        from_job.write_all(b"open").unwrap();
        assert_eq!(first_line(&daemon, &path), "b'open'");
        Daemon::signal(keeper, Signal::SIGCONT);
        let table = format!("kiln-{}", daemon.instance());
        until(seconds(60), "the rules are there", || run("nft list tables").contains(&table).then_some(()));
        let ended = until(seconds(120), "it has ended", || {
            let job = daemon.get(&path).body;
            (job["status"] != "running").then_some(job)
        });
        assert_eq!(printed(&ended), "b'open'\nConnectionResetError\n");
    });
}

/// `nft list ruleset` into a file that is loaded at the next reload.
#[test]
fn an_old_copy_of_the_rules_does_not_stay() {
    on_a_host(|_| {
        let daemon = Daemon::start(&SETTINGS);
        let table = format!("inet kiln-{}", daemon.instance());
        let listed = run(&format!("nft list table {table}"));
        let without: Vec<&str> = listed.lines().filter(|line| !line.contains("@closed")).collect();
        assert_eq!(listed.lines().count() - without.len(), 2);
        let file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file.as_file(), "flush ruleset\n{}", without.join("\n")).unwrap();
        run(&format!("nft -f {}", file.path().display()));
        until(seconds(60), "the rules are whole", || {
            run("nft list ruleset").contains("@closed4 goto refused").then_some(())
        });
        assert_refused(&daemon, &[("10.99.0.5", 80)]);
    });
}
