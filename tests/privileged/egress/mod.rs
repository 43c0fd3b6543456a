//! Jobs that may use the network, on a host and with an internet of the tests' own.
mod bounds;
mod closed;
mod leftovers;
mod refusals;
mod world;

use serde_json::json;

use crate::harness::{Daemon, printed, seconds, until, with};
use crate::http;
use world::{isolated, networked, on_the_shared_host};

#[test]
fn a_job_reaches_what_is_public_by_name_and_by_both_versions_of_ip() {
    on_the_shared_host(|daemon, _| {
        assert_eq!(daemon.get("/v1/capabilities").body["features"]["network_access"], true);
        let code = "
print(get('http://web.example/').decode(), get('http://[2001:db8:2::10]/').decode())
print(sorted({entry[4][0] for entry in socket.getaddrinfo('web.example', 80)}))
try:
    socket.gethostbyname('no.such.name')
except socket.gaierror as error:
    print(error.errno)
print(open('/etc/resolv.conf').read(), end='')
";
        let job = daemon.execute(&networked(code));
        let expected = "203.0.113.1 2001:db8:1::1\n['198.51.100.10', '2001:db8:2::10']\n-2\n\
                        nameserver 198.51.100.53\nnameserver 2001:db8:2::53\n";
        assert_eq!(printed(&job), expected);
        assert_eq!(job["network_access"], true);
        let spec = daemon.get(job["_links"]["spec"]["href"].as_str().unwrap()).body;
        assert_eq!(spec["annotations"]["kiln.network"], "egress");
    });
}

/// All of it belongs to the initial user namespace.
#[test]
fn a_job_changes_nothing_of_its_network() {
    on_the_shared_host(|daemon, _| {
        let code = "
import os, struct, fcntl
def attempt(act, *arguments):
    try:
        return act(*arguments) and 'OK'
    except OSError as error:
        return errno.errorcode[error.errno]
def flags(name, value):
    with socket.socket() as plug:
        fcntl.ioctl(plug, 0x8914, struct.pack('16sH22x', name, value))
print(attempt(flags, b'eth0', 0), attempt(open, '/proc/sys/net/ipv4/ip_forward', 'w'))
print(attempt(socket.socket, socket.AF_PACKET, socket.SOCK_RAW), attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1))
with socket.socket() as plug:
    print(attempt(plug.setsockopt, socket.SOL_IP, 19, 1), attempt(plug.setsockopt, socket.SOL_SOCKET, 36, 1))
print(sorted(os.listdir('/sys')) if os.path.exists('/sys') else 'no /sys')
print([line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:]].count('eth0'))
";
        let expected = "EPERM EROFS\nEPERM EPERM\nEPERM EPERM\nno /sys\n1\n";
        assert_eq!(printed(&daemon.execute(&networked(code))), expected);
    });
}

#[test]
fn a_job_that_does_not_ask_has_a_loopback_interface_and_files_as_ever() {
    on_the_shared_host(|daemon, _| {
        let code = "
print([line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:] if line.strip().startswith(('lo', 'eth'))])
print(connect('198.51.100.10', 80), repr(open('/etc/resolv.conf').read()), 'dns' in open('/etc/nsswitch.conf').read())
";
        let job = daemon.execute(&isolated(code));
        assert_eq!(printed(&job), "['lo']\nENETUNREACH '' False\n");
        assert!(job.get("network_access").is_none());
    });
}

/// What a program is made of does not change with who makes it.
#[test]
fn a_compiler_reaches_nothing_and_its_program_does() {
    on_the_shared_host(|daemon, _| {
        if !daemon.offers("c") {
            return;
        }
        let code = "#include <stdio.h>\n#include <string.h>\nint main(void) { char line[256]; FILE *f = \
                    fopen(\"/proc/net/dev\", \"r\"); while (fgets(line, sizeof line, f)) if (strstr(line, \"eth0\")) \
                    puts(\"eth0\"); }";
        let job = daemon.execute(&json!({"language": "c", "code": code, "network_access": true}));
        assert_eq!(printed(&job), "eth0\n");
        let spec = daemon.get(&format!("{}?phase=compile", job["_links"]["spec"]["href"].as_str().unwrap())).body;
        assert!(spec["annotations"].get("kiln.network").is_none(), "{spec:#}");
    });
}

/// More at once than are ready; each has an address of its own, and whoever comes later waits for its network to be made.
#[test]
fn twenty_jobs_at_once_have_twenty_addresses() {
    on_the_shared_host(|daemon, _| {
        let code = "
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plug:
    plug.connect(('198.51.100.10', 9))
    print(plug.getsockname()[0], flush=True)
time.sleep(1000)
";
        let request = with(networked(code), json!({"timeout": 300}));
        let paths: Vec<String> = (0..20).map(|_| daemon.submit(&request)).collect();
        // None has ended before the last has begun.
        let addresses: std::collections::BTreeSet<String> = paths.iter().map(|path| first_line(daemon, path)).collect();
        for path in &paths {
            daemon.delete(path);
            daemon.wait_for_status(path, "cancelled");
        }
        assert_eq!(addresses.len(), 20, "{addresses:?}");
        assert!(addresses.iter().all(|address| address.starts_with("10.213.128.")), "{addresses:?}");
    });
}

/// What a job that goes on has printed first.
fn first_line(daemon: &Daemon, path: &str) -> String {
    let output = format!("GET {path}/output");
    until(seconds(60), "it prints a line", || {
        let (_, text) = http::text(daemon.address(), &output, seconds(60)).unwrap();
        text.split_once('\n').map(|(line, _)| line.to_owned())
    })
}
