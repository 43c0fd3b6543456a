//! What the server asks: each request has its arm, and is granted, refused by name or passed on.
//!
//! Not here: what a plan may hold (`plan::ceiling`), how a sandbox is made (`spawner::create`).
use std::os::fd::OwnedFd;

use super::{LAST_NUMBER, Server};
use crate::base::id::{SandboxId, TreeId};
use crate::base::time::Instant;
use crate::plan::ceiling::{self, Refusal};
use crate::spawner::connection::Lost;
use crate::spawner::create::{self, CreateError};
use crate::spawner::identity::BLOCKS;
use crate::spawner::tree::{Size, Tree};
use crate::wire::reply::{Cause, Counters, Reply};
use crate::wire::request::{Request, Start};

impl Server {
    /// Every request has its arm: what is not built is refused by name.
    pub(super) fn handle(&mut self, request: Request, descriptors: Vec<OwnedFd>, now: Instant) -> Result<(), Lost> {
        let (sandbox, name) = match request {
            Request::Hello => {
                let cgroups = self.host.layout.name().to_owned();
                return self.connection.send(&Reply::Welcome { cgroups });
            }
            Request::MakeTree { tree, bytes, inodes } => return self.make_tree(tree, Size { bytes, inodes }),
            Request::DropTree { tree } => {
                self.drop_tree(tree);
                return Ok(());
            }
            Request::Start(start) => return self.start(&start, descriptors, now),
            Request::End { sandbox } => {
                self.end(sandbox, Cause::Requested);
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

    fn make_tree(&mut self, id: TreeId, size: Size) -> Result<(), Lost> {
        let reply = match self.try_make_tree(id, size) {
            Ok(tree) => {
                let first_id = tree.lease().block().outside(0);
                self.trees.push((id, tree));
                Reply::TreeMade { tree: id, first_id }
            }
            Err(refusal) => Reply::TreeRefused { tree: id, refusal },
        };
        self.connection.send(&reply)
    }

    fn try_make_tree(&self, id: TreeId, size: Size) -> Result<Tree, Refusal> {
        let refuse = |what: &str, asked, ceiling| Refusal { what: what.to_owned(), asked, ceiling };
        if self.trees.iter().any(|(known, _)| *known == id) {
            return Err(refuse("a tree with a name that is in use", id.0, 0));
        }
        if size.bytes == 0 || size.bytes > ceiling::JOB.temporary {
            return Err(refuse("tree (bytes)", size.bytes, ceiling::JOB.temporary));
        }
        if size.inodes == 0 || size.inodes > ceiling::JOB.temporary_inodes {
            return Err(refuse("tree (inodes)", size.inodes, ceiling::JOB.temporary_inodes));
        }
        let most = u64::from(BLOCKS);
        let lease = self.host.blocks.take().ok_or_else(|| refuse("jobs alive at once", most + 1, most))?;
        Tree::create(&self.host.stage, id, size, lease)
            .map_err(|error| refuse(&format!("a tree that cannot be made: {error}"), size.bytes, 0))
    }

    fn drop_tree(&mut self, id: TreeId) {
        if let Some(index) = self.trees.iter().position(|(known, _)| *known == id) {
            let (_, tree) = self.trees.swap_remove(index);
            self.host.note_left(tree.remove(&self.host.disposal, &self.host.single));
        }
    }

    fn start(&mut self, start: &Start, descriptors: Vec<OwnedFd>, now: Instant) -> Result<(), Lost> {
        let id = start.sandbox;
        if let Err(refusal) = self.check_place(id) {
            return self.connection.send(&Reply::Refused { sandbox: id, refusal });
        }
        match create::create(&self.host, &self.trees, start, descriptors, now) {
            Ok(sandbox) => {
                let watched = self.watch(&sandbox);
                // Known in any case: what is not known is not ended.
                self.sandboxes.push(sandbox);
                watched.map_err(Lost::Socket)
            }
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

    /// Whether there may be one more sandbox, of this name.
    fn check_place(&self, id: SandboxId) -> Result<(), Refusal> {
        let most = usize::try_from(BLOCKS).unwrap_or(usize::MAX);
        if self.sandboxes.len() >= most {
            let ceiling = u64::from(BLOCKS);
            return Err(Refusal { what: String::from("sandboxes alive at once"), asked: ceiling + 1, ceiling });
        }
        if id.0 > LAST_NUMBER || self.sandboxes.iter().any(|sandbox| sandbox.id == id) {
            let what = String::from("a sandbox whose number is in use or too high");
            return Err(Refusal { what, asked: id.0, ceiling: LAST_NUMBER });
        }
        Ok(())
    }
}
