//! A new Debian root in a directory, by mmdebstrap: what it is told, what it says meanwhile, what its failure means.
//!
//! It runs in a mount and a pid namespace of its own, which end with it, and it ends with this process: nothing stays
//! mounted and nothing goes on, however the build ends (setpriv(1), `--pdeathsig`; unshare(1), `--kill-child`).
//! Not here: what is removed of the root afterwards (`strip`).
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::image::build::{EPOCH, Options};
use crate::image::fault::ImageError;
use crate::image::recipe::Recipe;

/// The program and the package that has it.
const PROGRAM: &str = "mmdebstrap";
/// Where programs are; the caller's environment decides nothing.
pub(super) const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The directory that is given as standard input is where the program begins, and is held open: a program would take a
/// directory there for a fault. It is not named, because the service user owns the data directory and could put a link in
/// the place of any name below it.
const IN_PLACE: &str = "cd /proc/self/fd/0 && exec \"$@\" 9<&0 </dev/null";
/// Where it is mounted for mmdebstrap alone, which wants a path.
const SITE: &str = "/mnt";
const AT_SITE: &str = "mount --no-canonicalize --bind . /mnt && cd / && exec \"$@\"";

/// How its reports of a step begin.
const STEP: &str = "I: ";
/// What it says of a full disk. It has removed what it made when it ends, and then there is room again.
const FULL: &[&str] = &["No space left on device", "Disk quota exceeded"];
/// Of a line this much is read.
const LINE: u64 = 4096;
/// So many of the last lines are shown when it fails.
const LAST_LINES: usize = 12;

/// Documents but licences, and what other languages say, are not even unpacked.
const UNPACKING: &[&str] = &[
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/info/*",
    // Nothing of a build is kept that ended half-way: dpkg need not wait for the disk.
    "force-unsafe-io",
];

/// Makes the root `name`, a new directory in the one that is `alive`: held open by whatever works in it.
///
/// # Errors
/// When mmdebstrap is not there or does not end well: with the end of what it said.
pub(super) fn bootstrap(
    alive: &File,
    name: &str,
    (recipe, options): (&Recipe, &Options),
    told: &mut dyn FnMut(&str),
) -> Result<(), ImageError> {
    let failed = |error: io::Error| ImageError::failed(format!("starting {PROGRAM}"), error);
    if !is_installed(PROGRAM) {
        return Err(ImageError::NoProgram { program: PROGRAM, package: PROGRAM });
    }
    let alive = alive.try_clone().map_err(failed)?;
    let mut command = contained(&["--mount-proc"]);
    command.args(["/bin/sh", "-c", AT_SITE, "sh", PROGRAM]);
    command.args(arguments(recipe, options, &Path::new(SITE).join(name)));
    command.env("TMPDIR", SITE).env("SOURCE_DATE_EPOCH", EPOCH.to_string()).envs(options.proxies.clone());
    let mut child =
        command.stdin(Stdio::from(alive)).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let (mut last, mut is_full) = (VecDeque::new(), false);
    if let Some(said) = child.stderr.take() {
        let read = follow(BufReader::new(said), &mut |line| {
            if let Some(step) = line.strip_prefix(STEP) {
                told(step);
            }
            is_full |= FULL.iter().any(|full| line.contains(full));
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(line.to_owned());
        });
        read.map_err(|error| ImageError::failed(format!("reading what {PROGRAM} says"), error))?;
    }
    let status = child.wait().map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    if is_full {
        return Err(ImageError::Full { what: format!("building {recipe}") });
    }
    let said = last.into_iter().collect::<Vec<_>>().join("\n");
    Err(ImageError::Program { program: PROGRAM, said: format!("{status}:\n{said}") })
}

/// A command whose processes end with this one, and all mounts with them. It begins in the directory that is its standard
/// input, which they hold open.
#[expect(clippy::disallowed_methods, reason = "root's command line, not a daemon, makes images")]
pub(super) fn contained(namespaces: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "/bin/sh", "-c", IN_PLACE, "sh"]);
    command.args(["unshare", "--mount", "--pid", "--fork", "--kill-child"]).args(namespaces);
    command.arg("--").env_clear().env("PATH", PATH).env("LC_ALL", "C");
    command
}

pub(super) fn is_installed(program: &str) -> bool {
    PATH.split(':').any(|folder| Path::new(folder).join(program).is_file())
}

fn arguments(recipe: &Recipe, options: &Options, to: &Path) -> Vec<String> {
    let mut arguments = Vec::from(
        ["--verbose", "--mode=root", "--variant=essential", "--format=directory", "--skip=essential/unlink"]
            .map(String::from),
    );
    arguments.push(format!("--include={}", recipe.packages.join(",")));
    for option in ["Acquire::Languages \"none\"", "APT::Install-Recommends \"false\"", "Acquire::Retries \"3\""] {
        arguments.push(format!("--aptopt={option}"));
    }
    arguments.extend(UNPACKING.iter().map(|option| format!("--dpkgopt={option}")));
    // The cache is mounted where apt keeps what it downloads, and taken away before apt cleans up.
    let cache = quoted(&options.cache.display().to_string());
    let archives = "\"$1\"/var/cache/apt/archives";
    arguments.push(format!("--setup-hook=mkdir -p {archives} && mount --bind {cache} {archives}"));
    // The Java runtime is not installed without this directory.
    arguments.push(String::from("--essential-hook=mkdir -p \"$1\"/usr/share/man/man1"));
    let hooks = recipe.hooks.iter().map(|hook| format!("--customize-hook=chroot \"$1\" /bin/sh -ec {}", quoted(hook)));
    arguments.extend(hooks);
    arguments.push(format!("--customize-hook=umount {archives}"));
    arguments.extend([recipe.suite.clone(), to.display().to_string()]);
    for (mirror, suite) in [(&options.mirror, ""), (&options.security_mirror, "-security")] {
        arguments.extend(mirror.as_ref().map(|mirror| format!("deb {mirror} {}{suite} main", recipe.suite)));
    }
    arguments
}

/// One word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Reads lines until the end; of a long one its beginning counts.
fn follow(mut source: impl io::BufRead, told: &mut dyn FnMut(&str)) -> io::Result<()> {
    let mut line = Vec::new();
    let mut begins = true;
    while source.by_ref().take(LINE).read_until(b'\n', &mut line)? > 0 {
        if begins {
            told(String::from_utf8_lossy(&line).trim_end());
        }
        begins = line.ends_with(b"\n");
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod test {
    use std::path::PathBuf;

    use super::*;

    fn options() -> Options {
        Options {
            mirror: Some(String::from("http://mirror.example/debian")),
            security_mirror: Some(String::from("http://mirror.example/security")),
            cache: PathBuf::from("/var/cache/it's"),
            proxies: Vec::new(),
        }
    }

    fn recipe(hooks: &str) -> Recipe {
        Recipe::parse(&format!("name = 'x'\npackages = ['lua5.4', 'bc']\nhooks = {hooks}\n")).unwrap()
    }

    #[test]
    fn mmdebstrap_is_told_packages_hooks_and_mirrors() {
        let arguments = arguments(&recipe("[\"echo 'a'\"]"), &options(), Path::new("/new"));
        for wanted in [
            "--include=lua5.4,bc",
            "--customize-hook=chroot \"$1\" /bin/sh -ec 'echo '\\''a'\\'''",
            "trixie",
            "/new",
            "deb http://mirror.example/debian trixie main",
            "deb http://mirror.example/security trixie-security main",
        ] {
            assert!(arguments.iter().any(|argument| argument == wanted), "{wanted}: {arguments:#?}");
        }
        assert!(arguments.iter().any(|argument| argument.contains("mount --bind '/var/cache/it'\\''s' ")), "quoted");
    }

    #[test]
    fn without_mirrors_mmdebstrap_takes_its_own() {
        let options = Options { mirror: None, security_mirror: None, ..options() };
        let arguments = arguments(&recipe("[]"), &options, Path::new("/new"));
        assert_eq!(arguments.last().map(String::as_str), Some("/new"));
    }

    #[test]
    fn lines_are_read_to_the_end_and_long_ones_cut() {
        let mut lines = Vec::new();
        let long = "x".repeat(10_000);
        follow(format!("I: one\n{long}\nlast").as_bytes(), &mut |line| lines.push(line.len())).unwrap();
        assert_eq!(lines, [6, 4096, 4]);
    }
}
