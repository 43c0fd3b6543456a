//! Jobs through the whole daemon: programs of several files, lists, ends, removal, every byte of output.
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Daemon, assert_ended_by, bash, execute, printed, python, seconds, shared, timeout, until, with};
use crate::held::Held;
use crate::host;
use crate::http::{self, Answer};

fn ask(daemon: &Daemon, line: &str) -> Answer {
    http::ask(daemon.address(), line, None, seconds(60)).unwrap()
}

fn project(files: &[(&str, &str)], entrypoint: &str) -> Value {
    let files: Vec<Value> = files.iter().map(|(path, content)| json!({"path": path, "content": content})).collect();
    json!({"language": "python", "files": files, "entrypoint": entrypoint})
}

#[test]
fn files_lie_where_they_were_named_and_the_entry_point_runs() {
    let files = [
        ("package/__init__.py", ""),
        ("package/greeting.py", "def greet(name):\n    return f'Hello, {name}'"),
        ("data/name.txt", "kiln"),
        (
            "bin/start.py",
            "import sys\nsys.path.insert(0, '/work')\nfrom package.greeting import greet\nprint(greet(open('data/name.txt').read()))",
        ),
    ];
    assert_eq!(printed(&execute(&project(&files, "bin/start.py"))), "Hello, kiln\n");
}

#[test]
fn an_executable_file_can_be_started_and_another_cannot() {
    let script = "#!/bin/sh\necho started";
    let file = |path: &str, executable: bool| json!({"path": path, "content": script, "executable": executable});
    let main = json!({"path": "main.sh", "content": "./yes; ./no 2>/dev/null || echo refused"});
    let job = execute(&json!({"language": "bash", "files": [main, file("yes", true), file("no", false)]}));
    assert_eq!(printed(&job), "started\nrefused\n");
}

#[test]
fn a_running_job_is_cancelled() {
    let daemon = shared();
    let held = Held::start(&daemon, "print('begun', flush=True)", "");
    let job = daemon.cancel(held.path());
    assert_eq!((&job["stdout"], &job["exit_code"]), (&json!("begun\n"), &Value::Null));
    assert!(!host::is_alive(held.process()), "its process is gone");
    let again = ask(&daemon, &format!("DELETE {}", held.path()));
    assert_eq!((again.status, &again.body["error"]["code"]), (409, &json!("CONFLICT")));
}

#[test]
fn a_waiting_job_is_cancelled_and_never_runs() {
    let daemon = Daemon::start(&[("KILN_API_JOB_MAX_CONCURRENT", "1")]);
    let held = Held::start(&daemon, "", "");
    let path = daemon.submit(&bash("echo ran"));
    let answer = ask(&daemon, &format!("DELETE {path}"));
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    assert_ended_by(&answer.body, "cancelled", "cancelled");
    assert!(answer.body.get("started_at").is_none());
    held.release();
    assert_eq!(daemon.get(&path).body["stdout"], "");
}

#[test]
fn the_output_of_a_running_job_grows() {
    let daemon = shared();
    let held = Held::start(&daemon, "print('first', flush=True)", "print('last')");
    let output = format!("{}/output", held.path());
    let read = || http::text(daemon.address(), &format!("GET {output}"), seconds(60)).unwrap();
    until(seconds(30), "the first line is there", || (read().1 == "first\n").then_some(()));
    held.release();
    assert_eq!(read().1, "first\nlast\n");
}

#[test]
fn every_byte_is_given_and_ranges_are_cut_out_of_it() {
    let code = "import sys\nfor number in range(200_000):\n    print(number)\nprint('end', file=sys.stderr)";
    let daemon = shared();
    let job = daemon.execute(&python(code));
    assert_eq!(job["stdout_truncated"], true);
    let lines: Vec<String> = (0..200_000).map(|number| number.to_string()).chain([String::new()]).collect();
    let whole = lines.join("\n");
    let path = job["_links"]["output"]["href"].as_str().unwrap();
    let read = |query: &str, range: &str| {
        let line = format!("GET {path}{query}");
        http::text_with(daemon.address(), &line, &format!("range: {range}\r\n"), seconds(60)).unwrap()
    };
    assert_eq!(read("?stream=stdout", ""), (200, whole.clone()));
    assert_eq!(read("?stream=stderr", ""), (200, String::from("end\n")));
    assert_eq!(read("?stream=stdout", "bytes=700000-700019"), (206, whole[700_000..700_020].to_owned()));
    assert_eq!(read("?stream=stdout", "bytes=-7"), (206, String::from("199999\n")));
    assert_eq!(read("?stream=stdout", &format!("bytes={}-", whole.len())).0, 416);
    assert_eq!(read("?stream=both", "").1.len(), whole.len() + 4);
}

#[test]
fn a_list_is_exact_and_newest_first() {
    let daemon = Daemon::start(&[("KILN_API_JOB_MAX_CONCURRENT", "1")]);
    for _ in 0..3 {
        daemon.execute(&bash("exit 0"));
    }
    daemon.execute(&with(bash("sleep 1000"), json!({"timeout": timeout(1)})));
    let held = Held::start(&daemon, "", "");
    let waiting = daemon.submit(&bash("exit 0"));
    for (query, total) in [
        ("", 6),
        ("?status=completed", 3),
        ("?status=timeout", 1),
        ("?status=running", 1),
        ("?status=pending", 1),
        ("?status=failed", 0),
        ("?language=bash", 5),
        ("?language=python&status=running", 1),
    ] {
        assert_eq!(daemon.get(&format!("/v1/jobs{query}")).body["total"], total, "{query}");
    }
    let page = daemon.get("/v1/jobs?limit=2").body;
    let path = |index: usize| page["jobs"][index]["_links"]["self"]["href"].as_str().unwrap().to_owned();
    assert_eq!([path(0), path(1)], [waiting, held.path().to_owned()]);
    held.release();
}

#[test]
fn a_removed_job_leaves_no_file() {
    let daemon = Daemon::start(&[]);
    let before = logs(daemon.data());
    let path = daemon.submit(&bash("echo secret"));
    daemon.wait_for_status(&path, "completed");
    assert_eq!(logs(daemon.data()), before + 1);
    assert_eq!(daemon.delete(&format!("{path}/data")), 204);
    assert_eq!(logs(daemon.data()), before);
    assert_eq!(ask(&daemon, &format!("GET {path}")).status, 404);
    assert_eq!(daemon.get("/v1/jobs").body["total"], 0);
}

/// Both come from one table; here it is looked at from inside.
#[test]
fn the_spec_says_what_the_program_sees() {
    let code = "
import json, os, resource, socket
def limit(name):
    soft, hard = resource.getrlimit(getattr(resource, name))
    return {'type': name, 'soft': soft, 'hard': hard}
names = ['RLIMIT_NOFILE', 'RLIMIT_FSIZE', 'RLIMIT_CORE', 'RLIMIT_STACK', 'RLIMIT_MEMLOCK', 'RLIMIT_MSGQUEUE',
         'RLIMIT_SIGPENDING', 'RLIMIT_NICE', 'RLIMIT_RTPRIO']
resource.RLIMIT_SIGPENDING, resource.RLIMIT_NICE, resource.RLIMIT_RTPRIO, resource.RLIMIT_MSGQUEUE = 11, 13, 14, 12
first = int(open('/proc/self/uid_map').read().split()[1])
mounts = sorted(line.split()[4] for line in open('/proc/self/mountinfo'))
print(json.dumps([[limit(name) for name in names], first, socket.gethostname(), mounts, os.getcwd()]))
";
    let daemon = shared();
    let job = daemon.execute(&with(python(code), json!({"limits": {"open_files": 77}})));
    let spec = daemon.get(job["_links"]["spec"]["href"].as_str().unwrap()).body;
    let seen: Value = serde_json::from_str(printed(&job)).unwrap();
    assert_eq!(seen[0], spec["process"]["rlimits"]);
    assert_eq!(seen[0][0]["soft"], 77);
    assert_eq!(seen[1], spec["linux"]["uidMappings"][0]["hostID"]);
    assert_eq!((&seen[2], &seen[4]), (&spec["hostname"], &spec["process"]["cwd"]));
    let mounted: Vec<&str> = seen[3].as_array().unwrap().iter().map(|place| place.as_str().unwrap()).collect();
    for mount in spec["mounts"].as_array().unwrap() {
        assert!(mounted.contains(&mount["destination"].as_str().unwrap()), "{mount}");
    }
    let listed = |name: &str| spec["linux"][name].as_array().unwrap().iter().map(|path| path.as_str().unwrap());
    let shown = |path: &&str| Path::new(path).exists();
    for path in listed("maskedPaths").chain(listed("readonlyPaths")).filter(shown) {
        assert!(mounted.contains(&path), "{path}");
    }
    let compiled = format!("{}?phase=compile", job["_links"]["spec"]["href"].as_str().unwrap());
    assert_eq!(daemon.get(&compiled).status, 404);
}

/// Files of logs below a data directory.
fn logs(data: &Path) -> usize {
    host::paths_below(&data.join("logs")).iter().filter(|path| path.is_file()).count()
}
