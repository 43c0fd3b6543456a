//! What else runs a program, started here as a process: bare, by bubblewrap, by crun.
//!
//! Each has the namespaces, the read-only root and the writable /tmp that it needs for the same work. None has limits.
use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::answer::complain;
use crate::cli::bench::workload::Workload;
use crate::cli::exit::Exit;

/// The whole environment of what is started.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a sandboxed process may write.
const INSIDE: &str = "/tmp";

/// Who else runs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Peer {
    /// A process without any sandbox
    Bare,
    /// bubblewrap: all namespaces, the host's root read-only
    Bwrap,
    /// crun: a minimal OCI bundle with the same namespaces, no cgroup
    Crun,
}

impl Peer {
    /// Its name in arguments and answers.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Bwrap => "bwrap",
            Self::Crun => "crun",
        }
    }

    /// The process that does this work, nothing where it is none of a process.
    pub(super) fn command(self, workload: Workload, folder: &Folder) -> Option<Command> {
        let inside = workload.command(INSIDE)?;
        Some(match self {
            Self::Bare => program(&workload.command(&folder.text())?),
            Self::Bwrap => {
                let mut command = program(&["bwrap".to_owned(), "--unshare-all".to_owned()]);
                command.args(["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", INSIDE]);
                command.args(inside);
                command
            }
            Self::Crun => {
                let mut command = program(&["crun".to_owned(), "--cgroup-manager=disabled".to_owned()]);
                command.arg("--root").arg(folder.0.join("crun")).arg("run");
                command.arg("--bundle").arg(folder.0.join(workload.name())).arg(Uuid::now_v7().to_string());
                command
            }
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "who is compared with is started here, as the caller asked")]
fn program(words: &[String]) -> Command {
    let (name, arguments) = words.split_first().map_or(("", &[][..]), |(name, rest)| (name.as_str(), rest));
    let mut command = Command::new(name);
    command.args(arguments).env_clear().env("PATH", PATH).stdin(std::process::Stdio::null());
    command
}

/// A folder of our own with the bundles in it; it goes with this value.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Below `parent`, with a bundle for each of these.
    pub(super) fn make(parent: &Path, workloads: &[Workload]) -> io::Result<Self> {
        let folder = Self(parent.join(format!("kiln-bench-{}", Uuid::now_v7())));
        // An existing one is refused: nobody else has made it.
        DirBuilder::new().mode(0o700).create(&folder.0)?;
        for workload in workloads {
            if let Some(words) = workload.command(INSIDE) {
                make_bundle(&folder.0.join(workload.name()), &words)?;
            }
        }
        Ok(folder)
    }

    fn text(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            complain(&format!("{}: {error}", self.0.display()), Exit::Ok);
        }
    }
}

fn make_bundle(bundle: &Path, words: &[String]) -> io::Result<()> {
    let root = bundle.join("rootfs");
    for name in ["usr", "proc", "dev", "tmp"] {
        DirBuilder::new().recursive(true).create(root.join(name))?;
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), root.join(name))?;
    }
    File::create_new(bundle.join("config.json"))?.write_all(configuration(words).to_string().as_bytes())
}

/// As small as the OCI runtime specification allows for this work.
fn configuration(words: &[String]) -> Value {
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "user", "cgroup"].map(|kind| json!({"type": kind}));
    let itself = json!([{"containerID": 0, "hostID": nix::unistd::geteuid().as_raw(), "size": 1}]);
    let group = json!([{"containerID": 0, "hostID": nix::unistd::getegid().as_raw(), "size": 1}]);
    let mount = |target: &str, kind: &str, source: &str, options: &[&str]| json!({"destination": target, "type": kind, "source": source, "options": options});
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false, "user": {"uid": 0, "gid": 0}, "args": words, "env": [format!("PATH={PATH}")],
            "cwd": "/", "capabilities": {}, "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "mounts": [
            mount("/usr", "bind", "/usr", &["rbind", "ro"]),
            mount("/proc", "proc", "proc", &[]),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "mode=755", "size=64k"]),
            mount("/tmp", "tmpfs", "tmpfs", &["nosuid", "nodev", "mode=1777"]),
        ],
        "linux": {"namespaces": namespaces, "uidMappings": itself, "gidMappings": group},
    })
}

#[cfg(test)]
mod test {
    use super::*;

    fn words(command: &Command) -> Vec<String> {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn every_peer_does_every_piece_of_work_but_that_of_http() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::make(parent.path(), Workload::value_variants()).unwrap();
        for peer in Peer::value_variants() {
            assert_eq!(peer.to_possible_value().unwrap().get_name(), peer.name());
            assert!(peer.command(Workload::Http, &folder).is_none());
            assert!(peer.command(Workload::C, &folder).is_some());
        }
        let bwrap = words(&Peer::Bwrap.command(Workload::True, &folder).unwrap()).join(" ");
        assert_eq!(bwrap, "bwrap --unshare-all --ro-bind / / --proc /proc --dev /dev --tmpfs /tmp /bin/true");
    }

    #[test]
    fn two_containers_never_have_the_same_name() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::make(parent.path(), &[Workload::True]).unwrap();
        let name = || words(&Peer::Crun.command(Workload::True, &folder).unwrap()).pop().unwrap();
        assert_ne!(name(), name());
    }

    #[test]
    fn the_folder_goes_with_all_that_is_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::make(parent.path(), &[Workload::True]).unwrap();
        assert!(folder.0.join("true/config.json").exists() && folder.0.join("true/rootfs/lib64").is_symlink());
        drop(folder);
        assert_eq!(parent.path().read_dir().unwrap().count(), 0);
    }
}
