//! One socket, many conversations: a task writes, a task reads and hands each reply to whoever waits for it.
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot, watch};

use crate::base::id::{SandboxId, TreeId};
use crate::launch::{LaunchError, Launcher, refused};
use crate::plan::ceiling::Refusal;
use crate::plan::isolation::Isolation;
use crate::plan::network::Policy;
use crate::sys::socket::{self, Received};
use crate::wire::MAX_MESSAGE;
use crate::wire::reply::{Cause, Counters, Reply};
use crate::wire::request::Request;

/// Requests that may wait while the spawner does not read.
const WAITING: usize = 4096;

/// Most events of one sandbox: Refused, or Started or Failed, Exited, Ended.
const EVENTS: usize = 8;

/// The spawner says welcome within this time: it may wait 25 s for an earlier one of the same instance first.
const WELCOME: Duration = Duration::from_secs(40);

/// What the spawner tells of one sandbox.
#[derive(Debug)]
pub(super) enum Event {
    /// The program runs. Making the sandbox took so long.
    Started(Duration),
    /// A step did not work.
    Failed {
        /// Which.
        step: String,
        /// errno(3)
        errno: u32,
    },
    /// It will not be made.
    Refused(Refusal),
    /// The program ended: wait(2), and what it used.
    Exited(u32, Cause, Counters),
    /// Nothing of it is left.
    Ended(Cause, Counters),
}

type TreeWaiter = oneshot::Sender<Result<u32, Refusal>>;

#[derive(Debug, Default)]
struct Routes {
    sandboxes: HashMap<SandboxId, mpsc::Sender<Event>>,
    trees: HashMap<TreeId, TreeWaiter>,
    removals: HashMap<u64, oneshot::Sender<Result<(), Refusal>>>,
}

#[derive(Debug)]
struct Outgoing {
    request: Request,
    descriptors: Vec<OwnedFd>,
}

/// The server's side of the wire.
#[derive(Debug)]
pub(super) struct Client {
    outgoing: mpsc::Sender<Outgoing>,
    routes: Mutex<Routes>,
    next: AtomicU64,
    lost: watch::Receiver<bool>,
    isolation: Isolation,
    spawner: u32,
}

/// Greets the spawner and starts the two tasks. It is to have `ready` sandboxes stand before anybody asks, and, where there
/// is a policy, to let jobs use the network.
///
/// # Errors
/// When it does not answer, is of another version, or cannot make the network.
pub async fn connect(socket: OwnedFd, ready: u32, network: Option<Policy>) -> io::Result<Launcher> {
    #[expect(
        deprecated,
        reason = "its successor is unsafe and asks for what an OwnedFd keeps: one owner, open as long"
    )]
    let socket = Arc::new(AsyncFd::new(socket)?);
    send(&socket, &Outgoing { request: Request::Hello { ready }, descriptors: Vec::new() }).await?;
    let welcome = tokio::time::timeout(WELCOME, receive(&socket, &mut vec![0; MAX_MESSAGE])).await;
    let welcome = welcome.map_err(|_late| io::Error::other("the spawner does not answer"))??;
    let Some(Reply::Welcome { isolation, pid: spawner }) = welcome else {
        return Err(io::Error::other("the spawner ended before it was ready; its log says why"));
    };
    if let Some(policy) = network {
        make_network(&socket, policy).await?;
    }
    let (outgoing, queue) = mpsc::channel(WAITING);
    let (tell_lost, lost) = watch::channel(false);
    let client =
        Arc::new(Client { outgoing, routes: Mutex::default(), next: AtomicU64::new(1), lost, isolation, spawner });
    tokio::spawn(write(Arc::clone(&socket), queue));
    tokio::spawn(read(socket, Arc::downgrade(&client), tell_lost));
    Ok(Launcher(client))
}

/// Comes back when jobs can use the network.
async fn make_network(socket: &AsyncFd<OwnedFd>, policy: Policy) -> io::Result<()> {
    send(socket, &Outgoing { request: Request::Network(Box::new(policy)), descriptors: Vec::new() }).await?;
    let made = tokio::time::timeout(WELCOME, receive(socket, &mut vec![0; MAX_MESSAGE])).await;
    match made.map_err(|_late| io::Error::other("network.egress: the spawner does not answer"))?? {
        Some(Reply::NetworkMade) => Ok(()),
        Some(Reply::NetworkRefused { refusal }) => Err(io::Error::other(format!("network.egress: {}", refusal.what))),
        _ => Err(io::Error::other("network.egress: the spawner ended meanwhile; its log says why")),
    }
}

impl Client {
    pub(super) const fn isolation(&self) -> &Isolation {
        &self.isolation
    }

    pub(super) const fn spawner(&self) -> u32 {
        self.spawner
    }

    /// Routes cannot be half-changed, so a panic elsewhere does not matter here.
    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn expect_tree(&self) -> Result<(TreeId, oneshot::Receiver<Result<u32, Refusal>>), LaunchError> {
        let (id, (tell, told)) = (TreeId(self.number()), oneshot::channel());
        self.routes().trees.insert(id, tell);
        if self.is_lost() { Err(LaunchError::Unavailable) } else { Ok((id, told)) }
    }

    pub(super) fn expect_sandbox(&self) -> Result<(SandboxId, mpsc::Receiver<Event>), LaunchError> {
        let (id, (tell, told)) = (SandboxId(self.number()), mpsc::channel(EVENTS));
        self.routes().sandboxes.insert(id, tell);
        if self.is_lost() { Err(LaunchError::Unavailable) } else { Ok((id, told)) }
    }

    pub(super) fn forget(&self, sandbox: SandboxId) {
        self.routes().sandboxes.remove(&sandbox);
    }

    /// Asks for the removal of a tag or an image, and waits for it.
    pub(super) async fn remove(&self, request: impl FnOnce(u64) -> Request) -> Result<(), LaunchError> {
        let (number, (tell, told)) = (self.number(), oneshot::channel());
        self.routes().removals.insert(number, tell);
        self.ask(request(number), Vec::new()).await?;
        match told.await {
            Ok(removed) => removed.map_err(refused),
            Err(oneshot::error::RecvError { .. }) => Err(LaunchError::Unavailable),
        }
    }

    /// Sends a request; waits while too many others do.
    pub(super) async fn ask(&self, request: Request, descriptors: Vec<OwnedFd>) -> Result<(), LaunchError> {
        let sent = self.outgoing.send(Outgoing { request, descriptors }).await;
        sent.map_err(|_closed| LaunchError::Unavailable)
    }

    /// Sends a request that nobody waits for. With the spawner gone there is nothing left to say it about.
    pub(super) fn say(&self, request: Request) {
        match self.outgoing.try_send(Outgoing { request, descriptors: Vec::new() }) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(outgoing)) => {
                let queue = self.outgoing.clone();
                tokio::spawn(async move {
                    if queue.send(outgoing).await.is_err() {
                        tracing::debug!("the spawner ended before it was told");
                    }
                });
            }
        }
    }

    /// The reader has seen its end, or the writer could not write.
    pub(super) fn is_lost(&self) -> bool {
        *self.lost.borrow() || self.outgoing.is_closed()
    }

    pub(super) async fn lost(&self) {
        // An error means that the reading task has ended, which it does after it told.
        drop(self.lost.clone().wait_for(|lost| *lost).await);
    }

    fn deliver(&self, reply: Reply) {
        let (sandbox, event) = match reply {
            Reply::Welcome { .. } | Reply::NetworkMade | Reply::NetworkRefused { .. } => {
                return tracing::warn!("the spawner says twice that it is ready");
            }
            Reply::TreeMade { tree, first_id } => return self.deliver_tree(tree, Ok(first_id)),
            Reply::TreeRefused { tree, refusal } => return self.deliver_tree(tree, Err(refusal)),
            Reply::Dropped { removal } => return self.deliver_removal(removal, Ok(())),
            Reply::Kept { removal, refusal } => return self.deliver_removal(removal, Err(refusal)),
            Reply::Refused { sandbox, refusal } => (sandbox, Event::Refused(refusal)),
            Reply::Started { sandbox, setup_us, .. } => (sandbox, Event::Started(Duration::from_micros(setup_us))),
            Reply::Failed { sandbox, step, errno } => (sandbox, Event::Failed { step, errno }),
            Reply::Exited { sandbox, status, cause, counters, .. } => (sandbox, Event::Exited(status, cause, counters)),
            Reply::Ended { sandbox, cause, counters } => (sandbox, Event::Ended(cause, counters)),
        };
        let waiter = self.routes().sandboxes.get(&sandbox).cloned();
        if waiter.is_none_or(|waiter| waiter.try_send(event).is_err()) {
            tracing::debug!(sandbox = sandbox.0, "nobody waits for an event");
        }
    }

    fn deliver_removal(&self, removal: u64, removed: Result<(), Refusal>) {
        let waiter = self.routes().removals.remove(&removal);
        if waiter.is_none_or(|waiter| waiter.send(removed).is_err()) {
            tracing::debug!(removal, "nobody waits for a removal");
        }
    }

    fn deliver_tree(&self, tree: TreeId, made: Result<u32, Refusal>) {
        let waiter = self.routes().trees.remove(&tree);
        if waiter.is_none_or(|waiter| waiter.send(made).is_err()) {
            tracing::debug!(tree = tree.0, "nobody waits for a tree");
        }
    }
}

async fn write(socket: Arc<AsyncFd<OwnedFd>>, mut queue: mpsc::Receiver<Outgoing>) {
    while let Some(outgoing) = queue.recv().await {
        if let Err(error) = send(&socket, &outgoing).await {
            tracing::error!(%error, "the spawner cannot be told anything");
            return;
        }
    }
    shut_down(&socket);
}

/// Nobody is left who could ask: the spawner sees the end of the connection although the reader still holds it.
fn shut_down(socket: &AsyncFd<OwnedFd>) {
    let ended = nix::sys::socket::shutdown(socket.get_ref().as_raw_fd(), nix::sys::socket::Shutdown::Both);
    if let Err(error) = ended {
        tracing::debug!(%error, "the connection to the spawner was closed already");
    }
}

/// Holds the client weakly: when nobody else has it any more, the connection ends.
async fn read(socket: Arc<AsyncFd<OwnedFd>>, client: Weak<Client>, tell_lost: watch::Sender<bool>) {
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        match receive(&socket, &mut buffer).await {
            Ok(Some(reply)) => match client.upgrade() {
                Some(client) => client.deliver(reply),
                None => break,
            },
            Ok(None) => {
                tracing::debug!("the connection to the spawner is closed");
                break;
            }
            Err(error) => {
                tracing::error!(%error, "the spawner cannot be understood");
                break;
            }
        }
    }
    tell_lost.send_replace(true);
    // Whoever waits sees its channel closed.
    if let Some(client) = client.upgrade() {
        *client.routes() = Routes::default();
    }
}

async fn send(socket: &AsyncFd<OwnedFd>, outgoing: &Outgoing) -> io::Result<()> {
    let message = outgoing.request.encode();
    let descriptors: Vec<_> = outgoing.descriptors.iter().map(AsFd::as_fd).collect();
    loop {
        let mut ready = socket.writable().await?;
        match ready.try_io(|socket| socket::send(socket.as_fd(), &message, &descriptors)) {
            Ok(result) => return result,
            Err(_would_block) => {}
        }
    }
}

/// The next reply; nothing when the other end is closed.
async fn receive(socket: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> io::Result<Option<Reply>> {
    loop {
        let mut ready = socket.readable().await?;
        let received = ready.try_io(|socket| match socket::receive::<1>(socket.as_fd(), buffer)? {
            Received::Nothing => Err(io::ErrorKind::WouldBlock.into()),
            Received::Closed => Ok(None),
            Received::Packet { length, .. } => Ok(Some(length)),
        });
        match received {
            Err(_would_block) => {}
            Ok(Err(error)) => return Err(error),
            Ok(Ok(None)) => return Ok(None),
            Ok(Ok(Some(length))) => {
                let message = buffer.get(..length).unwrap_or_default();
                return Reply::decode(message).map(Some).map_err(io::Error::other);
            }
        }
    }
}
