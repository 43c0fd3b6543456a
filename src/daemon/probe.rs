//! Finds out which languages the image has, by running each one's version command in a sandbox.
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::AsyncReadExt;

use crate::base::size::ByteSize;
use crate::lang::{Language, Languages, WORK};
use crate::launch::{Exit, Image, LaunchError, Launcher, Program, SandboxLimits, SandboxRequest};
use crate::queue::Versions;

/// Of the output of a version command only this much is read.
const READ: u64 = 16 * 1024;

const LIMITS: SandboxLimits = SandboxLimits {
    wall: Duration::from_secs(20),
    cpu_time: Duration::from_secs(10),
    milli_cpus: 1000,
    memory: ByteSize::mib(256),
    processes: 64,
    open_files: 256,
    file_size: ByteSize::mib(1),
    disk: ByteSize::mib(1),
    disk_inodes: 64,
};

/// Notes the version of every language that is there. One that is not is left out, and told.
pub(super) async fn all(launcher: &Launcher, languages: &Languages, versions: &Versions) {
    let found =
        join_all(languages.iter().map(|language| async move { (language, version_of(launcher, language).await) }));
    for (language, version) in found.await {
        match version {
            Ok(version) => {
                tracing::info!(language = language.id, version, "language found");
                versions.learn(language.id.clone(), version);
            }
            Err(reason) => tracing::warn!(language = language.id, reason, "language not offered"),
        }
    }
}

async fn version_of(launcher: &Launcher, language: &Language) -> Result<String, String> {
    let output = run(launcher, &language.version.command).await.map_err(|error| error.to_string())?;
    let output = output.ok_or_else(|| String::from("its version command does not succeed"))?;
    language.version.read(&output).ok_or_else(|| String::from("its version command prints no version"))
}

async fn run(launcher: &Launcher, command: &[String]) -> Result<Option<Vec<u8>>, LaunchError> {
    let work = launcher.make_tree(ByteSize::mib(1), 64).await?;
    let program = Program {
        argv: command.iter().map(|word| word.clone().into_bytes()).collect(),
        env: vec![b"PATH=/usr/bin:/bin".to_vec(), b"LANG=C.UTF-8".to_vec(), b"HOME=/work".to_vec()],
        cwd: WORK.as_bytes().to_vec(),
    };
    let request = SandboxRequest {
        label: [0; 64],
        image: Image::Host,
        program,
        files: Vec::new(),
        stdin: Vec::new(),
        work: &work,
        limits: LIMITS,
    };
    let sandbox = launcher.start(request).await?;
    let mut output = Vec::new();
    // What comes after is not read: the program gets SIGPIPE or EPIPE, and its end is judged all the same.
    let read = sandbox.stdout.take(READ).read_to_end(&mut output).await;
    let end = sandbox.end.wait().await;
    Ok((read.is_ok() && end.exit == Exit::Code(0)).then_some(output))
}
