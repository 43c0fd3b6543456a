//! A job has a loopback interface of its own, and no way to any other.
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::harness::{execute, printed, python, shared, with};
use serde_json::json;

const ATTEMPT: &str = "
import errno, socket, sys
def attempt(action, *arguments):
    try:
        action(*arguments)
        return 'OK'
    except OSError as error:
        return errno.errorcode[error.errno]
def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as plug:
        return attempt(plug.connect, address)
";

#[track_caller]
fn check(code: &str, expected: &str) {
    assert_eq!(printed(&execute(&python(&format!("{ATTEMPT}{code}")))), expected);
}

#[test]
fn there_is_no_way_out() {
    let code = "
print(connect(socket.AF_INET, ('192.0.2.1', 80)), connect(socket.AF_INET, ('8.8.8.8', 53)))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plug:
    print(attempt(plug.sendto, b'x', ('192.0.2.1', 53)), attempt(plug.sendto, b'x', ('224.0.0.1', 53)))
print(connect(socket.AF_INET6, ('2001:db8::1', 80)) in ('ENETUNREACH', 'EADDRNOTAVAIL'))
print([name for _, name in socket.if_nameindex()])
print(len(open('/proc/net/route').readlines()))
";
    check(code, "ENETUNREACH ENETUNREACH\nENETUNREACH ENETUNREACH\nTrue\n['lo']\n1\n");
}

#[test]
fn the_loopback_interface_works() {
    let code = "
import threading
server = socket.create_server(('127.0.0.1', 80))
def answer():
    plug, _ = server.accept()
    plug.sendall(plug.recv(10).upper())
    plug.close()
threading.Thread(target=answer).start()
with socket.create_connection(('localhost', 80)) as plug:
    plug.sendall(b'hello')
    print(plug.recv(10).decode())
";
    check(code, "HELLO\n");
}

#[test]
fn sockets_of_other_families_are_refused() {
    let code = "
table = dict(packet=(17, 3), raw=(2, 3), alg=(38, 5), vsock=(40, 1), audit=(16, 3, 9), ping=(2, 2, 1), bluetooth=(31, 3),
             tipc=(30, 1), xdp=(44, 3), can=(29, 3, 1), kcm=(41, 5), rds=(21, 5), sctp=(2, 1, 132))
for name, arguments in table.items():
    print(name, attempt(socket.socket, *arguments))
";
    let names = "packet raw alg vsock audit ping bluetooth tipc xdp can kcm rds sctp";
    check(code, &format!("{} EPERM\n", names.replace(' ', " EPERM\n")));
}

/// The job's 127.0.0.1 is not the host's: what listens there, kiln itself above all, cannot be reached.
#[test]
fn what_listens_on_the_host_is_not_there() {
    let daemon = shared();
    let name = format!("kiln-test-{}", std::process::id());
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let code = format!(
        "{ATTEMPT}
print(connect(socket.AF_INET, ('127.0.0.1', int(sys.argv[1]))), connect(socket.AF_UNIX, '\\0' + sys.argv[2]))
"
    );
    let args = json!({"args": [daemon.address().port().to_string(), name]});
    assert_eq!(printed(&daemon.execute(&with(python(&code), args))), "ECONNREFUSED ECONNREFUSED\n");
    drop(listener);
}

/// -2 is `EAI_NONAME`; had a name server been asked, it would be `EAI_AGAIN` (getaddrinfo(3)).
#[test]
fn names_are_resolved_from_files_only() {
    check("print(socket.gethostbyname('localhost'), attempt(socket.gethostbyname, 'localhost'))", "127.0.0.1 OK\n");
    check(
        "
try:
    socket.gethostbyname('example.com')
except socket.gaierror as error:
    print(error.errno)
",
        "-2\n",
    );
}
