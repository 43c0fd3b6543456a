//! What the server asks: each request has its arm, and is granted, refused by name or passed on.
//!
//! Not here: what a plan may hold (`plan::ceiling`), how a sandbox is made (`spawner::create`).
use std::io;
use std::os::fd::OwnedFd;

use super::Server;
use crate::base::digest::Digest;
use crate::base::id::{SandboxId, TreeId};
use crate::base::time::Instant;
use crate::plan::ceiling::{self, Refusal};
use crate::plan::isolation::Isolation;
use crate::plan::mount::{MountAccess, Root};
use crate::plan::{Network, Plan};
use crate::spawner::connection::Lost;
use crate::spawner::create::{self, Asked, CreateError, WORK};
use crate::spawner::identity::BLOCKS;
use crate::spawner::number::Number;
use crate::spawner::sandbox::{Phase, Sandbox};
use crate::spawner::tree::{NamedTree, Size, Tree};
use crate::wire::reply::{Cause, Counters, Reply};
use crate::wire::request::{Request, Start};

impl Server {
    /// Every request has its arm: what is not built is refused by name.
    pub(super) fn handle(&mut self, request: Request, descriptors: Vec<OwnedFd>, now: Instant) -> Result<(), Lost> {
        let (sandbox, name) = match request {
            Request::Hello { ready } => return self.welcome(ready),
            Request::MakeTree { tree, bytes, inodes, root } => {
                return self.make_tree(tree, Size { bytes, inodes }, root, now);
            }
            Request::DropTag { removal, file } => return self.drop_tag(removal, &file),
            Request::DropImage { removal, digest } => return self.drop_image(removal, digest),
            Request::DropTree { tree } => {
                self.drop_tree(tree);
                return Ok(());
            }
            Request::Start(start) => return self.start(start, descriptors, now),
            Request::End { sandbox } => {
                return self.end_request(sandbox);
            }
            Request::Network(policy) => return self.make_network(*policy),
            Request::List => (SandboxId(0), "List"),
            Request::Exec { sandbox, .. } => (sandbox, "Exec"),
            Request::Signal { sandbox, .. } => (sandbox, "Signal"),
            Request::Resize { sandbox, .. } => (sandbox, "Resize"),
            Request::CloseStdin { sandbox, .. } => (sandbox, "CloseStdin"),
            Request::Freeze { sandbox, .. } => (sandbox, "Freeze"),
            Request::Update { sandbox } => (sandbox, "Update"),
            Request::Adopt { sandbox } => (sandbox, "Adopt"),
        };
        self.connection.send(&Reply::Refused { sandbox, refusal: Refusal::not_built(name) })
    }

    fn welcome(&mut self, ready: u32) -> Result<(), Lost> {
        let (asked, ceiling) = (u64::from(ready), u64::from(ceiling::READY));
        if asked > ceiling {
            let refusal = Refusal { what: String::from("sandboxes that stand ready"), asked, ceiling };
            return self.connection.send(&Reply::Refused { sandbox: SandboxId(0), refusal });
        }
        self.stock.keep(usize::try_from(ready).unwrap_or(0));
        let isolation = Isolation { cgroups: self.host.layout.name().to_owned(), landlock: self.host.landlock };
        self.connection.send(&Reply::Welcome { isolation, pid: std::process::id() })
    }

    fn make_tree(&mut self, id: TreeId, size: Size, root: Root, now: Instant) -> Result<(), Lost> {
        let made = self.check_tree(id, size).and_then(|()| match self.tree_of_a_ready_one(size, root, now) {
            Some((tree, number)) => Ok((tree, Some(number))),
            None => self.tree_alone(size).map(|tree| (tree, None)),
        });
        let reply = match made {
            Ok((tree, prepared)) => {
                let first_id = tree.lease().block().outside(0);
                self.trees.push(NamedTree { id, tree, prepared });
                Reply::TreeMade { tree: id, first_id }
            }
            Err(refusal) => Reply::TreeRefused { tree: id, refusal },
        };
        self.connection.send(&reply)
    }

    fn check_tree(&self, id: TreeId, size: Size) -> Result<(), Refusal> {
        let refuse = |what: &str, asked, ceiling| Refusal { what: what.to_owned(), asked, ceiling };
        if self.trees.iter().any(|known| known.id == id) {
            return Err(refuse("a tree with a name that is in use", id.0, 0));
        }
        if size.bytes == 0 || size.bytes > ceiling::JOB.temporary {
            return Err(refuse("tree (bytes)", size.bytes, ceiling::JOB.temporary));
        }
        if size.inodes == 0 || size.inodes > ceiling::JOB.temporary_inodes {
            return Err(refuse("tree (inodes)", size.inodes, ceiling::JOB.temporary_inodes));
        }
        Ok(())
    }

    /// The tree of a sandbox of the stock, or of one that is begun now: it then stands sooner.
    fn tree_of_a_ready_one(&mut self, size: Size, root: Root, now: Instant) -> Option<(Tree, Number)> {
        self.stock.wish_for_work(size, root);
        self.make_room_for_other_roots();
        let standing = self.standing();
        if self.standing_with(root) == 0 && self.stock.wants(standing, now) {
            self.prepare_with(root, now);
        }
        let found = self.sandboxes.iter_mut().filter(|sandbox| sandbox.is_in_stock() && sandbox.root == root);
        let sandbox = found.min_by_key(|sandbox| sandbox.number)?;
        let mut tree = sandbox.work.take()?;
        match tree.resize(size) {
            Ok(()) => Some((tree, sandbox.number)),
            Err(error) => {
                tracing::error!(%error, "/work of a sandbox that was prepared cannot be given another size");
                let number = sandbox.number;
                self.end(number, Cause::Setup);
                self.host.note_left(tree.remove(&self.host.disposal, &self.host.single));
                None
            }
        }
    }

    /// Ends one that stands for a root of which fewer jobs come.
    fn make_room_for_other_roots(&mut self) {
        let standing = |sandbox: &&Sandbox| sandbox.is_in_stock();
        let roots: Vec<Root> = self.sandboxes.iter().filter(standing).map(|sandbox| sandbox.root).collect();
        let Some(over) = self.stock.surplus(&|root| self.standing_with(root), &roots) else { return };
        let found = self.sandboxes.iter().find(|sandbox| sandbox.is_in_stock() && sandbox.root == over);
        if let Some(number) = found.map(|sandbox| sandbox.number) {
            self.end(number, Cause::Requested);
        }
    }

    fn drop_tag(&mut self, removal: u64, file: &str) -> Result<(), Lost> {
        let dropped = self.host.images().and_then(|images| images.remove_tag(file));
        self.answer_dropping(removal, dropped)
    }

    /// An image that a job has is kept. Those that stand ready for it are ended; they keep what they have until then.
    fn drop_image(&mut self, removal: u64, digest: Digest) -> Result<(), Lost> {
        let root = Root::Image { digest };
        let (ready, used): (Vec<&Sandbox>, Vec<&Sandbox>) =
            self.sandboxes.iter().filter(|sandbox| sandbox.root == root).partition(|sandbox| sandbox.is_in_stock());
        let is_used = used.iter().any(|sandbox| !matches!(sandbox.phase, Phase::Leaving | Phase::Gone { .. }));
        if is_used {
            return self.answer_dropping(removal, Err(io::Error::other("removal of an image that a job has")));
        }
        let ready: Vec<Number> = ready.iter().map(|sandbox| sandbox.number).collect();
        for number in ready {
            self.end(number, Cause::Requested);
        }
        self.stock.forget(root);
        let dropped = self.host.images().and_then(|images| images.remove(digest));
        self.answer_dropping(removal, dropped)
    }

    fn answer_dropping(&mut self, removal: u64, dropped: io::Result<()>) -> Result<(), Lost> {
        self.connection.send(&match dropped {
            Ok(()) => Reply::Dropped { removal },
            Err(error) => {
                let refusal = Refusal { what: error.to_string(), asked: 0, ceiling: 0 };
                Reply::Kept { removal, refusal }
            }
        })
    }

    fn tree_alone(&mut self, size: Size) -> Result<Tree, Refusal> {
        let refuse = |what: &str, asked, ceiling| Refusal { what: what.to_owned(), asked, ceiling };
        let most = u64::from(BLOCKS);
        let lease = self.host.blocks.take().ok_or_else(|| refuse("jobs alive at once", most + 1, most))?;
        Tree::create(&self.host.stage, self.stock.number(), size, lease)
            .map_err(|error| refuse(&format!("a tree that cannot be made: {error}"), size.bytes, 0))
    }

    fn drop_tree(&mut self, id: TreeId) {
        if let Some(index) = self.trees.iter().position(|known| known.id == id) {
            let NamedTree { tree, prepared, .. } = self.trees.swap_remove(index);
            if let Some(number) = prepared {
                self.end(number, Cause::Requested);
            }
            self.host.note_left(tree.remove(&self.host.disposal, &self.host.single));
        }
    }

    fn start(&mut self, start: Box<Start>, descriptors: Vec<OwnedFd>, now: Instant) -> Result<(), Lost> {
        let id = start.sandbox;
        if let Err(refusal) = self.check_place(id) {
            return self.connection.send(&Reply::Refused { sandbox: id, refusal });
        }
        match start.plan.network {
            Network::Egress => self.start_with_network(start, descriptors, now),
            // An attached network is refused with the rest of what is not built.
            Network::Isolated | Network::Attached => {
                let started = self.try_start(Asked { start: &start, outside: None }, descriptors, now);
                self.answer_start(id, started)
            }
        }
    }

    /// Says why there is no sandbox, where there is none.
    pub(super) fn answer_start(&mut self, id: SandboxId, started: Result<(), CreateError>) -> Result<(), Lost> {
        match started {
            Ok(()) => Ok(()),
            Err(CreateError::Refused(refusal)) => self.connection.send(&Reply::Refused { sandbox: id, refusal }),
            Err(CreateError::Step { name, source }) => {
                tracing::error!(sandbox = id.0, step = name, error = %source, "a sandbox could not be made");
                let (step, errno) = match source.raw_os_error() {
                    Some(errno) => (name.to_owned(), errno.cast_unsigned()),
                    None => (format!("{name}: {source}"), 0),
                };
                self.connection.send(&Reply::Failed { sandbox: id, step, errno })?;
                let (cause, counters) = (Cause::Setup, Counters::default());
                self.connection.send(&Reply::Ended { sandbox: id, cause, counters })
            }
        }
    }

    pub(super) fn try_start(&mut self, asked: Asked<'_>, given: Vec<OwnedFd>, now: Instant) -> Result<(), CreateError> {
        let start = asked.start;
        ceiling::check(&start.plan).map_err(CreateError::Refused)?;
        self.stock.wish_for(start.plan.limits);
        let number = match self.prepared_for(&start.plan) {
            Some(number) if asked.outside.is_none() => number,
            prepared => {
                // One that was prepared has no way to the outside, and none can be given to it.
                if let Some(prepared) = prepared {
                    self.end(prepared, Cause::Requested);
                }
                let number = self.stock.number();
                self.take_in(create::with_trees(&self.host, number, &self.trees, asked, now)?)?
            }
        };
        let Some(sandbox) = self.sandboxes.iter_mut().find(|sandbox| sandbox.number == number) else { return Ok(()) };
        let assigned = create::assign(&self.host, sandbox, start, given, now);
        if assigned.is_err() {
            self.end(number, Cause::Setup);
        }
        assigned
    }

    /// The sandbox that was made with the one tree that is asked for.
    fn prepared_for(&mut self, plan: &Plan) -> Option<Number> {
        let [mount] = plan.mounts.as_slice() else { return None };
        if mount.target.as_str() != WORK || mount.access != MountAccess::ReadWrite {
            return None;
        }
        let id = create::tree_of(mount)?;
        let number = self.trees.iter_mut().find(|known| known.id == id)?.prepared.take()?;
        let found = self.sandboxes.iter().find(|sandbox| sandbox.number == number)?;
        let fits = found.can_take_a_job() && found.root == plan.root;
        if !fits {
            self.end(number, Cause::Requested);
        }
        fits.then_some(number)
    }

    /// From here on it is known, and ended whatever happens.
    pub(super) fn take_in(&mut self, sandbox: Sandbox) -> Result<Number, CreateError> {
        let (number, watched) = (sandbox.number, self.watch(&sandbox));
        self.sandboxes.push(sandbox);
        match watched {
            Ok(()) => Ok(number),
            Err(source) => {
                self.end(number, Cause::Setup);
                Err(CreateError::Step { name: "watch the sandbox", source })
            }
        }
    }

    /// Whether there may be one more sandbox, of this name.
    fn check_place(&self, id: SandboxId) -> Result<(), Refusal> {
        let jobs = || self.sandboxes.iter().filter_map(|sandbox| sandbox.job.as_ref());
        let count = jobs().count().saturating_add(self.egress.waiting().count());
        if count >= usize::try_from(BLOCKS).unwrap_or(usize::MAX) {
            let ceiling = u64::from(BLOCKS);
            return Err(Refusal { what: String::from("sandboxes alive at once"), asked: ceiling + 1, ceiling });
        }
        if jobs().any(|job| job.id == id) || self.egress.waiting().any(|waiting| waiting == id) {
            let what = String::from("a sandbox whose number is in use");
            return Err(Refusal { what, asked: id.0, ceiling: 0 });
        }
        Ok(())
    }
}
