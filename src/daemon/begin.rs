//! The beginning: all that needs root, or what the service manager made, until every privilege is dropped.
//!
//! ```text
//! kiln serve as root:    data directory -> instance id -> local socket -> spawner -> privileges dropped
//! as a unit of its own:                                   local socket ----------> privileges dropped -> spawner
//! ```
use std::io;
use std::os::fd::OwnedFd;

use nix::unistd::{Uid, geteuid};

use super::{DaemonError, unavailable};
use crate::config::Config;
use crate::daemon::local::LocalSocket;
use crate::daemon::spawner::{self, OwnSpawner};
use crate::daemon::{instance, user};
use crate::image;
use crate::sys::{process, socket};

/// What is open at most: each connection with two logs that it reads, 500 running jobs with three each, and some for the
/// store. Services are started with 1,024 (systemd.exec(5)), on which a hundred jobs and their callers would run out.
const OPEN_FILES: u64 = 3 * 1024 + 3 * 500 + 1024;

/// What is made before the privileges are dropped.
pub(super) struct Begun {
    /// Absent where the spawner is a unit of its own.
    pub(super) spawner: Option<OwnSpawner>,
    pub(super) socket: OwnedFd,
    pub(super) local: Option<LocalSocket>,
}

/// All that needs root, or was made by the service manager. When it returns, this process has no privilege any more.
pub(super) fn begin(config: &Config, given: Option<OwnedFd>) -> Result<Begun, DaemonError> {
    let Some(place) = &config.sandbox.spawner_socket else {
        return with_own_spawner(config, given);
    };
    let user = user::find(&config.sandbox.user, config.sandbox.uid).map_err(unavailable)?;
    if geteuid().is_root() {
        user::give(&config.data_dir, user).map_err(unavailable)?;
    }
    let local = local_socket(config, given)?;
    raise_open_files()?;
    user::become_for_ever(user).map_err(unavailable)?;
    let socket = socket::connect(place)
        .map_err(|error| unavailable(format_args!("sandbox.spawner_socket: {}: {error}", place.display())))?;
    tracing::info!(data = %config.data_dir.display(), spawner = %place.display(), "connected");
    Ok(Begun { spawner: None, socket, local })
}

/// The same with a spawner of our own.
fn with_own_spawner(config: &Config, given: Option<OwnedFd>) -> Result<Begun, DaemonError> {
    if !geteuid().is_root() {
        let message = "kiln serve must be started as root: it starts the spawner and then drops every privilege";
        return Err(unavailable(message));
    }
    let user = user::find(&config.sandbox.user, config.sandbox.uid).map_err(unavailable)?;
    user::give(&config.data_dir, user).map_err(unavailable)?;
    let instance = instance::load_or_make(&config.data_dir).map_err(unavailable)?;
    let local = local_socket(config, given)?;
    raise_open_files()?;
    let images = std::path::absolute(config.data_dir.join(image::FOLDER)).map_err(unavailable)?;
    let (spawner, socket) =
        spawner::start(&config.sandbox.spawner_path, instance, Some(&images)).map_err(unavailable)?;
    user::become_for_ever(user).map_err(unavailable)?;
    tracing::info!(%instance, data = %config.data_dir.display(), spawner = spawner.pid(), "privileges dropped");
    Ok(Begun { spawner: Some(spawner), socket, local })
}

fn raise_open_files() -> Result<(), DaemonError> {
    process::raise_open_files(OPEN_FILES)
        .map_err(|error| unavailable(format_args!("raise the limit of open files: {error}")))
}

fn local_socket(config: &Config, given: Option<OwnedFd>) -> Result<Option<LocalSocket>, DaemonError> {
    let group = &config.api.socket_group;
    let socket = match (&config.api.socket, given) {
        (None, None) => return Ok(None),
        (Some(_), None) if !geteuid().is_root() => Err(io::Error::other(
            "only root can make it: start kiln.socket, by which the service manager does, or set it to null",
        )),
        (Some(path), None) => LocalSocket::bind(path, Uid::from_raw(0), group),
        (path, Some(given)) => LocalSocket::given(given, path.as_deref(), group),
    };
    socket.map(Some).map_err(|error| DaemonError::Configuration { message: format!("api.socket: {error}") })
}
