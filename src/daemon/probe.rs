//! Finds out which languages the image has, by running each one's version command in a sandbox.
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::AsyncReadExt;

use crate::base::size::ByteSize;
use crate::lang::{Language, Languages, WORK};
use crate::launch::{Exit, LaunchError, Launcher, Program, SandboxLimits, SandboxRequest};
use crate::plan::Network;
use crate::plan::mount::Root;
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

/// The languages that are there, each at its place; their versions are noted. One that is not there is
/// left out, and told.
pub(super) async fn offered(launcher: &Launcher, languages: &Languages, versions: &Versions) -> Languages {
    let looked_for =
        join_all(languages.iter().map(|language| async move { (language, found(launcher, language).await) }));
    let mut offered = Vec::new();
    for (language, found) in looked_for.await {
        match found {
            Ok((found, version)) => {
                tracing::info!(language = language.id, version, "language found");
                versions.learn(language.id.clone(), version);
                offered.push(found);
            }
            Err(reason) => tracing::info!(language = language.id, reason, "language not offered"),
        }
    }
    Languages::of(offered)
}

/// The language at the first place where it works, and its version; else what each place lacks.
async fn found(launcher: &Launcher, language: &Language) -> Result<(Language, String), String> {
    let mut reasons: Vec<String> = Vec::new();
    for language in language.at_each_place() {
        match version_of(launcher, &language).await {
            Ok(version) => return Ok((language, version)),
            Err(reason) => {
                let program = language.version.command.first().map_or("", String::as_str);
                reasons.push(format!("{program}: {reason}"));
            }
        }
    }
    Err(reasons.join("; "))
}

async fn version_of(launcher: &Launcher, language: &Language) -> Result<String, String> {
    let output = run(launcher, &language.version.command).await.map_err(|error| error.to_string())?;
    let output = output.ok_or_else(|| String::from("its version command does not succeed"))?;
    let version = language.version.read(&output).ok_or("its version command prints no version")?;
    match language.version.wants_newer(&version) {
        Some(least) => Err(format!("version {version} is too old, {least} or newer will do")),
        None => Ok(version),
    }
}

async fn run(launcher: &Launcher, command: &[String]) -> Result<Option<Vec<u8>>, LaunchError> {
    let work = launcher.make_tree(ByteSize::mib(1), 64, Root::Host).await?;
    let program = Program {
        argv: command.iter().map(|word| word.clone().into_bytes()).collect(),
        env: vec![b"PATH=/usr/bin:/bin".to_vec(), b"LANG=C.UTF-8".to_vec(), b"HOME=/work".to_vec()],
        cwd: WORK.as_bytes().to_vec(),
    };
    let request = SandboxRequest {
        label: [0; 64],
        root: Root::Host,
        network: Network::Isolated,
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
