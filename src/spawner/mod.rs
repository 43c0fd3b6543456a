//! Everything that runs as root: one process, one thread, one epoll loop.
//!
//! It trusts nothing that the server sends: each message is bounded, versioned, checked against its own
//! ceilings, and permitted only in the right phase. When the connection ends, every sandbox ends and it exits.
//! The connection is inherited from `kiln serve`, or the first on a socket that the service manager listens on.
//! Not here: HTTP, JSON, tokio, sled (`tests/symbols.rs`).
mod cgroup;
mod connection;
mod create;
mod descriptors;
mod disposal;
mod egress;
mod identity;
mod image;
mod landlock;
mod life;
mod mold;
mod network;
mod number;
pub mod options;
mod prepare;
mod sandbox;
mod server;
mod service;
mod stock;
mod store;
mod tree;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::base::id::InstanceId;
use crate::base::time::instant;
use crate::plan::mount::Root;
use crate::sys::process::SingleThreaded;
use crate::sys::{socket, supervisor};

/// What all sandboxes of this spawner are made from.
#[derive(Debug)]
struct Host {
    single: SingleThreaded,
    layout: cgroup::Layout,
    blocks: identity::Blocks,
    disposal: disposal::Disposal,
    template: image::Template,
    /// None where the server has no images.
    images: Option<store::Images>,
    /// A directory whose mounts only this process and its children see.
    stage: PathBuf,
    /// Version of Landlock's interface that sandboxes have.
    landlock: Option<u32>,
    /// What init builds each sandbox from.
    mold: OwnedFd,
    init: OwnedFd,
    instance: InstanceId,
    /// Held as long as the spawner lives, so that no two serve one instance.
    instance_lock: nix::fcntl::Flock<std::fs::File>,
}

impl Host {
    /// A detached copy of what a sandbox has at `/`.
    fn root(&self, root: Root) -> io::Result<OwnedFd> {
        match root {
            Root::Host => self.template.root(),
            Root::Image { digest } => self.images()?.root(digest),
        }
    }

    fn images(&self) -> io::Result<&store::Images> {
        self.images.as_ref().ok_or_else(|| io::Error::other("this spawner was started without a store of images"))
    }

    /// An undo that did not work leaves something behind that the next start sweeps: it is told.
    fn note_left(&self, outcome: io::Result<()>) {
        if let Err(error) = outcome {
            tracing::error!(%error, cgroups = self.layout.name(), "left behind until the next start");
        }
    }
}

/// Prepares the host and serves the server whose socket is descriptor 0, until it is closed.
///
/// # Errors
/// Says what is missing and what to do.
pub fn run_on_standard_input(instance: InstanceId, images: Option<&Path>) -> io::Result<()> {
    let socket = socket::inherited(0)?;
    let host = prepare::prepare(instance, images, Some(socket.as_fd()))?;
    let life = life::Life::new(None, instant());
    server::Server::new(host, socket, server::terminate_by_descriptor()?, life)?.serve()
}

/// Prepares the host, tells the service manager, and serves the first server that connects to the socket that it handed
/// over, until that is closed.
///
/// # Errors
/// Says what is missing and what to do.
pub fn run_as_a_service(images: Option<&Path>, variable: &dyn Fn(&str) -> Option<String>) -> io::Result<()> {
    let own = std::process::id();
    let socket = supervisor::handed_over(own, variable)?;
    let socket = socket.ok_or_else(|| io::Error::other("no socket was handed over: start kiln-spawner.socket"))?;
    let listener = service::Listener::new(socket)?;
    let supervisor = supervisor::Supervisor::find(own, variable)?;
    let host = prepare::prepare(listener.instance(), images, None).inspect_err(|_told_later| listener.turn_away())?;
    let signals = server::terminate_by_descriptor()?;
    let mut life = life::Life::new(supervisor, instant());
    life.ready();
    match listener.wait(&signals, &mut life)? {
        Some(server) => server::Server::new(host, server, signals, life)?.serve(),
        None => host.layout.remove(),
    }
}

/// Log lines go to the standard error, which the server passes on. One that cannot be written is dropped: without
/// `log_internal_errors(false)` it would be reported by `eprintln!`, which panics where stderr is what failed.
pub fn start_log() {
    let lines = tracing_subscriber::fmt().with_writer(io::stderr).log_internal_errors(false);
    lines.with_ansi(false).with_target(false).init();
}
