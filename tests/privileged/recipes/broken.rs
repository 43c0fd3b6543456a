//! Builds that do not end well: what is said, and that nothing is left of them.
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::harness::{data_directory, seconds, until};
use crate::host;
use crate::recipes::build;

/// A recipe of the essential packages and little more, with these lines beside.
fn recipe(folder: &Path, more: &str) -> String {
    let path = folder.join("small.toml");
    let text = format!("name = \"small\"\npackages = [\"hostname\"]\n{more}\n");
    fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What is in a store beside the files that are only locked.
fn stored(data: &Path) -> Vec<PathBuf> {
    let paths = host::paths_below(&data.join("images")).into_iter();
    paths.filter(|path| !["lock", "in-use", "tags"].iter().any(|name| path.ends_with(name))).collect()
}

/// The same in a mount namespace of its own, in which a command was run before; the end of what it says is what is left
/// in the store.
#[expect(clippy::disallowed_methods, reason = "the program under test is started here")]
fn build_after(first: &str, data: &Path, recipes: &[&str]) -> Command {
    let build = build(data, recipes);
    let mut command = Command::new("/usr/bin/unshare");
    let looked_at = format!("ls '{}/images' >&2", data.display());
    let script = format!("{first} || exit 1; \"$@\"; code=$?; echo left: >&2; {looked_at}; exit $code");
    command.args(["--mount", "/bin/sh", "-c", &script, "sh"]);
    command.arg(build.get_program()).args(build.get_args()).env_clear();
    command.envs(build.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// By SIGKILL to the command alone, and by a signal to its process group, as Ctrl-C sends one.
#[test]
fn a_build_that_is_interrupted_leaves_nothing() {
    let strikes = [|pid| kill(pid, Signal::SIGKILL), |pid| killpg(pid, Signal::SIGTERM)];
    for strike in strikes {
        let data = data_directory();
        let mut build = build(data.path(), &["sqlite"]);
        let mut child = build.process_group(0).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.ends_with("unpacking packages")), "it came as far as that");
        let below = host::descendants(child.id());
        assert!(below.iter().any(|process| host::name(*process) == "mmdebstrap"), "it is at work");
        assert!(!stored(data.path()).is_empty(), "there is something");
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        strike(pid).unwrap();
        assert!(child.wait().unwrap().signal().is_some());
        until(seconds(30), "its processes end", || below.iter().all(|process| !host::is_alive(*process)).then_some(()));
        let place = data.path().to_str().unwrap();
        assert!(!host::mounts("self").iter().any(|mount| mount.starts_with(place)));
        assert_eq!(stored(data.path()), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_recipe_that_fails_in_the_middle_leaves_nothing_and_says_why() {
    let (data, folder) = (data_directory(), data_directory());
    let faulty = recipe(folder.path(), "hooks = [\"echo it is broken >&2; exit 3\"]");
    let output = build(data.path(), &[&faulty]).output().unwrap();
    assert_eq!(output.status.code(), Some(70), "{}", told(&output));
    assert!(told(&output).contains("kiln: small: mmdebstrap failed"), "{}", told(&output));
    assert!(told(&output).contains("it is broken"), "{}", told(&output));
    assert_eq!(stored(data.path()), Vec::<PathBuf>::new(), "nothing is left of it");
}

#[test]
fn a_disk_that_is_full_is_named_and_nothing_is_left_on_it() {
    let (data, folder) = (data_directory(), data_directory());
    let mount = format!("mount -t tmpfs -o size=48m tmpfs '{}'", data.path().display());
    let small = recipe(folder.path(), "");
    let output = build_after(&mount, data.path(), &[&small]).output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", told(&output));
    assert!(told(&output).contains("the disk is full"), "{}", told(&output));
    let (_, left) =
        told(&output).split_once("left:").map(|(before, left)| (before.to_owned(), left.to_owned())).unwrap();
    assert!(!left.contains("staging-"), "{left}");
}

#[test]
fn a_program_that_is_missing_is_named_with_its_package() {
    let data = data_directory();
    let hide = "mount --bind /dev/null /usr/bin/mmdebstrap";
    let output = build_after(hide, data.path(), &["lua"]).output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", told(&output));
    let wanted = "kiln: lua: mmdebstrap is not installed: apt-get install mmdebstrap\n";
    assert!(told(&output).contains(wanted), "{}", told(&output));
    assert_eq!(stored(data.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_recipe_that_names_a_language_it_does_not_hold_is_refused() {
    let (data, folder) = (data_directory(), data_directory());
    let small = recipe(folder.path(), "languages = [\"bash\", \"ruby\"]");
    let output = build(data.path(), &[&small]).output().unwrap();
    assert_eq!(output.status.code(), Some(70), "{}", told(&output));
    assert!(
        told(&output).contains("the recipe small: ruby is not in it: /usr/bin/ruby --version"),
        "{}",
        told(&output)
    );
    assert_eq!(stored(data.path()), Vec::<PathBuf>::new());
}
