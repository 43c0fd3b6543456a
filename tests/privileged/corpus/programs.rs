//! Programs of `tests/hostile` as requests: C compiled on this host, or as `TEST_HOSTILE_PROGRAMS` has it compiled.
//!
//! A guest without a compiler is given the folder that `tests/hostile/compile.sh` made.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::manifest::Attempt;

const COMPILE: &str = include_str!("../../hostile/compile.sh");

macro_rules! texts {
    ($($name:literal,)*) => { &[$(($name, include_str!(concat!("../../hostile/", $name)))),*] };
}

/// All programs: the tests run without the checkout too.
const TEXTS: &[(&str, &str)] = texts![
    "c/daemons.c",
    "c/every_call.c",
    "c/fill.c",
    "c/flood.c",
    "c/foreign_abi.c",
    "c/fork_bomb.c",
    "c/kernel_memory.c",
    "c/large_exec.c",
    "c/memory.c",
    "c/signals.c",
    "c/spin.c",
    "c/stay.c",
    "c/zombies.c",
    "python/attempt.py",
    "python/chroot.py",
    "python/devices.py",
    "python/executable.py",
    "python/handles.py",
    "python/host_files.py",
    "python/kernel.py",
    "python/links.py",
    "python/mounts.py",
    "python/names.py",
    "python/namespaces.py",
    "python/neighbour.py",
    "python/network.py",
    "python/page_cache.py",
    "python/pointers.py",
    "python/races.py",
    "python/settings.py",
    "python/setuid.py",
    "python/sockets.py",
    "python/terminal.py",
    "python/trace.py",
    "shell/fork_bomb.sh",
    "shell/page_cache.sh",
    "shell/tools.sh",
];

/// Where the compiled programs are.
#[derive(Debug)]
pub(super) struct Programs {
    folder: PathBuf,
    /// Goes last.
    _own: Option<tempfile::TempDir>,
}

impl Programs {
    #[expect(clippy::disallowed_methods, reason = "the folder is the guest's, and a compiler is a program of the host")]
    pub(super) fn compile() -> Self {
        if let Ok(folder) = std::env::var("TEST_HOSTILE_PROGRAMS") {
            return Self { folder: PathBuf::from(folder), _own: None };
        }
        let own = tempfile::Builder::new().prefix("kiln-test-programs-").tempdir().unwrap();
        for (name, text) in TEXTS.iter().filter(|(name, _)| name.starts_with("c/")) {
            let path = own.path().join(name.trim_start_matches("c/"));
            fs::write(path, text).unwrap();
        }
        let sources = own.path().to_str().unwrap();
        let status =
            Command::new("/bin/sh").args(["-c", COMPILE, "sh", sources, sources]).stdin(Stdio::null()).status();
        assert!(status.unwrap().success(), "a program of tests/hostile/c cannot be compiled");
        Self { folder: own.path().to_path_buf(), _own: Some(own) }
    }

    /// The request that runs a program.
    pub(super) fn request(&self, attempt: &Attempt) -> Value {
        let (language, file) = attempt.program.split_once('/').unwrap();
        match language {
            "c" => self.compiled(file.trim_end_matches(".c")),
            "python" => {
                let attempt_module = json!({"path": "attempt.py", "content": text("python/attempt.py")});
                let main = json!({"path": "main.py", "content": text(&attempt.program)});
                json!({"language": "python", "files": [main, attempt_module], "entrypoint": "main.py"})
            }
            "shell" => json!({"language": "bash", "code": text(&attempt.program)}),
            other => panic!("no programs in `{other}`"),
        }
    }

    fn compiled(&self, name: &str) -> Value {
        let bytes = fs::read(Path::new(&self.folder).join(name)).unwrap();
        let program = json!({"path": "attack", "content_base64": STANDARD.encode(bytes), "executable": true});
        let main = json!({"path": "main.sh", "content": "exec /work/attack \"$@\"\n"});
        json!({"language": "bash", "files": [main, program], "entrypoint": "main.sh"})
    }
}

fn text(program: &str) -> &'static str {
    TEXTS.iter().find(|(name, _)| *name == program).unwrap_or_else(|| panic!("no program `{program}`")).1
}
