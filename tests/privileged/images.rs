//! Jobs in images of the store: what they see, which image a language gets, and what becomes of one that changes or goes.
//!
//! Not here: how images are made and removed on the command line (`image_store`), the languages in them (`languages`).
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use kiln::base::digest::Digest;
use kiln::image::archive::bounds::Bounds;
use kiln::image::catalog;
use kiln::image::manifest::ImageLanguage;
use kiln::image::staging::Description;
use kiln::image::store::ImageStore;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use crate::harness::{Daemon, data_directory, printed, seconds, serve, until, with};
use crate::host;

/// Programs of the host that the image has.
const PROGRAMS: [&str; 6] = ["bash", "cat", "id", "ls", "sleep", "touch"];

/// A root file system of a few programs of the host and the libraries that they need.
fn archive() -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for name in ["usr", "usr/bin", "usr/lib", "usr/lib64", "usr/share"] {
        let mut header = header(name, EntryType::Directory);
        header.set_cksum();
        builder.append(&header, &b""[..]).unwrap();
    }
    for (name, target) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
        let mut header = header(name, EntryType::Symlink);
        header.set_link_name(target).unwrap();
        header.set_cksum();
        builder.append(&header, &b""[..]).unwrap();
    }
    let programs = PROGRAMS.map(|name| PathBuf::from("/usr/bin").join(name));
    let libraries: BTreeSet<PathBuf> = programs.iter().flat_map(|program| libraries(program)).collect();
    for path in programs.iter().chain(&libraries) {
        let below = path.strip_prefix("/").unwrap();
        let name = if below.starts_with("usr") { below.to_path_buf() } else { Path::new("usr").join(below) };
        builder.append_path_with_name(path.canonicalize().unwrap(), name).unwrap();
    }
    builder.into_inner().unwrap()
}

fn header(name: &str, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(0);
    header
}

/// The absolute paths that ldd(1) names.
#[expect(clippy::disallowed_methods, reason = "ldd is asked what a program of the host needs")]
fn libraries(program: &Path) -> Vec<PathBuf> {
    let said = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(PathBuf::from).collect()
}

/// Puts an image of this name into a store, in which Bash has this version.
fn install(data: &Path, name: &str, version: &str) -> Digest {
    let store = ImageStore::open(data).unwrap();
    let mut staging = store.stage().unwrap();
    staging.unpack(archive().as_slice(), &Bounds::STANDARD, &mut |_| {}).unwrap();
    let own = staging.root().join("usr/share/name");
    write(&own, name);
    let languages = vec![ImageLanguage { id: String::from("bash"), version: version.to_owned(), place: 0 }];
    let description = Description {
        name: name.parse().unwrap(),
        aliases: Vec::new(),
        recipe: None,
        created: String::from("2026-01-01T00:00:00Z"),
        epoch: 0,
        languages,
        tables: String::new(),
    };
    staging.install(&description, &mut |_| {}).unwrap().digest
}

#[expect(clippy::disallowed_methods, reason = "a file of the test's own, which nobody reads yet")]
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

fn started(data: &Path) -> Daemon {
    Daemon::start_on(data, &[("KILN_API_JOB_MAX_CONCURRENT", "1")])
}

fn run_in(image: &str, words: &[&str]) -> Value {
    json!({"image": image, "command": words})
}

fn in_bash(code: &str) -> Value {
    json!({"language": "bash", "code": code})
}

fn file_of(data: &Path, digest: &Digest) -> PathBuf {
    catalog::file_of(&data.join("images"), digest)
}

/// Turns one bit of a file, and back the second time.
fn touch_up(path: &Path) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 4096).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 4096).unwrap();
}

#[test]
fn a_job_sees_the_image_and_nothing_of_the_host() {
    let data = data_directory();
    let digest = install(data.path(), "tools:1", "5.2");
    let daemon = started(data.path());
    let listed = daemon
        .execute(&run_in("tools:1", &["/bin/bash", "-c", "ls / /usr/bin; cat /usr/share/name; id -un; echo $PWD"]));
    let expected = "/:\nbin\ndev\netc\nlib\nlib64\nproc\ntmp\nusr\nwork\n\n/usr/bin:\nbash\ncat\nid\nls\nsleep\ntouch\n\
                    tools:1kiln\n/work\n";
    assert_eq!(printed(&listed), expected);
    assert_eq!((&listed["image"], &listed["image_digest"]), (&json!("tools:1"), &json!(digest.to_string())));
    let changed = daemon.execute(&run_in("tools:1", &["/usr/bin/touch", "/x", "/usr/bin/bash", "/etc/passwd"]));
    let stderr = changed["stderr"].as_str().unwrap();
    assert_eq!(stderr.matches("Read-only file system").count(), 3, "{stderr}");
    let written = daemon.execute(&run_in("tools:1", &["/bin/bash", "-c", "touch /work/a /tmp/b && ls /work /tmp"]));
    assert_eq!(printed(&written), "/tmp:\nb\n\n/work:\na\n");
    let missing = daemon.execute(&run_in("tools:1", &["/usr/bin/python3"]));
    assert_eq!(missing["termination"]["reason"], "setup_failed");
    let spec = daemon.get(&format!("{}/spec", listed["_links"]["self"]["href"].as_str().unwrap())).body;
    assert_eq!(spec["annotations"]["kiln.image"], format!("tools:1@{digest}"));
}

#[test]
fn a_language_gets_the_newest_image_that_has_it_before_the_host() {
    let data = data_directory();
    install(data.path(), "shell:5.1", "5.1.9");
    let daemon = started(data.path());
    assert_eq!(printed(&daemon.execute(&in_bash("cat /usr/share/name"))), "shell:5.1");
    // Nothing has to be started anew.
    install(data.path(), "shell:5.2", "5.2.10");
    let newest = daemon.execute(&in_bash("cat /usr/share/name"));
    assert_eq!((printed(&newest), &newest["version"]), ("shell:5.2", &json!("5.2.10")));
    let older = daemon.execute(&with(in_bash("cat /usr/share/name"), json!({"version": "5.1"})));
    assert_eq!((printed(&older), &older["image"]), ("shell:5.1", &json!("shell:5.1")));
    let host = daemon.execute(&with(in_bash("cat /usr/share/name || echo none"), json!({"image": "host"})));
    assert_eq!((&host["stdout"], &host["image"]), (&json!("none\n"), &json!("host")));
    let languages = daemon.get("/v1/languages").body;
    let of_bash = languages["runtimes"].as_array().unwrap().iter().filter(|runtime| runtime["language"] == "bash");
    let images: Vec<&str> = of_bash.map(|runtime| runtime["image"].as_str().unwrap()).collect();
    assert_eq!(images, ["shell:5.2", "shell:5.1", "host"]);
    let ids = languages["languages"].as_array().unwrap();
    assert_eq!(ids.iter().filter(|id| *id == "bash").count(), 1);
}

#[test]
fn nothing_runs_in_an_image_that_was_changed() {
    let data = data_directory();
    let digest = install(data.path(), "tools:1", "5.2");
    let daemon = started(data.path());
    let tool = run_in("tools:1", &["/bin/bash", "-c", "echo well"]);
    assert_eq!(printed(&daemon.execute(&tool)), "well\n");
    touch_up(&file_of(data.path(), &digest));
    let refused = daemon.execute(&tool);
    let message = refused["termination"]["message"].as_str().unwrap();
    assert_eq!(refused["termination"]["reason"], "setup_failed");
    assert!(message.contains("tools:1") && message.contains("kiln image verify"), "{message}");
    let host = daemon.execute(&run_in("host", &["/bin/true"]));
    assert_eq!(host["exit_code"], 0);
    touch_up(&file_of(data.path(), &digest));
    assert_eq!(printed(&daemon.execute(&tool)), "well\n");
}

#[test]
fn an_image_that_is_half_there_is_not_offered() {
    let data = data_directory();
    let digest = install(data.path(), "tools:1", "5.2");
    let daemon = started(data.path());
    let file = file_of(data.path(), &digest);
    OpenOptions::new().write(true).open(&file).unwrap().set_len(4096).unwrap();
    let digits = data.path().join("images").join("0".repeat(64)).with_extension("json");
    write(&digits, "{\"schema\": 1");
    let answer = daemon.post(&run_in("tools:1", &["/bin/true"]));
    assert_eq!((answer.status, &answer.body["error"]["details"][0]["field"]), (400, &json!("image")));
    assert_eq!(daemon.get("/v1/images").body["total"], 0);
    until(seconds(30), "the log names it", || daemon.log().contains("left out of the images").then_some(()));
    assert_eq!(daemon.execute(&in_bash("exit 0"))["image"], "host");
}

#[test]
fn an_image_that_a_job_waits_for_is_not_removed() {
    let data = data_directory();
    let digest = install(data.path(), "tools:1", "5.2");
    let daemon = started(data.path());
    let running = daemon.submit(&run_in("host", &["/bin/sleep", "1000"]));
    daemon.wait_for_status(&running, "running");
    let waiting = daemon.submit(&run_in("tools:1", &["/bin/bash", "-c", "echo well"]));
    let remove = || daemon.delete(&format!("/v1/admin/images/{digest}"));
    assert_eq!(remove(), 409);
    daemon.delete(&running);
    assert_eq!(daemon.wait_for_status(&waiting, "completed")["stdout"], "well\n");
    assert_eq!(remove(), 204);
    assert_eq!(remove(), 404);
    let left = |process: u32| host::mounts(&process.to_string()).into_iter().filter(|line| line.contains(" erofs "));
    until(seconds(30), "the spawner lets go of it", || left(daemon.spawner()).next().is_none().then_some(()));
    let names: Vec<_> =
        fs::read_dir(data.path().join("images")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains(&digest.digits())), "{names:?}");
}

#[test]
fn a_job_whose_image_is_gone_ends_by_name() {
    let data = data_directory();
    let digest = install(data.path(), "tools:1", "5.2");
    let daemon = started(data.path());
    let running = daemon.submit(&run_in("host", &["/bin/sleep", "1000"]));
    daemon.wait_for_status(&running, "running");
    let waiting = daemon.submit(&run_in("tools:1", &["/bin/true"]));
    fs::remove_file(file_of(data.path(), &digest)).unwrap();
    daemon.delete(&running);
    let ended = daemon.wait_for_status(&waiting, "failed");
    let message = ended["termination"]["message"].as_str().unwrap();
    assert!(message.contains("tools:1") && message.contains("not in the store any more"), "{message}");
}

#[test]
fn a_job_that_waits_runs_in_its_image_after_a_crash() {
    let data = data_directory();
    install(data.path(), "tools:1", "5.2");
    let mut daemon = started(data.path());
    let running = daemon.submit(&run_in("tools:1", &["/bin/sleep", "1000"]));
    daemon.wait_for_status(&running, "running");
    let waiting = daemon.submit(&run_in("tools:1", &["/bin/cat", "/usr/share/name"]));
    daemon.kill_both();
    daemon.wait();
    // Another image may have the name now; the job has the one that it was accepted with.
    let newer = install(data.path(), "tools:2", "5.3");
    let tag = data.path().join("images/tags/tools:1");
    write(&tag, &format!("{}\n", newer.digits()));
    let daemon = started(data.path());
    assert_eq!(daemon.wait_for_status(&waiting, "completed")["stdout"], "tools:1");
    assert_eq!(printed(&daemon.execute(&run_in("tools:1", &["/bin/cat", "/usr/share/name"]))), "tools:2");
    Daemon::signal(daemon.server(), Signal::SIGTERM);
}

#[test]
fn a_store_that_others_may_write_to_is_not_served() {
    let data = data_directory();
    install(data.path(), "tools:1", "5.2");
    fs::set_permissions(data.path().join("images"), fs::Permissions::from_mode(0o777)).unwrap();
    let output = serve(data.path(), &[]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(0));
    assert!(told.contains("nobody else may write to it"), "{told}");
}
