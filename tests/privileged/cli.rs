//! The command line against a real daemon, as its users have it: on its local socket.
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::{fs, io};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::{Daemon, data_directory, seconds, serve, timeout, until};
use crate::held;

/// Any group that a Debian has.
const GROUP: &str = "users";
/// A user that is not root and not a member.
const STRANGER: u32 = 65534;

/// A daemon with a socket of its own.
#[derive(Debug)]
struct Local {
    daemon: Daemon,
    socket: PathBuf,
    /// Goes last.
    _folder: tempfile::TempDir,
}

fn open_folder() -> tempfile::TempDir {
    let mode = fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().prefix("kiln-test-run-").permissions(mode).tempdir().unwrap()
}

impl Local {
    fn start() -> Self {
        let folder = open_folder();
        let socket = folder.path().join("kiln.sock");
        let daemon = Daemon::start(&[
            ("KILN_API_SOCKET", socket.to_str().unwrap()),
            ("KILN_API_SOCKET_GROUP", GROUP),
            // They are the client's, and must not hinder a daemon.
            ("KILN_SERVER", "/nowhere"),
            ("KILN_TOKEN", "nothing"),
        ]);
        Self { daemon, socket, _folder: folder }
    }

    /// One for all tests that only use it.
    fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Local>> = Mutex::new(Weak::new());
        let mut place = SHARED.lock().unwrap();
        if let Some(local) = place.upgrade() {
            return local;
        }
        let local = Arc::new(Self::start());
        *place = Arc::downgrade(&local);
        local
    }

    /// `kiln` with these arguments.
    fn kiln(&self, arguments: &[&str]) -> Command {
        kiln(&self.socket, arguments)
    }

    /// What a command prints that ends with 0.
    #[track_caller]
    fn printed(&self, arguments: &[&str]) -> String {
        let output = self.kiln(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.printed(arguments)).unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "the program under test is started here")]
fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn kiln(server: &Path, arguments: &[&str]) -> Command {
    let mut command = program(Path::new(env!("CARGO_BIN_EXE_kiln")));
    command.env("KILN_SERVER", server).args(arguments);
    command
}

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

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The command ended with this code and said these words.
#[track_caller]
fn assert_fails(command: &mut Command, code: i32, words: &[&str]) {
    let output = command.output().unwrap();
    let told = told(&output);
    assert_eq!(output.status.code(), Some(code), "{told}");
    for word in words {
        assert!(told.contains(word), "`{word}` is missing: {told}");
    }
    assert!(told.starts_with("kiln: ") && !told.contains("panicked"), "{told}");
}

#[track_caller]
fn ended(child: &mut Child) -> Option<i32> {
    until(seconds(60), "the command ends", || child.try_wait().unwrap()).code()
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

/// `kiln run` of a held program that first prints `begun`; comes back when that was seen.
struct Running {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    mark: String,
}

impl Running {
    fn start(local: &Local, last: &str) -> Self {
        let mark = held::new_mark();
        let program = held::program(&mark, "print('begun', flush=True)", last);
        let code = program["code"].as_str().unwrap();
        let arguments = ["run", "-l", "python", "-c", code, "--timeout", "300", "--cpu-time", "300", "--arg", &mark];
        let mut child = local.kiln(&arguments).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "begun\n");
        Self { child, stdout, mark }
    }

    fn process(&self) -> u32 {
        until(seconds(60), "the program is held", || held::process_called("held", &self.mark))
    }

    fn told(&mut self) -> String {
        let mut told = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        told
    }
}

/// The job that was made last.
fn last_job(local: &Local, mark: &str) -> Value {
    let jobs = local.json(&["jobs", "--limit", "1000", "--json"]);
    let job = jobs["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| local.json(&["job", "--json", job["job_id"].as_str().unwrap()]));
    let mut job = job.filter(|job| job["stdout"].as_str().is_some_and(|text| text.contains(mark)));
    job.next().unwrap()
}

#[test]
fn a_program_gets_arguments_and_input_and_gives_its_code() {
    let local = Local::shared();
    let code = "import os, sys; print(sys.argv[1:], os.environ['A'], sys.stdin.read()); sys.exit(7)";
    let mut command = local.kiln(&["run", "-l", "python", "-c", code, "--env", "A=b", "--arg", "-x", "--", "--y"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"input").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"['-x', '--y'] b input\n");
    assert_eq!((output.status.code(), told(&output).as_str()), (Some(7), ""));
}

#[test]
fn every_byte_of_both_streams_is_passed_on() {
    let local = Local::shared();
    let code = "import sys\nsys.stdout.buffer.write(bytes(range(256)) * 4096)\nsys.stderr.buffer.write(b'\\xff\\x00')";
    let output = local.kiln(&["run", "-l", "python", "-c", code]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let all: Vec<u8> = (0..=255).collect();
    assert!(output.stdout == all.repeat(4096), "{} bytes", output.stdout.len());
    assert_eq!(output.stderr, b"\xff\x00");
}

#[test]
fn a_signal_is_128_and_its_number() {
    let local = Local::shared();
    let code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)";
    assert_fails(&mut local.kiln(&["run", "-l", "python", "-c", code]), 139, &["kiln: ended by SIGSEGV\n"]);
}

#[test]
fn a_limit_has_a_code_of_its_own_and_is_named() {
    let local = Local::shared();
    let run = |arguments: &[&str]| local.kiln(&[&["run", "-l", "python"], arguments].concat());
    let words = ["kiln: ended by wall_time_limit (1 s)\n"];
    assert_fails(&mut run(&["-t", "1", "-c", "import time; time.sleep(60)"]), 124, &words);
    let words = ["kiln: ended by memory_limit (32 MiB)\n"];
    assert_fails(&mut run(&["-m", "32", "-c", "bytearray(10**9)"]), 126, &words);
}

#[test]
fn files_are_one_program_in_the_language_of_the_first() {
    let local = Local::shared();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (main, part) = (file("main.py", "import part.one"), file("part/one.py", "print(__file__)"));
    assert_eq!(local.printed(&["run", &main, &part]), "/work/part/one.py\n");
    let nameless = file("program", "print(1)");
    assert_fails(&mut local.kiln(&["run", &nameless]), 2, &["program: ", "give --language, one of ", "python"]);
    assert_fails(
        &mut local.kiln(&["run", &part, &main]),
        2,
        &["main.py: is not below", "the folder of the first file"],
    );
    assert_fails(&mut local.kiln(&["run", folder.path().to_str().unwrap()]), 2, &["is a directory"]);
    assert_fails(&mut local.kiln(&["run", "/nowhere.py"]), 2, &["/nowhere.py: No such file"]);
}

#[test]
fn source_may_come_from_standard_input() {
    let local = Local::shared();
    let mut child = local.kiln(&["run", "-l", "python", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"import sys; print(1, sys.stdin.read())").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"1 \n");
    assert_fails(&mut local.kiln(&["run", "-"]), 2, &["needs --language"]);
}

#[test]
fn a_program_of_an_image_runs_as_it_is() {
    assert_eq!(Local::shared().printed(&["run", "--image", "host", "--", "/bin/echo", "-e", "a"]), "a\n");
}

#[test]
fn output_is_seen_while_the_program_runs() {
    let local = Local::shared();
    let mut running = Running::start(&local, "print('over')");
    assert_eq!(running.child.try_wait().unwrap(), None);
    Daemon::signal(running.process(), Signal::SIGUSR1);
    let mut rest = String::new();
    running.stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), ended(&mut running.child)), ("over\n", Some(0)));
}

#[test]
fn an_interrupt_cancels_the_job_and_waits_for_its_end() {
    let local = Local::shared();
    for (number, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let mut running = Running::start(&local, "");
        let process = running.process();
        signal(&running.child, number);
        assert_eq!(ended(&mut running.child), Some(code));
        assert_eq!(running.told(), "kiln: cancelled\n");
        assert!(!crate::host::is_alive(process));
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_job_without_a_word() {
    let local = Local::shared();
    let mark = held::new_mark();
    let code = format!("print('{mark}', flush=True)\nwhile True: print('more', flush=True)");
    let arguments = ["run", "-l", "python", "-c", &code, "-t", "300", "--cpu-time", "300"];
    let mut child = local.kiln(&arguments).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(ended(&mut child), Some(141));
    assert_eq!(io::read_to_string(child.stderr.take().unwrap()).unwrap(), "");
    assert_eq!(last_job(&local, &mark)["status"], "cancelled");
}

#[test]
fn a_job_that_is_left_running_is_looked_after_by_its_id() {
    let local = Local::shared();
    let mark = held::new_mark();
    let program = held::program(&mark, "print('begun', flush=True)", "print('over')");
    let code = program["code"].as_str().unwrap();
    let arguments = ["run", "--detach", "-l", "python", "-c", code, "-t", "300", "--cpu-time", "300", "--arg", &mark];
    let id = local.printed(&arguments);
    let id = id.trim();
    let process = until(seconds(60), "the program is held", || held::process_called("held", &mark));
    assert!(local.printed(&["jobs", "--status", "running"]).contains(id));
    assert!(local.printed(&["job", id]).contains("running"));
    assert_eq!(local.printed(&["logs", id]), "begun\n");
    assert_fails(&mut local.kiln(&["rm", id]), 1, &["CONFLICT", "cancel it first"]);
    let mut following = local.kiln(&["logs", "--follow", id]).spawn().unwrap();
    Daemon::signal(process, Signal::SIGUSR1);
    assert_eq!(ended(&mut following), Some(0));
    assert_eq!(io::read_to_string(following.stdout.take().unwrap()).unwrap(), "begun\nover\n");
    assert_eq!(local.printed(&["logs", "--stream", "stderr", id]), "");
    assert_fails(&mut local.kiln(&["cancel", id]), 1, &["CONFLICT"]);
    assert_eq!(local.printed(&["rm", id]), "");
    assert_fails(&mut local.kiln(&["job", id]), 1, &["NOT_FOUND"]);
}

#[test]
fn a_job_is_cancelled_by_its_id() {
    let local = Local::shared();
    let id = local.printed(&["run", "-d", "-l", "bash", "-c", "sleep 300", "-t", "300"]);
    let cancelled = local.json(&["cancel", "--json", id.trim()]);
    assert_eq!(cancelled["job_id"], id.trim());
    until(seconds(60), "the job has ended", || local.printed(&["job", id.trim()]).contains("cancelled").then_some(()));
}

#[test]
fn json_is_the_job_and_nothing_else() {
    let local = Local::shared();
    let seconds = timeout(30).to_string();
    let output = local.kiln(&["run", "--json", "-t", &seconds, "-l", "bash", "-c", "echo a; exit 3"]).output().unwrap();
    let job: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((job["stdout"].as_str(), job["exit_code"].as_u64()), (Some("a\n"), Some(3)));
    assert_eq!((output.status.code(), told(&output).as_str()), (Some(3), ""));
    for (command, member) in [("languages", "runtimes"), ("status", "health"), ("jobs", "jobs")] {
        assert!(local.json(&[command, "--json"]).get(member).is_some(), "{command}");
    }
}

#[test]
fn tables_have_no_colours_where_nobody_sees_them() {
    let local = Local::shared();
    local.printed(&["run", "-l", "bash", "-c", ":"]);
    for command in ["jobs", "status", "languages"] {
        let text = local.printed(&[command]);
        assert!(text.lines().count() > 1 && !text.contains('\u{1b}'), "{command}: {text}");
    }
}

#[test]
fn a_faulty_request_is_answered_with_every_fault() {
    let local = Local::shared();
    let mut command = local.kiln(&["run", "-l", "python", "-c", "1", "-m", "99999999", "--disk", "0", "-e", "=x"]);
    assert_fails(&mut command, 125, &["INVALID_REQUEST", "\n  memory_limit: ", "\n  limits.disk: ", "\n  environment"]);
    assert_fails(&mut local.kiln(&["run", "-l", "cobol", "-c", "1"]), 125, &["unknown language `cobol`; known: "]);
    assert_fails(&mut local.kiln(&["jobs", "--limit", "0"]), 1, &["limit"]);
    assert_fails(&mut local.kiln(&["job", "../status"]), 2, &["no id of a job", "kiln jobs"]);
    assert_fails(&mut local.kiln(&["job", "job_1"]), 1, &["NOT_FOUND"]);
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
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
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
fn a_second_interrupt_does_not_wait_for_the_end() {
    let local = Local::start();
    let mut running = Running::start(&local, "");
    Daemon::signal(local.daemon.server(), Signal::SIGSTOP);
    let status = until(seconds(60), "the command ends", || {
        signal(&running.child, Signal::SIGINT);
        running.child.try_wait().unwrap()
    });
    Daemon::signal(local.daemon.server(), Signal::SIGCONT);
    let told = running.told();
    assert_eq!(status.code(), Some(130), "{told}");
    assert!(told.contains("not waiting for the end of job job_"), "{told}");
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
