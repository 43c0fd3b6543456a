//! How much one job gets: bytes in a second, connections at a time.
use std::net::TcpListener;

use serde_json::{Value, json};

use super::world::{SETTINGS, networked, on_a_host};
use crate::harness::{Daemon, printed, timeout, with};

/// Bytes that are carried, and the rate: without the burst that may go at once, three seconds' worth.
const BYTES: u64 = 3 << 20;
const RATE: &str = "1MiB";

/// Seconds that a job measured for carrying them in, and out.
fn carried(daemon: &Daemon) -> [f64; 2] {
    let code = format!(
        "
def measured(act):
    begin = time.monotonic()
    act()
    return time.monotonic() - begin
print(measured(lambda: get('http://198.51.100.10/?{BYTES}')))
print(measured(lambda: urllib.request.urlopen('http://198.51.100.10/', data=bytes({BYTES}), timeout=100).read()))
"
    );
    let job = daemon.execute(&with(networked(&code), json!({"timeout": timeout(60), "memory_limit": 256})));
    let times: Vec<f64> = printed(&job).lines().map(|line| line.parse().unwrap()).collect();
    times.try_into().unwrap()
}

#[test]
fn a_job_sends_and_receives_no_faster_than_it_may() {
    on_a_host(|_| {
        let mut settings = SETTINGS.to_vec();
        settings.push(("KILN_NETWORK_BANDWIDTH", RATE));
        let daemon = Daemon::start(&settings);
        for seconds in carried(&daemon) {
            // A bucket holds 128 KiB, and a tenth of a second's worth and more waits beside it.
            assert!(seconds > 2.0, "{BYTES} bytes in {seconds} s at {RATE} a second");
        }
    });
}

/// A program that wants twelve connections at once to a place; it prints how many it got, and how many were refused.
fn twelve(address: &str, port: u16) -> Value {
    networked(&format!(
        "
plugs, outcomes = [], []
for _ in range(12):
    plug = socket.socket()
    plug.settimeout(20)
    plugs.append(plug)
    try:
        plug.connect(('{address}', {port}))
        outcomes.append('OK')
    except OSError as error:
        outcomes.append(errno.errorcode[error.errno])
print(outcomes.count('OK'), outcomes.count('ECONNREFUSED'))
"
    ))
}

#[test]
fn a_job_has_no_more_connections_than_it_may() {
    on_a_host(|_| {
        let mut settings = SETTINGS.to_vec();
        settings.extend([("KILN_NETWORK_CONNECTIONS", "8"), ("KILN_NETWORK_DNS", "203.0.113.1")]);
        let daemon = Daemon::start(&settings);
        assert_eq!(printed(&daemon.execute(&twelve("198.51.100.10", 80))), "8 4\n");
        // The bound is each job's own.
        assert_eq!(printed(&daemon.execute(&twelve("198.51.100.10", 80))), "8 4\n");
        // A name server that is the host itself is no way around it.
        let _listens = TcpListener::bind("203.0.113.1:53").unwrap();
        assert_eq!(printed(&daemon.execute(&twelve("203.0.113.1", 53))), "8 4\n");
    });
}
