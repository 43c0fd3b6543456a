//! Builds everything in order, stops it in reverse.
//!
//! ```text
//! data directory -> instance id -> local socket -> spawner -> privileges dropped -> store -> queue -> API
//! ```
//!
//! The spawner is started here, or is a unit of its own that is connected to once the privileges are dropped.
//!
//! Not here: what any of these does.
mod begin;
mod behind;
mod housekeeping;
mod instance;
mod local;
mod offers;
mod probe;
mod resolvers;
mod selftest;
pub mod service;
pub mod spawner;
mod usage;
pub mod user;

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::access::Principal;
use crate::api::serve::{self, ConnectionBounds, Door};
use crate::api::state::{ApiState, Settings};
use crate::base::time::{Clock, SystemClock};
use crate::config::{Config, Warning};
use crate::daemon::begin::{Begun, begin};
use crate::daemon::behind::Behind;
use crate::daemon::local::LocalSocket;
use crate::daemon::offers::Offers;
use crate::daemon::selftest::SelfTests;
use crate::daemon::service::{Service, Telling};
use crate::image::{self, library::Library};
use crate::lang::Languages;
use crate::launch::{Launcher, client};
use crate::queue::{Parts, Queue, QueueConfig, Runtimes, Versions};
use crate::store::{Store, StoreError};

/// Longest that a job waits for a place before a synchronous request is told to look later.
const QUEUE_TIME: Duration = Duration::from_mins(1);

/// What connections may take.
const CONNECTIONS: ConnectionBounds =
    ConnectionBounds { connections: 1024, header_time: Duration::from_secs(30), drain_time: Duration::from_secs(10) };

/// How long running jobs may take to end when the daemon stops.
const STOP_TIME: Duration = Duration::from_secs(10);

/// Why the daemon ended other than by a request to stop.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The host lacks something.
    #[error("{message}")]
    Unavailable {
        /// What, and what to do.
        message: String,
    },
    /// The spawner is gone. Its jobs are ended and recorded.
    #[error("the spawner is gone; start kiln again: a service manager does so by itself")]
    SpawnerLost,
    /// A setting cannot be.
    #[error("{message}")]
    Configuration {
        /// Which, and why.
        message: String,
    },
    /// Something that should not happen.
    #[error("{message}")]
    Internal {
        /// What.
        message: String,
    },
}

fn unavailable(error: impl std::fmt::Display) -> DaemonError {
    DaemonError::Unavailable { message: error.to_string() }
}

/// Who has to act is whoever owns the disk: it is no fault of kiln's.
fn unwritable(data: &Path, error: &StoreError) -> DaemonError {
    let names_no_path =
        matches!(error, StoreError::Full { .. } | StoreError::ReadOnly { .. } | StoreError::Failed { .. });
    unavailable(if names_no_path { format!("{}: {error}", data.display()) } else { error.to_string() })
}

fn internal(error: impl std::fmt::Display) -> DaemonError {
    DaemonError::Internal { message: error.to_string() }
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// Why it could not start, or could not go on.
pub fn run(config: Config, languages: &Languages, mut service: Service) -> Result<(), DaemonError> {
    for Warning { key, message } in config.warnings() {
        tracing::warn!(setting = key, "{message}");
    }
    let Begun { spawner: own, socket, local } = begin(&config, service.socket.take())?;
    let runtime =
        runtime::Builder::new_multi_thread().worker_threads(workers()).enable_all().build().map_err(internal)?;
    let ended = runtime.block_on(serve(config, languages, (socket, local), service.telling()));
    runtime.shutdown_timeout(STOP_TIME);
    if let Some(mut own) = own {
        let status = own.wait().map_err(internal)?;
        tracing::info!(%status, "the spawner has ended");
    }
    ended
}

async fn serve(
    config: Config,
    languages: &Languages,
    (socket, local): (OwnedFd, Option<LocalSocket>),
    telling: Telling,
) -> Result<(), DaemonError> {
    let stop = stop_signal().map_err(internal)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let started = clock.now();
    let listener = TcpListener::bind(config.listen()).await.map_err(|error| DaemonError::Configuration {
        message: format!("api.host, api.port: {}: {error}", config.listen()),
    })?;
    let address = listener.local_addr().map_err(internal)?;
    let store = Arc::new(open_store(&config.data_dir, Arc::clone(&clock)).await?);
    let launcher = connect(socket, &config).await?;
    let versions = Versions::default();
    let images = Arc::new(Library::new(config.data_dir.join(image::FOLDER), languages.clone(), Arc::clone(&clock)));
    let languages = Arc::new(probe::offered(&launcher, languages, &versions).await);
    let logs = config.data_dir.join("logs");
    let parts = Parts {
        store: Arc::clone(&store),
        logs: logs.clone(),
        launcher: launcher.clone(),
        languages: Arc::clone(&languages),
        versions: versions.clone(),
        images: Arc::clone(&images),
        clock: Arc::clone(&clock),
    };
    let queue = Queue::new(queue_config(&config), parts);
    let recovered = queue.recover().await.map_err(|error| unwritable(&config.data_dir, &error))?;
    tracing::info!(queued = recovered.queued, ended = recovered.ended, "jobs of an earlier start taken up");
    housekeeping::start(queue.clone(), Arc::clone(&store), Arc::clone(&clock), config.api.job.retention);
    let usage = usage::start(config.data_dir.clone(), launcher.spawner());
    let behind = Behind {
        queue: queue.clone(),
        launcher: launcher.clone(),
        selftests: SelfTests::new(queue.clone(), logs.clone()),
        logs,
        offers: Offers::new(Runtimes { languages, versions, images }),
        usage,
    };
    let state = ApiState {
        core: Arc::new(behind),
        clock,
        started,
        policy: config.policy(),
        settings: settings(&config),
        everybody: Principal::unauthenticated_admin(),
    };
    let isolation = launcher.isolation();
    let local_path = config.api.socket.as_ref().map(|path| tracing::field::display(path.display()));
    tracing::info!(%address, socket = local_path, cgroups = isolation.cgroups, landlock = isolation.landlock, "ready");
    telling.ready();
    telling.live(Arc::clone(&store));
    let lost = until_stopped(stop, &launcher, &queue);
    let (told, heard) = tokio::sync::oneshot::channel::<()>();
    let ended = async {
        let ended = lost.await;
        drop(told);
        telling.stopping();
        stop_queue(&queue).await;
        ended
    };
    let stopped = async { drop(heard.await) }.shared();
    let (door, _lock) = local.map(LocalSocket::into_door).transpose().map_err(internal)?.unzip();
    let doors = std::iter::once(Door::Tcp(listener)).chain(door);
    let endpoint = Arc::new(crate::api::endpoint(state));
    let served = doors.map(|door| serve::serve(door, Arc::clone(&endpoint), CONNECTIONS, stopped.clone()));
    let (ended, _) = tokio::join!(ended, join_all(served));
    // Why it ended says more than that the last flush failed.
    let committed = store.commit().await.map_err(|error| unwritable(&config.data_dir, &error));
    ended.and(committed)
}

/// One for four processors: what the server does for a job is a fraction of what its sandbox does, and a job that
/// goes from worker to worker waits for each to wake.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(4))
}

async fn stop_queue(queue: &Queue) {
    let left = queue.stop(STOP_TIME).await;
    if left > 0 {
        tracing::error!(left, "jobs whose end is not recorded; the next start will do it");
    }
}

/// Comes back when it is time to stop, and says why.
async fn until_stopped(
    stop: impl Future<Output = &'static str>,
    launcher: &Launcher,
    queue: &Queue,
) -> Result<(), DaemonError> {
    tokio::select! {
        // Who ends a whole unit tells the spawner as well: that it is gone then is no fault.
        biased;
        name = stop => {
            let load = queue.load();
            tracing::info!(signal = name, running = load.running, queued = load.queued, "stopping");
            Ok(())
        }
        () = launcher.lost() => {
            tracing::error!("the spawner is gone");
            Err(DaemonError::SpawnerLost)
        }
    }
}

fn stop_signal() -> io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

async fn connect(socket: OwnedFd, config: &Config) -> Result<Launcher, DaemonError> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(internal)?;
    let network = config.network.egress.then(|| resolvers::complete(config.network.policy.clone())).transpose()?;
    client::connect(socket, config.sandbox.ready, network).await.map_err(unavailable)
}

async fn open_store(data: &Path, clock: Arc<dyn Clock>) -> Result<Store, DaemonError> {
    let folder = data.join("db");
    let opened = tokio::task::spawn_blocking(move || Store::open(&folder, clock)).await;
    opened.map_err(internal)?.map_err(|error| unwritable(data, &error))
}

fn queue_config(config: &Config) -> QueueConfig {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    QueueConfig {
        max_concurrent: count(config.api.job.max_concurrent),
        max_queued: count(config.api.job.max_queued),
        node: nix::unistd::gethostname()
            .map_or_else(|_unknown| String::new(), |name| name.to_string_lossy().into_owned()),
    }
}

const fn settings(config: &Config) -> Settings {
    let security = &config.api.security;
    Settings {
        max_request_size: security.max_request_size,
        request_time: security.request_timeout,
        queue_time: QUEUE_TIME,
        network_access: config.network.egress,
    }
}
