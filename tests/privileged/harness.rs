//! Daemons for tests: started on a data directory of their own, asked over HTTP, stopped for good.
//!
//! A daemon that goes out of scope is stopped by SIGTERM, and must then have ended well, without an
//! error in its log, a process or a cgroup of it being left. Not here: what is asked.
use std::fmt::Debug;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::host;
use crate::http::{self, Answer};

/// The longest `timeout` that the API takes.
const LONGEST_TIMEOUT: u64 = 300;

/// The factor of every time limit.
#[expect(clippy::disallowed_methods, reason = "the one setting of the tests")]
pub(crate) fn scale() -> u64 {
    std::env::var("TEST_TIME_SCALE").map_or(1, |text| text.parse().expect("TEST_TIME_SCALE is a whole number"))
}

/// So many seconds of a fast machine.
pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count * scale())
}

/// A `timeout` of so many seconds of a fast machine.
pub(crate) fn timeout(count: u64) -> u64 {
    (count * scale()).min(LONGEST_TIMEOUT)
}

/// Looks again and again until there is something; fails with `what` when the time is over.
#[track_caller]
pub(crate) fn until<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    let in_time = poll(patience, || {
        found = look();
        found.is_some()
    });
    assert!(in_time, "not within {patience:?}: {what}");
    found.unwrap()
}

/// Looks again and again until it is as wanted; fails with what there is when the time is over.
#[track_caller]
pub(crate) fn until_equal<T: PartialEq + Debug>(patience: Duration, wanted: &T, mut look: impl FnMut() -> T) {
    let mut found = look();
    poll(patience, || {
        found = look();
        found == *wanted
    });
    assert_eq!(found, *wanted, "and not within {patience:?}");
}

/// Whether it came true in time.
#[expect(clippy::disallowed_methods, reason = "the one place that waits for what nobody announces")]
fn poll(patience: Duration, mut is_true: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while !is_true() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// What it gives, and how long it took.
#[expect(clippy::disallowed_methods, reason = "a test of a deadline measures")]
pub(crate) fn measured<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let given = work();
    (given, begin.elapsed())
}

/// `kiln serve` with these variables and no others, and the soft limit of open files that services have.
#[expect(clippy::disallowed_methods, reason = "the program under test is started here")]
pub(crate) fn serve(data: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "ulimit -Sn 1024; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_kiln"), "serve"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("KILN_DATA_DIR", data);
    command.envs([("KILN_API_HOST", "127.0.0.1"), ("KILN_API_PORT", "0"), ("KILN_API_AUTH_ENABLED", "false")]);
    // Daemons of several tests run at once: none has the local socket of the installation.
    command.env("KILN_API_SOCKET", "");
    command.envs(settings.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// A data directory that is removed at the end. The service user must be able to reach it.
pub(crate) fn data_directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("kiln-test-").tempdir().unwrap()
}

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    address: SocketAddr,
    spawner: u32,
    instance: String,
    log: Log,
    ended: Option<ExitStatus>,
    data: PathBuf,
    /// Goes last.
    _own_data: Option<tempfile::TempDir>,
}

/// One daemon for all tests that only run jobs; it lives as long as one of them does.
pub(crate) fn shared() -> Arc<Daemon> {
    static SHARED: Mutex<Weak<Daemon>> = Mutex::new(Weak::new());
    let mut place = SHARED.lock().unwrap();
    if let Some(daemon) = place.upgrade() {
        return daemon;
    }
    let daemon = Arc::new(Daemon::start(&[]));
    *place = Arc::downgrade(&daemon);
    daemon
}

/// Runs a request on the shared daemon.
#[track_caller]
pub(crate) fn execute(request: &Value) -> Value {
    shared().execute(request)
}

impl Daemon {
    /// On a new data directory.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let data = data_directory();
        let path = data.path().to_path_buf();
        Self::begin(&path, Some(data), settings)
    }

    /// On this data directory.
    pub(crate) fn start_on(data: &Path, settings: &[(&str, &str)]) -> Self {
        Self::begin(data, None, settings)
    }

    fn begin(data: &Path, own_data: Option<tempfile::TempDir>, settings: &[(&str, &str)]) -> Self {
        let mut child = serve(data, settings).spawn().unwrap();
        let log = Log::collect(BufReader::new(child.stderr.take().unwrap()));
        // It may wait for the spawner of one that was killed.
        let ready = until(seconds(60), "the daemon is ready", || {
            let ended = child.try_wait().unwrap();
            assert_eq!(ended, None, "{}", log.text());
            log.word("ready address=")
        });
        let spawner = log.word("spawner=").unwrap().parse().unwrap();
        let instance = log.word("instance=").unwrap();
        let address = ready.parse().unwrap();
        Self { child, address, spawner, instance, log, ended: None, data: data.to_path_buf(), _own_data: own_data }
    }

    /// The process of the server.
    pub(crate) fn server(&self) -> u32 {
        self.child.id()
    }

    /// The process of the spawner.
    pub(crate) const fn spawner(&self) -> u32 {
        self.spawner
    }

    /// What its cgroups are named by.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Asks for a path.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        http::ask(self.address, &format!("GET {path}"), None, seconds(60)).unwrap()
    }

    /// Cancels a job. Where its end takes long, the answer is 202, without it.
    #[track_caller]
    pub(crate) fn cancel(&self, path: &str) -> Value {
        let answer = http::ask(self.address, &format!("DELETE {path}"), None, seconds(60)).unwrap();
        let job = match answer.status {
            200 => answer.body,
            status => {
                assert_eq!(status, 202, "{:#}", answer.body);
                self.wait_for_status(path, "cancelled")
            }
        };
        assert_ended_by(&job, "cancelled", "cancelled");
        job
    }

    /// Asks for the end or the removal of something; the status of the answer.
    pub(crate) fn delete(&self, path: &str) -> u16 {
        http::text(self.address, &format!("DELETE {path}"), seconds(60)).unwrap().0
    }

    /// Sends a request to run something, and waits for whatever is answered.
    #[track_caller]
    pub(crate) fn post(&self, request: &Value) -> Answer {
        http::ask(self.address, "POST /v1/execute", Some(request), seconds(300)).unwrap()
    }

    /// Runs a request to its end. Where it names no `timeout` it has one that fits this machine.
    #[track_caller]
    pub(crate) fn execute(&self, request: &Value) -> Value {
        let answer = self.post(&patient(request));
        assert_eq!(answer.status, 200, "{:#}", answer.body);
        assert!(!answer.body["termination"].is_null(), "it has not ended: {:#}", answer.body);
        answer.body
    }

    /// Sends a request that goes on after the answer; gives the path of its job.
    #[track_caller]
    pub(crate) fn submit(&self, request: &Value) -> String {
        let answer = self.post(&with(patient(request), json!({"async": true})));
        assert_eq!(answer.status, 202, "{:#}", answer.body);
        answer.header("location").unwrap().to_owned()
    }

    /// Waits until the job at this path has this status.
    #[track_caller]
    pub(crate) fn wait_for_status(&self, path: &str, status: &str) -> Value {
        until(seconds(120), &format!("{path} is {status}"), || {
            let answer = self.get(path);
            assert_eq!(answer.status, 200, "{:#}", answer.body);
            (answer.body["status"] == status).then_some(answer.body)
        })
    }

    /// Whether it runs this language: a host without its compiler does not.
    pub(crate) fn offers(&self, language: &str) -> bool {
        self.get("/v1/languages").body["languages"].as_array().unwrap().iter().any(|offered| offered == language)
    }

    /// Sends a signal to the server or the spawner.
    pub(crate) fn signal(process: u32, signal: Signal) {
        kill(Pid::from_raw(process.try_into().unwrap()), signal).unwrap();
    }

    /// Kills both, so that neither sees the other's end. The spawner first: one that is only stopped the kernel would
    /// wake with SIGHUP and SIGCONT at the end of the server, whose end orphans its process group (setpgid(2)).
    #[track_caller]
    pub(crate) fn kill_both(&self) {
        Self::stand_still(self.server());
        Self::signal(self.spawner, Signal::SIGKILL);
        Self::signal(self.server(), Signal::SIGKILL);
    }

    /// Kills both and the keeper of networks, so that none sees another's end: the keeper before the spawner, whose
    /// end would wake or end it.
    #[track_caller]
    pub(crate) fn kill_all(&self, keeper: u32) {
        Self::stand_still(self.server());
        Self::stand_still(self.spawner);
        Self::signal(keeper, Signal::SIGKILL);
        self.kill_both();
    }

    #[track_caller]
    fn stand_still(process: u32) {
        Self::signal(process, Signal::SIGSTOP);
        until(seconds(30), "the process stands still", || (host::state(process) == Some('T')).then_some(()));
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = until(seconds(30), "the daemon ends", || self.child.try_wait().unwrap());
        self.ended = Some(status);
        status
    }

    /// Nothing of it may be left, however it ended.
    #[track_caller]
    pub(crate) fn assert_gone(&self) {
        until(seconds(30), "the spawner ends", || (!host::is_alive(self.spawner)).then_some(()));
        assert_eq!(host::cgroups_of(&self.instance), Vec::<PathBuf>::new());
    }

    fn stop(&mut self) {
        Self::signal(self.server(), Signal::SIGTERM);
        let status = self.wait();
        let log = self.log();
        assert_eq!((status.code(), status.signal()), (Some(0), None), "{log}");
        assert!(!log.contains(" ERROR "), "{log}");
        assert!(!log.contains("panic"), "{log}");
        self.assert_gone();
    }
}

impl Drop for Daemon {
    #[expect(clippy::print_stderr, reason = "the log of the daemon belongs to the report of a failed test")]
    fn drop(&mut self) {
        if self.ended.is_some() {
            return;
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log());
            Self::signal(self.server(), Signal::SIGTERM);
            self.child.wait().unwrap();
        } else {
            self.stop();
        }
    }
}

/// What a daemon and its spawner log.
#[derive(Clone, Debug)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn collect(source: impl BufRead + Send + 'static) -> Self {
        let log = Self(Arc::default());
        let sink = log.clone();
        let collect = move || {
            for line in source.lines().map_while(Result::ok) {
                let mut text = sink.0.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
            }
        };
        std::thread::Builder::new().name(String::from("log")).spawn(collect).unwrap();
        log
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    /// The word that follows `mark`.
    fn word(&self, mark: &str) -> Option<String> {
        let text = self.text();
        let (_, rest) = text.split_once(mark)?;
        rest.split_whitespace().next().map(str::to_owned)
    }
}

/// Python source.
pub(crate) fn python(code: &str) -> Value {
    json!({"language": "python", "code": code})
}

/// A Bash script.
pub(crate) fn bash(code: &str) -> Value {
    json!({"language": "bash", "code": code})
}

/// A program as it is.
pub(crate) fn command(words: &[&str]) -> Value {
    json!({"image": "host", "command": words})
}

/// The request with further members.
pub(crate) fn with(mut request: Value, more: Value) -> Value {
    let (Value::Object(members), Value::Object(more)) = (&mut request, more) else { panic!("not an object") };
    members.extend(more);
    request
}

fn patient(request: &Value) -> Value {
    if request.get("timeout").is_some() {
        request.clone()
    } else {
        with(request.clone(), json!({"timeout": timeout(30)}))
    }
}

/// The program ended by itself with code 0; gives what it printed.
#[track_caller]
pub(crate) fn printed(job: &Value) -> &str {
    assert_eq!((&job["termination"]["reason"], &job["exit_code"]), (&json!("exited"), &json!(0)), "{job:#}");
    assert_eq!(job["stderr"], "", "{job:#}");
    job["stdout"].as_str().unwrap()
}

/// What ended the job.
#[track_caller]
pub(crate) fn assert_ended_by(job: &Value, reason: &str, status: &str) {
    assert_eq!((&job["termination"]["reason"], &job["status"]), (&json!(reason), &json!(status)), "{job:#}");
}

/// The limits that were hit without ending the job.
#[track_caller]
pub(crate) fn assert_limits_hit(job: &Value, names: &[&str]) {
    assert_eq!(job["termination"]["limits_hit"], json!(names), "{job:#}");
}
