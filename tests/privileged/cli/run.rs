//! `kiln run`: input, output, codes, signals.
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::{fs, io};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::cli::{Local, assert_fails, ended, signal, told};
use crate::harness::{Daemon, seconds, until};
use crate::{held, host};

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

/// The ended job that printed the mark.
fn marked_job(local: &Local, mark: &str) -> Option<Value> {
    let jobs = local.json(&["jobs", "--limit", "1000", "--json"]);
    let job = jobs["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| local.json(&["job", "--json", job["job_id"].as_str().unwrap()]));
    let mut job = job.filter(|job| job["stdout"].as_str().is_some_and(|text| text.contains(mark)));
    job.next()
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
        assert!(!host::is_alive(process));
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
    let job = until(seconds(60), "its job has ended", || marked_job(&local, &mark));
    assert_eq!(job["status"], "cancelled");
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
