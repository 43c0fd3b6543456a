//! What is left of it on the host: nothing, however it ends.
use std::net::TcpStream;

use nix::sys::signal::Signal;
use serde_json::json;

use super::first_line;
use super::world::{SETTINGS, networked, on_a_host, run};
use crate::harness::{Daemon, assert_ended_by, data_directory, printed, seconds, until, until_equal, with};
use crate::host;

/// Interfaces and rules of kiln on this host.
fn traces() -> (Vec<String>, String) {
    let links = run("ip -o link show");
    let names = links.lines().filter_map(|line| line.split(": ").nth(1)).map(str::to_owned);
    (names.filter(|name| name.starts_with('k')).collect(), run("nft list tables"))
}

/// The kernel takes a namespace that nobody holds any more away in its own time, and the other end of its link with it.
fn assert_nothing_is_left() {
    until_equal(seconds(60), &(Vec::new(), String::new()), traces);
}

pub(super) fn keeper(daemon: &Daemon) -> u32 {
    let below = host::descendants(daemon.spawner());
    below.into_iter().find(|process| host::name(*process) == "kiln-keeper").expect("there is a keeper")
}

#[test]
fn a_stop_takes_everything_away() {
    on_a_host(|_| {
        let daemon = Daemon::start(&SETTINGS);
        assert_eq!(
            printed(&daemon.execute(&networked("print(get('http://198.51.100.10/').decode())"))),
            "203.0.113.1\n"
        );
        let (links, tables) = traces();
        assert!(links.iter().any(|name| name.starts_with("kiln-")), "{links:?}");
        assert_eq!(tables.trim(), format!("table inet kiln-{}", daemon.instance()));
        drop(daemon);
        assert_nothing_is_left();
    });
}

#[test]
fn what_a_job_had_goes_with_it() {
    on_a_host(|_| {
        let daemon = Daemon::start(&SETTINGS);
        let ports = || traces().0.len();
        until_equal(seconds(30), &5, ports);
        for _ in 0..12 {
            printed(&daemon.execute(&networked("print('x')")));
        }
        // The bridge, and the four that are ready.
        until_equal(seconds(60), &5, ports);
    });
}

/// The addresses of jobs to which TCP connections belong that the host remembers, whoever began them.
fn remembered() -> Vec<String> {
    let flows = std::fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap();
    let of_a_job = |address: &&str| {
        (address.starts_with("10.213.128.") && *address != "10.213.128.1") || address.starts_with("fd6b:")
    };
    let address = |flow: &str| {
        let sources = flow.split_whitespace().filter_map(|word| word.strip_prefix("src="));
        sources.filter(|_| flow.contains(" tcp ")).find(of_a_job).map(str::to_owned)
    };
    let mut addresses: Vec<String> = flows.lines().filter_map(address).collect();
    addresses.sort();
    addresses
}

/// Here the host forgets nothing by itself, also where both ends have closed (nf_conntrack-sysctl).
fn remember_for_a_day() {
    for state in ["fin_wait", "time_wait", "last_ack", "close_wait", "close"] {
        run(&format!("sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_{state}=86400"));
    }
}

#[test]
fn the_connections_of_a_killed_job_are_forgotten_and_of_no_other() {
    on_a_host(|_| {
        let daemon = Daemon::start(&SETTINGS);
        remember_for_a_day();
        let holds = "
kept = [socket.create_connection((host, 80)) for host in ('198.51.100.10', '2001:db8:2::10') for _ in range(10)]
server = socket.create_server(('0.0.0.0', 8000))
print(kept[0].getsockname()[0], flush=True)
time.sleep(1000)
";
        let begin = || {
            let path = daemon.submit(&with(networked(holds), json!({"timeout": 300})));
            let address = first_line(&daemon, &path);
            (path, TcpStream::connect((address.as_str(), 8000)).unwrap())
        };
        let (one, _held) = begin();
        let of_one = remembered();
        let (other, _held_too) = begin();
        let of_other: Vec<String> = remembered().into_iter().filter(|address| !of_one.contains(address)).collect();
        assert_eq!((of_one.len(), of_other.len()), (21, 21), "{of_one:?} {of_other:?}");
        daemon.delete(&one);
        until_equal(seconds(60), &of_other, remembered);
        assert_eq!(daemon.get(&other).body["status"], "running");
        drop(daemon);
        until_equal(seconds(60), &Vec::new(), remembered);
    });
}

#[test]
fn the_keeper_clears_up_after_a_killed_spawner() {
    on_a_host(|_| {
        let mut daemon = Daemon::start(&SETTINGS);
        let keeper = keeper(&daemon);
        daemon.kill_both();
        daemon.wait();
        until(seconds(60), "the keeper ends", || (!host::is_alive(keeper)).then_some(()));
        assert_nothing_is_left();
    });
}

#[test]
fn the_next_start_clears_up_after_all_were_killed_also_without_network() {
    on_a_host(|_| {
        let data = data_directory();
        let mut daemon = Daemon::start_on(data.path(), &SETTINGS);
        let keeper = keeper(&daemon);
        daemon.kill_all(keeper);
        daemon.wait();
        until(seconds(60), "the keeper is gone", || (!host::is_alive(keeper)).then_some(()));
        assert!(traces().0.iter().any(|name| name.starts_with("kiln-")), "nothing was left to be cleared up");
        drop(Daemon::start_on(data.path(), &[]));
        assert_nothing_is_left();
        let again = Daemon::start_on(data.path(), &SETTINGS);
        assert_eq!(
            printed(&again.execute(&networked("print(get('http://198.51.100.10/').decode())"))),
            "203.0.113.1\n"
        );
    });
}

#[test]
fn without_its_keeper_a_job_fails_by_name_and_others_run() {
    on_a_host(|_| {
        let mut daemon = Daemon::start(&SETTINGS);
        Daemon::signal(keeper(&daemon), Signal::SIGKILL);
        until(seconds(60), "the spawner has noticed", || {
            daemon.log().contains("keeper of networks has ended").then_some(())
        });
        let job = daemon.execute(&networked("print('never')"));
        assert_ended_by(&job, "setup_failed", "failed");
        let message = job["termination"]["message"].as_str().unwrap();
        assert!(message.contains("give it a network") && message.contains("restart kiln"), "{message}");
        assert_eq!(printed(&daemon.execute(&crate::harness::python("print('well')"))), "well\n");
        Daemon::signal(daemon.server(), Signal::SIGTERM);
        assert!(daemon.wait().success());
        daemon.assert_gone();
        assert_nothing_is_left();
    });
}

/// Each has its own bridge and table; what one does away with is its own.
#[test]
fn two_daemons_do_not_touch_each_other() {
    on_a_host(|_| {
        let mut settings = SETTINGS.to_vec();
        let first = Daemon::start(&settings);
        settings[2].1 = "10.213.129.0/24";
        settings.push(("KILN_NETWORK_SUBNET6", "fd6b:696c:6e00:1::/64"));
        let second = Daemon::start(&settings);
        drop(first);
        let job = second.execute(&networked(
            "print(get('http://198.51.100.10/').decode(), get('http://[2001:db8:2::10]/').decode())",
        ));
        assert_eq!(printed(&job), "203.0.113.1 2001:db8:1::1\n");
        drop(second);
        assert_nothing_is_left();
    });
}
