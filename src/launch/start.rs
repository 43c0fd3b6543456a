//! Turns a request into a plan and its descriptors, sends them, and waits until the program runs.
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::net::unix::pipe;

use crate::base::id::TreeId;
use crate::base::time::micros;
use crate::launch::client::{Client, Event};
use crate::launch::{EndWaiter, Ender, LaunchError, Sandbox, SandboxLimits, SandboxRequest, refused};
use crate::plan::limits::Limits;
use crate::plan::mount::{BoxPath, Mount, MountAccess, MountSource, Root};
use crate::plan::process::{self, ProgramError};
use crate::plan::{Class, Lifetime, Network, Plan, Profile, Stdio};
use crate::sys::memfd::{self, Kind};
use crate::wire::reply::START_PROGRAM;
use crate::wire::request::{Request, Start};

/// Where the shared tree is mounted.
const WORK: &str = "/work";

pub(super) async fn start(client: &Arc<Client>, request: SandboxRequest<'_>) -> Result<Sandbox, LaunchError> {
    let plan = plan_of(request.root, request.network, request.work.id, &request.limits)?;
    let (stdout, stdout_inside) = output().map_err(local)?;
    let (stderr, stderr_inside) = output().map_err(local)?;
    let mut descriptors = input(&request)?;
    descriptors.extend([stdout_inside, stderr_inside]);
    let (sandbox, mut events) = client.expect_sandbox()?;
    let ender = Ender { sandbox, client: Arc::clone(client) };
    let start = Start { sandbox, label: request.label, plan };
    client.ask(Request::Start(Box::new(start)), descriptors).await?;
    let setup = loop {
        match events.recv().await {
            Some(Event::Started(setup)) => break Ok(setup),
            Some(Event::Refused(refusal)) => break Err(refused(refusal)),
            Some(Event::Failed { step, errno }) => {
                wait_for_end(&mut events).await;
                let message = explain(errno);
                break Err(if step == START_PROGRAM {
                    LaunchError::Program { message }
                } else {
                    LaunchError::Setup { step, message }
                });
            }
            Some(Event::Ended(..)) => {
                let step = String::from("make the sandbox");
                break Err(LaunchError::Setup { step, message: String::from("it ended before the program started") });
            }
            Some(Event::Exited(..)) => {}
            None => break Err(LaunchError::Unavailable),
        }
    };
    match setup {
        Ok(setup) => {
            let end = EndWaiter { sandbox, events, client: Arc::clone(client) };
            Ok(Sandbox { stdout, stderr, ender, end, setup })
        }
        Err(error) => {
            client.forget(sandbox);
            Err(error)
        }
    }
}

async fn wait_for_end(events: &mut tokio::sync::mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        if matches!(event, Event::Ended(..)) {
            return;
        }
    }
}

/// What a sandbox with this at `/`, with this network, tree and limits is.
///
/// # Errors
/// Never for a path that is a constant.
pub fn plan_of(root: Root, network: Network, tree: TreeId, limits: &SandboxLimits) -> Result<Plan, LaunchError> {
    let work = BoxPath::try_from(WORK).map_err(local)?;
    Ok(Plan {
        class: Class::Job,
        lifetime: Lifetime::WithMain,
        stdio: Stdio::Pipes,
        network,
        profile: Profile::Job,
        root,
        mounts: vec![Mount { source: MountSource::Tree { tree }, target: work, access: MountAccess::ReadWrite }],
        limits: limits_of(limits),
    })
}

fn limits_of(limits: &SandboxLimits) -> Limits {
    Limits {
        wall_us: micros(limits.wall),
        cpu_time_us: micros(limits.cpu_time),
        milli_cpus: limits.milli_cpus,
        memory: limits.memory.bytes(),
        processes: limits.processes,
        open_files: limits.open_files,
        file_size: limits.file_size.bytes(),
        temporary: limits.disk.bytes(),
        temporary_inodes: limits.disk_inodes,
    }
}

/// Program, files and stdin, each a sealed memfd.
fn input(request: &SandboxRequest<'_>) -> Result<Vec<OwnedFd>, LaunchError> {
    let directory = std::str::from_utf8(&request.program.cwd).map_err(local)?;
    let program = process::Program {
        arguments: request.program.argv.clone(),
        variables: request.program.env.clone(),
        directory: BoxPath::try_from(directory).map_err(local)?,
    };
    let files: Vec<process::InputFile> = request.files.iter().map(file_of).collect();
    let program = program.encode().map_err(unfit)?;
    let files = process::encode_files(&files).map_err(unfit)?;
    let sealed = |name, bytes: &[u8]| memfd::sealed(name, bytes, Kind::Data).map_err(local);
    Ok(vec![sealed(c"program", &program)?, sealed(c"files", &files)?, sealed(c"stdin", &request.stdin)?])
}

fn file_of(file: &crate::launch::InputFile) -> process::InputFile {
    process::InputFile { path: file.path.clone(), executable: file.executable, content: file.content.clone() }
}

/// Our end, which does not block, and the end for inside, which does: the program shares that setting.
fn output() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (ours, inside) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    fcntl(&inside, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok((pipe::Receiver::from_owned_fd_unchecked(ours)?, inside))
}

fn unfit(error: ProgramError) -> LaunchError {
    LaunchError::Setup { step: String::from("prepare the program"), message: error.to_string() }
}

fn local(error: impl std::fmt::Display) -> LaunchError {
    LaunchError::Setup { step: String::from("prepare the descriptors"), message: error.to_string() }
}

fn explain(errno: u32) -> String {
    if errno == 0 {
        return String::from("see the spawner's log");
    }
    let errno = Errno::from_raw(i32::try_from(errno).unwrap_or(0));
    format!("{} ({errno:?})", errno.desc())
}
