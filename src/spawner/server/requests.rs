//! What the server asks: each request has its arm, and is granted, refused by name or passed on.
//!
//! Not here: what a plan may hold (`plan::ceiling`), how a sandbox is made (`spawner::create`).
use std::os::fd::OwnedFd;

use super::Server;
use crate::base::id::{SandboxId, TreeId};
use crate::base::time::Instant;
use crate::plan::ceiling::{self, Refusal};
use crate::plan::isolation::Isolation;
use crate::plan::mount::{Mount, MountAccess};
use crate::spawner::connection::Lost;
use crate::spawner::create::{self, CreateError, WORK};
use crate::spawner::identity::BLOCKS;
use crate::spawner::number::Number;
use crate::spawner::sandbox::Sandbox;
use crate::spawner::tree::{NamedTree, Size, Tree};
use crate::wire::reply::{Cause, Counters, Reply};
use crate::wire::request::{Request, Start};

impl Server {
    /// Every request has its arm: what is not built is refused by name.
    pub(super) fn handle(&mut self, request: Request, descriptors: Vec<OwnedFd>, now: Instant) -> Result<(), Lost> {
        let (sandbox, name) = match request {
            Request::Hello { ready } => return self.welcome(ready),
            Request::MakeTree { tree, bytes, inodes } => return self.make_tree(tree, Size { bytes, inodes }, now),
            Request::DropTree { tree } => {
                self.drop_tree(tree);
                return Ok(());
            }
            Request::Start(start) => return self.start(&start, descriptors, now),
            Request::End { sandbox } => {
                self.end_job(sandbox, Cause::Requested);
                return Ok(());
            }
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

    fn make_tree(&mut self, id: TreeId, size: Size, now: Instant) -> Result<(), Lost> {
        let made = self.check_tree(id, size).and_then(|()| match self.tree_of_a_ready_one(size, now) {
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
    fn tree_of_a_ready_one(&mut self, size: Size, now: Instant) -> Option<(Tree, Number)> {
        self.stock.wish_for_work(size);
        if self.standing() == 0 && self.stock.wants(0, now) {
            self.prepare_one(now);
        }
        let found = self.sandboxes.iter_mut().filter(|sandbox| sandbox.is_in_stock());
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

    fn start(&mut self, start: &Start, descriptors: Vec<OwnedFd>, now: Instant) -> Result<(), Lost> {
        let id = start.sandbox;
        if let Err(refusal) = self.check_place(id) {
            return self.connection.send(&Reply::Refused { sandbox: id, refusal });
        }
        match self.try_start(start, descriptors, now) {
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

    fn try_start(&mut self, start: &Start, descriptors: Vec<OwnedFd>, now: Instant) -> Result<(), CreateError> {
        ceiling::check(&start.plan).map_err(CreateError::Refused)?;
        self.stock.wish_for(start.plan.limits);
        let number = if let Some(number) = self.prepared_for(&start.plan.mounts) {
            number
        } else {
            let number = self.stock.number();
            self.take_in(create::with_trees(&self.host, number, &self.trees, start, now)?)?
        };
        let Some(sandbox) = self.sandboxes.iter_mut().find(|sandbox| sandbox.number == number) else { return Ok(()) };
        let assigned = create::assign(&self.host, sandbox, start, descriptors, now);
        if assigned.is_err() {
            self.end(number, Cause::Setup);
        }
        assigned
    }

    /// The sandbox that was made with the one tree that is asked for.
    fn prepared_for(&mut self, mounts: &[Mount]) -> Option<Number> {
        let [mount] = mounts else { return None };
        if mount.target.as_str() != WORK || mount.access != MountAccess::ReadWrite {
            return None;
        }
        let id = create::tree_of(mount)?;
        let number = self.trees.iter_mut().find(|known| known.id == id)?.prepared.take()?;
        let found = self.sandboxes.iter().find(|sandbox| sandbox.number == number)?;
        found.can_take_a_job().then_some(number)
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
        if jobs().count() >= usize::try_from(BLOCKS).unwrap_or(usize::MAX) {
            let ceiling = u64::from(BLOCKS);
            return Err(Refusal { what: String::from("sandboxes alive at once"), asked: ceiling + 1, ceiling });
        }
        if jobs().any(|job| job.id == id) {
            let what = String::from("a sandbox whose number is in use");
            return Err(Refusal { what, asked: id.0, ceiling: 0 });
        }
        Ok(())
    }
}
