//! What is to be built: the order for this sandbox, and the mold of all sandboxes of the spawner.
use core::cell::Cell;

use crate::kernel::{self, Errno, Fd};
use crate::protocol::{BUILD, BUILD_DESCRIPTORS, BUILD_FIXED, MOLD_MAGIC, NETWORK_GIVEN, NETWORK_KEPT, NETWORK_NEW};
use crate::reading::{List, Reader};

/// The order for this sandbox.
pub(super) struct Order<'a> {
    pub(super) mold: Mold,
    /// First user id of the block.
    pub(super) first_id: u32,
    pub(super) root: Fd,
    pub(super) device: Fd,
    /// A tmpfs with the directories `tmp` and `shm`.
    pub(super) temporary: Fd,
    /// What `0` is written to.
    pub(super) join: &'a [Fd],
    pub(super) trees: &'a [Fd],
    /// For each tree, in the same order.
    pub(super) places: List<'a, Place<'a>>,
    pub(super) network: Network,
    /// Set when a new one was made.
    pub(super) made_network: Cell<bool>,
    /// Set when there is one.
    pub(super) ruleset: Cell<Option<Fd>>,
}

/// Which network namespace the sandbox has.
#[derive(Clone, Copy)]
pub(super) enum Network {
    New,
    /// Of an earlier sandbox of the same block.
    Kept(Fd),
    /// Made for this sandbox, with a link to the outside.
    Given(Fd),
}

/// How and where a tree is mounted.
pub(super) struct Place<'a> {
    pub(super) attributes: u32,
    /// Below the root.
    pub(super) target: &'a [u8],
}

fn place<'a>(from: &mut Reader<'a>) -> Result<Place<'a>, Errno> {
    Ok(Place { attributes: from.word()?, target: from.string()? })
}

impl<'a> Order<'a> {
    pub(super) fn read(packet: &'a [u8], descriptors: &'a [Fd; BUILD_DESCRIPTORS]) -> Result<Self, Errno> {
        let mut from = Reader(packet);
        if from.word()? != BUILD {
            return Err(Errno::PROTO);
        }
        let (first_id, joins, tree_count, kind) = (from.word()?, from.word()?, from.word()?, from.word()?);
        let places = from.list_of(tree_count, place)?;
        if !from.is_at_end() {
            return Err(Errno::PROTO);
        }
        let (&[mold, root, device, temporary], rest) =
            descriptors.split_first_chunk::<BUILD_FIXED>().ok_or(Errno::PROTO)?;
        let (join, rest) = rest.split_at_checked(joins as usize).ok_or(Errno::PROTO)?;
        let (trees, rest) = rest.split_at_checked(tree_count as usize).ok_or(Errno::PROTO)?;
        let network = match (kind, rest.first()) {
            (NETWORK_NEW, _) => Network::New,
            (NETWORK_KEPT, Some(&network)) => Network::Kept(network),
            (NETWORK_GIVEN, Some(&network)) => Network::Given(network),
            _ => return Err(Errno::PROTO),
        };
        let mold = Mold::read(kernel::map_file(mold)?)?;
        Ok(Self {
            mold,
            first_id,
            root,
            device,
            temporary,
            join,
            trees,
            places,
            network,
            made_network: Cell::new(false),
            ruleset: Cell::new(None),
        })
    }
}

/// What all sandboxes of a spawner have. Strings end with NUL.
pub(super) struct Mold {
    pub(super) umask: u32,
    pub(super) job_id: u32,
    pub(super) host_name: &'static [u8],
    pub(super) oom_score: &'static [u8],
    /// Where the root is put before it becomes the root.
    pub(super) place: &'static [u8],
    pub(super) hiding_file: &'static [u8],
    pub(super) hiding_folder: &'static [u8],
    /// Below the root.
    pub(super) read_only: List<'static, &'static [u8]>,
    pub(super) hidden_files: List<'static, &'static [u8]>,
    pub(super) hidden_folders: List<'static, &'static [u8]>,
    pub(super) limits: List<'static, Limit>,
    pub(super) counters: List<'static, Counter>,
    /// Rights on files that Landlock restricts; 0 where the kernel has none.
    pub(super) restricted: u64,
    pub(super) scopes: u64,
    /// In writable trees.
    pub(super) rights_in_trees: u64,
    pub(super) directories: List<'static, Directory>,
    /// The seccomp program.
    pub(super) filter: &'static [u8],
}

/// A resource limit (getrlimit(2)).
pub(super) struct Limit {
    pub(super) resource: u32,
    pub(super) soft: u64,
    pub(super) hard: u64,
}

fn limit(from: &mut Reader<'static>) -> Result<Limit, Errno> {
    Ok(Limit { resource: from.word()?, soft: from.long()?, hard: from.long()? })
}

/// What a file of /proc/self/net says in a new network namespace.
pub(super) struct Counter {
    pub(super) name: &'static [u8],
    pub(super) kind: u32,
    pub(super) content: &'static [u8],
}

fn counter(from: &mut Reader<'static>) -> Result<Counter, Errno> {
    Ok(Counter { name: from.string()?, kind: from.word()?, content: from.block()? })
}

/// What may be done with files below a directory.
pub(super) struct Directory {
    pub(super) rights: u64,
    /// Below the root.
    pub(super) path: &'static [u8],
}

fn directory(from: &mut Reader<'static>) -> Result<Directory, Errno> {
    Ok(Directory { rights: from.long()?, path: from.string()? })
}

impl Mold {
    fn read(bytes: &'static [u8]) -> Result<Self, Errno> {
        let mut from = Reader(bytes);
        if from.word()? != MOLD_MAGIC {
            return Err(Errno::PROTO);
        }
        let mold = Self {
            umask: from.word()?,
            job_id: from.word()?,
            host_name: from.string()?,
            oom_score: from.string()?,
            place: from.string()?,
            hiding_file: from.string()?,
            hiding_folder: from.string()?,
            read_only: from.list(Reader::string)?,
            hidden_files: from.list(Reader::string)?,
            hidden_folders: from.list(Reader::string)?,
            limits: from.list(limit)?,
            counters: from.list(counter)?,
            restricted: from.long()?,
            scopes: from.long()?,
            rights_in_trees: from.long()?,
            directories: from.list(directory)?,
            filter: from.block()?,
        };
        if from.is_at_end() { Ok(mold) } else { Err(Errno::PROTO) }
    }
}
