//! The ways to a daemon, and who may take them.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, io};

use nix::sys::signal::Signal;

use crate::cli::{GROUP, Local, assert_fails, ended, kiln, open_folder, program, told};
use crate::harness::{Daemon, data_directory, serve};

/// A user that is not root and not a member.
const STRANGER: u32 = 65534;

/// A program as somebody who is not root, in this group and no other.
fn as_stranger(group: Option<u32>, path: &Path) -> Command {
    let mut command = program(Path::new("/usr/bin/setpriv"));
    let number = STRANGER.to_string();
    command.args(["--reuid", &number, "--regid", &number]).current_dir("/");
    match group {
        None => command.arg("--clear-groups"),
        Some(group) => command.args(["--groups", &group.to_string()]),
    };
    command.arg(path);
    command
}

#[test]
fn a_daemon_that_is_not_there_is_told_with_what_to_do() {
    let folder = open_folder();
    let none = folder.path().join("none.sock");
    assert_fails(&mut kiln(&none, &["jobs"]), 69, &["there is no socket", "sudo kiln serve", "--server"]);
    assert_fails(&mut kiln(&none, &["run", "-l", "bash", "-c", ":"]), 125, &["there is no socket"]);
    let dead = folder.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    assert_fails(&mut kiln(&dead, &["jobs"]), 69, &["nobody answers", "sudo kiln serve"]);
    assert_fails(
        &mut kiln(&dead, &["jobs", "--server", "http://127.0.0.1:1"]),
        69,
        &["nobody answers at http://127.0.0.1:1"],
    );
    assert_fails(&mut kiln(&dead, &["jobs", "--server", "https://127.0.0.1"]), 2, &["https is not built yet"]);
    assert_fails(&mut kiln(&dead, &["jobs", "--server", "kiln"]), 2, &["http://HOST:PORT", "path of a socket"]);
    assert_fails(&mut kiln(&dead, &["jobs", "--token-file", "/nowhere"]), 2, &["--token-file /nowhere: No such file"]);
}

#[test]
fn something_else_that_answers_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let child = kiln(Path::new(&url), &["jobs"]).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let request = BufReader::new(stream.try_clone().unwrap());
    assert!(request.lines().map_while(Result::ok).any(|line| line.is_empty()), "the request has a head");
    stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(told(&output).contains("does not answer as kiln does"), "{}", told(&output));
}

/// A connection to a daemon by way of us; the other direction is the caller's.
fn forwarded(client: &TcpStream, daemon: SocketAddr) -> TcpStream {
    let upstream = TcpStream::connect(daemon).unwrap();
    let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
    let forward = move || {
        // It may break off at any time: the test judges what came of it.
        let copied = io::copy(&mut from, &mut to);
        drop((copied, to.shutdown(Shutdown::Write)));
    };
    std::thread::Builder::new().spawn(forward).unwrap();
    upstream
}

#[test]
fn a_lost_answer_to_a_submission_leaves_one_job() {
    let local = Local::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let child = kiln(Path::new(&url), &["run", "-l", "bash", "-c", "echo once"]).spawn().unwrap();
    let (client, _) = listener.accept().unwrap();
    let answered = forwarded(&client, local.daemon.address()).read(&mut [0; 1]).unwrap();
    assert_eq!(answered, 1, "the daemon has accepted the job");
    client.shutdown(Shutdown::Both).unwrap();
    let (mut client, _) = listener.accept().unwrap();
    io::copy(&mut forwarded(&client, local.daemon.address()), &mut client).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), told(&output).as_str()), (Some(0), ""));
    assert_eq!(output.stdout, b"once\n");
    assert_eq!(local.json(&["jobs", "--json"])["total"], 1);
}

#[test]
fn the_same_is_served_over_tcp() {
    let local = Local::shared();
    let url = format!("http://{}", local.daemon.address());
    let output =
        kiln(Path::new(&url), &["run", "-l", "bash", "-c", "echo tcp"]).env("KILN_TOKEN", "abc").output().unwrap();
    assert_eq!((output.stdout.as_slice(), told(&output).as_str()), (&b"tcp\n"[..], ""));
}

#[test]
fn the_socket_is_for_root_and_the_group() {
    let local = Local::shared();
    // Where nobody but root may look, the programs cannot be started by others.
    let folder = open_folder();
    let copy = folder.path().join("kiln");
    fs::copy(env!("CARGO_BIN_EXE_kiln"), &copy).unwrap();
    let jobs_as = |group: Option<u32>, socket: &Path| {
        let mut command = as_stranger(group, &copy);
        command.args(["jobs", "--json"]).env("KILN_SERVER", socket);
        command
    };
    let words = ["FORBIDDEN", "user 65534", "in the group users", "usermod -aG"];
    assert_fails(&mut jobs_as(None, &local.socket), 77, &words);
    // Who sends much sees the refusal all the same.
    let mut command = as_stranger(None, &copy);
    command.args(["run", "-l", "bash", "-"]).env("KILN_SERVER", &local.socket).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&vec![b'#'; 8 << 20]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.code() == Some(125) && told(&output).contains("FORBIDDEN"), "{}", told(&output));
    let group = nix::unistd::Group::from_name(GROUP).unwrap().unwrap();
    let output = jobs_as(Some(group.gid.as_raw()), &local.socket).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let closed = data_directory();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    assert_fails(&mut jobs_as(None, &closed.path().join("kiln.sock")), 77, &["permission denied", "sudo"]);
}

#[test]
fn those_who_are_turned_away_take_nobodys_place() {
    let local = Local::shared();
    let script = "import select, socket, sys
made = [socket.socket(socket.AF_UNIX) for _ in range(60)]
for one in made: one.connect(sys.argv[1])
closed = set()
while len(closed) < 44: closed.update(select.select([one for one in made if one not in closed], [], [])[0])
print('closed', flush=True)
sys.stdin.read()";
    let mut command = as_stranger(None, Path::new("/usr/bin/python3"));
    let mut child = command.args(["-c", script]).arg(&local.socket).stdin(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "closed\n");
    local.printed(&["jobs"]);
    drop(child.stdin.take());
    assert_eq!(ended(&mut child), Some(0));
}

#[test]
fn two_daemons_have_a_socket_each_and_none_takes_the_others() {
    let (first, second) = (Local::start(), Local::start());
    let id = first.printed(&["run", "-d", "-l", "bash", "-c", ":"]);
    assert_fails(&mut second.kiln(&["job", id.trim()]), 1, &["NOT_FOUND"]);
    let data = data_directory();
    let output = serve(data.path(), &[("KILN_API_SOCKET", first.socket.to_str().unwrap())]).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{}", told(&output));
    assert!(told(&output).contains("is served by another kiln"), "{}", told(&output));
    assert!(first.printed(&["jobs"]).contains(id.trim()));
}

#[test]
fn the_socket_of_a_killed_daemon_is_replaced() {
    let folder = open_folder();
    let data = data_directory();
    let socket = folder.path().join("kiln.sock");
    let settings = [("KILN_API_SOCKET", socket.to_str().unwrap())];
    let mut killed = Daemon::start_on(data.path(), &settings);
    Daemon::signal(killed.server(), Signal::SIGKILL);
    killed.wait();
    assert_fails(&mut kiln(&socket, &["jobs"]), 69, &["nobody answers"]);
    let _daemon = Daemon::start_on(data.path(), &settings);
    assert_eq!(kiln(&socket, &["jobs"]).output().unwrap().status.code(), Some(0));
}

#[test]
fn a_socket_in_a_folder_that_others_may_change_is_refused() {
    let folder = open_folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let data = data_directory();
    let socket = folder.path().join("kiln.sock");
    let output = serve(data.path(), &[("KILN_API_SOCKET", socket.to_str().unwrap())]).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{}", told(&output));
    assert!(told(&output).contains("nobody else may write to"), "{}", told(&output));
}
